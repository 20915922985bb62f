"""The back-end that every picture has: head pose from the five points of the pack's own detector.

Coarse: five points of an average face under a camera that is far away. It needs no other package, and measures nothing
but pose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..faces.types import FIVE_POINTS, Face
from .measured import Measured

# Eyes, tip of the nose, corners of the mouth: the mean of 500 synthetic faces (modules/synthetic) with a closed mouth,
# in head units: x to the right of the picture, y up, z towards the camera.
_AVERAGE = np.array(
    [
        (-0.271, -0.005, 0.507),
        (0.271, -0.005, 0.507),
        (0.000, -0.315, 0.786),
        (-0.231, -0.512, 0.494),
        (0.231, -0.512, 0.494),
    ]
)


class PointsBackend:
    """Head pose from five points."""

    name = "five points"
    licence = "Apache-2.0, the pack's own; detector CenterFace and O-Net (MIT)"

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure faces, as Backend describes, without the pictures. Faces without five points are not measurable."""
        points = [face.points if face is not None and face.layout == FIVE_POINTS else None for face in faces]
        rotations = [np.eye(3) if five is None else rotation(five) for five in points]
        pose = np.array([quaternion(matrix) for matrix in rotations]).reshape(-1, 4)
        found = torch.tensor([five is not None for five in points], dtype=torch.bool)
        return Measured(found=found, pose=torch.from_numpy(pose))


def rotation(points: np.ndarray) -> np.ndarray:
    """The head's rotation by five points: that of an average head under a far camera which fits best in least squares.

    After D. DeMenthon and L. Davis, "Model-based object pose in 25 lines of code", IJCV 1995, without its iteration.

    Args:
        points: [5, 2] in pixels of a picture, y down, in the order of FIVE_POINTS.

    Returns:
        A rotation [3, 3]; x is to the right, y up, z towards the camera.
    """
    head = _AVERAGE - _AVERAGE.mean(0)
    seen = (points - points.mean(0)) * [1, -1]
    rows = np.linalg.lstsq(head, seen, rcond=None)[0].T
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    first, second = left @ right
    return np.stack([first, second, np.cross(first, second)])


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """The unit quaternion of a rotation [3, 3]: float64 [4], real part first; its sign is free."""
    return np.roll(Rotation.from_matrix(matrix).as_quat(), 1)
