"""Lay one small picture of a face over another: the affine map that makes them agree most, by Gauss-Newton.

Source: G. Evangelidis and E. Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization", PAMI 2008, with the gain and the offset as two more unknowns of each step.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import grid_sample

_LARGEST_STEP = np.array([0.08, 0.08, 0.04, 0.08, 0.08, 0.04])  # of one iteration; shifts in sides
_LARGEST = np.array([0.35, 0.35, 0.15, 0.35, 0.35, 0.15])  # beyond it the map is no small change of a crop
_LEAST_SHOWN = 0.4  # of what is compared; with less of the moving picture left an agreement may be chance
_DAMPING = 0.2  # of the six unknowns of the map, in units of the moving picture's own energy
STILL = np.zeros(6)  # the map that moves nothing


@lru_cache(maxsize=32)
def _gaussian(side: int, sigma: float) -> np.ndarray:
    """float32 [side, side]: what a row of `side` cells is multiplied by; cells beyond the border do not count."""
    distance = np.subtract.outer(np.arange(side), np.arange(side)) / sigma
    kernel = np.exp(-(distance**2) / 2)
    return (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)


def smooth(cells: np.ndarray, sigma: float) -> np.ndarray:
    """Cells [..., S, S] under a Gaussian of `sigma` cells; 0 leaves them."""
    if not sigma:
        return cells
    kernel = _gaussian(cells.shape[-1], sigma)
    return kernel @ cells @ kernel.T


def smooth_along(cells: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    """Cells [S, S] under a Gaussian along one axis alone: 0 down, 1 across."""
    kernel = _gaussian(cells.shape[-1], sigma)
    return cells @ kernel.T if axis else kernel @ cells


@lru_cache(maxsize=4)
def centres(side: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the cells of a square, float32 [side, side], from its middle, in sides."""
    index = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    return np.broadcast_to(index, (side, side)), np.broadcast_to(index[:, None], (side, side))


