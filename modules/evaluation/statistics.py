"""Means with intervals by bootstrap over identities, and thresholds at a false accept rate."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

DRAWS = 2000
CONFIDENCE = 0.95
_SEED = 0  # the same values give the same interval


@dataclass(frozen=True)
class Interval:
    """A figure, and the percentile interval of its bootstrap.

    Attributes:
        value: the figure.
        low: the lower end of the interval.
        high: the upper end.
        count: of how many identities the figure is.
    """

    value: float
    low: float
    high: float
    count: int


def mean(values: torch.Tensor, people: torch.Tensor | None = None) -> Interval:
    """The mean over identities, with its percentile interval of 95 %.

    B. Efron, "Bootstrap methods: another look at the jackknife", 1979.

    Args:
        values: float [N]; NaN (not measurable) is left out and counts for nothing.
        people: int [N], whose each value is; an identity with several counts once, by their mean. None: one value each.

    Returns:
        The figure; all of it is NaN when no value is a number.
    """
    usable = ~values.isnan()
    each = values.double()[usable].numpy()
    if people is not None:
        _, place = np.unique(people[usable].numpy(), return_inverse=True)
        each = np.bincount(place, each) / np.bincount(place) if len(each) else each
    if not len(each):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    drawn = _resampled(len(each)) @ each / len(each)
    return _interval(each.mean(), drawn, len(each))


def mean_of_pairs(distances: torch.Tensor) -> Interval:
    """The mean over all pairs of different identities, with its percentile interval of 95 %.

    A draw that holds one identity twice has no pair of it with itself.

    Args:
        distances: float [N, N], symmetric; an identity with NaN on the diagonal is left out.

    Returns:
        The figure; all of it is NaN with fewer than two identities.
    """
    usable = ~distances.diagonal().isnan()
    matrix = distances[usable][:, usable].double().numpy().copy()
    count = len(matrix)
    if count < 2:
        return Interval(float("nan"), float("nan"), float("nan"), count)
    np.fill_diagonal(matrix, 0)
    weights = _resampled(count)
    total = np.einsum("di,ij,dj->d", weights, matrix, weights, optimize=True)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    pairs[pairs == 0] = np.nan  # a draw of one identity alone
    return _interval(matrix.sum() / (count * (count - 1)), total / pairs, count)


@functools.lru_cache(maxsize=8)
def _resampled(count: int) -> np.ndarray:
    """How often each of `count` identities is in each draw, float64 [DRAWS, count]; the same for every figure of them.

    By hand, as scipy.stats.bootstrap has no weights: with them a mean over pairs is one product of matrices.
    """
    generator = np.random.default_rng(_SEED)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    weights.flags.writeable = False
    return weights


def _interval(value: float, drawn: np.ndarray, count: int) -> Interval:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return Interval(float(value), float(low), float(high), count)


@dataclass(frozen=True)
class Threshold:
    """Two faces count as one person when their cosine is above `value`.

    Attributes:
        value: the cosine.
        far: the false accept rate that it was calibrated for.
        accepted: the share of genuine pairs above it.
        genuine: how many pairs of one person it was calibrated on.
        impostor: how many pairs of two people.
        pairs: where these pairs come from, in words.
    """

    value: float
    far: float
    accepted: float
    genuine: int
    impostor: int
    pairs: str


def calibrate(genuine: torch.Tensor, impostor: torch.Tensor, far: float, pairs: str) -> Threshold:
    """The least cosine that at most a given share of the impostor pairs exceed.

    Take the pairs from originals that are not tested: a threshold from the tested scores makes its own result.

    Args:
        genuine: cosines of pairs of one person, float; NaN is left out.
        impostor: cosines of pairs of two people, float; NaN is left out.
        far: the false accept rate, between 0 and 1.
        pairs: where the pairs come from, in words.

    Raises:
        ValueError: a rate outside 0..1, no genuine pair, or so few impostor pairs that not one of them is let through.
    """
    same, different = (values.flatten()[~values.flatten().isnan()].double().numpy() for values in (genuine, impostor))
    if not 0 < far < 1:
        raise ValueError(f"A false accept rate lies between 0 and 1, not at {far}.")
    if not len(same):
        raise ValueError("A threshold needs pairs of pictures of one person, and there is none: name more pictures.")
    if far * len(different) < 1:
        raise ValueError(
            f"{len(different)} impostor pairs are too few for a false accept rate of {far:g}, which needs "
            f"{int(np.ceil(1 / far))}: take more pictures, or a higher --false-accept-rate."
        )
    allowed = int(far * len(different))
    value = float(np.sort(different)[::-1][allowed])
    return Threshold(value, far, float((same > value).mean()), len(same), len(different), pairs)
