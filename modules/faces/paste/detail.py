"""Whether parts, lines, drawings or a veil of the original are in a face that as a whole is another's.

What likeness.py compares as a whole is small where the original was mixed with somebody else. Its fine detail is not: a
stranger's, and what a model paints anew, agrees with the original by chance alone, whatever head, light and pose have
in common. So here the finest detail is compared: cell by cell, along lines, place by place, and over the whole face
by phase alone, which no change of contrast touches. Of drawings, of what was solarized or posterized, the edges are
compared. How strangers, and what was made of originals, differ stands in docs/measured.md ("Parts of the original").

Source of the phase correlation: C. Kuglin and D. Hines, "The phase correlation image alignment method", 1975.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from ..originals import CELLS
from .cells import luma_of
from .colour import LUMA
from .likeness import inner_face
from .registration import smooth, smooth_along

# limits: see docs/measured.md
_PIXELS, _PLACES, _LINES = 0.06, 0.06, 0.44
_DETAIL, _EDGES, _DRAWN = 0.40, 0.38, 0.35
_CROP_PIXELS = 0.03
_MOSTLY = 0.5  # of inner_face: a face in an oval mask of one's own is no part of the original
_INNER_PIXELS, _MOST_PIXELS = 0.27, 160  # half the side of what is compared of a crop: of its side, and in pixels
_OF_IT = "{{value:.1%}} of its {} are the original's, {{limit:.0%}} is the most"
_AGREES = "{} agrees by {{value:.3f}}, {{limit:g}} is the most"
LEAST_SIDE = 48  # pixels of the crop's square in the picture; in fewer even strangers have detail in common
_MIDDLE = (slice(32, 128), slice(32, 128))  # the cells around the inner face
_LEAST_VISIBLE = 0.25  # of the inner face
_SAME = 1.5 / 255  # difference of a cell that is the original's
_CHANCE = 1.3  # times what pictures of nothing in common have: faces are light and dark in the same places
_SLOPE = 2.0 / 255  # of luma a cell, from which it is no chance that a cell is the same
_LEAST_TEXTURED = 0.1  # of the inner face
_FLOOR = 0.02  # of the mean energy, below which a place shows nothing
_REACH = 12  # cells that the two may be shifted against each other


@dataclass(frozen=True)
class Detail:
    """One figure that was compared.

    Args:
        says: the figure and its limit in words, for str.format.
        value: what was measured.
        limit: the most that another's face has.
    """

    says: str
    value: float
    limit: float

    @property
    def is_original(self) -> bool:
        """Whether it is beyond its limit."""
        return self.value > self.limit

    @property
    def nearness(self) -> float:
        """How near it is to its limit: 1 there, above beyond it."""
        return self.value / self.limit

    def __str__(self) -> str:
        return self.says.format(value=self.value, limit=self.limit)


def compare_detail(before: np.ndarray, after: np.ndarray, visible: np.ndarray) -> tuple[Detail, ...]:
    """What of the original's fine detail a face has.

    Args:
        before: float32 [3, 160, 160], 0..1: the crop's square in the original.
        after: float32 [3, 160, 160], the same square of the result.
        visible: bool [160, 160], what lies in the picture and was replaced.

    Returns:
        The figures, in no order; none where too little can be seen.
    """
    weights = _inner() * visible[_MIDDLE]
    if weights.sum() < _LEAST_VISIBLE * _inner().sum():
        return ()
    before, after = before[(slice(None), *_MIDDLE)], after[(slice(None), *_MIDDLE)]
    ours, theirs = luma_of(before), luma_of(after)
    edges = _edges(ours), _edges(theirs)
    spectrum = fft.rfft2(_windowed(theirs, weights))
    fine = _phases(ours, spectrum, weights, (0.15, 0.4))
    drawn = _phases(edges[0], spectrum, weights, (0.04, 0.3))
    edged = _phases(edges[0], fft.rfft2(_windowed(edges[1], weights)), weights, (0.1, 0.4))
    return (
        Detail(_OF_IT.format("cells"), _same_cells(before, after, ours, weights), _PIXELS),
        Detail(_OF_IT.format("places"), _same_places(ours, theirs, weights), _PLACES),
        Detail(_OF_IT.format("lines"), _same_lines(ours, theirs, weights), _LINES),
        Detail(_AGREES.format("its fine detail"), fine, _DETAIL),
        Detail(_AGREES.format("the detail of its edges"), edged, _EDGES),
        Detail(_AGREES.format("a drawing of the original's edges"), drawn, _DRAWN),
    )


def compare_pixels(cut: np.ndarray, crop: np.ndarray) -> Detail | None:
    """How many pixels of a crop are the original's, as they were, in whatever pattern they lie between others.

    A paste that resizes the crop blends them with their neighbours: then only the crop itself tells.

    Args:
        cut: float32 [S, S, 3], 0..1: the original.
        crop: [S, S, 3], what was made of it.

    Returns:
        None where the original shows too little.
    """
    side = len(cut)
    reach = min(round(_INNER_PIXELS * side), _MOST_PIXELS)
    middle = np.s_[side // 2 - reach : side // 2 + reach, side // 2 - reach : side // 2 + reach]
    cut, crop = cut[middle], crop[middle]
    step = max(1, side // CELLS)
    luma = cut @ np.array(LUMA, np.float32)
    steep = np.zeros(luma.shape, bool)
    steep[step:] |= np.abs(luma[step:] - luma[:-step]) > _SLOPE
    steep[:, step:] |= np.abs(luma[:, step:] - luma[:, :-step]) > _SLOPE
    inner = inner_face()
    rows = np.arange(side)[middle[0]] * len(inner) // side
    inside = inner[np.ix_(rows, rows)] > _MOSTLY
    steep &= inside
    total = steep.sum()
    if total < _LEAST_TEXTURED * inside.sum():
        return None
    difference = np.abs(cut - crop).max(-1)[steep]
    same, near = (difference < _SAME).sum(), ((difference >= _SAME) & (difference < 3 * _SAME)).sum()
    chance = max(near / 2, _CHANCE * total * _same_by_chance(cut[steep], crop[steep]))
    return Detail(_OF_IT.format("crop's pixels"), float((same - chance) / total), _CROP_PIXELS)


def _same_by_chance(one: np.ndarray, other: np.ndarray) -> float:
    """The share of pixels of one colour in two pictures of nothing in common: much of pictures of few colours.

    Args:
        one, other: [N, 3], 0..1.
    """
    codes, counts = zip(
        *(np.unique(np.rint(np.clip(c, 0, 1) * 255) @ (65536, 256, 1), return_counts=True) for c in (one, other)),
        strict=True,
    )
    _, ours, theirs = np.intersect1d(*codes, assume_unique=True, return_indices=True)
    return float((counts[0][ours] / len(one)) @ (counts[1][theirs] / len(other)))


@lru_cache(maxsize=1)
def _inner() -> np.ndarray:
    """float32 [96, 96], 0..1: inner_face, of cells half as large, in the middle of the crop."""
    return np.kron(inner_face(), np.ones((2, 2), np.float32))[_MIDDLE]


def _same_cells(before: np.ndarray, after: np.ndarray, luma: np.ndarray, weights: np.ndarray) -> float:
    """The share of cells in which the result is the original as it was, beyond what chance gives.

    Differences of another's face are spread evenly around 0: what is there beyond the cells that differ a little more.
    """
    difference = np.abs(before - after).max(0)
    down, right = np.gradient(luma)
    textured = weights * (down * down + right * right > _SLOPE**2)
    total = textured.sum()
    if total < _LEAST_TEXTURED * weights.sum():
        return 0.0
    same = textured[difference < _SAME].sum()
    near = textured[(difference >= _SAME) & (difference < 3 * _SAME)].sum()
    return float((same - near / 2) / total)


def _same_places(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> float:
    """The share of the face in whose places the finest detail agrees, either sign counting alike."""
    ours, theirs = (smooth(luma, 0.7) - smooth(luma, 1.5) for luma in (ours, theirs))
    products = (smooth(product, 6.0) for product in (ours * ours, theirs * theirs, ours * theirs))
    return _share(_agreement(ours, theirs, weights, *products), weights, 0.9)


def _same_lines(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> float:
    """The share of the face along whose rows, or columns, it agrees, whatever was done to others between them."""
    shares = []
    for axis in (0, 1):
        one, other = (smooth_along(luma, 0.7, axis) - smooth_along(luma, 2.0, axis) for luma in (ours, theirs))
        products = (smooth_along(product, 16.0, axis) for product in (one * one, other * other, one * other))
        shares.append(_share(_agreement(one, other, weights, *products), weights, 0.8))
    return max(shares)


def _agreement(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray, *energies: np.ndarray) -> np.ndarray:
    """The correlation around each cell, 0..1: of two bands, and of their energies and their product around each."""
    floors = (_FLOOR * (weights * band * band).sum() / weights.sum() for band in (ours, theirs))
    one, other, both = energies
    return np.abs(both) / np.sqrt((one + next(floors) + 1e-12) * (other + next(floors) + 1e-12))


def _share(agreement: np.ndarray, weights: np.ndarray, least: float) -> float:
    return float(weights[agreement > least].sum() / weights.sum())


def _edges(luma: np.ndarray) -> np.ndarray:
    """How steep luma is, which no pointwise change of levels moves to another place."""
    down, right = np.gradient(smooth(luma, 0.6))
    return np.sqrt(down * down + right * right + 1e-12)


def _phases(ours: np.ndarray, spectrum: np.ndarray, weights: np.ndarray, band: tuple[float, float]) -> float:
    """How far two pictures agree by the phases of their frequencies, over small shifts, mirrored or not: 0..1.

    Args:
        ours: [96, 96].
        spectrum: of the other one, windowed.
        weights: [96, 96].
        band: the frequencies, in waves a cell.
    """
    chosen = _frequencies(band)
    ours = _windowed(ours, weights)
    index = np.arange(-_REACH, _REACH + 1)
    best = 0.0
    for picture in (ours, ours[:, ::-1]):
        cross = np.conj(fft.rfft2(picture)) * spectrum
        phases = chosen * cross / np.maximum(np.abs(cross), 1e-20)
        peak = np.abs(fft.irfft2(phases, ours.shape)[index[:, None], index]).max()
        best = max(best, float(peak) * ours.size / _count(band))
    return best


def _windowed(luma: np.ndarray, weights: np.ndarray) -> np.ndarray:
    detail = luma - smooth(luma, 8.0)
    return weights * (detail - (weights * detail).sum() / weights.sum())


@lru_cache(maxsize=4)
def _frequencies(band: tuple[float, float]) -> np.ndarray:
    """Which frequencies of rfft2 lie in a band, 0 or 1: float32 [96, 49]."""
    side = len(_inner())
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    return ((frequency >= band[0]) & (frequency <= band[1])).astype(np.float32)


@lru_cache(maxsize=4)
def _count(band: tuple[float, float]) -> int:
    """How many frequencies of fft2 lie in a band: those within rfft2's first and last column stand there once."""
    chosen = _frequencies(band)
    return int(2 * chosen.sum() - chosen[:, 0].sum() - chosen[:, -1].sum())
