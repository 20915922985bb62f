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


def suppress(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> np.ndarray:
    """Greedy non-maximum suppression: the indices that remain, best first; ties keep their order.

    boxes: (N, 4) x0 y0 x1 y1; scores: (N,); a box that overlaps a better one by max_iou (area of intersection over
    union) goes.
    """
    order = np.argsort(-scores, kind="stable")
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    keep = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(best)
        overlap = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = np.prod(np.clip(overlap, 0, None), axis=1)
        order = rest[shared < max_iou * (area[best] + area[rest] - shared)]
    return np.array(keep, dtype=np.int64)
