"""Which detections over the frames of a clip are one face.

First frame by frame: a constant-velocity Kalman filter on centre and log size, and the optimal assignment of its
predictions to the detections, as in SORT (Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016). Two things
differ. The cost is the negative log-likelihood of a detection rather than the overlap alone, so that a track seen just
now is preferred to one that is lost, whose prediction is less certain: this is what keeps two faces apart while one
hides the other. And overlap is a second chance: a detection that fits no motion but lies on the prediction belongs to
the track.

Then the pieces are linked over longer gaps, by their motion on both sides of a gap, as in hierarchical association
(Huang et al., "Robust Object Tracking by Hierarchical Association of Detection Responses", ECCV 2008): a face that
slips behind another is seen in part first, so that its box shrinks and stops, and a filter leads astray.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .. import boxes as box_math
from ..types import Face

# Of a face's size (the root of its box's area) and of its log size alike.
_MEASUREMENT_NOISE = 0.04  # standard deviation of a detected box
_ACCELERATION = 0.02  # a frame squared
_FIRST_VELOCITY = 0.25  # a frame; before it is known
# Costs are minus twice the log-likelihood.
_LOST = 4.0  # what a track pays to return after a missed frame: exp(-2), about one in seven does in the next
_GATE = 25.0  # at which a detection is rather a new face: four standard deviations in three dimensions, and more
_SECOND_CHANCE_IOU = 0.3  # detections that overlap more are of one face for the detector, too
_FILTER_GAP = 3  # frames over which the filter alone finds a face again
_LINE = 10  # detections at either side of a gap that make a line
_LEAST_LINE = 5  # fewer give no velocity
_UNSURE = 0.25  # faces that a link to so short a piece costs more: it may be no face at all


def associate(faces: Sequence[Face], bounds: np.ndarray, max_gap: int) -> list[list[Face]]:
    """The detections of each track, in order of frames; at most one a frame, and none of another shot.

    Args:
        faces: ordered by frame.
        bounds: int (S,), the first frame of every shot, ascending.
        max_gap: missed frames after which a track ends.
    """
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    extent = boxes[:, 2:] - boxes[:, :2]
    measured = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(extent).mean(1)])
    frames = np.array([face.image_index for face in faces], int)
    tracks = []
    for shot in np.split(np.arange(len(faces)), np.searchsorted(frames, bounds[1:])):
        pieces = _pieces(shot, frames, measured, boxes, min(max_gap, _FILTER_GAP))
        tracks.extend(_link(pieces, frames, measured, max_gap))
    return [[faces[i] for i in track] for track in tracks]


def _pieces(
    detections: np.ndarray, frames: np.ndarray, measured: np.ndarray, boxes: np.ndarray, max_gap: int
) -> list[np.ndarray]:
    """Tracks by the filter alone: of these detections (indices, ordered by frame) those that belong together."""
    pieces: list[list[int]] = []
    motion, active, now = _Motion(), np.zeros(0, int), 0
    extent = boxes[:, 2:] - boxes[:, :2]
    aspect = np.log(extent[:, 0] / extent[:, 1])
    for here in np.split(detections, np.flatnonzero(np.diff(frames[detections])) + 1) if len(detections) else ():
        for _ in range(min(frames[here[0]] - now, max_gap + 2)):
            motion.predict()
        now = frames[here[0]]
        alive = motion.missed <= max_gap + 1
        if not alive.all():
            motion.keep(alive)
            active = active[alive]
        cost = motion.cost(measured[here], boxes[here])
        rows, columns = linear_sum_assignment(cost)
        matched = cost[rows, columns] < _GATE
        rows, columns = rows[matched], here[columns[matched]]
        motion.update(rows, measured[columns], aspect[columns])
        for row, column in zip(rows, columns, strict=True):
            pieces[active[row]].append(column)
        new = np.setdiff1d(here, columns)
        motion.add(measured[new], aspect[new])
        active = np.concatenate([active, len(pieces) + np.arange(len(new))])
        pieces.extend([i] for i in new)
    return [np.array(piece) for piece in pieces]


def _link(pieces: list[np.ndarray], frames: np.ndarray, measured: np.ndarray, max_gap: int) -> list[np.ndarray]:
    """Pieces of tracks (indices of detections, in order) joined over gaps of up to max_gap frames."""
    starts = np.array([frames[piece[0]] for piece in pieces])
    by_start = np.argsort(starts, kind="stable")
    pairs = []
    for a, piece in enumerate(pieces):
        end = frames[piece[-1]]
        near = by_start[slice(*np.searchsorted(starts[by_start], [end + 1, end + max_gap + 2]))]
        pairs.extend((a, b, cost) for b in near if (cost := _link_cost(piece, pieces[b], frames, measured)) < 1)
    if not pairs:
        return pieces
    before, after, cost = np.array(pairs).T
    before, after, count = before.astype(int), after.astype(int), len(pieces)
    # an end and a start are two nodes; groups that share neither are solved one by one
    graph = coo_array((np.ones(len(pairs)), (before, count + after)), shape=(2 * count, 2 * count))
    group = connected_components(graph, directed=False)[1][before]
    follows = {}
    for members in np.split(np.argsort(group, kind="stable"), np.flatnonzero(np.diff(np.sort(group))) + 1):
        ends, end_row = np.unique(before[members], return_inverse=True)
        begins, begin_column = np.unique(after[members], return_inverse=True)
        matrix = np.ones((len(ends), len(begins)))
        matrix[end_row, begin_column] = cost[members]
        for row, column in zip(*linear_sum_assignment(matrix), strict=True):
            if matrix[row, column] < 1:
                follows[ends[row]] = begins[column]
    joined = []
    for first in sorted(set(range(count)) - set(follows.values())):
        chain = [first]
        while chain[-1] in follows:
            chain.append(follows[chain[-1]])
        joined.append(np.concatenate([pieces[i] for i in chain]))
    return joined


def _link_cost(earlier: np.ndarray, later: np.ndarray, frames: np.ndarray, measured: np.ndarray) -> float:
    """How far apart the lines of both pieces pass in the middle of the gap, in faces; a link costs less than 1."""
    ends = earlier[-_LINE:], later[:_LINE]
    middle = (frames[earlier[-1]] + frames[later[0]]) / 2
    velocities = [_velocity(frames[end], measured[end, :2]) for end in ends if len(end) >= _LEAST_LINE]
    places = []
    for end, velocity in zip(ends, (velocities[:1], velocities[-1:]), strict=True):  # a short one has the other's
        moved = (middle - frames[end])[:, None] * np.sum(velocity, axis=0)
        places.append(np.median(measured[end, :2] + moved, axis=0))
    log_sizes = [np.median(measured[end, 2]) for end in ends]
    apart = np.hypot(*(places[0] - places[1])) / np.exp(np.mean(log_sizes))
    return float(np.hypot(apart, log_sizes[0] - log_sizes[1]) + _UNSURE * (2 - len(velocities)))


def _velocity(frames: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Theil-Sen slope of values (N, D): the median of all pairs, which a few half-hidden faces do not move."""
    i, j = np.triu_indices(len(frames), 1)
    return np.median((values[j] - values[i]) / (frames[j] - frames[i])[:, None], axis=0)


