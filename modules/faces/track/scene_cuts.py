"""Where one shot of a clip ends and the next begins, from thumbnails of its frames.

Two measures are joined, after each thumbnail has lost its brightness and contrast, so that fades, exposure and lamps
weigh little: how far the structure differs (correlation of luminance at the best shift, so that pans and shakes weigh
little) and how far the colours differ (histograms of the channels). A frame begins a shot when it and the one after
differ from both frames before, which a flash of one frame does not do, and by more than frames differ around it, which
fast motion does not do.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch

from ..area_means import area_means

THUMBNAIL_SHAPE = (36, 64, 3)  # rows, columns, channels

# Between the excess of cuts and that of all else: see docs/measured.md, "Where a shot ends".
THRESHOLD = 0.4

_CONTRAST_FLOOR = 0.1  # of full scale, added to the contrast, so that a fade starts gently
_STRUCTURE_FLOOR = 0.25  # of the variance of a normalised thumbnail: two flat frames are alike
_SHIFT = (6, 12)  # thumbnail pixels, up to a fifth of the picture between two frames
_BINS, _RANGE = 12, 3.0  # of the histogram; standard deviations of luminance to each side
_NEIGHBOURS = 5  # frames before, and after, whose median change is the local level
_LAGS = (1, 2, 3)  # frames between the two that are compared
_CHUNK = 128  # frames whose thumbnails and spectra are held at once


def thumbnail(image: torch.Tensor) -> np.ndarray:
    """A picture at 36x64 for find_cuts, whatever its shape: means over areas.

    Args:
        image: float [H, W, C], 0..1, C = 1, 3 or 4 (alpha is dropped, one channel becomes three), on any device.

    Returns:
        float32 (36, 64, 3), 0..1.

    Raises:
        ValueError: another shape.
    """
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(
            f"A frame is [H, W, C] with 1, 3 or 4 channels and H, W of 1 at least, got {list(image.shape)}."
        )
    small = area_means(image[..., :3], *THUMBNAIL_SHAPE[:2])
    return small.clamp(0, 1).expand(-1, -1, 3).contiguous().numpy()  # sums of shares round


def find_cuts(thumbnails: Iterable[np.ndarray]) -> list[int]:
    """Where the shots of a clip begin. A shot of a single frame is a flash; dissolves and fades are no cuts.

    Args:
        thumbnails: of all frames in order, each (h, w, 3), 0..1 (see thumbnail); an array (N, h, w, 3) is one, N = 0
            included. They may come one by one: only a few are held at a time.

    Returns:
        The number of the first frame after each cut, ascending, from 0.

    Raises:
        ValueError: thumbnails of another shape.
    """
    change, level = measure_changes(thumbnails)
    excess = change - level
    # a flash in the cut makes two changes in a row: the larger one, or the first of equals
    before, after = np.r_[0.0, excess[:-1]], np.r_[excess[1:], 0.0]
    return np.flatnonzero((excess > THRESHOLD) & (excess > before) & (excess >= after)).tolist()


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """How far two frames differ in structure and colours, whatever their light, 0..1.

    Args:
        before, after: thumbnails, (36, 64, 3).
    """
    normalised = _normalise(np.stack([before, after]).astype(np.float32, copy=False))
    spectra = np.fft.rfft2(normalised.mean(3), axes=(1, 2))
    one, other = np.array([1]), np.array([0])
    return float(_difference(normalised, spectra, _histograms(normalised), one, other)[0])


def measure_changes(thumbnails: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How much the picture changes at each frame, and how much it changes around it.

    Args:
        thumbnails: as find_cuts.

    Returns:
        (change, level), both float64 (N,), 0..1. change: how far a frame and its follower differ from the two before.
        level: the median difference of neighbours before or after, whichever is larger.
    """
    lags = _differences(thumbnails)
    count = lags.shape[1]
    change, level = np.zeros(count), np.zeros(count)
    steps = lags[0]
    for t in range(1, count):
        pairs = ((1, t), (2, t), (2, t + 1), (3, t + 1))
        change[t] = min(lags[lag - 1, end] for lag, end in pairs if end < count and end >= lag)
        sides = (steps[max(t - _NEIGHBOURS, 1) : t], steps[t + 1 : t + 1 + _NEIGHBOURS])
        level[t] = max((float(np.median(side)) for side in sides if side.size), default=0.0)
    return change, level


