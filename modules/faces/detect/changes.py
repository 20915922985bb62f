"""What changes from one frame of a clip to the next, and whether the faces that are known explain it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

_CELLS = 80  # along the longer side of a frame
_LEAST = 3 / 255  # what a cell's mean must change by, at least; a face of a cell's size changes it by more
_TIMES_USUAL = 6.0  # ... and by so many medians of all cells' changes: noise is everywhere alike
_EVERYWHERE = 4 / 255  # median change from which the camera moves
_NOTHING = 0.5 / 255  # no cell of a frame that is shown again changes by more
_GROWN = 0.6  # of a face's size, around its box: what changes there is that face's motion


@dataclass(frozen=True)
class Change:
    """What a frame shows that the one before did not.

    Args:
        is_none: it is the same picture.
        is_new: something moved that is no known face.
        is_shot: it has little to do with the one before.
    """

    is_none: bool = False
    is_new: bool = False
    is_shot: bool = False


def coarse_cells(picture: torch.Tensor) -> np.ndarray:
    """Means of square cells of a picture's middle channel.

    Args:
        picture: float32 [1, C, H, W], 0..1, on any device.

    Returns:
        float32 [rows, columns].
    """
    side = max(1, math.ceil(max(picture.shape[2:]) / _CELLS))
    middle = picture[:, picture.shape[1] // 2][:, None]
    side_y, side_x = (min(side, length) for length in picture.shape[2:])
    return F.avg_pool2d(middle, (side_y, side_x), ceil_mode=True)[0, 0].cpu().numpy()


def change_between(before: np.ndarray, after: np.ndarray, boxes: np.ndarray) -> Change:
    """What changed between two frames.

    Args:
        before, after: coarse_cells of both.
        boxes: (N, 4) of the known faces in the one before, in cells.
    """
    if before.shape != after.shape:
        return Change(is_new=True)
    moved = np.abs(after - before)
    if moved.max() <= _NOTHING:
        return Change(is_none=True)
    usual = float(np.median(moved))
    if usual >= _EVERYWHERE:
        return Change(is_new=True)
    changed = moved > max(_LEAST, _TIMES_USUAL * usual)
    for x0, y0, x1, y1 in boxes:
        grown = _GROWN * math.sqrt(max((x1 - x0) * (y1 - y0), 1e-9)) + 1
        rows = slice(max(0, math.floor(y0 - grown)), max(0, math.ceil(y1 + grown)))
        changed[rows, max(0, math.floor(x0 - grown)) : max(0, math.ceil(x1 + grown))] = False
    return Change(is_new=bool(changed.any()))


def cell_side(height: int, width: int) -> int:
    """The side of a cell in pixels."""
    return max(1, math.ceil(max(height, width) / _CELLS))
