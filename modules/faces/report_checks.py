"""What is refused of a report: that it is about another picture, and that a picture shows its faces as they were."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from .fingerprint import GROWN, SIDE, cells_agreement, touched_by_disc, touched_cells
from .outcomes import Entry, counted
from .traces import Key

if TYPE_CHECKING:
    from .report import Report


def refuse_originals(faces: Collection[Key]) -> None:
    """Raise ValueError where pictures show faces as they were, which a report says were changed.

    Args:
        faces: of traces.open_faces.
    """
    if faces:
        image, box = min(faces)
        raise ValueError(
            f"The report says that {counted(len(faces), 'face')} were changed, such as that at x {box[0]:.0f}, "
            f"y {box[1]:.0f} of picture {image + 1}, but this picture shows them as they were before. Connect the "
            "picture of the step whose report this is, or leave the report out."
        )


def check_pictures(later: Report, earlier: Report) -> None:
    """Raise ValueError where the two are about other pictures of one size."""
    if later.fingerprint is None or earlier.fingerprint is None or later.fingerprint is earlier.fingerprint:
        return
    then = dict(zip(earlier.fingerprint.numbers, earlier.fingerprint.cells, strict=True))
    boxes: dict[int, list[Entry]] = {}
    for entry in (*earlier.entries, *later.entries):
        boxes.setdefault(entry.image, []).append(entry)

    def changed(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        grown, inside, discs = np.zeros((3, SIDE, SIDE), bool)
        for entry in boxes.get(number, ()):
            discs |= touched_by_disc(np.array(entry.box), later.height, later.width)
            for cells, margin in ((grown, GROWN * entry.size), (inside, 0.0)):
                cells |= touched_cells(np.array(entry.box), margin, later.height, later.width)
        return grown, inside, discs

    for number, now in zip(later.fingerprint.numbers, later.fingerprint.cells, strict=True):
        if number not in then:
            continue
        value, least = cells_agreement(now, then[number], lambda number=number: changed(number))
        if value < least:
            raise ValueError(
                f"The report is about another picture than picture {number + 1}: outside of the faces the two agree "
                f"by {value:.2f}, {least:.2f} is the least. Connect the report of the same images."
            )
