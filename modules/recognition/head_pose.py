"""Which way a head is turned, from its landmarks: the mean face under a far camera that fits them best.

Begins after D. DeMenthon and L. Davis, "Model-based object pose in 25 lines of code", IJCV 1995, without its iteration;
then least squares over rotation, scale and place.
"""

from __future__ import annotations

import numpy as np

# scipy is imported where it is needed: commands read verdicts, and are to start at once.

# Brows, nose, corners of the eyes and of the mouth: lids and lips move too much, and the jaw's points slide along the
# cheek when a head turns.
ROWS = np.r_[17:36, 36, 39, 42, 45, 48, 54]
# Of these, the mean of 500 synthetic people (tools/convert/mean_face.py) with a closed mouth, in head units: x to the
# right of the picture, y up, z towards the camera.
_MEAN = np.array(
    [
        (-0.440, 0.229, 0.384), (-0.365, 0.247, 0.460), (-0.282, 0.255, 0.520), (-0.199, 0.250, 0.563),
        (-0.125, 0.233, 0.586),
        (0.125, 0.233, 0.586), (0.199, 0.250, 0.563), (0.282, 0.255, 0.520), (0.365, 0.247, 0.460),
        (0.440, 0.229, 0.384),
        (0.000, 0.030, 0.639), (0.000, -0.082, 0.671), (0.000, -0.195, 0.730), (0.000, -0.307, 0.784),
        (-0.114, -0.327, 0.652), (-0.056, -0.347, 0.701), (0.000, -0.357, 0.703), (0.056, -0.347, 0.701),
        (0.114, -0.327, 0.652),
        (-0.418, 0.005, 0.436), (-0.123, -0.004, 0.582), (0.123, -0.004, 0.582), (0.418, 0.005, 0.436),
        (-0.233, -0.509, 0.492), (0.233, -0.509, 0.492),
    ]
)  # fmt: skip
_HEAD = _MEAN - _MEAN.mean(0)


def head_rotation(landmarks: np.ndarray) -> np.ndarray:
    """The rotation of a head.

    Args:
        landmarks: (68, 2), iBUG's, in pixels, y down.

    Returns:
        float64 (3, 3), from the frame of the head to that of the camera; x is to the right of the picture, y up, z
        towards the camera.

    Raises:
        ValueError: landmarks that are not finite or all equal.
    """
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    seen = np.asarray(landmarks, np.float64)[ROWS] * [1, -1]
    size = np.sqrt(((seen - seen.mean(0)) ** 2).sum())
    if not np.isfinite(size) or size <= 0:
        raise ValueError("The landmarks of a face are not finite, or all equal: detect the face again.")
    seen = (seen - seen.mean(0)) / size
    rows = np.linalg.lstsq(_HEAD, seen, rcond=None)[0].T
    left, singular, right = np.linalg.svd(rows, full_matrices=False)
    first, second = left @ right
    start = Rotation.from_matrix(np.stack([first, second, np.cross(first, second)]))

    def errors(values: np.ndarray) -> np.ndarray:
        turned = Rotation.from_rotvec(values[:3]).apply(_HEAD)[:, :2]
        return (turned * values[3] + values[4:] - seen).ravel()

    fitted = least_squares(errors, np.r_[start.as_rotvec(), singular.mean(), 0.0, 0.0], method="lm")
    return Rotation.from_rotvec(fitted.x[:3]).as_matrix()


def angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a head in degrees, as modules/synthetic turns its heads.

    Args:
        rotation: (3, 3), as of head_rotation.

    Returns:
        Yaw: the face to the right of the picture. Pitch: the face upwards. Roll: the crown to the right.
    """
    pitch = np.arcsin(np.clip(-rotation[2, 1], -1, 1))
    yaw = np.arctan2(-rotation[2, 0], rotation[2, 2])
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    yaw, pitch, roll = np.rad2deg([yaw, pitch, roll])
    return float(yaw), float(pitch), float(roll)


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    """The angle of the rotation from one head to another, in degrees, 0 to 180."""
    from scipy.spatial.transform import Rotation

    return float(np.rad2deg(Rotation.from_matrix(first.T @ second).magnitude()))
