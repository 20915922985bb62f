"""A small copy of the original somewhere in a crop: in a corner of it, on a shirt, in a mirror.

The original's inner face is laid over the result in many sizes and at every place by cross-correlation. What agrees
well enough is only a place to look at: there the picture is read again, at its own resolution, and compared as
likeness.py compares whole crops.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy import fft
from torch.nn.functional import interpolate

from ..originals import CELLS
from .cells import luma_of
from .likeness import inner_face
from .registration import smooth

_SIDE = 32  # cells along the side of the copy, in every size
# cells along the crop's side in which a copy has _SIDE: of 0.19 to 0.76 of its side, each larger by a sixth
_SIDES = (168, 144, 125, 108, 90, 78, 66, 56, 48, 42)
_BAND = (0.8, 2.4)  # deviations in those cells
_FLOOR = 0.05  # of the mean energy, below which a place shows nothing
# correlation from which a place is looked at; 19 of 20 strangers stay below (docs/measured.md)
WORTH = 0.75


@dataclass(frozen=True)
class Place:
    """Where a copy may lie in a crop.

    Args:
        agreement: its correlation with the original, 0..1.
        size: side of the copy, in sides of the crop.
        x, y: its upper left corner, in sides of the crop.
        mirrored: left and right are exchanged.
    """

    agreement: float
    size: float
    x: float
    y: float
    mirrored: bool

    def matrix(self, to_picture: np.ndarray, crop_size: int) -> np.ndarray:
        """float64 (2, 3), pixels of the copy, as large as the crop, -> picture pixels, never mirrored.

        Args:
            to_picture: crop pixels -> picture pixels.
            crop_size: side of the crop in pixels.
        """
        # pixel centres are integers: the crop's edges lie at -0.5
        corner = np.array([self.x, self.y]) * crop_size - 0.5 + 0.5 * self.size
        linear = to_picture[:, :2]
        return np.column_stack([linear * self.size, linear @ corner + to_picture[:, 2]])


def find_miniature(before: np.ndarray, after: np.ndarray) -> Place:
    """The place of a crop that looks most like the original, much smaller.

    Args:
        before: float32 [3, 160, 160], 0..1: the crop's square in the original.
        after: float32 [3, 160, 160], the same square of the result.
    """
    original = luma_of(before).reshape(_SIDE, CELLS // _SIDE, _SIDE, CELLS // _SIDE).mean((1, 3))
    pattern, weights = _band(original), _weights()
    pattern = weights * (pattern - (weights * pattern).sum() / weights.sum())
    energy = float((pattern * pattern / np.maximum(weights, 1e-6)).sum())
    luma = torch.from_numpy(luma_of(after))[None, None]
    best = Place(0.0, 1.0, 0.0, 0.0, False)
    if energy < 1e-9:
        return best  # there is nothing to look for
    for side in _SIDES:
        size = [side, side]
        resized = interpolate(luma, size=size, mode="bilinear", align_corners=False, antialias=True)[0, 0].numpy()
        spectrum = fft.rfft2(resized) * _band_spectrum(side)
        shown = fft.irfft2(spectrum, size)
        there = fft.irfft2(_weights_spectrum(side) * fft.rfft2(shown * shown), size)
        free = side - _SIDE + 1  # beyond it the copy would come round
        there = there[:free, :free]
        there = np.sqrt((np.maximum(there, 0) + _FLOOR * there.mean() + 1e-12) * energy)
        for mirrored in (False, True):
            ours = fft.rfft2(pattern[:, ::-1] if mirrored else pattern, size)
            agreement = np.abs(fft.irfft2(np.conj(ours) * spectrum, size)[:free, :free]) / there
            y, x = divmod(int(agreement.argmax()), free)
            if agreement[y, x] > best.agreement:
                best = Place(float(agreement[y, x]), _SIDE / side, x / side, y / side, mirrored)
    return best


def _band(luma: np.ndarray) -> np.ndarray:
    return smooth(luma, _BAND[0]) - smooth(luma, _BAND[1])


@lru_cache(maxsize=1)
def _weights() -> np.ndarray:
    """float32 [32, 32], 0..1: the inner face, nearly symmetrical."""
    index = np.linspace(0, len(inner_face()) - 1, _SIDE).round().astype(int)
    return inner_face()[np.ix_(index, index)]


@lru_cache(maxsize=16)
def _weights_spectrum(side: int) -> np.ndarray:
    return np.conj(fft.rfft2(_weights(), (side, side)))


@lru_cache(maxsize=16)
def _band_spectrum(side: int) -> np.ndarray:
    """What the frequencies of a picture [side, side] are multiplied by, as _band: float32 [side, side // 2 + 1]."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * 2 * np.pi
    low, high = (np.exp(-((frequency * sigma) ** 2) / 2) for sigma in _BAND)
    return (low - high).astype(np.float32)
