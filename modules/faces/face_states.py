"""What a picture shows at a face's place: the original, what became of it, a mixture of both, or something else."""

from __future__ import annotations

import math

import numpy as np
import torch

from .mixtures import find_mixture
from .placing import Place
from .traces import FLAT, LEAST_CHANGE, SAMPLES, SURE, Trace, samples_of

_RATHER = 0.9  # what the original does not explain of a face that was moved, as a share of what the result does not
_CELLS_OFF = 0.4  # how exact a place is, in cells of what it was found by
# share of a face's samples that lie in the picture: from the first on it is a face, from the second on a part of one
_LEAST_SEEN, _LEAST_PART = 0.75, 0.2
_MOST_OFF, _FINE = 6, 3  # samples by which a face is searched for around its place; up to that many in quarters
_LEAST_SIZE = 16  # pixels of a face in a picture, of whose samples it is asked whether they are something else
# What a picture shows at a face: the original, what became of it, as much of nothing as that, both mixed, something
# else; and what is too small, or too near to the result, to be called something else.
OPEN, CHANGED, COVERED, MIXED, UNKNOWN, UNCLEAR = "open", "changed", "covered", "mixed", "unknown", "unclear"


def state_of(trace: Trace, picture: torch.Tensor) -> str:
    """What a picture of the report's own frame shows of a face."""
    x0, y0, x1, y1 = trace.box
    return _judge(trace, samples_of(picture, trace.box).reshape(1, -1), 1.0, min(x1 - x0, y1 - y0))


def state_in(trace: Trace, place: tuple[float, float, float, float], luma: np.ndarray) -> str:
    """What a picture, luma [H, W] in levels, shows of a face whose box lies at a place of it that is nearly exact."""
    x0, y0, x1, y1 = place
    steps = np.arange(-2, 3) / (2 * SAMPLES)
    index = (np.arange(SAMPLES) + 0.5) / SAMPLES
    now = [
        look_up(luma, *np.meshgrid(x0 + (index + dx) * (x1 - x0) - 0.5, y0 + (index + dy) * (y1 - y0) - 0.5)).ravel()
        for dx in steps
        for dy in steps
    ]
    return _judge(trace, np.stack(now), 1.0, min(x1 - x0, y1 - y0))