def _differences(thumbnails: Iterable[np.ndarray]) -> np.ndarray:
    """How far frame t differs from frame t - lag, float64 (3, N), at [lag - 1, t]; 1 where there is no such frame."""
    coming = iter(thumbnails)
    parts = [np.ones((len(_LAGS), 0))]
    before = ()  # the last frames of the chunk before
    while chunk := list(islice(coming, _CHUNK)):
        frames = np.stack([*before, *chunk]).astype(np.float32, copy=False)
        if frames.ndim != 4 or frames.shape[3] != 3:
            raise ValueError(f"Thumbnails are [N, h, w, 3], got {list(frames.shape)}: make them by thumbnail().")
        normalised = _normalise(frames)
        spectra = np.fft.rfft2(normalised.mean(3), axes=(1, 2))
        histograms = _histograms(normalised)
        part = np.ones((len(_LAGS), len(frames)))
        for lag in _LAGS:
            later = np.arange(max(len(before), lag), len(frames))
            part[lag - 1, later] = _difference(normalised, spectra, histograms, later, later - lag)
        parts.append(part[:, len(before) :])
        before = frames[-max(_LAGS) :].copy()
    return np.concatenate(parts, 1)


def _normalise(frames: np.ndarray) -> np.ndarray:
    """Each frame less its mean luminance, in standard deviations of its luminance."""
    luminance = frames.mean(3)
    mean, spread = luminance.mean((1, 2)), luminance.std((1, 2))
    return (frames - mean[:, None, None, None]) / (spread + _CONTRAST_FLOOR)[:, None, None, None]


def _histograms(frames: np.ndarray) -> np.ndarray:
    """Of each channel, (N, 3, bins), each of sum 1; a value counts for the two bins next to it, by its distance."""
    place = np.clip((frames.reshape(len(frames), -1, 3) / _RANGE + 1) / 2, 0, 1) * (_BINS - 1)
    lower = np.minimum(place.astype(int), _BINS - 2)
    upper_share = place - lower
    row = (np.arange(len(frames))[:, None, None] * 3 + np.arange(3)) * _BINS + lower
    size = len(frames) * 3 * _BINS
    total = np.bincount(row.ravel(), (1 - upper_share).ravel(), size)
    total += np.bincount(row.ravel() + 1, upper_share.ravel(), size)
    return total.reshape(len(frames), 3, _BINS) / place.shape[1]


def _difference(
    frames: np.ndarray, spectra: np.ndarray, histograms: np.ndarray, later: np.ndarray, earlier: np.ndarray
) -> np.ndarray:
    height, width = frames.shape[1:3]
    correlation = np.fft.irfft2(spectra[later] * spectra[earlier].conj(), (height, width), axes=(1, 2))
    rows = np.arange(-_SHIFT[0], _SHIFT[0] + 1) % height
    columns = np.arange(-_SHIFT[1], _SHIFT[1] + 1) % width
    best = correlation[:, rows[:, None], columns].max((1, 2)) / (height * width)
    variance = frames.mean(3).var((1, 2))
    likeness = (2 * best + _STRUCTURE_FLOOR) / (variance[later] + variance[earlier] + _STRUCTURE_FLOOR)
    structure = np.clip(1 - likeness, 0, 1)
    colour = np.abs(histograms[later] - histograms[earlier]).sum(2).mean(1) / 2
    return 1 - (1 - structure) * (1 - colour)