class _Motion:
    """Constant-velocity Kalman filters, one a track, on (centre x, centre y, log size).

    The noise of all three is a share of the face's size, so that one covariance serves the three. By hand, as scipy has
    no Kalman filter.
    """

    def __init__(self):
        self.mean = np.zeros((0, 3))
        self.velocity = np.zeros((0, 3))
        self.covariance = np.zeros((0, 3))  # of place, of place and velocity, of velocity; in sizes squared
        self.aspect = np.zeros(0)  # log of width / height, as last seen
        self.missed = np.zeros(0, int)  # frames since it was seen

    def predict(self) -> None:
        self.mean = self.mean + self.velocity
        place, mixed, speed = self.covariance.T
        q = _ACCELERATION**2
        self.covariance = np.stack([place + 2 * mixed + speed + q / 4, mixed + speed + q / 2, speed + q], 1)
        self.missed = self.missed + 1

    def boxes(self) -> np.ndarray:
        half = np.exp(self.mean[:, 2:] + self.aspect[:, None] * [0.5, -0.5]) / 2
        return np.concatenate([self.mean[:, :2] - half, self.mean[:, :2] + half], 1)

    def cost(self, measured: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Of each track for each detection, (T, D); _GATE where they do not belong together."""
        error = measured[None] - self.mean[:, None]
        error[..., :2] /= np.exp(self.mean[:, None, 2:])
        variance = (self.covariance[:, 0] + _MEASUREMENT_NOISE**2)[:, None]
        cost = (error**2).sum(2) / variance + 3 * np.log(variance / _MEASUREMENT_NOISE**2)
        cost += _LOST * (self.missed > 1)[:, None]
        iou = box_math.iou(self.boxes(), boxes)
        return np.minimum(cost, np.where(iou > _SECOND_CHANCE_IOU, _GATE * (1 - iou / 2), _GATE))

    def update(self, rows: np.ndarray, measured: np.ndarray, aspect: np.ndarray) -> None:
        place, mixed, speed = self.covariance[rows].T
        total = place + _MEASUREMENT_NOISE**2
        error = measured - self.mean[rows]
        unit = np.exp(self.mean[rows, 2:]) ** np.array([1, 1, 0])
        # a bad box moves the place, which the next one mends, but not the velocity
        usual = 3 * np.sqrt(total)[:, None] * unit
        self.mean[rows] += (place / total)[:, None] * error
        self.velocity[rows] += (mixed / total)[:, None] * np.clip(error, -usual, usual)
        self.covariance[rows] = np.stack(
            [place - place**2 / total, mixed - place * mixed / total, speed - mixed**2 / total], 1
        )
        self.aspect[rows], self.missed[rows] = aspect, 0

    def add(self, measured: np.ndarray, aspect: np.ndarray) -> None:
        new = np.tile([_MEASUREMENT_NOISE**2, 0, _FIRST_VELOCITY**2], (len(measured), 1))
        self.mean = np.concatenate([self.mean, measured])
        self.velocity = np.concatenate([self.velocity, np.zeros_like(measured)])
        self.covariance = np.concatenate([self.covariance, new])
        self.aspect = np.concatenate([self.aspect, aspect])
        self.missed = np.concatenate([self.missed, np.zeros(len(measured), int)])

    def keep(self, rows: np.ndarray) -> None:
        for name in ("mean", "velocity", "covariance", "aspect", "missed"):
            setattr(self, name, getattr(self, name)[rows])
