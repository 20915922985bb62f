"""The paper's protocols as tables: measurements of every condition, beside the baselines.

The paper: H.-W. Kung et al., "Face Anonymization Made Simple", WACV 2025, arXiv 2411.00762. Its own recognisers and
estimators (FaceNet, 3DMM coefficients, a gaze network) are other back-ends of the same protocols.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from . import identification
from .measured import AGE, ASPECTS, IDENTITY, KEPT, MAN, SHAPE, Measured, distance
from .statistics import Interval, Threshold, mean, mean_of_pairs
from .tables import Table

NOT_MEASURABLE = "not measurable"


def face_found(faces: Measured) -> Interval:
    """Share of pictures in which the detector finds a face: the detection rate of Fig. 10 of the paper."""
    return mean(faces.found.double())


def identity_table(
    conditions: Mapping[str, Measured],
    originals: Measured,
    others: Measured | None,
    threshold: Threshold | None,
    people: torch.Tensor | None = None,
) -> Table:
    """Re-identification (Tables 1 and 2 of the paper, rank-1 in the gallery of originals), identity distance to the
    original (Fig. 9) and detection rate (Fig. 10).

    Args:
        conditions: title -> faces, of which row i is made of original i; a condition may have fewer rows.
        originals: N faces.
        others: row i is another picture of the person of original i, a gallery that a stranger would rather have; None
            leaves the column out.
        threshold: a verifier's, by which the share of results that still pass for their original is given; None leaves
            the column out.
        people: int [N], who each original is; None: all different.
    """
    by_others, accepted = "re-identified by other pictures", "accepted as the original"
    columns = ["identity distance", "re-identified"]
    columns += [by_others] * (others is not None) + [accepted] * (threshold is not None)
    table = Table("identity", "Identity", [*columns, "face found", NOT_MEASURABLE])
    everybody = torch.arange(len(originals)) if people is None else people
    for title, faces in conditions.items():
        to, who = originals[: len(faces)], everybody[: len(faces)]
        own = who[:, None] == everybody
        cells = {
            "identity distance": mean(distance(IDENTITY, faces, to), who),
            "re-identified": mean(identification.identified(faces, originals, own), who),
            "face found": mean(faces.found.double(), who),
            NOT_MEASURABLE: int((~(faces.found & to.found)).sum()),
        }
        if others is not None:
            cells[by_others] = mean(identification.identified(faces, others, own), who)
        if threshold is not None:
            cosines = 1 - distance(IDENTITY, faces, to)
            cells[accepted] = mean(identification.accepted(cosines, threshold), who)
        table.put(title, cells)
    table.note = f"{len(everybody.unique())} people. Distance: 1 - cosine; 0 is the same face."
    if threshold is not None:
        table.note += (
            f" Accepted: cosine above {threshold.value:.3f}, which {threshold.far:.2%} of {threshold.impostor} impostor"
            f" pairs exceed and {threshold.accepted:.1%} of {threshold.genuine} genuine ones ({threshold.pairs})."
        )
    return table


def attribute_table(
    conditions: Mapping[str, Measured],
    originals: Measured,
    name: str = "attributes",
    title: str = "Attributes",
    people: torch.Tensor | None = None,
) -> Table:
    """Distances of pose, gaze, expression, light and face shape to the original, which is the driving image (Fig. 11
    and Tables 1 to 3 of the paper).

    Args:
        conditions: title -> faces, of which row i is compared with original i; a condition may have fewer rows.
        originals: N faces; what their back-end measures makes the columns.
        name: of the table's files.
        title: above the table.
        people: int [N], who each original is; None: all different.
    """
    aspects = [aspect for aspect in (*KEPT, SHAPE, AGE, MAN) if aspect in originals.aspects]
    table = Table(name, title, [f"{ASPECTS[aspect].title}, {ASPECTS[aspect].unit}" for aspect in aspects])
    for row, faces in conditions.items():
        who = None if people is None else people[: len(faces)]
        cells = [mean(distance(aspect, faces, originals[: len(faces)]), who) for aspect in aspects]
        table.put(row, dict(zip(table.columns, cells, strict=True)))
    return table


def swap_table(conditions: Mapping[str, Measured], sources: Measured, driving: Measured, truth: Measured) -> Table:
    """Identity of swaps, at degree 0 (Table 3 of the paper).

    Is a face nearer to the person of its source than to that of its driving image, and whom does a search among all
    sources find?

    Args:
        conditions: title -> N faces, of which row i is made of source i and driving image i.
        sources: measured on the sources' pictures.
        driving: measured on the driving images.
        truth: the people of the sources, exactly known.
    """
    columns = ["nearer to the source", "distance to the source", "distance to the driving image"]
    table = Table(
        "swap_identity", "Swaps: identity", [*columns, "distance to the source's truth", "source found first"]
    )
    for row, faces in conditions.items():
        to_source, to_driving = distance(IDENTITY, faces, sources), distance(IDENTITY, faces, driving)
        nearer = torch.where((to_source - to_driving).isnan(), torch.nan, (to_source < to_driving).double())
        cells = [mean(values) for values in (nearer, to_source, to_driving, distance(IDENTITY, faces, truth))]
        cells.append(mean(identification.identified(faces, sources)))
        table.put(row, dict(zip(table.columns, cells, strict=True)))
    return table


def spread_table(groups: Mapping[str, Measured]) -> Table:
    """How far different faces of a set lie apart: strangers, or one average face?

    By cosine, and by the length of the difference, which copies of an average face do not pass (see
    identification.euclidean_distances).
    """
    table = Table("spread", "Spread of identities", ["mean distance, 1 - cosine", "mean distance, length", "faces"])
    for title, faces in groups.items():
        cells = [
            mean_of_pairs(identification.cosine_distances(faces)),
            mean_of_pairs(identification.euclidean_distances(faces)),
            int(faces.found.sum()),
        ]
        table.put(title, dict(zip(table.columns, cells, strict=True)))
    return table


def seed_spread(runs: list[Measured]) -> tuple[Interval, Interval]:
    """Mean pairwise distance between the results of one picture under several seeds.

    Args:
        runs: faces of the same N people, one Measured for each seed.

    Returns:
        By cosine and by length; the intervals are over people.
    """
    cosine, length = [], []
    for person in range(len(runs[0])):
        faces = Measured(
            found=torch.stack([run.found[person] for run in runs]),
            identity=torch.stack([run.of(IDENTITY)[person] for run in runs]),
        )
        cosine.append(mean_of_pairs(identification.cosine_distances(faces)).value)
        length.append(mean_of_pairs(identification.euclidean_distances(faces)).value)
    return mean(torch.tensor(cosine)), mean(torch.tensor(length))
