"""Crops that show no picture at all: one colour, clipped values, noise."""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_avg_pool2d

from .colour import luma

_CELLS = 32  # along the crop's side
_FLAT = 1.5 / 255  # deviation of the cells' luma below which a crop has one colour
_CLIPPED = 0.5  # share of pixels, of the inner half of the crop, of which every value is 0 or 1
_STEP, _STEPS = 0.05, 0.06  # of luma, between neighbour cells; share of them in either direction, of ink and woodcuts
_NEIGHBOURS = 0.5  # correlation of neighbour cells; of noise 0, of photos above 0.8
_COARSE_NEIGHBOURS = 0.3  # ... of those of twice the side; of fine lines 0.4 and more


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
    steps = _steps(new[middle, middle])
    if clipped > _CLIPPED and clipped > 2 * _clipped(cut) and steps < _STEPS:
        return (
            f"clipped ({clipped:.0%} of its pixels are at the ends of the range, {_CLIPPED:.0%} is the most where "
            f"no drawing is: {steps:.0%} of its cells differ from the next, {_STEPS:.0%} is the least)"
        )
    alike = _alike(new)
    if alike < _NEIGHBOURS and _alike(_halved(new)) < _COARSE_NEIGHBOURS and alike < _alike(old) - 0.2:
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


def _steps(cells: torch.Tensor) -> float:
    """The share of cells that differ from the next, down or across: what is one edge or one slope alone has few."""
    down, across = (cells.diff(dim=axis).abs() > _STEP for axis in (0, 1))
    return min(float(down.float().mean()), float(across.float().mean()))


def _halved(cells: torch.Tensor) -> torch.Tensor:
    return adaptive_avg_pool2d(cells[None, None], _CELLS // 2)[0, 0]


def _alike(cells: torch.Tensor) -> float:
    return min(_neighbours(cells), _neighbours(cells.T))


def _neighbours(cells: torch.Tensor) -> float:
    left, right = cells[:, :-1].reshape(-1), cells[:, 1:].reshape(-1)
    left, right = left - left.mean(), right - right.mean()
    energy = float(left @ left) * float(right @ right)
    return float(left @ right) / energy**0.5 if energy > 1e-12 else 1.0
