"""What a picture shows of a face, as a mixture of what was there before a step and what came after it.

Pixels of both states are fitted together, and with them a gain, an offset and a slope of light, so that gradings and
vignettes are none of either. A picture that was blended with its original shows a share of it that no grading,
compression, resizing or sharpening of the result alone gives (docs/measured.md, "Whether a picture is the one").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from .traces import FLAT, SAMPLES

_LEAST_APART = 4.0  # levels, root mean square: the two states must differ by so much to be told apart
_LEAST_SHARE = 0.25  # of the original in a mixture; below it hardly a recogniser knows the person
_SURELY = 0.75  # correlation of what the result leaves unexplained with what the original alone has
_BLURS = (0.6, 1.2)  # samples: deviations of the blurs of a result of which, with itself, filters are made
_AS_WELL = 1.0  # of what result and original together leave unexplained: filters of the result alone leave no more
_MOST_BY_FILTERS = 0.5  # of the deviation, that they leave unexplained of a result
_MOST_UNEXPLAINED = 0.7  # of the deviation: a picture of which both explain less shows something else


class Mixture(NamedTuple):
    """What a picture shows of a face.

    Args:
        share: of the original, 0..1.
        certainty: correlation of what the result leaves unexplained with what the original alone has, 0..1.
        unexplained: share of the deviation that the result does not explain, 0..1.
        by_filters: the same of the result, blurred or sharpened.
        by_both: the same of result and original together.
    """

    share: float
    certainty: float
    unexplained: float
    by_filters: float = 1.0
    by_both: float = 1.0

    @property
    def shows_original(self) -> bool:
        """Whether the original shows through."""
        is_filtered = self.by_filters < _AS_WELL * self.by_both
        return self.share >= _LEAST_SHARE and self.certainty >= _SURELY and not is_filtered

    @property
    def shows_neither(self) -> bool:
        """Whether it is something else than the result."""
        return self.unexplained > _MOST_UNEXPLAINED and self.by_filters > _MOST_BY_FILTERS


def _slopes() -> np.ndarray:
    """An offset and two slopes of light, orthonormal: float64 [256, 3]."""
    y, x = np.mgrid[:SAMPLES, :SAMPLES] - (SAMPLES - 1) / 2
    flat = np.stack([np.ones(SAMPLES**2), x.ravel(), y.ravel()], 1)
    return flat / np.linalg.norm(flat, axis=0)


_LIGHT = _slopes()


def find_mixture(before: np.ndarray, after: np.ndarray, now: np.ndarray) -> Mixture:
    """The best fit of both states of a face to what a picture shows.

    Args:
        before, after: uint8 [16, 16], the two states, as traces.py takes them.
        now: float64 [N, 256], levels; the same face looked up at N places, of which the best counts.
    """
    original, result = (_without_light(state.astype(np.float64).reshape(1, -1))[0] for state in (before, after))
    now = _without_light(now)
    energy = np.linalg.norm(now, axis=1)
    shows = energy >= FLAT * SAMPLES
    if not shows.any():
        return Mixture(0.0, 0.0, 0.0)
    now, energy = now[shows], energy[shows]
    length = float(np.linalg.norm(result))
    along = result / length if length >= FLAT * SAMPLES else np.zeros_like(result)
    by_result = now @ along
    left = np.sqrt(np.clip(energy**2 - by_result**2, 0, None)) / energy
    best = float(left.min())
    filters = _filters(after)
    explained = np.linalg.norm(now @ filters, axis=1) / energy
    by_filters = float(np.sqrt(np.clip(1 - explained**2, 0, None)).min())
    apart = original - (original @ along) * along
    if (width := float(np.linalg.norm(apart))) < _LEAST_APART * SAMPLES:
        return Mixture(0.0, 0.0, best, by_filters)
    by_original = now @ (apart / width)
    of_both = np.sqrt(np.clip(left**2 - (by_original / energy) ** 2, 0, None))
    place = int(of_both.argmin())
    original_gain = by_original[place] / width
    result_gain = (by_result[place] - original_gain * (original @ along)) / max(length, 1e-9)
    share = abs(original_gain) / max(abs(original_gain) + abs(result_gain), 1e-9)
    certainty = np.sqrt(max(0.0, 1 - (of_both[place] / max(best, 1e-9)) ** 2))
    return Mixture(float(share), float(certainty), best, by_filters, float(of_both[place]))


def _filters(after: np.ndarray) -> np.ndarray:
    """What blurs and sharpening make of a result, but for light, as orthonormal columns: float64 [256, 1 to 3]."""
    levels = after.astype(np.float64)
    made = np.stack([levels, *(gaussian_filter(levels, blur, mode="nearest") for blur in _BLURS)])
    rows = _without_light(made.reshape(len(made), -1))
    left, sizes, _ = np.linalg.svd(rows.T, full_matrices=False)
    return left[:, sizes > FLAT]


def _without_light(levels: np.ndarray) -> np.ndarray:
    return levels - (levels @ _LIGHT) @ _LIGHT.T
