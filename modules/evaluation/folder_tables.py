"""Results of any method on photos of real people, as tables: what each back-end measured of every face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from . import attacks, identification, protocols, quality
from .conditions import ORIGINAL
from .measured import FEATURES, IDENTITY, Measured
from .statistics import Threshold, calibrate, mean
from .tables import Table

RESULT, JPEG, RECONSTRUCTION = "result", f"original, JPEG of quality {quality.JPEG_QUALITY}", "original, by the VAE"


@dataclass
class FolderFaces:
    """Faces of the originals and what became of each: row i of everything is face i.

    Attributes:
        measured: back-end -> condition -> Measured, with ORIGINAL among the conditions.
        people: int [N], who each face is.
        pictures: int [N], in which picture it is.
        labelled: whether people are known; else each face is taken for another person.
    """

    measured: Mapping[str, Mapping[str, Measured]]
    people: torch.Tensor
    pictures: torch.Tensor
    labelled: bool


def face_tables(faces: FolderFaces, far: float) -> list[Table]:
    """Tables of identity, attacks and attributes, by each back-end that measures them.

    Args:
        faces: all of them.
        far: the false accept rate of the threshold, between 0 and 1.

    Raises:
        ValueError: a back-end can measure no face of any original, or there is but one person.
    """
    tables = []
    for backend, conditions in faces.measured.items():
        originals = conditions[ORIGINAL]
        changed = {title: measured for title, measured in conditions.items() if title != ORIGINAL}
        if not originals.found.any():
            raise ValueError(f"{backend} could measure no face of any original: nothing can be compared.")
        name = backend.lower().replace(" ", "_")
        if IDENTITY in originals.aspects:
            if len(faces.people.unique()) < 2:
                raise ValueError("Re-identification needs two people at least, and the originals show one.")
            threshold, note = _threshold(conditions, faces, far)
            others = _others(originals, faces) if faces.labelled else None
            table = protocols.identity_table(changed, originals, others, threshold, faces.people)
            table.name, table.title = f"identity_{name}", f"Identity, by {backend}"
            table.note += f" {note}"
            tables.append(table)
            knowing = attacks.attack_table(
                changed[RESULT], originals, faces.people, faces.pictures, labelled=faces.labelled
            )
            knowing.name, knowing.title = f"attacks_{name}", f"{knowing.title}, by {backend}"
            tables.append(knowing)
        title = f"Attributes, by {backend}"
        table = protocols.attribute_table(changed, originals, f"attributes_{name}", title, faces.people)
        if table.columns:
            strangers = _strangers(originals, faces.people)
            random = protocols.attribute_table({"two random faces": strangers}, originals)
            table.rows |= random.rows
            tables.append(table)
    return tables


def _threshold(conditions: Mapping[str, Measured], faces: FolderFaces, far: float) -> tuple[Threshold | None, str]:
    """Calibrated on originals alone, or None and why."""
    originals = conditions[ORIGINAL]
    cosines = identification.similarities(originals, originals)
    same = faces.people[:, None] == faces.people
    impostor = cosines[~same & (faces.pictures[:, None] != faces.pictures) & _upper(len(cosines))]
    genuine = cosines[same & _upper(len(cosines))]
    where = "originals of one person, and of two"
    if not (~genuine.isnan()).any():
        genuine = 1 - protocols.distance(IDENTITY, conditions[JPEG], originals)
        where = "each original with its own JPEG, as no label names two pictures of one person; different originals"
    try:
        return calibrate(genuine, impostor, far, where), ""
    except ValueError as error:
        return None, f"No threshold: {error}"


def _upper(count: int) -> torch.Tensor:
    return torch.ones(count, count, dtype=torch.bool).triu(1)


def _others(originals: Measured, faces: FolderFaces) -> Measured:
    """For each face another picture of its person; not measurable where there is none."""
    rows = torch.arange(len(originals))
    found = originals.found.clone()
    for i, (person, picture) in enumerate(zip(faces.people, faces.pictures, strict=True)):
        candidates = ((faces.people == person) & (faces.pictures != picture) & originals.found).nonzero().flatten()
        found[i] = len(candidates) > 0
        if len(candidates):
            rows[i] = candidates[candidates > i][0] if (candidates > i).any() else candidates[0]
    chosen = originals[rows]
    return Measured(found=found, identity=chosen.identity)


def _strangers(originals: Measured, people: torch.Tensor) -> Measured:
    """For each face that of the next other person."""
    count = len(people)
    rows = [
        next((j % count for j in range(i + 1, i + count) if people[j % count] != people[i]), i) for i in range(count)
    ]
    return originals[torch.tensor(rows)]


def quality_table(rows: Mapping[str, Mapping[str, torch.Tensor]], people: torch.Tensor) -> Table:
    """The table of image quality and background.

    Args:
        rows: condition -> column -> value of each face or picture, float [N].
        people: int [N], who each face is; a column with as many values is averaged by person.
    """
    columns = list(dict.fromkeys(column for values in rows.values() for column in values))
    table = Table("quality", "Image quality and background", columns)
    for row, values in rows.items():
        cells = {}
        for column, value in values.items():
            cells[column] = mean(value, people if len(value) == len(people) else None)
        table.put(row, cells)
    table.note = (
        "Sharpness: of the aligned crops. Outside the face squares: of whole pictures, levels of 255, and the share of "
        "pictures that are equal there in every value."
    )
    return table


def frechet_table(faces: FolderFaces) -> Table | None:
    """Fréchet distance of each condition's descriptors to those of the originals, by each back-end that has some.

    Returns:
        The table, or None when no back-end has descriptors.
    """
    table = Table("frechet", "Likeness of populations: Fréchet distance of descriptors to the originals'", [])
    for backend, conditions in faces.measured.items():
        if conditions[ORIGINAL].features is None:
            continue
        table.columns.append(backend)
        for title, measured in conditions.items():
            cell = quality.frechet_distance(measured.of(FEATURES), conditions[ORIGINAL].of(FEATURES))
            table.rows.setdefault(title, {})[backend] = cell
    return table if table.columns else None


def counted(names: Sequence[str], what: str, limit: int = 5) -> str:
    """A message about names: how many there are, and the first of them.

    Args:
        names: all of them.
        what: follows their number in the message.
        limit: how many are listed.
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {what}: {', '.join(names[:limit])}{more}"
