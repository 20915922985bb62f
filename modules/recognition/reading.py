"""What is read off one face, and how two readings differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .head_pose import angle_between, angles
from .settings import ReaderSettings

if TYPE_CHECKING:
    import torch

    from ..faces.types import Faces

# Pictures [B, H, W, C] and faces of them -> a reading each, as of FaceReader.read.
Read = Callable[["torch.Tensor", "Faces"], "list[Reading]"]

TOO_SMALL, TURNED_AWAY, NO_FACE, COVERED = "too small", "turned away", "no clear face", "covered or blurred"


@dataclass(frozen=True)
class Reading:
    """One face as the reader sees it. It stays in memory: no descriptor is written or printed.

    Args:
        dlib: float64 (128,), dlib's descriptor.
        faceres: float64 (1024,), that of FaceRes, of length 1.
        landmarks: float64 (68, 2), iBUG's points in pixels of the picture, integers at pixel centres.
        rotation: float64 (3, 3), of the head, as head_pose.head_rotation gives it.
        gaze: degrees to the right and upwards, relative to the head; two NaN where the eyes are closed.
        expression: float64 (7,), probabilities in the order of face_api.EXPRESSIONS.
        age: in years, the mean of two networks.
        man: probability of a man, 0..1, the mean of two networks.
        certainty: of O-Net that there is a face, 0..1.
        unsteady: how far the landmarks are from those of the mirror image, mirrored back: their mean distance in shares
            of that between the outer corners of the eyes. It grows where a part of the face does not show.
        size: of the face in its picture, in pixels.
        reason: why the recognisers cannot be believed here: TOO_SMALL, TURNED_AWAY, NO_FACE or COVERED, with figure
            and threshold in words behind it; "" where they can.
    """

    dlib: np.ndarray = field(repr=False)
    faceres: np.ndarray = field(repr=False)
    landmarks: np.ndarray = field(repr=False)
    rotation: np.ndarray = field(repr=False)
    gaze: tuple[float, float]
    expression: np.ndarray
    age: float
    man: float
    certainty: float
    unsteady: float
    size: float
    reason: str = ""

    @property
    def measurable(self) -> bool:
        """Whether the recognisers can be believed."""
        return not self.reason

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll of the head in degrees; see head_pose.angles."""
        return angles(self.rotation)


def too_small(size: float, settings: ReaderSettings) -> str:
    """Why a face of so many pixels, which are too few, cannot be believed."""
    return f"{TOO_SMALL}: {math.floor(10 * size) / 10:g} pixels, {settings.min_size:g} are needed"


@dataclass(frozen=True)
class Difference:
    """How two faces differ.

    Args:
        dlib: Euclidean distance of dlib's descriptors, 0 for equal ones.
        faceres: cosine of FaceRes' descriptors, 1 for equal ones.
        pose: angle between both heads, in degrees.
        gaze: angle between both directions relative to the heads, in degrees; NaN where eyes are closed.
        expression: half the sum of absolute differences of the probabilities, 0..1.
        age: in years, the second less the first.
        man: of the probability of a man, the second less the first.
    """

    dlib: float
    faceres: float
    pose: float
    gaze: float
    expression: float
    age: float
    man: float


def compare(first: Reading, second: Reading) -> Difference:
    """The difference of two faces, such as an original and what became of it. Measurable or not is the caller's."""
    return Difference(
        dlib=float(np.linalg.norm(first.dlib - second.dlib)),
        faceres=float(first.faceres @ second.faceres),
        pose=angle_between(first.rotation, second.rotation),
        gaze=_between(first.gaze, second.gaze),
        expression=float(np.abs(first.expression - second.expression).sum() / 2),
        age=second.age - first.age,
        man=second.man - first.man,
    )


def _between(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The angle between two directions, each degrees to the right and upwards."""
    directions = []
    for right, up in np.deg2rad([first, second]):
        directions.append(np.array([np.sin(right) * np.cos(up), np.sin(up), np.cos(right) * np.cos(up)]))
    return float(np.rad2deg(2 * np.arcsin(np.clip(np.linalg.norm(directions[0] - directions[1]) / 2, 0, 1))))
