"""Which face of an earlier step a face is, where it was found anew, so that its box is another one now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from .boxes import iou
from .notes import Key
from .outcomes import box_of
from .types import Face, Faces

SAME_PLACE = 0.5  # intersection over union of the boxes of a face that is changed anew, or found on what was made of it
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


def found_again(key: Key, known: Collection[Key], made: Collection[Key]) -> Key | None:
    """The face of an earlier step that a face is which this one left as it came; None where there is none.

    A stranger's face has another box than the one in whose place it was painted.

    Args:
        key: of the face.
        known: the faces of the earlier step that it may be.
        made: those that the picture shows as that step made them.
    """
    return at_its_place(key, sorted(known), SAME_BOX) or at_its_place(key, sorted(set(known) & set(made)), SAME_PLACE)


def in_known_boxes(
    faces: Faces, known: Collection[Key], made: Collection[Key] = (), renamed: Mapping[Key, Key] = MappingProxyType({})
) -> Faces:
    """Faces of a picture with the boxes by which a report of it knows them, so that none of them is two.

    Args:
        faces: of the same pictures.
        known: the faces of the report. Of a face that is none of them the box stays.
        made: those that the picture in which the faces were found shows as the report's steps made them.
        renamed: how faces of the report were known before they were found anew -> how they are known now.
    """
    told = set(known)
    left = by_picture(told - {(face.image_index, box_of(face)) for face in (*faces.faces, *faces.kept)})

    def known_as(face: Face) -> Face:
        key = face.image_index, box_of(face)
        near = left.get(key[0], set())
        found = renamed[key] if renamed.get(key) in near else found_again(key, near, made)
        if key in told or found is None:
            return face
        near.remove(found)
        return replace(face, box=np.array(found[1]))

    return replace(faces, faces=tuple(map(known_as, faces.faces)), kept=tuple(map(known_as, faces.kept)))
