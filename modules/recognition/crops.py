"""Where each network looks: squares around a face, upright by its points, cut out of its picture.

One frame for all of them: the unit frame, in which the average face of modules/faces/alignment.py fills the unit square
from brows to chin. A similarity transform takes the points of a face there; every network gets a square of that frame.
So a face is cut alike whether its whole picture is at hand or only the aligned crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..faces.alignment import AVERAGE_FACE, AVERAGE_FIVE, crop_matrix, umeyama
from ..faces.detect.refinement import sample_patch
from ..faces.types import FIVE_POINTS, IBUG_68, Face
from . import dlib_resnet, face_api, faceres, iris

# dlib's mean of the points 27..54 and 60..64, from its source (image_transforms/interpolation.h, Boost Software
# License): the nose, the eyes, the upper lip. Brows and the lower lip move too much, it says.
DLIB_ROWS = np.r_[27:55, 60:65]
# Its face is that of our crops, which has the nose, the eyes (27..47) and the corners of the mouth (48, 54).
_UPPER_LIP = [
    (0.340985, 0.745405), (0.428858, 0.727388), (0.490127, 0.742578), (0.551395, 0.727388), (0.639268, 0.745405)
]  # fmt: skip
_ITS_LOWER_EDGE = [
    (0.290379, 0.784792), (0.428096, 0.778746), (0.490127, 0.785343), (0.552157, 0.778746), (0.689874, 0.784792)
]  # fmt: skip
_DLIB_MEAN = np.concatenate([AVERAGE_FACE[10:32], _UPPER_LIP, AVERAGE_FACE[32:], _ITS_LOWER_EDGE])


@dataclass(frozen=True)
class Square:
    """A square of the unit frame, and the side in pixels that a network takes it at."""

    centre: tuple[float, float]
    extent: float
    side: int

    def matrix(self, to_unit: np.ndarray) -> np.ndarray:
        """(2, 3), picture to pixels of the square, both in edge coordinates, from (2, 3) picture to unit frame."""
        placed = to_unit.copy()
        placed[:, 2] += self.extent / 2 - np.array(self.centre)
        return placed * (self.side / self.extent)


# dlib's own chip: 150 pixels, a padding of a quarter on each side
DLIB = Square((0.5, 0.5), 1.5, dlib_resnet.SIDE)
# CenterFace's box, widened by a tenth, as a square: its extent is 1.366 unit squares, its middle a little high
FACERES = Square((0.49, 0.39), 1.5, faceres.SIDE)
FACE_API = Square((0.49, 0.49), 1.55, face_api.SIDE)
EYE_SIDE = iris.SIDE
_EYE_WIDTHS = 2.3  # of the square around an eye, which MediaPipe Iris was trained on
EYE_CORNERS = ((36, 39), (42, 45))  # of each eye, from left to right in the picture


def unit_transform(points: np.ndarray, layout: str, box: np.ndarray) -> np.ndarray:
    """The similarity transform that takes a face in its picture to the unit frame.

    Args:
        points: (68, 2), (5, 2) or (0, 2) by layout, in pixels, integers at pixel centres.
        layout: IBUG_68, FIVE_POINTS or BOX_ONLY.
        box: (4,), used where there are no points, or none that span a transform.

    Returns:
        float64 (2, 3), from edge coordinates of the picture.

    Raises:
        ValueError: points or box are not those of a face, as of crop_matrix.
    """
    points = np.asarray(points, np.float64)
    if layout == IBUG_68 and points.shape == (68, 2) and np.ptp(points[DLIB_ROWS], axis=0).max() > 0:
        return umeyama(points[DLIB_ROWS] + 0.5, _DLIB_MEAN)[:2]
    if layout == FIVE_POINTS and points.shape == (5, 2) and np.ptp(points, axis=0).max() > 0:
        return umeyama(points + 0.5, AVERAGE_FIVE)[:2]
    # the whole-face crop of side 1 without padding is the unit square, 0.07 lower than its own middle
    matrix = crop_matrix(points, layout, box, 1, padding=0.0)
    matrix[:, 2] -= matrix[:, :2] @ np.array([0.5, 0.5]) + np.array([0.0, 0.07])
    return matrix


def five_points_in_crop(size: int) -> np.ndarray:
    """Where the average face's five points are in an aligned crop of crop_faces: (5, 2), integers at pixel centres.

    Args:
        size: side of the crop in pixels.
    """
    # a face whose points are the average ones stands in the unit frame already
    matrix = crop_matrix(AVERAGE_FIVE, FIVE_POINTS, np.array([0.0, 0.0, 1.0, 1.0]), size)
    return AVERAGE_FIVE @ matrix[:, :2].T + matrix[:, 2]


def box_in_crop(size: int) -> np.ndarray:
    """Where CenterFace's box would be in an aligned crop, as a square: (4,), pixel edges.

    Args:
        size: side of the crop in pixels.
    """
    middle, half = np.array([0.5, 0.5 - 0.03 / 1.56]) * size, size / 1.56 / 2
    return np.concatenate([middle - half, middle + half])


def cut(picture: torch.Tensor, matrices: Sequence[np.ndarray], side: int) -> torch.Tensor:
    """Squares out of one picture: reduced without aliasing, grey beyond the picture.

    Args:
        picture: float32 [1, 3, H, W], 0..1.
        matrices: each (2, 3), picture to square, both in edge coordinates.
        side: of each square in pixels.

    Returns:
        float32 [N, 3, side, side], 0..1, on the picture's device.
    """
    if not matrices:
        return picture.new_zeros((0, 3, side, side))
    return torch.cat([sample_patch(picture, matrix, side) for matrix in matrices]).clamp_(0, 1)


def as_picture(image: torch.Tensor, device: torch.device) -> torch.Tensor:
    """[H, W, C] as float32 [1, 3, H, W] on a device; NaN, which marks crops that failed, as grey."""
    channels = image[..., :3].movedim(-1, 0)[None].to(device, torch.float32)
    return channels.expand(-1, 3, -1, -1).nan_to_num(0.5)


def to_picture(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Where points of a square, in edge coordinates, are in its picture.

    Args:
        points: (N, 2), in pixels of the square.
        matrix: (2, 3), picture to square.
    """
    return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def face_transform(face: Face) -> np.ndarray:
    """unit_transform of a face."""
    return unit_transform(face.points, face.layout, face.box)


def eye_matrices(landmarks: np.ndarray) -> list[np.ndarray]:
    """Squares around both eyes, upright by their corners, the image-left one first.

    Args:
        landmarks: (68, 2), in edge coordinates of the picture.

    Returns:
        Two (2, 3), picture to square.
    """
    found = []
    for first, last in EYE_CORNERS:
        across = landmarks[last] - landmarks[first]
        length = max(float(np.hypot(*across)), 1e-6)
        cosine, sine = across / length
        linear = np.array([[cosine, sine], [-sine, cosine]]) * (EYE_SIDE / (_EYE_WIDTHS * length))
        found.append(np.column_stack([linear, EYE_SIDE / 2 - linear @ (landmarks[first] + landmarks[last]) / 2]))
    return found
