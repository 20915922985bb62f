"""Boxes and how they overlap. Boxes are float (N, 4), x0 y0 x1 y1, edges.

By hand rather than torchvision.ops: a face never lies inside another, so that suppression also knows `max_inside`, and
ties keep their order; and boxes are numpy all the way.
"""

from __future__ import annotations

import numpy as np


def areas(boxes: np.ndarray) -> np.ndarray:
    """The area of each box, (N,)."""
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def extents(boxes: np.ndarray) -> np.ndarray:
    """The root of each box's area, (N,): its size in pixels."""
    return np.sqrt(areas(boxes))


def centres(boxes: np.ndarray) -> np.ndarray:
    """The middle of each box, (N, 2), x y."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut boxes at the borders of a picture.

    Args:
        boxes: (N, 4).
        height, width: of the picture, in pixels.

    Returns:
        (N, 4); x1 <= x0 or y1 <= y0 where nothing of a box lies in the picture.
    """
    return np.clip(boxes, 0, np.tile([width, height], 2))


def has_area(boxes: np.ndarray) -> np.ndarray:
    """Which boxes are not empty, bool (N,)."""
    return np.logical_and.reduce(boxes[:, 2:] > boxes[:, :2], axis=1)


def shared_areas(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that each box shares with each other one, (N, M)."""
    inner = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    return np.prod(np.clip(inner, 0, None), axis=2)


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with each other one, (N, M), 0..1."""
    shared = shared_areas(boxes, others)
    return shared / (areas(boxes)[:, None] + areas(others) - shared)


def share_inside(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of each box that lies inside each other one, (N, M), 0..1."""
    return shared_areas(boxes, others) / areas(boxes)[:, None]


def overlapping(boxes: np.ndarray, others: np.ndarray, max_iou: float, max_inside: float = np.inf) -> np.ndarray:
    """Which boxes overlap any of some others too far.

    Args:
        boxes: (N, 4).
        others: (M, 4).
        max_iou: from this intersection over union on it is too far.
        max_inside: from this share of the smaller of both boxes on it is too far.

    Returns:
        bool (N,).
    """
    shared = shared_areas(boxes, others)
    area, other = areas(boxes)[:, None], areas(others)[None]
    inside = shared / np.maximum(np.minimum(area, other), 1e-9)
    # by a product, as empty boxes have no union to divide by
    too_far = (shared >= max_iou * (area + other - shared)) | (inside >= max_inside)
    return np.logical_or.reduce(too_far, axis=1)


def suppress(boxes: np.ndarray, scores: np.ndarray, max_iou: float, max_inside: float = np.inf) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4).
        scores: (N,).
        max_iou: a box goes that overlaps a better one by this intersection over union.
        max_inside: a box goes that overlaps a better one by this share of the smaller of both.

    Returns:
        The indices that remain, best first; ties keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    keep = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(best)
        order = rest[~overlapping(boxes[rest], boxes[best : best + 1], max_iou, max_inside)]
    return np.array(keep, dtype=np.int64)
