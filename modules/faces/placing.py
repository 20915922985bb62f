"""Where in one picture another one lies: the same frame, enlarged, mirrored, turned by quarters, shifted or cropped.

Both are compared as squares of a few cells, whatever their sides: first the whole frame in all eight directions, then
parts of it over a range of sizes. What was found is laid over it by registration.py, and what differs most (faces that
were changed, a caption) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import fft
from scipy.ndimage import gaussian_filter

from .paste.registration import STILL, centres, compose, correlation, find_shift, move, register, smooth

SIDE = 128  # cells along each side of a square
LEAST = 0.9  # correlation of what is left from which the place is certain (docs/measured.md, "Where a picture lies")
_BAND = (1.0, 6.0)  # deviations, in cells, of the two Gaussians between which the two are compared
_CHANGED = 0.3  # the share of cells that may show anything
_WORTH = 0.3  # correlation from which a direction or a part is looked at closely
_SMALLEST, _STEP = 0.2, 0.9  # the least share of the larger side that a part has, and from one size to the next
_FAR = 0.08  # of the sides, by which a whole frame may have been moved
_SURE = 0.985  # correlation from which no other part is looked at
_TILES, _TILE_AGREES, _LEAST_TILES = (
    4,
    0.6,
    0.4,
)  # along a side; correlation of one; the share of them that has to agree
_CLOSE_LOOKS = 6  # parts that are looked at closely
_COARSE_STEPS, _STEPS = 6, 5
_FLAT = 0.4 / 255  # deviation in the band, below which there is nothing to compare
_LUMA = (0.299, 0.587, 0.114)
DIRECTIONS = 8


class Place(NamedTuple):
    """Where a picture lies in another one.

    Args:
        matrix: float64 (2, 3), points of the picture -> points of the other one, both x y in shares of their sides from
            their middles, -0.5..0.5.
        agreement: how far the two agree there, 0..1.
    """

    matrix: np.ndarray
    agreement: float

    @property
    def is_certain(self) -> bool:
        """Whether it is that place and no other."""
        return self.agreement >= LEAST

    @property
    def inverse(self) -> Place:
        """Where the other one lies in the picture."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return Place(np.column_stack([linear, -linear @ self.matrix[:, 2]]), self.agreement)


def to_square(picture: torch.Tensor, side: int = SIDE) -> np.ndarray:
    """The luma of a picture, whatever its sides, on a square: float32 [side, side], 0..1.

    Args:
        picture: float [H, W, C], 0..1.
        side: in cells.
    """
    return resized(luma_of(picture), side, side)


def luma_of(picture: torch.Tensor) -> torch.Tensor:
    """The luma of a picture [H, W, C], 0..1: float32 [H, W] on the CPU."""
    picture = torch.nan_to_num(picture[..., :3].float().cpu()).clamp(0, 1)
    return picture @ picture.new_tensor(_LUMA) if picture.shape[2] == 3 else picture[..., 0]


def resized(luma: torch.Tensor, rows: int, columns: int) -> np.ndarray:
    """Luma [H, W] in another size, averaged where that is smaller."""
    size = (rows, columns)
    made = torch.nn.functional.interpolate(luma[None, None], size, mode="bilinear", antialias=True)
    return made[0, 0].numpy()


def find_place(other: np.ndarray, size: Sequence[int], picture: torch.Tensor, parts: bool = True) -> Place | None:
    """Where a picture lies in another one.

    Args:
        other: float32 [S, S], 0..1, of to_square: SIDE, or fewer cells where nobody kept more.
        size: height and width of the other one in pixels.
        picture: float [H, W, C], 0..1.
        parts: look for it as a part of the other one, too.

    Returns:
        The best place that was found, certain or not; None where one of the two shows nothing.
    """
    luma = luma_of(picture)
    square = resized(luma, *other.shape)
    if len(other) != SIDE:
        other, square = (resized(torch.from_numpy(one), SIDE, SIDE) for one in (other, square))
    if min(_banded(other).std(), _banded(square).std()) < _FLAT:
        return None
    best = max((_settled(other, start, square, way) for start, way in _whole(other, square)), default=None)
    # a frame that had to be moved far was found by chance, or is a part, which is found better as one
    if parts and (best is None or best[0] < LEAST or np.abs(np.array(best[1])).max() > _FAR):
        for start, way in _parts(other, size, luma):
            best = max(filter(None, (best, _settled(other, start, square, way))))
            if best[0] >= _SURE:
                break
    if best is None:
        return None
    agreement, parameters, way = best
    linear = np.array(parameters).reshape(2, 3) + np.eye(2, 3)
    return Place(np.column_stack([linear[:, :2] @ direction(way).T, linear[:, 2]]), agreement)


