"""The back-end of pose, gaze, expression and shape of real faces: the 478 points, 52 blendshapes and the head's matrix
that ComfyUI's own MediaPipe node gives (weights Apache-2.0, a file of models/detection).

Pure: it takes a function that runs the node (see backends.load_landmarker).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from ..faces.adapters import MESH_TO_IBUG
from ..faces.alignment import crop_matrix, umeyama
from ..faces.types import Face
from .face_crops import cut
from .face_points import quaternion
from .measured import Measured

_CROP = 512  # side of the crop in which the landmarker gets each face alone, upright and large
_MESH, _JAW = 468, 17
# Irises, and the inner and outer corner of each eye; the image-left eye first.
_EYES = ((468, 33, 133), (473, 362, 263))
_REACH = 30.0  # degrees of gaze for an iris at the corner of the eye; a scale, as no network of gaze is at hand


class LandmarkBackend:
    """Pose, gaze, expression and shape, from what the landmarker finds in upright crops.

    Args:
        find: a batch of crops, uint8 [N, S, S, 3], to the node's face dicts of each (see modules/faces/adapters.py).
    """

    name = "MediaPipe landmarks"
    licence = "Apache-2.0, Google; ComfyUI's own node"

    def __init__(self, find: Callable[[np.ndarray], Sequence[Sequence[Mapping]]]):
        self._find = find

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure faces, as Backend describes. A face in which the landmarker finds none is not measurable."""
        crops = [
            np.zeros((_CROP, _CROP, 3), np.uint8)
            if face is None
            else cut(picture, crop_matrix(face.points, face.layout, face.box, _CROP), _CROP)
            for picture, face in zip(pictures, faces, strict=True)
        ]
        seen = self._find(np.stack(crops)) if crops else []
        entries = [
            max(frame, key=lambda entry: entry.get("score") or 0.0) if frame and face is not None else None
            for frame, face in zip(seen, faces, strict=True)
        ]
        turns = [_turn(face) if face is not None else np.eye(3) for face in faces]
        rows = [_read(entry, turn) for entry, turn in zip(entries, turns, strict=True)]
        columns = {name: torch.from_numpy(np.array([row[name] for row in rows])) for name in _EMPTY} if rows else _NONE
        return Measured(found=torch.tensor([entry is not None for entry in entries], dtype=torch.bool), **columns)


def _read(entry: Mapping | None, turn: np.ndarray) -> dict[str, np.ndarray]:
    """The measurements in one face dict; `turn` [3, 3] takes the upright crop's frame back to the picture's."""
    if entry is None:
        return _EMPTY
    points = np.asarray(entry["landmarks_xy"], np.float64)
    scores = dict(entry["blendshapes"])
    scores.pop("_neutral", None)
    expression = np.array([scores[name] for name in sorted(scores)], np.float64)
    matrix = np.asarray(entry["transformation_matrix"], np.float64)[:3, :3]
    left, _, right = np.linalg.svd(matrix)
    left[:, -1] *= np.sign(np.linalg.det(left @ right))  # the nearest rotation, not a reflection
    return {
        "pose": quaternion(turn @ (left @ right)),
        "gaze": _gaze(points),
        "expression": expression / len(expression),
        "shape": _shape(points),
    }


def _gaze(points: np.ndarray) -> np.ndarray:
    """Direction, from how far the iris is from the middle of the eye, along its corners and across; of both eyes."""
    offsets = []
    for iris, outer, inner in _EYES:
        along = points[inner] - points[outer] if points[inner][0] > points[outer][0] else points[outer] - points[inner]
        half = np.linalg.norm(along) / 2
        unit = along / max(2 * half, 1e-9)
        off = (points[iris] - (points[inner] + points[outer]) / 2) / max(half, 1e-9)
        offsets.append((off @ unit, -(off @ [-unit[1], unit[0]])))
    right, up = np.deg2rad(np.clip(np.mean(offsets, 0), -1, 1) * _REACH)
    return np.array([np.sin(right) * np.cos(up), np.sin(up), np.cos(right) * np.cos(up)])


def _shape(points: np.ndarray) -> np.ndarray:
    """The 68 iBUG points without the jaw, turned and scaled alike for all: mean distance in shares of that of the eyes.

    Jaw and lips move with the expression, so that this mixes both; a 3DMM, as the paper's, would not.
    """
    ibug = points[MESH_TO_IBUG][_JAW:]
    eyes = np.stack([ibug[19:25].mean(0), ibug[25:31].mean(0)])
    aligned = umeyama(eyes, np.array([(-0.5, 0.0), (0.5, 0.0)]))
    placed = ibug @ aligned[:2, :2].T + aligned[:2, 2]
    return placed.ravel() / len(ibug)


def _turn(face: Face) -> np.ndarray:
    """Rotation about the line of sight, y up, that undoes the turning of a crop."""
    matrix = crop_matrix(face.points, face.layout, face.box, _CROP)
    angle = np.arctan2(matrix[1, 0], matrix[0, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


_EMPTY = {"pose": np.zeros(4), "gaze": np.zeros(3), "expression": np.zeros(51), "shape": np.zeros(102)}
_NONE = {name: torch.zeros(0, len(value)) for name, value in _EMPTY.items()}
