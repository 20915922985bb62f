"""Crops that show no picture at all: one colour, clipped values, noise."""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_avg_pool2d

from .colour import luma

_CELLS = 32  # along the crop's side
_FLAT = 1.5 / 255  # deviation of the cells' luma below which a crop has one colour
_CLIPPED = 0.5  # share of pixels, of the inner half of the crop, of which every value is 0 or 1
_NEIGHBOURS = 0.5  # correlation of neighbour cells; of noise 0, of photos above 0.8


def why_broken(crop: torch.Tensor, cut: torch.Tensor) -> str | None:
    """What is wrong with a crop, with the figure and its threshold; None where it is a picture.

    Args:
        crop: float [S, S, 1, 3 or 4], finite.
        cut: float32 [T, T, 3], what the picture shows there: where that is flat or clipped itself, a crop may be.
    """
    new, old = _cells(crop), _cells(cut)
    middle = slice(_CELLS // 4, -_CELLS // 4)
    deviation = float(new[middle, middle].std())
    if deviation < _FLAT <= float(old[middle, middle].std()):
        return f"one colour (its luma deviates by {deviation * 255:.1f} levels, {_FLAT * 255:.1f} is the least)"
    clipped = _clipped(crop)
    if clipped > _CLIPPED and clipped > 2 * _clipped(cut):
        return f"clipped ({clipped:.0%} of its pixels are at the ends of the range, {_CLIPPED:.0%} is the most)"
    alike = min(_neighbours(new), _neighbours(new.T))
    if alike < _NEIGHBOURS and alike < min(_neighbours(old), _neighbours(old.T)) - 0.2:
        return f"noise (neighbours in it agree by {alike:.2f}, {_NEIGHBOURS} is the least)"
    return None


def _cells(crop: torch.Tensor) -> torch.Tensor:
    colours = crop[..., :3].float().cpu().clamp(0, 1)
    grey = luma(colours) if colours.shape[2] == 3 else colours[..., :1]
    return adaptive_avg_pool2d(grey.permute(2, 0, 1)[None], _CELLS)[0, 0]


def _clipped(crop: torch.Tensor) -> float:
    quarter = crop.shape[0] // 4
    values = crop[quarter : crop.shape[0] - quarter, quarter : crop.shape[0] - quarter, :3]
    return float(((values <= 0.5 / 255) | (values >= 254.5 / 255)).all(-1).float().mean())


def _neighbours(cells: torch.Tensor) -> float:
    left, right = cells[:, :-1].reshape(-1), cells[:, 1:].reshape(-1)
    left, right = left - left.mean(), right - right.mean()
    energy = float(left @ left) * float(right @ right)
    return float(left @ right) / energy**0.5 if energy > 1e-12 else 1.0
