"""From the detections of one face over a shot to its trajectory: smooth alignments, filled gaps, lead-in and tail.

A trajectory is smoothed as a whole, so that there is no lag: penalised least squares on the third difference (P.
Eilers, "A perfect smoother", Analytical Chemistry 75, 2003, equations 3 to 7 and 10), which leaves motion of constant
velocity or acceleration as it is, treats both ends without padding, and bridges missing frames in the same step. Bad
detections lose their weight by Huber's function (P. Huber, "Robust Estimation of a Location Parameter", 1964).
It stands here by hand, on scipy's banded solver: scipy's smoothing spline penalises the second derivative alone and
names no leverage.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from math import comb

import numpy as np
from scipy.linalg import solveh_banded

from ..alignment import crop_matrix
from ..settings import TrackSettings
from ..types import BOX_ONLY, Face

INTERPOLATED = "interpolated"
EXTRAPOLATED = "extrapolated"

_ORDER = 3  # differences that are penalised
_RIDGE = 1e-4  # on second differences: two detections make a line, where the third difference alone decides nothing
_PRECISION = 1e-9  # of the third difference's penalty: what the second needs to be heard beside it
_ROUNDS = 8  # of reweighting; weights move by less than 1 % after five
_LEAST_NOISE = 0.01  # of the crop's side: detections are never trusted beyond it
_HUBER = 2.0  # standard deviations up to which a detection has full weight in the first half of the rounds
_BIWEIGHT = 4.685  # standard deviations from which on it has none in the second half
_BOX_WEIGHT = 0.25  # of a box without points where others of the track have points
_REJECTED = 0.05  # of its trust, the weight of a bad detection
_FAR, _FAR_RUN = 0.12, 3  # sides of the crop; detections in a row
_DIRECTION_WINDOW = 3  # detections to each side that say which turn an angle belongs to
_VELOCITY_FRAMES = 3
_REACH = 16  # times smoothing, in frames: an impulse's response is below 1 % there
_LEAST_INSIDE = 0.25  # of the box's area: what has left the picture further is no longer extrapolated


def to_parameters(alignments: np.ndarray) -> np.ndarray:
    """Where crops lie, as numbers that can be smoothed.

    Args:
        alignments: (N, 2, 3), picture pixels -> crop of side 1, similarity transforms.

    Returns:
        float64 (N, 4): centre x and y (picture pixels), log of the side (picture pixels) and angle (radians, -pi..pi).
    """
    cosine, sine = alignments[:, 0, 0], alignments[:, 1, 0]
    scale_squared = cosine**2 + sine**2
    offset = 0.5 - alignments[:, :, 2]
    centre = np.stack(
        [cosine * offset[:, 0] + sine * offset[:, 1], cosine * offset[:, 1] - sine * offset[:, 0]], 1
    ) / scale_squared.reshape(-1, 1)
    return np.column_stack([centre, -np.log(scale_squared) / 2, np.arctan2(-sine, cosine)])


def to_alignments(parameters: np.ndarray) -> np.ndarray:
    """The inverse of to_parameters: (N, 4) -> float64 (N, 2, 3)."""
    x, y, log_side, angle = np.asarray(parameters, np.float64).T
    cosine, sine = np.cos(angle) * np.exp(-log_side), -np.sin(angle) * np.exp(-log_side)
    rows = [[cosine, -sine, 0.5 - cosine * x + sine * y], [sine, cosine, 0.5 - sine * x - cosine * y]]
    return np.moveaxis(np.array(rows), 2, 0)


def unwrap(angles: np.ndarray) -> np.ndarray:
    """Angles, each by whole turns next to the mean direction around it.

    A single angle that is off by half a turn (a face read upside down) thus leaves the turn of those after it alone.

    Args:
        angles: (N,) in radians.
    """
    reach = np.arange(-_DIRECTION_WINDOW, _DIRECTION_WINDOW + 1)
    near = np.arange(len(angles))[:, None] + reach
    inside = (near >= 0) & (near < len(angles))
    around = np.exp(1j * angles)[np.clip(near, 0, len(angles) - 1)]
    base = np.unwrap(np.angle((around * inside).sum(1)))
    return base + np.angle(np.exp(1j * (angles - base)))


def smooth_parameters(
    frames: np.ndarray, parameters: np.ndarray, has_points: np.ndarray, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """The trajectory of one face at every frame from its first to its last detection.

    Args:
        frames: int (N,), ascending.
        parameters: (N, 4) as to_parameters gives them.
        has_points: bool (N,); boxes without points know no angle.
        smoothing: as in TrackSettings; 0 interpolates and smooths nothing.

    Returns:
        float64 (frames[-1] - frames[0] + 1, 4), and bool (N,): the detections that it took for bad ones.
    """
    at = frames - frames[0]
    origin = parameters.mean(0)
    values = parameters - origin
    values[:, 3] = unwrap(parameters[:, 3]) - origin[3]
    mixed = has_points.any() and not has_points.all()
    trust = np.where(has_points | (not mixed), 1.0, _BOX_WEIGHT)
    knows_angle = has_points | (not mixed)
    penalty = _penalty(at[-1] + 1, smoothing)
    side = np.exp(parameters[:, 2])
    weights = trust
    for round_ in range(_ROUNDS):
        place, leverage = _solve(penalty, at, values[:, :3], weights, smoothing)
        angle, _ = _solve(penalty, at, values[:, 3:], weights * knows_angle, smoothing)
        result = np.concatenate([place, angle], 1)
        # the first and the last detection draw the curve to themselves and would never look bad
        off = np.abs(values - result[at]) / np.sqrt(np.maximum(1 - leverage, 1e-3))[:, None]
        deviation = np.stack([np.hypot(off[:, 0], off[:, 1]) / side, off[:, 2], off[:, 3] * knows_angle]).max(0)
        noise = max(1.4826 * float(np.median(deviation)), _LEAST_NOISE)
        if round_ < _ROUNDS // 2:
            weights = trust * np.minimum(1, _HUBER * noise / np.maximum(deviation, 1e-12))
        else:
            weights = trust * np.clip(1 - (deviation / (_BIWEIGHT * noise)) ** 2, 1e-6, 1) ** 2
    # several detections in a row that agree against the smooth motion are a fast move: the crop must not stay behind
    moved = _in_runs((deviation > _FAR) & knows_angle, _FAR_RUN)
    result[at[moved]] = values[moved]
    return result + origin, (weights < _REJECTED * trust) & ~moved


def _penalty(length: int, smoothing: float) -> np.ndarray:
    """The penalties' matrix for so many frames, in the upper band form of solveh_banded, (_ORDER + 1, length)."""
    bands = np.zeros((_ORDER + 1, length))
    third = smoothing ** (2 * _ORDER)
    second = _RIDGE + _PRECISION * third
    for order, strength in ((1, _RIDGE * second), (2, second), (_ORDER, third)):
        rows = length - order
        difference = [(-1) ** k * comb(order, k) for k in range(order + 1)]
        for i in range(order + 1):
            for j in range(i, order + 1):
                if rows > 0:
                    bands[_ORDER + i - j, j : j + rows] += strength * difference[i] * difference[j]
    return bands