def agreement_unmoved(one: np.ndarray, other: np.ndarray) -> float:
    """How far two pictures agree as they lie: the correlation of two squares of to_square, either sign, 0..1."""
    return abs(correlation(_banded(one), _banded(other), np.ones_like(one)))


def oriented(square: np.ndarray, way: int) -> np.ndarray:
    """A picture [H, W] in one of the eight directions, 0 as it is; from 4 on mirrored."""
    return np.ascontiguousarray(np.rot90(square[:, ::-1] if way >= 4 else square, way % 4))


def direction(way: int) -> np.ndarray:
    """float64 (2, 2), points of the oriented picture -> points of the picture, from their middles."""
    turn = np.linalg.matrix_power(np.array([[0.0, -1], [1, 0]]), way % 4)
    return np.diag([-1.0, 1]) @ turn if way >= 4 else turn


def _banded(square: np.ndarray) -> np.ndarray:
    return smooth(square, _BAND[0]) - smooth(square, _BAND[1])


def _half(square: np.ndarray) -> np.ndarray:
    return (square[::2, ::2] + square[1::2, ::2] + square[::2, 1::2] + square[1::2, 1::2]) / 4


def _whole(other: np.ndarray, square: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """The directions in which the whole frames are worth a closer look, and how they are moved, the best two first."""
    there = _banded(_half(other))
    weights = np.ones_like(there)
    found = []
    for way in range(DIRECTIONS):
        here = _banded(_half(oriented(square, way)))
        shift = find_shift(here, there, weights)
        tries = [
            (*register(here, move(there[None], start)[0], weights, _COARSE_STEPS), start) for start in (STILL, shift)
        ]
        agreement, place, start = max(tries, key=lambda one: one[0])
        found.append((agreement, way, compose(start, place)))
    found.sort(key=lambda one: -one[0])
    for agreement, way, start in found[:2]:
        if agreement >= _WORTH:
            yield start, way


def _parts(other: np.ndarray, size: Sequence[int], luma: torch.Tensor) -> Iterator[tuple[np.ndarray, int]]:
    """Parts of the other picture, in its own proportions, that look like this one, the most alike first."""
    there = gaussian_filter(other, _BAND[0]) - gaussian_filter(other, _BAND[1])
    spectrum = fft.rfft2(there)
    sums = np.zeros((SIDE + 1, SIDE + 1))
    sums[1:, 1:] = (there.astype(np.float64) ** 2).cumsum(0).cumsum(1)
    found = []
    height, width = luma.shape
    if max(height, width) > 2 * SIDE:  # it is asked for in many sizes, none of them larger than SIDE
        small = 2 * SIDE / max(height, width)
        luma = torch.from_numpy(resized(luma, max(1, round(height * small)), max(1, round(width * small))))
    for turned in (False, True):
        height, width = (width, height) if turned else (height, width)
        whole = np.array([height / size[0], width / size[1]])  # in shares of the other one, at one pixel a pixel
        share = 1.0
        while share >= _SMALLEST:
            rows, columns = np.rint(whole / whole.max() * share * SIDE).astype(int)
            share *= _STEP
            if min(rows, columns) < 12:
                break
            cells = resized(luma, *((columns, rows) if turned else (rows, columns)))
            for way in range(DIRECTIONS):
                if way % 2 == turned:
                    score, y, x = _best_match(spectrum, sums, oriented(cells, way))
                    found.append((score, way, rows, columns, y, x))
    found.sort(key=lambda one: -one[0])
    for score, way, rows, columns, y, x in found[:_CLOSE_LOOKS]:
        if score >= _WORTH:
            middle = (x + columns / 2) / SIDE - 0.5, (y + rows / 2) / SIDE - 0.5
            yield np.array([columns / SIDE - 1, 0, middle[0], 0, rows / SIDE - 1, middle[1]]), way


def _best_match(spectrum: np.ndarray, sums: np.ndarray, cells: np.ndarray) -> tuple[float, int, int]:
    """Where a part fits best into the other picture, wholly inside: correlation, and its upper left corner."""
    rows, columns = cells.shape
    pattern = gaussian_filter(cells, _BAND[0]) - gaussian_filter(cells, _BAND[1])
    energy = float((pattern * pattern).sum())
    if energy < _FLAT**2 * pattern.size:
        return 0.0, 0, 0
    agreement = fft.irfft2(np.conj(fft.rfft2(pattern, (SIDE, SIDE))) * spectrum, (SIDE, SIDE))
    inside = np.abs(agreement[: SIDE - rows + 1, : SIDE - columns + 1])
    under = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    score = inside / np.sqrt(np.maximum(under, _FLAT**2 * pattern.size) * energy)
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    return float(score[y, x]), int(y), int(x)


def _settled(other: np.ndarray, start: np.ndarray, square: np.ndarray, way: int) -> tuple[float, tuple, int]:
    """How far a picture agrees with another one near where it was found, and where exactly."""
    here, place = _banded(oriented(square, way)), start
    weights, agreement = _inside(place), 0.0
    there, inside = here, weights
    for _ in range(3):
        there = _banded(move(other[None], place)[0])
        _, rest = register(here, there, weights, _STEPS)
        place = compose(place, rest)
        there = _banded(move(other[None], place)[0])
        inside = _inside(place)
        agreement, weights = _trimmed(here, there, inside)
        if np.abs(rest).max() < 0.02 / SIDE:
            break
    if _agreeing_tiles(here, there, inside) < _LEAST_TILES:
        agreement = min(agreement, 0.99 * LEAST)  # a part of it was laid over something alike, the rest left out
    return agreement, tuple(place.tolist()), way


def _agreeing_tiles(here: np.ndarray, there: np.ndarray, inside: np.ndarray) -> float:
    """The share of parts of a picture, of those that show something, in which it agrees with the other one."""
    step = SIDE // _TILES
    agree, count = 0, 0
    for top in range(0, SIDE, step):
        for left in range(0, SIDE, step):
            tile = np.s_[top : top + step, left : left + step]
            if inside[tile].mean() > 0.5 and min(here[tile].std(), there[tile].std()) >= _FLAT:
                count += 1
                agree += abs(correlation(here[tile], there[tile], inside[tile])) >= _TILE_AGREES
    return agree / count if count else 0.0


def _inside(place: np.ndarray) -> np.ndarray:
    """Which cells of a picture at this place lie in the other one: float32 [SIDE, SIDE], 0 or 1."""
    x, y = centres(SIDE)
    a, b, c, d, e, f = place
    u, v = (1 + a) * x + b * y + c, d * x + (1 + e) * y + f
    return ((np.abs(u) <= 0.5) & (np.abs(v) <= 0.5)).astype(np.float32)


def _trimmed(here: np.ndarray, there: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The correlation of two pictures without the cells in which they differ most, either sign; and the others."""
    kept = weights
    for _ in range(3):
        gain = float((kept * here * there).sum() / max((kept * there * there).sum(), 1e-12))
        residual = np.abs(here - gain * there)
        among = residual[weights > 0]
        if not len(among):
            return 0.0, weights
        kept = weights * (residual <= np.quantile(among, 1 - _CHANGED))
    return abs(correlation(here, there, kept)), kept
