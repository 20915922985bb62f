"""What must hold of a model on the synthetic test set, and whether it does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from . import identification
from .measured import ASPECTS, EXPRESSION, GAZE, IDENTITY, KEPT, POSE, Measured, distance
from .statistics import Interval, mean, mean_of_pairs

RISING = (0.3, 0.6, 0.9, 1.2, 1.4, 1.5)  # degrees over which the identity distance is to rise
_NEARER, _REIDENTIFIED, _SPREAD = 0.9, 0.1, 0.7
_ENOUGH = 0.5  # share of results in which a face is found; with fewer, no measurement of the results is meaningful


class Verdict(NamedTuple):
    """Whether one claim holds.

    Attributes:
        claim: in words.
        holds: None when what it needs is not in the plan or never happens; what is not measurable does not hold.
        measured: the figures behind it, in words.
    """

    claim: str
    holds: bool | None
    measured: str


def judge_swaps(
    swapped: Measured, sources: Measured, driving: Measured, truth: Measured, own: Measured
) -> list[Verdict]:
    """Whether a swap shows the person of its source, in the pose, gaze and expression of its driving image.

    An attribute follows the driving image when its error is less than half way from the back-end's own error to that
    of a random scene.

    Args:
        swapped: faces of N swaps.
        sources: faces of their sources, in the same order.
        driving: faces of their driving images.
        truth: the driving scenes, exactly known.
        own: measured on pictures that are rendered from the swaps' exact truth; gives the back-end's own error.

    Returns:
        One verdict on identity, and one on each of the three attributes.

    Raises:
        ValueError: the back-end does not measure one of them.
    """
    to_source, to_driving = distance(IDENTITY, swapped, sources), distance(IDENTITY, swapped, driving)
    # a swap without a face is near to nobody
    nearer = mean(torch.where(sources.found & driving.found, (to_source < to_driving).double(), torch.nan))
    verdicts = [
        Verdict(f"swap: nearer to the source than to the driving image in {_NEARER:.0%} of the pairs",
                nearer.value >= _NEARER, _percent(nearer))
    ]  # fmt: skip
    random = own[torch.arange(len(own)).roll(1)]
    for aspect in (POSE, GAZE, EXPRESSION):
        error, floor, chance = (mean(distance(aspect, faces, truth)) for faces in (swapped, own, random))
        share = (error.value - floor.value) / (chance.value - floor.value)
        text = f"error {_figure(error)}, of the back-end itself {floor.value:.3f}, of a random scene {chance.value:.3f}"
        verdicts.append(Verdict(f"swap: {ASPECTS[aspect].title} follows the driving image", share < 0.5, text))
    return _if_seen(verdicts, swapped)


def judge_degrees(
    by_degree: Mapping[float, Measured], originals: Measured, strangers: Measured, main: float
) -> list[Verdict]:
    """Whether the degree of anonymization does what it is for: identities go, attributes stay.

    Args:
        by_degree: degree -> faces of the results, row i made of original i; `main` is among the degrees.
        originals: faces of the N originals.
        strangers: row i is another person in another scene than original i.
        main: the degree that is judged by itself.

    Returns:
        Verdicts on the rising identity distance, on re-identification, and on each attribute of KEPT that the back-end
        measures.
    """
    known = [degree for degree in RISING if degree in by_degree]
    distances = {degree: distance(IDENTITY, by_degree[degree], originals) for degree in known}
    steps = [mean(distances[b] - distances[a]) for a, b in itertools.pairwise(known)]
    text = ", ".join(f"{degree:g}: {mean(distances[degree]).value:.3f}" for degree in known)
    rises = (
        all(step.high >= 0 for step in steps) and mean(distances[known[-1]] - distances[known[0]]).low > 0
        if steps
        else None
    )
    rising = Verdict(f"identity distance rises over d = {', '.join(f'{d:g}' for d in RISING)}",
                     rises if len(known) == len(RISING) else None, text)  # fmt: skip
    verdicts = _if_seen([rising], *(by_degree[degree] for degree in known))
    weak = by_degree.get(RISING[0])
    here = mean(identification.identified(by_degree[main], originals))
    there = None if weak is None else mean(identification.identified(weak, originals))
    # nothing is a tenth of nothing
    holds = here.value <= _REIDENTIFIED * there.value if there is not None and there.value != 0 else None
    text = _percent(here) + ("" if there is None else f", at 0.3 {_percent(there)}")
    claims = [Verdict(f"re-identified at {main:g} at most a tenth as often as at 0.3", holds, text)]
    for aspect in (aspect for aspect in KEPT if aspect in originals.aspects):
        kept, random = (mean(distance(aspect, faces, originals)) for faces in (by_degree[main], strangers))
        text = f"{_figure(kept)}, two random faces {_figure(random)}"
        claim = f"{ASPECTS[aspect].title} at {main:g} kept better than between two random faces"
        claims.append(Verdict(claim, kept.high < random.low, text))
    return verdicts + _if_seen(claims, by_degree[main])


def judge_spread(results: Measured, originals: Measured) -> list[Verdict]:
    """Whether the results are different people, and not one average face; both measures of distance must pass.

    Why there are two: see identification.euclidean_distances.
    """
    verdicts = []
    for how, distances in (
        ("by cosine", identification.cosine_distances),
        ("by length", identification.euclidean_distances),
    ):
        spread, random = mean_of_pairs(distances(results)), mean_of_pairs(distances(originals))
        ratio = spread.value / random.value
        claim = f"results are strangers: their spread is {_SPREAD} of that of random identities, {how}"
        text = f"{_figure(spread)} against {_figure(random)}, which is {ratio:.3f} of it"
        verdicts.append(Verdict(claim, ratio >= _SPREAD, text if spread.count > 1 else "not measurable"))
    return _if_seen(verdicts, results)


def judge_ablation(full: Measured, reduced: Mapping[str, Measured], originals: Measured) -> list[Verdict]:
    """Whether the method re-identifies less than its reductions do.

    Args:
        full: faces of the results of the whole method, row i made of original i.
        reduced: name of the reduction -> faces of its results, in the same order.
        originals: faces of the N originals.

    Returns:
        One verdict for each reduction.
    """
    hits, verdicts = identification.identified(full, originals), []
    for reduction, faces in reduced.items():
        other = identification.identified(faces, originals)
        more = mean(other - hits)
        text = f"{_percent(mean(other))} against {_percent(mean(hits))}, difference {_percent(more)}"
        claim = f"{reduction}: re-identified clearly more often than by the full method"
        verdicts += _if_seen([Verdict(claim, more.low > 0, text)], full, faces)
    return verdicts


def judge_background(result: torch.Tensor, reconstruction: torch.Tensor, region: str) -> Verdict:
    """Whether a region outside the face changes no more than the VAE changes it by itself, compared picture by picture.

    Args:
        result: errors of the results, in levels of 255, float [N].
        reconstruction: errors of the VAE's reconstructions of the same pictures, in levels of 255, float [N].
        region: its name, for the claim.
    """
    more = mean(result - reconstruction)
    text = f"{_figure(mean(result))} levels of 255, the VAE's reconstruction {_figure(mean(reconstruction))}"
    return Verdict(f"{region}: within the VAE's own error", more.low <= 0, f"{text}, difference {_figure(more)}")


def judge_seeds(seeds: Interval, strangers: Interval, same_person: Interval) -> Verdict:
    """Whether several seeds give different people: their results lie further apart than two pictures of one person.

    Args:
        seeds: mean identity distance between results of one picture under several seeds.
        strangers: mean distance between random people; it is shown beside the others.
        same_person: mean distance between two pictures of one person.
    """
    text = (
        f"{_figure(seeds)}; random identities {_figure(strangers)}, two pictures of one person {_figure(same_person)}"
    )
    return Verdict("seeds give different people", seeds.low > same_person.high, text)


def _if_seen(verdicts: Iterable[Verdict], *results: Measured) -> list[Verdict]:
    """The verdicts; none of them holds when the detector finds a face in less than half of any of these results."""
    seen = min((faces.found.double().mean().item() for faces in results), default=1.0)
    if seen >= _ENOUGH:
        return list(verdicts)
    return [
        verdict._replace(
            holds=None if verdict.holds is None else False,
            measured=f"{verdict.measured}; a face is found in {seen:.0%} of the results",
        )
        for verdict in verdicts
    ]


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a table in Markdown, under a heading."""
    words = {True: "holds", False: "**does not hold**", None: "open"}
    lines = [f"| {verdict.claim} | {words[verdict.holds]} | {verdict.measured} |" for verdict in verdicts]
    return "\n".join(["### What must hold", "", "| | | measured |", "|---|---|---|", *lines, ""])


def _percent(interval: Interval) -> str:
    if not interval.count:
        return "not measurable"
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _figure(interval: Interval) -> str:
    if not interval.count:
        return "not measurable"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
