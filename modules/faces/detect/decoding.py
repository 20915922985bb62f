"""From CenterFace's outputs to candidate faces.

Source: the CenterFace paper (arXiv 1911.03599, sections 3.2 and 3.4) and its published code (Star-Clouds/CenterFace,
MIT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import boxes as box_math
from .centerface import STRIDE

NMS_IOU = 0.3  # boxes that overlap more are one face
MAX_INSIDE = 0.6  # share of a box that may lie in a better one: a face does not fit into a face
_MAX_CANDIDATES = 4096  # cells kept before suppression, best first; one face lights a handful


class Candidates(NamedTuple):
    """What may be faces.

    Args:
        boxes: (N, 4) x0 y0 x1 y1, edges.
        scores: (N,), 0..1.
        points: (N, 5, 2) x y, in the pixels of the boxes, edges.
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray

    def pick(self, which: np.ndarray | slice) -> Candidates:
        """Those that indices, a mask or a slice name."""
        return Candidates(*(part[which] for part in self))

    def unique(self, max_inside: float = np.inf) -> Candidates:
        """Best first, without those that overlap a better one; see boxes.suppress."""
        return self.pick(box_math.suppress(self.boxes, self.scores, NMS_IOU, max_inside))


def join(parts: Sequence[Candidates]) -> Candidates:
    """All candidates of the parts, one after the other."""
    return Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def no_candidates() -> Candidates:
    """Candidates of which there are none."""
    return Candidates(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))


def decode(
    heatmap: np.ndarray, scale: np.ndarray, offset: np.ndarray, landmarks: np.ndarray, min_score: float
) -> Candidates:
    """Candidate faces from the network's outputs for one picture, before suppression, best first.

    The published code clips a box before it places the points from its corner; here they are placed first, so that
    the points of a face that leaves the picture stay where they are.

    Args:
        heatmap: (h, w); y before x, in all of them.
        scale, offset: (2, h, w).
        landmarks: (10, h, w).
        min_score: the least of the heatmap that counts, 0..1.

    Returns:
        Candidates in pixels of the network's input, not clipped.
    """
    row, column = np.nonzero(heatmap >= min_score)
    scores = heatmap[row, column]
    best = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    row, column, scores = row[best], column[best], scores[best]
    extent = np.exp(np.clip(scale[:, row, column], -10, 10)).T[:, ::-1] * STRIDE  # width, height
    centre = (np.stack([column, row], 1) + offset[:, row, column].T[:, ::-1] + 0.5) * STRIDE
    corner = centre - extent / 2
    relative = landmarks[:, row, column].T.reshape(-1, 5, 2)[..., ::-1]
    boxes = np.concatenate([corner, corner + extent], 1)
    return Candidates(boxes, scores, corner[:, None] + relative * extent[:, None])
