"""Lay one small picture of a face over another by a smooth small deformation: what a bulge, swirl or wave did to it.

A regular grid of shifts, between which cubic B-splines go, is found by Gauss-Newton from coarse detail to fine;
neighbours may differ little. It brings a bent original to its place, and makes no stranger an original: with so few
shifts eyes and mouths can be moved, not drawn.

Source: D. Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 1999.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import grid_sample

from .registration import centres, correlation

_FROM, _TO = 0.18, 0.82  # of the side, over which the shifts are spread: around the inner face
_LARGEST_STEP = 0.04  # of one iteration, in sides
_DAMPING = 0.05  # of the mean diagonal


@dataclass(frozen=True)
class Grid:
    """How a deformation is looked for.

    Args:
        knots: shifts along a side.
        steps: of Gauss-Newton.
        stiffness: weight of the differences between neighbour shifts, in mean diagonals.
    """

    knots: int
    steps: int
    stiffness: float


def field_of(parameters: np.ndarray, side: int) -> np.ndarray:
    """The shifts of an affine map of registration.move: float32 [2, side, side], x and y, in sides."""
    x, y = centres(side)
    a, b, c, d, e, f = parameters.astype(np.float32)
    return np.stack([a * x + b * y + c, d * x + e * y + f])


def move_by(cells: np.ndarray, field: np.ndarray) -> np.ndarray:
    """What lies at x + field(x): bilinear, the border's cells go on beyond it.

    Args:
        cells: [C, S, S].
        field: [2, S, S], shifts in x and y, in sides.
    """
    x, y = centres(cells.shape[-1])
    grid = np.stack([x + field[0], y + field[1]], -1).astype(np.float32) * np.float32(2)
    layers = torch.from_numpy(np.ascontiguousarray(cells, np.float32))[None]
    moved = grid_sample(layers, torch.from_numpy(grid)[None], padding_mode="border", align_corners=False)
    return moved[0].numpy()


def bend(fixed: np.ndarray, moving: np.ndarray, weights: np.ndarray, field: np.ndarray, grid: Grid) -> np.ndarray:
    """The field of `move_by` by which `moving` agrees most with `fixed`, near a first one.

    Args:
        fixed, moving: [S, S], band-passed alike.
        weights: [S, S], where they are compared.
        field: [2, S, S], to start with.
        grid: how it is looked for.

    Returns:
        float32 [2, S, S]: of all steps the best.
    """
    side, splines = fixed.shape[-1], _splines(fixed.shape[-1], grid.knots)
    rows, columns = (_extent(weights.sum(axis)) for axis in (1, 0))
    inside = (rows, columns)
    share = weights[inside].reshape(-1) / weights[inside].sum()
    wanted = fixed[inside].reshape(-1)
    wanted = wanted - share @ wanted
    shapes = splines[:, None, rows, None] * splines[None, :, None, columns]
    shapes = shapes.reshape(grid.knots**2, -1)
    best = -1.0, field
    for step in range(grid.steps + 1):
        moved = move_by(moving[None], field)[0]
        agreement = abs(correlation(fixed, moved, weights))
        if agreement > best[0]:
            best = agreement, field
        if step == grid.steps:
            break
        down, right = (slope[inside].reshape(-1) for slope in np.gradient(moved, np.float32(1 / side)))
        found = moved[inside].reshape(-1)
        found = found - share @ found
        gain = (share * found) @ wanted / max((share * found) @ found, 1e-12)
        change = np.concatenate([shapes * (gain * right), shapes * (gain * down)])
        weighted = change * share
        normal = (weighted @ change.T).astype(np.float64)
        normal += np.trace(normal) / len(normal) * _constraint(grid)
        solved = np.linalg.solve(normal, (weighted @ (wanted - gain * found)).astype(np.float64))
        shifts = np.clip(solved, -_LARGEST_STEP, _LARGEST_STEP).reshape(2, grid.knots, grid.knots)
        field = field + (splines.T @ shifts.astype(np.float32) @ splines)
    return best[1]


def _extent(sums: np.ndarray) -> slice:
    places = np.flatnonzero(sums > 0)
    return slice(places[0], places[-1] + 1)


@lru_cache(maxsize=4)
def _splines(side: int, knots: int) -> np.ndarray:
    """How much each shift counts at each cell of a row: float32 [knots, side], of sum 1."""
    place = ((np.arange(side) + 0.5) / side - _FROM) / (_TO - _FROM) * (knots - 1)
    distance = np.abs(place - np.arange(knots)[:, None])
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    splines = np.where(distance < 1, near, far)
    splines[:, splines.sum(0) < 1e-6] = 1e-6  # beyond the outermost
    return (splines / splines.sum(0)).astype(np.float32)


@lru_cache(maxsize=4)
def _constraint(grid: Grid) -> np.ndarray:
    """float64 [2 knots^2, 2 knots^2]: neighbours differ little, and no shift is large without need."""
    steps = np.diff(np.eye(grid.knots), axis=0)
    along, one = steps.T @ steps, np.eye(grid.knots)
    both = grid.stiffness * (np.kron(along, one) + np.kron(one, along))
    return np.kron(np.eye(2), both) + _DAMPING * np.eye(2 * grid.knots**2)
