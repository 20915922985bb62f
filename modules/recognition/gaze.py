"""Where two eyes look, relative to the head, from the irises and the corners of the eyes."""

from __future__ import annotations

import numpy as np

from .crops import EYE_CORNERS

# Radius of an eyeball in half widths of the eye between its corners: fitted to rendered eyes whose gaze is known
# (docs/measured.md, "What is kept").
_RADIUS = 0.9
_CLOSED = 0.10  # height of the opening in widths of the eye; below, no iris shows


def gaze(landmarks: np.ndarray, irises: np.ndarray) -> tuple[float, float]:
    """The direction of both eyes' mean.

    Args:
        landmarks: (68, 2), iBUG's, in pixels, y down.
        irises: (2, 2), the middles of both irises in the same coordinates, the image-left one first.

    Returns:
        Degrees to the right of the picture and upwards, relative to the head; two NaN where both eyes are closed.
    """
    found = []
    for (first, last), iris in zip(EYE_CORNERS, irises, strict=True):
        across = landmarks[last] - landmarks[first]
        half = float(np.hypot(*across)) / 2
        upper, lower = landmarks[[first + 1, first + 2]].mean(0), landmarks[[first + 4, first + 5]].mean(0)
        if half <= 0 or np.hypot(*(upper - lower)) < _CLOSED * 2 * half:
            continue
        right = across / (2 * half)
        up = np.array([right[1], -right[0]])
        off = (iris - (landmarks[first] + landmarks[last]) / 2) / (half * _RADIUS)
        found.append(np.arcsin(np.clip([off @ right, off @ up], -1, 1)))
    if not found:
        return float("nan"), float("nan")
    right, up = np.rad2deg(np.mean(found, axis=0))
    return float(right), float(up)
