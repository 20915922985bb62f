"""From CenterFace's outputs to candidate faces, and from candidates to faces.

Source: the CenterFace paper (arXiv 1911.03599, sections 3.2 and 3.4) and its published code (Star-Clouds/CenterFace,
MIT).
"""

from __future__ import annotations

import numpy as np

from .centerface import STRIDE

_MAX_CANDIDATES = 4096  # cells kept before suppression, best first; one face lights a handful


def decode(
    heatmap: np.ndarray, scale: np.ndarray, offset: np.ndarray, landmarks: np.ndarray, min_score: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidate faces from the network's outputs for one picture, before suppression, best first.

    heatmap: (h, w); scale, offset: (2, h, w); landmarks: (10, h, w); y before x in all of them.
    Returns boxes (N, 4) x0 y0 x1 y1, scores (N,), points (N, 5, 2) x y, in pixels of the network's input, not clipped.
    The published code clips a box before it places the points from its corner; here they are placed first, so that
    the points of a face that leaves the picture stay where they are.
    """
    row, column = np.nonzero(heatmap >= min_score)
    scores = heatmap[row, column]
    best = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    row, column, scores = row[best], column[best], scores[best]
    extent = np.exp(np.clip(scale[:, row, column], -10, 10)).T[:, ::-1] * STRIDE  # width, height
    centre = (np.stack([column, row], 1) + offset[:, row, column].T[:, ::-1] + 0.5) * STRIDE
    corner = centre - extent / 2
    relative = landmarks[:, row, column].T.reshape(-1, 5, 2)[..., ::-1]
    return np.concatenate([corner, corner + extent], 1), scores, corner[:, None] + relative * extent[:, None]


def suppress(boxes: np.ndarray, scores: np.ndarray, max_iou: float, max_inside: float = np.inf) -> np.ndarray:
    """Greedy non-maximum suppression: the indices that remain, best first; ties keep their order.

    boxes: (N, 4) x0 y0 x1 y1; scores: (N,); a box goes that overlaps a better one by max_iou (area of intersection over
    union), or by max_inside (area of intersection over the smaller of both).
    """
    order = np.argsort(-scores, kind="stable")
    keep = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(best)
        order = rest[~overlapping(boxes[rest], boxes[best : best + 1], max_iou, max_inside)]
    return np.array(keep, dtype=np.int64)


def overlapping(boxes: np.ndarray, others: np.ndarray, max_iou: float, max_inside: float = np.inf) -> np.ndarray:
    """Which of the boxes (N, 4) overlap any of the others (M, 4) by max_iou or max_inside (see suppress); bool (N,)."""
    overlap = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = np.prod(np.clip(overlap, 0, None), axis=2)
    area, other = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others))
    union = area[:, None] + other[None] - shared
    inside = shared / np.maximum(np.minimum(area[:, None], other[None]), 1e-9)
    return ((shared >= max_iou * union) | (inside >= max_inside)).any(1)