def _solve(
    penalty: np.ndarray, at: np.ndarray, values: np.ndarray, weights: np.ndarray, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """The smooth curves (length, D), and the leverage of each detection: how far the curve follows it, 0..1."""
    length, count = penalty.shape[1], values.shape[1]
    matrix = penalty.copy()
    matrix[-1, at] += weights
    # impulses so far apart that their responses do not meet share a column
    apart = min(length, round(_REACH * smoothing) + 2 * _ORDER)
    target = np.zeros((length, count + apart))
    target[at, :count] = weights[:, None] * values
    target[at, count + at % apart] = weights
    solved = solveh_banded(matrix[-min(length, _ORDER + 1) :], target)
    return solved[:, :count], solved[at, count + at % apart]


def _in_runs(marked: np.ndarray, least: int) -> np.ndarray:
    """Those of marked, bool (N,), that stand in a row of `least` or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
    result = np.zeros_like(marked)
    for start, stop in edges.reshape(-1, 2):
        result[start:stop] = stop - start >= least
    return result


def trajectory(
    detections: Sequence[Face], shot: tuple[int, int], size: tuple[int, int], settings: TrackSettings = TrackSettings()
) -> list[Face]:
    """One face at every frame from `lead` frames before its first detection to `lead` frames after its last.

    Every face has `alignment`; detections keep all else. Between two detections box and points go in a line, the score
    is the lower one, the source "interpolated". A bad detection gets these points, too, and a box around both. Before
    and after, a face goes on at its last velocity (mean of three frames), keeps size, angle and score, and has the
    source "extrapolated"; a box that has left the picture by three quarters is not extrapolated.

    Args:
        detections: of one face, at most one a frame, in order.
        shot: its first and last frame, both included; nothing lies outside.
        size: height and width of the pictures, in pixels.
        settings: lead and smoothing.
    """
    frames = np.array([face.image_index for face in detections])
    raw = np.stack([crop_matrix(face.points, face.layout, face.box, 1) for face in detections])
    has_points = np.array([face.layout != BOX_ONLY for face in detections])
    smooth, bad = smooth_parameters(frames, to_parameters(raw), has_points, settings.smoothing)
    alignments, start = to_alignments(smooth), int(frames[0])
    found = {face.image_index: face for face in detections}
    sure = [face for face, is_bad in zip(detections, bad, strict=True) if not is_bad]
    places = [face.image_index for face in sure]
    faces = []
    for frame, alignment in enumerate(alignments, start=start):
        following = bisect_left(places, frame)
        if following < len(places) and places[following] == frame:
            faces.append(replace(sure[following], alignment=alignment, original=None))  # of another square
            continue
        if following in (0, len(places)):
            nearest = sure[min(following, len(places) - 1)]
            face = _carried(nearest, frame, smooth[frame - start, :2] - smooth[nearest.image_index - start, :2])
        else:
            face = _between(sure[following - 1], sure[following], frame)
        if frame in found:
            box = np.concatenate(
                [np.minimum(face.box, found[frame].box)[:2], np.maximum(face.box, found[frame].box)[2:]]
            )
            face = replace(found[frame], box=box, points=face.points, layout=face.layout)
        else:
            face = replace(face, source=INTERPOLATED)
        faces.append(replace(face, alignment=alignment, original=None))
    before = _extrapolate(faces[0], smooth, -1, min(settings.lead, start - shot[0]), size)
    after = _extrapolate(faces[-1], smooth, 1, min(settings.lead, shot[1] - frames[-1]), size)
    return [*before[::-1], *faces, *after]


def _between(earlier: Face, later: Face, frame: int) -> Face:
    part = (frame - earlier.image_index) / (later.image_index - earlier.image_index)
    nearer = earlier if part <= 0.5 else later
    box = (1 - part) * earlier.box + part * later.box
    if earlier.layout == later.layout:
        points = (1 - part) * earlier.points + part * later.points
    else:  # two layouts have no points in common: the nearer one's move with the box
        scale = (box[2:] - box[:2]) / (nearer.box[2:] - nearer.box[:2])
        points = (nearer.points - nearer.box[:2]) * scale + box[:2]
    return Face(frame, box, min(earlier.score, later.score), points, nearer.layout, INTERPOLATED)


def _carried(face: Face, frame: int, shift: np.ndarray) -> Face:
    """The face in another frame, moved by shift (2,) in pixels."""
    return Face(frame, face.box + np.tile(shift, 2), face.score, face.points + shift, face.layout, EXTRAPOLATED)


def _extrapolate(face: Face, smooth: np.ndarray, step: int, count: int, size: tuple[int, int]) -> list[Face]:
    """The faces of the frames beyond one end of a trajectory, nearest first.

    Args:
        face: at that end.
        smooth: (T, 4), the trajectory.
        step: 1 after its end, -1 before its start.
        count: frames.
        size: height and width of the pictures.
    """
    ends = smooth if step > 0 else smooth[::-1]
    over = min(_VELOCITY_FRAMES, len(ends) - 1)
    velocity = (ends[-1, :2] - ends[-1 - over, :2]) / max(over, 1)
    area = np.prod(face.box[2:] - face.box[:2])
    result = []
    for k in range(1, count + 1):
        moved = _carried(face, face.image_index + k * step, k * velocity)
        box = np.clip(moved.box, 0, np.tile(size[::-1], 2))
        if np.prod(box[2:] - box[:2]) < _LEAST_INSIDE * area:
            break
        alignment = np.array(face.alignment)
        alignment[:, 2] -= alignment[:, :2] @ (k * velocity)
        result.append(replace(moved, box=box, alignment=alignment))
    return result
