"""What an attacker does with more than a photo: links results with each other, or trains on what the method makes.

Linking: both pictures are anonymized ("A False Sense of Privacy", arXiv 2304.01635). Knowing the method: who has the
tool anonymizes photos of people whom he knows, and fits the recogniser's vectors of the results to those of the
originals; then he looks for people that he does not know.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from .identification import identified
from .measured import IDENTITY, Measured, unit
from .statistics import Interval, mean
from .tables import Table

LEAST_PEOPLE = 8  # to fit on one half and to test on the other
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # of the penalty, in shares of the mean squared length of a vector
_SEED = 0  # of the halves: the same people give the same figure


class Attack(NamedTuple):
    """How often an attack finds the right person.

    Args:
        found: float64 [N], 1 where it does, 0 where it does not, NaN where that cannot be measured.
        among: float64 [N], how many faces were searched.
        chance: float64 [N], the share that a guess would find.
    """

    found: torch.Tensor
    among: torch.Tensor
    chance: torch.Tensor


class Refit(NamedTuple):
    """A map from vectors of results to those of originals: x -> x - mean_result + (x - mean_result) change.

    Args:
        mean_result: [D], of the results.
        mean_original: [D], of the originals.
        change: [D, D]; zeros leave the vectors as they are.
    """

    mean_result: torch.Tensor
    mean_original: torch.Tensor
    change: torch.Tensor

    def results(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors of results [N, D] where those of their originals should be."""
        centred = vectors - self.mean_result
        return centred + centred @ self.change

    def originals(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors of originals [N, D], in the same place."""
        return vectors - self.mean_original


def refit(results: torch.Tensor, originals: torch.Tensor, people: torch.Tensor) -> Refit:
    """Fit the vectors of results to those of their originals.

    Ridge regression of what the method changed, so that without any evidence the vectors stay as they are. The strength
    of the penalty is the one by which most people are found who are left out of the fit, one after the other.

    Args:
        results: float64 [N, D], of length 1.
        originals: float64 [N, D], of length 1.
        people: int [N], who each is.
    """
    mean_result, mean_original = results.mean(0), originals.mean(0)
    x, y = results - mean_result, originals - mean_original
    wanted = y - x
    kernel = x @ x.T
    scale = kernel.diagonal().mean().clamp(min=1e-12)
    best, change = _left_out(y, wanted, people), torch.zeros(x.shape[1], x.shape[1], dtype=x.dtype)  # no fit at all
    for strength in _STRENGTHS:
        penalised = kernel + strength * scale * torch.eye(len(x), dtype=x.dtype)
        share = torch.linalg.solve(penalised, kernel).T
        errors = wanted - share @ wanted
        for person in people.unique():
            rows = (people == person).nonzero().flatten()
            own = torch.eye(len(rows), dtype=x.dtype) - share[rows][:, rows]
            errors[rows] = torch.linalg.solve(own, errors[rows])
        score = _left_out(y, errors, people)
        if score > best:
            best, change = score, x.T @ torch.linalg.solve(penalised, wanted)
    return Refit(mean_result, mean_original, change)


def _left_out(originals: torch.Tensor, errors: torch.Tensor, people: torch.Tensor) -> tuple[float, float]:
    """(share of faces that are found where their vectors are off by these errors, less the errors' mean length)."""
    cosines = unit(originals - errors) @ unit(originals).T
    own = people[:, None] == people
    found = own[torch.arange(len(people)), cosines.argmax(1)].double().mean()
    return found.item(), -errors.norm(dim=1).mean().item()


def knowing(results: Measured, originals: Measured, people: torch.Tensor, fit: bool = True) -> Attack | None:
    """Look for the originals of one half of the people by what was learned of the other half, and the other way round.

    Args:
        results: N faces, of which row i was made of original i.
        originals: N faces.
        people: int [N], who each is.
        fit: False searches the same galleries without having learned anything, which is what `fit` is to be held
            against.

    Returns:
        The attack, or None with fewer than LEAST_PEOPLE people of whom original and result are measurable.
    """
    usable = results.found & originals.found
    known = people[usable].unique()
    if len(known) < LEAST_PEOPLE:
        return None
    shuffled = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(_SEED))]
    halves = shuffled[: len(known) // 2], shuffled[len(known) // 2 :]
    seen, truth = unit(results.of(IDENTITY)), unit(originals.of(IDENTITY))
    found, among, chance = (torch.full((len(people),), torch.nan, dtype=torch.float64) for _ in range(3))
    for learned, tested in (halves, halves[::-1]):
        train, test = (usable & torch.isin(people, half) for half in (learned, tested))
        probes, gallery = seen[test], truth[test]
        if fit:
            learnt = refit(seen[train], truth[train], people[train])
            probes, gallery = learnt.results(probes), learnt.originals(gallery)
        own = people[test][:, None] == people[test]
        everyone = torch.ones(len(probes), dtype=torch.bool)
        found[test] = identified(Measured(everyone, probes), Measured(everyone, gallery), own)
        among[test], chance[test] = float(len(gallery)), own.double().mean(1)
    return Attack(found, among, chance)


def linking(faces: Measured, people: torch.Tensor, pictures: torch.Tensor) -> Attack | None:
    """Look for each face among the same kind of faces of other pictures: is another picture of its person the nearest?

    Args:
        faces: N faces, all anonymized, or none.
        people: int [N], who each is.
        pictures: int [N], in which picture each is.

    Returns:
        The attack, or None where nobody is measurable in two pictures.
    """
    hidden = pictures[:, None] == pictures
    own = (people[:, None] == people) & ~hidden & faces.found
    searched = (~hidden & faces.found).double().sum(1)
    found = identified(faces, faces, own, hidden)
    if not (~found.isnan()).any():
        return None
    there = ~found.isnan()
    among = torch.where(there, searched, torch.nan)
    return Attack(found, among, torch.where(there, own.double().sum(1) / searched, torch.nan))


def attack_table(
    results: Measured, originals: Measured, people: torch.Tensor, pictures: torch.Tensor, *, labelled: bool
) -> Table:
    """What attackers find with more than a photo of each person, beside what they find without it.

    Args:
        results: N faces, of which row i was made of original i.
        originals: N faces.
        people: int [N], who each is.
        pictures: int [N], in which picture each is.
        labelled: whether people are known; else each face is taken for another person.

    Returns:
        A table without rows where nothing can be measured; its note says why.
    """
    table = Table("attacks", "Attackers who know more", ["finds the person", "chance", "faces searched"])
    rows: dict[str, Attack | None] = {
        "no more: results, among originals of half of the people": knowing(results, originals, people, fit=False),
        "knows the method: the same, re-fitted on the other half": knowing(results, originals, people),
    }
    notes = [
        "Rank 1. Knows the method: has anonymized photos of one half of the people himself, and fits the recogniser's "
        "vectors of the results to those of the originals; tested on the other half, by turns."
    ]
    if rows["knows the method: the same, re-fitted on the other half"] is None:
        notes.append(f"Fewer than {LEAST_PEOPLE} people are measurable: too few to learn from one half of them.")
    if labelled:
        rows["links originals: another photo of the person"] = linking(originals, people, pictures)
        rows["links results: both pictures anonymized"] = linking(results, people, pictures)
    if rows.get("links results: both pictures anonymized") is None:
        notes.append("Linking takes results of two pictures of a person, and --labels that say who is who.")
    for title, attack in rows.items():
        if attack is not None:
            cells: list[Interval | float] = [mean(attack.found, people), _mean(attack.chance), _mean(attack.among)]
            table.put(title, dict(zip(table.columns, cells, strict=True)))
    table.note = " ".join(notes)
    return table


def _mean(values: torch.Tensor) -> float:
    return values.nanmean().item()
