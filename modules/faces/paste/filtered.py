"""Whether a result is what a filter made of the original: painted in oil, cut out, blurred, frosted, eroded, mosaicked.

Such filters leave much detail of their own, so that bands of it agree no further than with a stranger under the same
light. But all of it comes from the original: what several filters make of that, taken together, explains nearly all of
the result, and far more of it than the original by itself does. Of another's face it explains hardly more.
How strangers, and what was made of originals, differ stands in docs/measured.md ("Filtered").

Sources: M. Kuwahara et al., "Processing of RI-angiocardiographic images", 1976, the filter that keeps the smoothest of
four neighbourhoods; J. Serra, "Image Analysis and Mathematical Morphology", 1982, erosion and dilation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from .registration import correlation, smooth

# In a band (deviations of its two Gaussians in cells of 1/80 of the crop's side): the correlation with what filters
# make of the original from which a result is one of them, ...
_BANDS = (((1.0, 2.0), 0.95), ((2.0, 4.0), 0.986))
_LEFT = 0.5  # ... and, of what the original by itself leaves unexplained, the share that they leave at the most
_RIDGE = 1e-3  # of the mean energy of a filtered original
_MORPHED, _MEDIANS, _SMOOTHEST, _BLURS = (
    (3, 5),
    (3, 5),
    (3, 5, 7),
    (1.0, 2.0),
)  # in cells: sides, sides, sides, deviations


class Filtered(NamedTuple):
    """How far filters of the original explain a result in one band.

    Args:
        value: correlation of the result with them, 0..1.
        limit: the most that another's face has.
        left: share that they leave of what the original by itself leaves unexplained.
    """

    value: float
    limit: float
    left: float

    @property
    def is_original(self) -> bool:
        """Whether the result is one of them."""
        return self.value > self.limit and self.left < _LEFT


def compare_filtered(luma: np.ndarray, fitted: np.ndarray, weights: np.ndarray) -> Filtered:
    """How far what filters make of the original explains a result that lies over it.

    Args:
        luma: float32 [S, S], of the original.
        fitted: [S, S], of the result, in its place and in its colours.
        weights: [S, S], where they are compared.

    Returns:
        Of the bands the one that is nearest to its limit or furthest beyond.
    """
    share = (weights / weights.sum()).reshape(-1)
    made = _filters(luma)
    found = []
    for band, limit in _BANDS:
        wanted = _centred(fitted[None], band, share)[0]
        known = _centred(made, band, share)
        normal = (known * share) @ known.T
        normal += np.eye(len(normal), dtype=np.float32) * _RIDGE * np.trace(normal) / len(normal)
        solved = np.linalg.solve(normal.astype(np.float64), ((known * share) @ wanted).astype(np.float64))
        explained = solved.astype(np.float32) @ known
        value, alone = (
            abs(correlation(one.reshape(luma.shape), wanted.reshape(luma.shape), weights))
            for one in (explained, known[0])
        )
        found.append(Filtered(value, limit, (1 - value) / max(1 - alone, 1e-6)))
    return max(found, key=lambda one: (one.is_original, (one.value - one.limit) / (1 - one.limit)))


def _centred(pictures: np.ndarray, band: tuple[float, float], share: np.ndarray) -> np.ndarray:
    """The band of pictures [N, S, S] as rows [N, S S] whose weighted mean is 0."""
    rows = (smooth(pictures, band[0]) - smooth(pictures, band[1])).reshape(len(pictures), -1)
    return rows - (rows @ share)[:, None]


def _filters(luma: np.ndarray) -> np.ndarray:
    """A picture [S, S], and what filters make of it: float32 [N, S, S], the picture first."""
    one = torch.from_numpy(np.ascontiguousarray(luma, np.float32))[None, None]
    made = [one]
    for side in _MORPHED:
        made += [-max_pool2d(-one, side, 1, side // 2), max_pool2d(one, side, 1, side // 2)]
    for side in _MEDIANS:
        around = pad(one, (side // 2,) * 4, mode="replicate").unfold(2, side, 1).unfold(3, side, 1)
        made.append(around.reshape(*one.shape, -1).median(-1).values)
    made += [_smoothest(one, side) for side in _SMOOTHEST]
    blurred = [smooth(luma, deviation) for deviation in _BLURS]
    return np.concatenate([torch.cat(made)[:, 0].numpy(), np.stack(blurred)])


def _smoothest(one: torch.Tensor, side: int) -> torch.Tensor:
    """Kuwahara's filter: around each cell the mean of that of four squares which deviates least; [1, 1, S, S]."""
    mean = avg_pool2d(one, side, 1, side // 2, count_include_pad=False)
    deviation = avg_pool2d(one * one, side, 1, side // 2, count_include_pad=False) - mean * mean
    moves = [(down, right) for down in (-(side // 2), side // 2) for right in (-(side // 2), side // 2)]
    means, deviations = (torch.stack([torch.roll(of, by, (2, 3)) for by in moves]) for of in (mean, deviation))
    return means.gather(0, deviations.argmin(0, keepdim=True))[0]
