"""Lay one small picture of a face over another: the affine map that makes them agree most, by Gauss-Newton.

Source: G. Evangelidis and E. Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization", PAMI 2008, with the gain and the offset as two more unknowns of each step.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_LARGEST_STEP = np.array([0.08, 0.08, 0.04, 0.08, 0.08, 0.04])  # of one iteration; shifts in sides
_LARGEST = np.array([0.35, 0.35, 0.15, 0.35, 0.35, 0.15])  # beyond it the map is no small change of a crop
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
    side = cells.shape[-1]
    x, y = centres(side)
    a, b, c, d, e, f = parameters
    u = np.clip(((1 + a) * x + b * y + c + 0.5) * side - 0.5, 0, side - 1.001)
    v = np.clip((d * x + (1 + e) * y + f + 0.5) * side - 0.5, 0, side - 1.001)
    left, top = u.astype(np.intp), v.astype(np.intp)
    u, v = (u - left).astype(np.float32), (v - top).astype(np.float32)
    flat, corner = cells.reshape(len(cells), -1), top * side + left
    upper = flat[:, corner] * (1 - u) + flat[:, corner + 1] * u
    lower = flat[:, corner + side] * (1 - u) + flat[:, corner + side + 1] * u
    return upper * (1 - v) + lower * v


def correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float:
    """The weighted correlation of two arrays, -1..1; 0 where either is flat."""
    total = weights.sum()
    one = one - (weights * one).sum() / total
    other = other - (weights * other).sum() / total
    weighted = weights * one
    energy = (weighted * one).sum() * (weights * other * other).sum()
    return float((weighted * other).sum() / np.sqrt(energy)) if energy > 1e-20 else 0.0


def find_shift(fixed: np.ndarray, moving: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The map of `move`, a shift by whole cells, at which two pictures [S, S] agree most: by cross-correlation."""
    side = fixed.shape[-1]
    size = 2 * side  # so that nothing comes round
    spectrum = np.conj(np.fft.rfft2(fixed * weights, (size, size))) * np.fft.rfft2(moving, (size, size))
    agreement = np.abs(np.fft.irfft2(spectrum, (size, size)))
    reach = int(_LARGEST[2] * side)
    index = np.arange(-reach, reach + 1)
    near = agreement[np.ix_(index, index)]
    down, right = np.unravel_index(int(near.argmax()), near.shape)
    return np.array([0, 0, (right - reach) / side, 0, 0, (down - reach) / side])


def register(fixed: np.ndarray, moving: np.ndarray, weights: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
    """The map of `move` that makes `moving` agree most with `fixed`, near where it is.

    Args:
        fixed, moving: [S, S], band-passed alike.
        weights: [S, S], where they are compared.
        steps: of Gauss-Newton.

    Returns:
        Their correlation, either sign counting alike, and the map: of all steps the best.
    """
    side = fixed.shape[-1]
    x, y = centres(side)
    flat = weights.reshape(-1)
    parameters, best = STILL, (-1.0, STILL)
    for step in range(steps + 1):
        moved = move(moving[None], parameters)[0]
        agreement = abs(correlation(fixed, moved, weights))
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
