"""Which face of an earlier step a face is, where it was found anew, so that its box is another one now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from .boxes import iou
from .notes import Key
from .outcomes import box_of
from .types import Face, Faces

SAME_PLACE = 0.5  # intersection over union of the boxes of a face that was found anew where it had been changed
SAME_BOX = 0.8  # of one that was found anew in the very picture: no two faces are so close


def by_picture(keys: Iterable[Key]) -> dict[int, set[Key]]:
    """Number of a picture -> its faces."""
    found: dict[int, set[Key]] = {}
    for key in keys:
        found.setdefault(key[0], set()).add(key)
    return found


def at_its_place(key: Key, known: Iterable[Key], least: float) -> Key | None:
    """The face that a face is, by its place; None where there is none.

    Args:
        key: of the face.
        known: of the faces that it may be.
        least: intersection over union that their boxes have at least.
    """
    near = [other for other in known if other[0] == key[0]]
    if not near:
        return None
    overlaps = iou(np.array([key[1]]), np.array([box for _, box in near]))[0]
    best = int(overlaps.argmax())
    return near[best] if overlaps[best] >= least else None


def in_known_boxes(faces: Faces, known: Collection[Key]) -> Faces:
    """Faces of a picture with the boxes by which a report of it knows them, so that none of them is two.

    Args:
        faces: of the same pictures.
        known: the faces of the report. Of a face that is none of them the box stays.
    """
    told = set(known)
    left = by_picture(told - {(face.image_index, box_of(face)) for face in (*faces.faces, *faces.kept)})

    def known_as(face: Face) -> Face:
        key = face.image_index, box_of(face)
        near = left.get(key[0], set())
        if key in told or (found := at_its_place(key, sorted(near), SAME_BOX)) is None:
            return face
        near.remove(found)
        return replace(face, box=np.array(found[1]))

    return replace(faces, faces=tuple(map(known_as, faces.faces)), kept=tuple(map(known_as, faces.kept)))
