"""A quick look for faces in a finished picture: is there one where one was painted, none where one was covered, and any
elsewhere? A tenth of the work of finding them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from .. import boxes as box_math
from ..alignment import AVERAGE_FIVE, crop_matrix, cut_square, invert_affine
from ..types import BOX_ONLY, FIVE_POINTS, Face, Faces
from .decoding import no_candidates
from .detection import FaceNetworks
from .first_look import first_look, sees_nothing
from .refinement import best_probability
from .turned import find_turned

LEAST = 0.3  # score or probability from which something counts as a face that was painted or left
_LEAST_ELSEWHERE = 0.5  # a face that nobody listed: fewer false alarms
_LONG_SIDE = 512  # pixels to which a picture is reduced
_TURNED_LONG_SIDE = 352  # ... where it is looked at in the other three directions
_SAME = 0.25  # intersection over union with a listed face from which it is that face
_INSIDE = 0.6  # or this share of the smaller box
_PATCH = 128  # pixels of an aligned crop that is looked at by itself
_SURE = 0.8  # of O-Net, which gives 0.4 to some textures
_CLOSE_LOOKS = 8  # faces of a picture that are looked at by themselves, the largest; the others pass: each costs 35 ms
_SOURCE = "look at the result"


@dataclass(frozen=True)
class Glance:
    """What was found in a finished picture.

    Args:
        scores: one a listed face: the best score at its place, 0..1.
        elsewhere: faces where none was listed, as faces of that one picture.
        seen: one a listed face: what the detector saw at its place, as a box; None where it saw nothing.
        found: all that it saw.
    """

    scores: tuple[float, ...]
    elsewhere: tuple[Face, ...]
    seen: tuple[Face | None, ...] = ()
    found: tuple[Face, ...] = ()


def glance(networks: FaceNetworks, picture: torch.Tensor, faces: Faces, painted: Collection[int]) -> Glance:
    """Look for faces in a finished picture.

    Args:
        networks: FaceNetworks, on any device.
        picture: float [H, W, C], 0..1, C = 1, 3 or 4.
        faces: of this picture alone; `kept` of them are no faces elsewhere.
        painted: indices of faces that were painted: one that is not found at once is looked for in its crop.
    """
    levels = torch.nan_to_num(picture[..., :3].permute(2, 0, 1)[None].float()).clamp(0, 1)
    small, per_pixel = _reduced(levels, _LONG_SIDE)
    # of covered faces nothing is left, as a rule, which is plain in half the time
    is_empty = not painted and sees_nothing(networks.centerface, small, LEAST)
    seen = no_candidates() if is_empty else first_look(networks.centerface, small, LEAST)
    boxes = seen.boxes * np.tile(per_pixel, 2)
    scores = [_score_at(face, boxes, seen.scores) for face in faces]
    missing = sorted((i for i in painted if scores[i] < LEAST), key=lambda i: -faces.faces[i].size)
    for i in missing[:_CLOSE_LOOKS]:
        scores[i] = max(scores[i], _look_closely(networks, levels, picture, faces.faces[i]))
    for i in missing[_CLOSE_LOOKS:]:
        scores[i] = LEAST
    at_places = tuple(_seen_at(face, boxes, seen.scores) for face in faces)
    found = tuple(_as_face(box, score) for box, score in zip(boxes, seen.scores, strict=True))
    return Glance(tuple(scores), _elsewhere(faces, boxes, seen.scores), at_places, found)


def glance_turned(networks: FaceNetworks, picture: torch.Tensor) -> tuple[Face, ...]:
    """All that may be a face of a finished picture, in any direction, be it ever so little of one.

    Args:
        networks: FaceNetworks, on any device.
        picture: float [H, W, C], 0..1, C = 1, 3 or 4.
    """
    levels = torch.nan_to_num(picture[..., :3].permute(2, 0, 1)[None].float()).clamp(0, 1)
    small, per_pixel = _reduced(levels, _LONG_SIDE)
    size = small.shape[2], small.shape[3]
    factor = min(1.0, _TURNED_LONG_SIDE / max(size))
    smaller = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
    views = [(size, 0), *((smaller, quarters) for quarters in (1, 2, 3))]
    found = find_turned(networks.centerface, small, views, exact=True)
    return tuple(
        _as_face(box, score) for box, score in zip(found.boxes * np.tile(per_pixel, 2), found.scores, strict=True)
    )


def _reduced(levels: torch.Tensor, long_side: int) -> tuple[torch.Tensor, np.ndarray]:
    """A picture [1, C, H, W] of a long side of so many pixels at most, and its pixels a pixel of that, x and y."""
    height, width = levels.shape[2:]
    scale = min(1.0, long_side / max(height, width))
    small = levels
    if scale < 1:
        size = [max(1, round(side * scale)) for side in (height, width)]
        # on the CPU: not every device has the antialiasing filter
        small = F.interpolate(levels.cpu(), size=size, mode="bilinear", align_corners=False, antialias=True)
    return small, np.array([width / small.shape[3], height / small.shape[2]])


def is_same(face: Face, others: Sequence[Face]) -> bool:
    """Whether a face that was seen is one of some others, by its place."""
    boxes = np.array([other.box for other in others]).reshape(-1, 4)
    return bool(len(boxes)) and bool(box_math.overlapping(face.box[None], boxes, _SAME, _INSIDE)[0])


def is_sure(face: Face) -> bool:
    """Whether what was seen counts as a face where nobody listed one."""
    return face.score >= _LEAST_ELSEWHERE


def _as_face(box: np.ndarray, score: float) -> Face:
    return Face(0, box, float(score), np.zeros((0, 2)), BOX_ONLY, _SOURCE)


def _score_at(face: Face, boxes: np.ndarray, scores: np.ndarray) -> float:
    same = box_math.overlapping(boxes, face.box[None], _SAME, _INSIDE) if len(boxes) else np.zeros(0, bool)
    return float(scores[same].max()) if same.any() else 0.0


def _seen_at(face: Face, boxes: np.ndarray, scores: np.ndarray) -> Face | None:
    """The face that was seen at a listed one's place; of several the largest."""
    same = box_math.overlapping(boxes, face.box[None], _SAME, _INSIDE) if len(boxes) else np.zeros(0, bool)
    if not same.any():
        return None
    i = max(np.flatnonzero(same), key=lambda i: float(np.prod(boxes[i, 2:] - boxes[i, :2])))
    return _as_face(boxes[i], scores[i])


