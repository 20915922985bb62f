"""The faces of an image batch, as they travel through a graph (socket FACE_ANON_FACES)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

FIVE_POINTS = "five"  # eye, eye, nose, mouth corner, mouth corner; the image-left one first
IBUG_68 = "ibug68"
BOX_ONLY = "box"


@dataclass(frozen=True)
class Face:
    """One face in one image of a batch.

    box: float64 (4,), x0 y0 x1 y1 in image pixels, edges (x1 and y1 exclusive).
    score: detector confidence, 0..1.
    points: float64 (N, 2), x y in image pixels, integers at pixel centres; N = 5, 68 or 0 by `layout`.
    source: what found it, for reports.
    matrix: float64 (2, 3), image pixels -> crop pixels, integers at pixel centres in both; None before cropping.
    crop_size: side of the square crop in pixels; None before cropping.
    """

    image_index: int
    box: np.ndarray
    score: float
    points: np.ndarray
    layout: str
    source: str
    matrix: np.ndarray | None = None
    crop_size: int | None = None

    def with_crop(self, matrix: np.ndarray, crop_size: int) -> Face:
        return replace(self, matrix=matrix, crop_size=crop_size)


@dataclass(frozen=True)
class Faces:
    """All faces of an image batch of `image_count` pictures of `height` x `width` pixels."""

    image_count: int
    height: int
    width: int
    faces: tuple[Face, ...] = ()

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self):
        return iter(self.faces)
