"""Who is there now: faces whose places show something else than where they were found.

Where an earlier step painted or covered them, that is as it should be. In another shot it is not: the people have
moved, and what covers their old places leaves a part of them open. A detector sees whole faces, so it looks at the
picture as it came; what it sees beside a place is covered too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .. import boxes as box_math
from ..detect.glance import is_same, is_sure
from ..marks import not_at_place
from ..notes import NOT_AT_PLACE, Doubt
from ..numbers import percent
from ..report import Report
from ..types import Face, Faces
from .coverage import LEAST, covered_share
from .look import LEAST_AT_PLACE, LEAST_OF_SEEN, Find
from .masks import FaceShapes

_TOUCHES = 0.05  # intersection over union with a listed face, from which a cover hides a part of it
_MOST_NAMED = 6  # faces that a note names


class Present(NamedTuple):
    """What a picture shows at the places of its faces.

    Args:
        near: index of a face -> the faces that a detector sees there or half beside it.
        doubtful: indices of faces of which nobody can say whether they stand where they were found.
    """

    near: dict[int, list[Face]]
    doubtful: list[int]

    def beside(self, faces: Faces) -> dict[int, list[Face]]:
        """`near` without the faces that stand at the places themselves.

        Args:
            faces: whose places they are.
        """
        left = {i: [face for face in there if not _stands_at(face, faces.faces[i])] for i, there in self.near.items()}
        return {i: there for i, there in left.items() if there}


def who_is_there(find: Find | None, image: torch.Tensor, faces: Faces, changed: Collection[int] = ()) -> Present:
    """Look at the places of faces that show something else than where those were found.

    Args:
        find: looks for faces; None: nobody does.
        image: float [H, W, C], 0..1, as it came.
        faces: of this picture alone.
        changed: indices of those that an earlier step changed, as its report says.
    """
    missing = not_at_place(image, faces, 0)
    if not missing:
        return Present({}, [])
    near = _seen_near(find(image, faces, ()).found, faces, list(missing)) if find is not None else {}

    unknown = (i for i, is_covered in missing.items() if not is_covered and i not in changed)
    doubtful = [i for i in unknown if not any(_stands_at(face, faces.faces[i]) for face in near.get(i, ()))]
    return Present(near, sorted(doubtful))


def changed_before(faces: Faces, earlier: Report | None, first: int) -> set[int]:
    """The faces of one picture that an earlier step changed.

    Args:
        faces: of this picture alone.
        earlier: the report of that step; None: there was none.
        first: number of the picture in the report.
    """
    boxes = np.array([box for image, box in earlier.changed if image == first] if earlier else []).reshape(-1, 4)
    if not len(boxes):
        return set()
    return {i for i, face in enumerate(faces) if box_math.iou(face.box[None], boxes).max() >= LEAST_AT_PLACE}


def half_open(there: Sequence[Face], mask: torch.Tensor, least: float = LEAST) -> tuple[list[FaceShapes], str]:
    """Faces at and beside a place of which too little was covered, and why they are covered too.

    Args:
        there: what a detector sees, as Present has it.
        mask: float32 [H, W], 0..1, what was covered.
        least: share of each that has to be covered.
    """
    shapes = [FaceShapes(face) for face in there]
    shares = [covered_share(mask, one) for one in shapes]
    if min(shares, default=1.0) >= least:
        return [], ""
    why = (
        f"{percent(min(shares))} of a face that the detector sees there was covered, {least:.0%} is the least: "
        "it is not where it was found, and what it sees was covered too"
    )
    return [one for one, share in zip(shapes, shares, strict=True) if share < least], why


def open_beside(found: Sequence[Face], faces: Faces, mask: torch.Tensor) -> list[Face]:
    """Faces that a detector sees in a result half beside a listed one, and of which too little was replaced.

    Args:
        found: what it sees.
        faces: of this picture alone; its kept ones are meant to be open.
        mask: float32 [H, W], 0..1, what was replaced.
    """
    listed = (*faces, *faces.kept)
    beside = (face for face in found if is_sure(face) and not is_same(face, listed) and _touches(face, faces))
    return [face for face in beside if covered_share(mask, FaceShapes(face)) < LEAST_OF_SEEN]


def doubt_of(doubtful: Sequence[tuple[int, Face]], images: Collection[int]) -> Doubt:
    """What a report says where nobody can say whether faces stand where they were found.

    Args:
        doubtful: those faces, with their places in the batch.
        images: numbers of the pictures.
    """
    named = ", ".join(str(place + 1) for place, _ in doubtful[:_MOST_NAMED])
    more = ", ..." if len(doubtful) > _MOST_NAMED else ""
    is_clip = any(face.track is not None for _, face in doubtful)
    who = "some faces" if is_clip else f"face {named}" if len(doubtful) == 1 else f"faces {named}{more}"
    words = (
        f"NOT AT PLACE: the picture does not show {who} as found. It was changed before, or is another shot, in which "
        "people have moved: look whether a part of a face is open, connect the report of the step that changed it, or "
        "detect the faces in this very picture"
    )
    return Doubt(words, NOT_AT_PLACE, images)


def _seen_near(found: Sequence[Face], faces: Faces, missing: Sequence[int]) -> dict[int, list[Face]]:
    """Index of a missing face -> what is seen at its place or half beside it, and is nobody else of the list."""
    others = [face for i, face in enumerate(faces) if i not in missing]
    boxes = np.array([faces.faces[i].box for i in missing])
    near: dict[int, list[Face]] = {}
    for face in found:
        overlaps = box_math.iou(face.box[None], boxes)[0]
        best = int(overlaps.argmax())
        if overlaps[best] >= _TOUCHES and not is_same(face, (*others, *faces.kept)):
            near.setdefault(missing[best], []).append(face)
    return near


def _stands_at(face: Face, listed: Face) -> bool:
    return float(box_math.iou(face.box[None], listed.box[None])[0, 0]) >= LEAST_AT_PLACE


def _touches(face: Face, faces: Faces) -> bool:
    boxes = np.array([listed.box for listed in faces]).reshape(-1, 4)
    return bool(len(boxes)) and bool(box_math.iou(face.box[None], boxes).max() >= _TOUCHES)