def state_at(trace: Trace, place: Place, luma: np.ndarray, size: tuple[int, int], cells: int) -> str | None:
    """What a picture shows of a face that lies elsewhere in it; None where it does not show the face."""
    x0, y0, x1, y1 = trace.box
    sides = np.array([x1 - x0, y1 - y0])
    off = _CELLS_OFF * max(size) / cells / max(float(sides.min()) / SAMPLES, 1e-3)  # in samples
    reach = min(math.ceil(off) + 1, _MOST_OFF)
    steps = 4 if reach <= _FINE else 2  # a sample
    index = (np.arange(-reach * steps, (SAMPLES + reach) * steps) + 0.5 * steps) / steps / SAMPLES
    x = (x0 + index[None] * sides[0]) / size[1] - 0.5
    y = (y0 + index[:, None] * sides[1]) / size[0] - 0.5
    inverse = np.linalg.inv(place.matrix[:, :2])
    u, v = x - place.matrix[0, 2], y - place.matrix[1, 2]
    height, width = luma.shape
    column = (inverse[0, 0] * u + inverse[0, 1] * v + 0.5) * width - 0.5
    row = (inverse[1, 0] * u + inverse[1, 1] * v + 0.5) * height - 0.5
    inside = (column > -1) & (column < width) & (row > -1) & (row < height)
    own = slice(reach * steps, (reach + SAMPLES) * steps)
    samples = inside[own, own][steps // 2 :: steps, steps // 2 :: steps]
    if samples.mean() < _LEAST_PART:
        return None
    shown = look_up(luma, column, row)
    shifts = range(2 * reach * steps)
    span = (SAMPLES - 1) * steps + 1
    now = np.stack([shown[i : i + span : steps, j : j + span : steps].ravel() for i in shifts for j in shifts])
    first, last = own.start, own.stop - 1
    corners = [np.array((part[first, first], part[first, last], part[last, first])) for part in (column, row)]
    side = min(float(np.hypot(*(part[i] - part[0] for part in corners))) for i in (1, 2))
    if samples.mean() < _LEAST_SEEN:
        return _judge_part(trace, now, samples.ravel(), side)
    return _judge(trace, now, _RATHER, side)


def _judge(trace: Trace, now: np.ndarray, rather: float, side: float) -> str:
    """Which of the two states of a face one of its samples shows.

    Args:
        trace: of the face.
        now: [N, 256], levels; the same face looked up at N places.
        rather: the largest share of what the result does not explain that the original may leave unexplained.
        side: of the face in the picture, in pixels.
    """
    before, after = (state.astype(np.float64).ravel() for state in (trace.before, trace.after))
    if np.sqrt(np.mean((before - after) ** 2)) < LEAST_CHANGE:
        return CHANGED
    now = now.astype(np.float64)
    spread = now.std(1)
    shows = spread >= FLAT
    if not shows.any():
        return COVERED if after.std() < FLAT else UNCLEAR
    mixture = find_mixture(trace.before, trace.after, now[shows])
    by_before, by_after = _left_unexplained(before, after, now[shows], spread[shows])
    if by_before < SURE and by_before < rather * by_after:
        return OPEN
    if mixture.shows_original:
        return MIXED
    if by_after < SURE and by_after <= by_before:
        return CHANGED
    if after.std() < FLAT and not shows.all():  # as flat as it was covered at one of the places, at least
        return COVERED
    return UNKNOWN if mixture.shows_neither and side >= _LEAST_SIZE else UNCLEAR


def _judge_part(trace: Trace, now: np.ndarray, inside: np.ndarray, side: float) -> str:
    """As _judge, of a face of which only some samples lie in the picture: bool [256]."""
    before, after = (state.astype(np.float64).ravel()[inside] for state in (trace.before, trace.after))
    if np.sqrt(np.mean((before - after) ** 2)) < LEAST_CHANGE:
        return CHANGED
    now = now.astype(np.float64)[:, inside]
    spread = now.std(1)
    shows = spread >= FLAT
    if not shows.any():
        return COVERED if after.std() < FLAT else UNCLEAR
    by_before, by_after = _left_unexplained(before, after, now[shows], spread[shows])
    if by_before < SURE and by_before < _RATHER * by_after:
        return OPEN
    if by_after < SURE or (after.std() < FLAT and not shows.all()):
        return CHANGED
    return UNKNOWN if side >= _LEAST_SIZE else UNCLEAR


def _left_unexplained(
    before: np.ndarray, after: np.ndarray, now: np.ndarray, spread: np.ndarray
) -> tuple[float, float]:
    """What the original and the result leave unexplained, see _unexplained; of samples [N, n] that show something."""
    now = now - now.mean(1, keepdims=True)
    by_before, by_after = (_unexplained(now, state, spread) for state in (before, after))
    return min(by_before, _unexplained(-now, before, spread)), by_after  # its negative shows the person as well


def _unexplained(now: np.ndarray, known: np.ndarray, spread: np.ndarray) -> float:
    """The least share of deviation that a state, with the best gain and offset, does not explain."""
    known = known - known.mean()
    energy = np.sqrt((known * known).mean())
    if energy < FLAT:
        return 1.0
    agreement = np.clip((now @ known) / (len(known) * spread * energy), 0, 1)
    return float(np.sqrt(1 - agreement.max() ** 2))


def look_up(luma: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Values of a picture at places, bilinear; its border goes on beyond it."""
    height, width = luma.shape
    column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    left, top = (
        np.minimum(column.astype(np.intp), max(width - 2, 0)),
        np.minimum(row.astype(np.intp), max(height - 2, 0)),
    )
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = column - left, row - top
    upper = luma[top, left] * (1 - fx) + luma[top, right] * fx
    lower = luma[bottom, left] * (1 - fx) + luma[bottom, right] * fx
    return upper * (1 - fy) + lower * fy