def move(cells: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """What lies at x + parameters(x): bilinear, the border's cells go on beyond it.

    Args:
        cells: [C, S, S].
        parameters: a, b, c, d, e, f: x moves by a x + b y + c, y by d x + e y + f; from the middle, in sides.
    """
    if not parameters.any():
        return cells
    x, y = centres(cells.shape[-1])
    a, b, c, d, e, f = parameters.astype(np.float32)
    # from -1 to 1 between the outer edges, as grid_sample counts
    grid = np.stack([x + (a * x + b * y + c), y + (d * x + e * y + f)], -1) * np.float32(2)
    moved = grid_sample(
        torch.from_numpy(np.ascontiguousarray(cells, np.float32))[None],
        torch.from_numpy(grid)[None],
        padding_mode="border",
        align_corners=False,
    )
    return moved[0].numpy()


def turn(angle: float) -> np.ndarray:
    """The map of `move` that turns a picture about its middle, by radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine - 1, -sine, 0, sine, cosine - 1, 0])


def turn_all(pictures: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Pictures [N, S, S] turned by each of some angles, in radians: float32 [A, N, S, S]; as `move` by `turn`."""
    side = pictures.shape[-1]
    layers = torch.from_numpy(np.ascontiguousarray(pictures, np.float32))[None].expand(len(angles), -1, -1, -1)
    grids = torch.from_numpy(_turned_grids(side, tuple(angles.tolist())))
    return grid_sample(layers, grids, padding_mode="border", align_corners=False).numpy()


@lru_cache(maxsize=4)
def _turned_grids(side: int, angles: tuple[float, ...]) -> np.ndarray:
    x, y = centres(side)
    turned = [(np.cos(t) * x - np.sin(t) * y, np.sin(t) * x + np.cos(t) * y) for t in angles]
    return (2 * np.stack([np.stack(both, -1) for both in turned])).astype(np.float32)


def correlations(one: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As `correlation`, of one picture [S, S] with many [N, S, S]: [N]."""
    share = (weights / weights.sum()).reshape(-1)
    one, others = one.reshape(-1), others.reshape(len(others), -1)
    one = one - share @ one
    others = others - (others @ share)[:, None]
    energy = (share @ (one * one)) * ((others * others) @ share)
    return (others @ (share * one)) / np.sqrt(np.maximum(energy, 1e-20))


def correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float:
    """The weighted correlation of two arrays, -1..1; 0 where either is flat."""
    total = weights.sum()
    one = one - (weights * one).sum() / total
    other = other - (weights * other).sum() / total
    weighted = weights * one
    energy = (weighted * one).sum() * (weights * other * other).sum()
    return float((weighted * other).sum() / np.sqrt(energy)) if energy > 1e-20 else 0.0


def find_shift(
    fixed: np.ndarray, moving: np.ndarray, weights: np.ndarray, seen: np.ndarray | None = None
) -> np.ndarray:
    """The map of `move`, a shift by whole cells, at which two pictures [S, S] agree most: by cross-correlation.

    Args:
        fixed, moving: [S, S].
        weights: [S, S], where they are compared.
        seen: as in `register`; then what is left of both at each shift is normalized.
    """
    side = fixed.shape[-1]
    size = 2 * side, 2 * side  # so that nothing comes round
    reach = int(_LARGEST[2] * side)
    index = np.arange(-reach, reach + 1)

    def together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        product = np.fft.irfft2(np.conj(np.fft.rfft2(one, size)) * np.fft.rfft2(other, size), size)
        return product[np.ix_(index, index)]

    if seen is None:
        near = np.abs(together(fixed * weights, moving))
    else:
        there = together(weights, seen)
        energy = together(fixed * fixed * weights, seen) * together(weights, moving * moving * seen)
        near = np.abs(together(fixed * weights, moving * seen)) / np.sqrt(np.maximum(energy, 1e-12))
        near[there < _LEAST_SHOWN * weights.sum()] = 0
    down, right = np.unravel_index(int(near.argmax()), near.shape)
    return np.array([0, 0, (right - reach) / side, 0, 0, (down - reach) / side])


def register(
    fixed: np.ndarray, moving: np.ndarray, weights: np.ndarray, steps: int, seen: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """The map of `move` that makes `moving` agree most with `fixed`, near where it is.

    Args:
        fixed, moving: [S, S], band-passed alike.
        weights: [S, S], where they are compared.
        steps: of Gauss-Newton.
        seen: [S, S], 0..1, which cells of `moving` show something: the others count for nothing wherever they come to
            lie. None: all of them do.

    Returns:
        Their correlation, either sign counting alike, and the map: of all steps the best.
    """
    side = fixed.shape[-1]
    x, y = centres(side)
    parameters, best = STILL, (-1.0, STILL)
    for step in range(steps + 1):
        moved = move(moving[None], parameters)[0]
        shown = weights if seen is None else weights * move(seen[None], parameters)[0]
        if shown.sum() < _LEAST_SHOWN * weights.sum():
            break
        flat = shown.reshape(-1)
        agreement = abs(correlation(fixed, moved, shown))
        if agreement > best[0]:
            best = agreement, parameters
        if step == steps:
            break
        down, right = np.gradient(moved, np.float32(1 / side))
        columns = np.stack([right * x, right * y, right, down * x, down * y, down, moved, np.ones_like(moved)])
        columns = columns.reshape(8, -1)
        weighted = columns * flat
        normal, wanted = (weighted @ columns.T).astype(np.float64), (weighted @ fixed.reshape(-1)).astype(np.float64)
        normal[np.arange(6), np.arange(6)] += _DAMPING * normal[6, 6]
        normal[np.arange(8), np.arange(8)] += 1e-9
        solved = np.linalg.solve(normal, wanted)
        gain = np.copysign(max(abs(solved[6]), 0.1), solved[6])
        parameters = parameters + np.clip(solved[:6] / gain, -_LARGEST_STEP, _LARGEST_STEP)
        if (np.abs(parameters) > _LARGEST).any():
            break
    return best


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The map that does as moving by `first` and then moving the result by `second`."""
    whole = _matrix(first) @ _matrix(second) - np.eye(3)
    return whole[:2].reshape(-1)


def _matrix(parameters: np.ndarray) -> np.ndarray:
    return np.vstack([parameters.reshape(2, 3), np.zeros(3)]) + np.eye(3)