def _elsewhere(faces: Faces, boxes: np.ndarray, scores: np.ndarray) -> tuple[Face, ...]:
    if not len(boxes):
        return ()
    new = scores >= _LEAST_ELSEWHERE
    listed = np.array([face.box for face in (*faces, *faces.kept)]).reshape(-1, 4)
    if len(listed):
        new &= ~box_math.overlapping(boxes, listed, 0.1, 0.4)
    return tuple(_as_face(boxes[i], scores[i]) for i in np.flatnonzero(new))


def _look_closely(networks: FaceNetworks, levels: torch.Tensor, picture: torch.Tensor, face: Face) -> float:
    """The best of what O-Net says of the face and CenterFace of its crop, upright and by itself."""
    if face.alignment is not None:
        matrix = face.alignment * _PATCH
    else:
        matrix = crop_matrix(face.points, face.layout, face.box, _PATCH)
    inverse = invert_affine(matrix)
    points = face.points
    if face.layout != FIVE_POINTS:
        # where the average face's points lie in an aligned crop
        five = crop_matrix(AVERAGE_FIVE, FIVE_POINTS, np.array([0.0, 0, 1, 1]), _PATCH)
        points = (AVERAGE_FIVE @ five[:, :2].T + five[:, 2]) @ inverse[:, :2].T + inverse[:, 2]
    if networks.onet is not None:
        sure = float(best_probability(networks.onet, levels, face.box[None], points[None] + 0.5)[0])
        if sure >= _SURE:
            return sure
    patch = cut_square(picture, inverse, _PATCH).permute(2, 0, 1)[None]
    seen = first_look(networks.centerface, patch, LEAST)
    middle = np.abs(box_math.centres(seen.boxes) / _PATCH - 0.5).max(1) < 0.25 if len(seen.boxes) else np.zeros(0, bool)
    return float(seen.scores[middle].max()) if middle.any() else 0.0


def of_one_picture(faces: Faces, index: int) -> tuple[Faces, list[int]]:
    """The faces of one picture of a batch, as faces of it alone, and their places in the batch."""
    places = [i for i, face in enumerate(faces) if face.image_index == index]
    own = tuple(replace(faces.faces[i], image_index=0) for i in places)
    kept = tuple(replace(face, image_index=0) for face in faces.kept if face.image_index == index)
    return Faces(1, faces.height, faces.width, own, kept), places
