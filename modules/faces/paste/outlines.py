"""Rectangles, ellipses and convex polygons in picture pixels, as signed distances to their borders: above 0 inside.

Each has distance(x, y) of points that are broadcast against each other, in pixels; width(), the narrowest; area(); and
extremes(margin), points (N, 2) around all that lies less than `margin` pixels outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import ConvexHull, QhullError

from ..alignment import invert_affine


@dataclass(frozen=True)
class _Placed:
    """A shape of half sides or half axes `half` in picture pixels; matrix (2, 3) takes picture pixels to -1..1."""

    matrix: np.ndarray
    half: tuple[float, float]

    @cached_property
    def inverse(self) -> np.ndarray:
        return invert_affine(self.matrix)

    def width(self) -> float:
        return 2 * min(self.half)

    def across_and_along(self, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        """Where picture pixels lie in the shape's own -1..1."""
        # about the shape's middle: far from the picture's corner float32 would lose digits in the sums
        middle = self.inverse[:, 2]
        x, y = x - float(middle[0]), y - float(middle[1])
        if self.matrix[0, 1] == 0 and self.matrix[1, 0] == 0:  # upright: a row and a column are enough
            return [float(self.matrix[0, 0]) * x, float(self.matrix[1, 1]) * y]
        return [float(a) * x + float(b) * y for a, b, _ in self.matrix]


class Rectangle(_Placed):
    """A rectangle at any angle. Its distances are exact."""

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The signed distance of points to the border, in pixels."""
        across, along = (axis.abs_() for axis in self.across_and_along(x, y))
        across, along = (across - 1).mul_(self.half[0]), (along - 1).mul_(self.half[1])
        inside = torch.maximum(across, along).clamp_max_(0)
        return -(torch.hypot(across.clamp_min_(0), along.clamp_min_(0)) + inside)

    def area(self) -> float:
        """In square pixels."""
        return 4 * self.half[0] * self.half[1]

    def extremes(self, margin: float) -> np.ndarray:
        """The four corners, each moved by the margin to the upper left and to the lower right."""
        corners = np.array([(u, v) for u in (-1, 1) for v in (-1, 1)]) @ self.inverse[:, :2].T + self.inverse[:, 2]
        return np.concatenate([corners - margin, corners + margin])


class Ellipse(_Placed):
    """An ellipse at any angle.

    Its distances are of first order, value over gradient of the circle's radius: exact on the axes and at the border.
    They err to the outer side: too far from the border inside (never more than half the narrow axis), too near outside.
    """

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The signed distance of points to the border, in pixels."""
        across, along = self.across_and_along(x, y)
        radius = torch.hypot(across, along)
        slope = torch.hypot(across.div_(self.half[0]), along.div_(self.half[1])).clamp_min_(1e-12)
        return ((1 - radius).mul_(radius).div_(slope) + (radius < 1e-6) * min(self.half)).clamp_max_(min(self.half))

    def area(self) -> float:
        """In square pixels."""
        return math.pi * self.half[0] * self.half[1]

    def extremes(self, margin: float) -> np.ndarray:
        """Two corners of an upright box around the enlarged ellipse."""
        reach = np.hypot(self.inverse[:, 0], self.inverse[:, 1]) * (1 + margin / min(self.half))
        return np.stack([self.inverse[:, 2] - reach, self.inverse[:, 2] + reach])


@dataclass(frozen=True)
class Hull:
    """A convex polygon. Its distances are exact inside and beside an edge; beyond a corner they are too small.

    Args:
        corners: (N, 2) in picture pixels, in order, counterclockwise where y goes up.
    """

    corners: np.ndarray

    @cached_property
    def normals(self) -> np.ndarray:
        """(N, 2), of the edges from each corner to the next: of length 1, outward."""
        edges = np.roll(self.corners, -1, 0) - self.corners
        normals = np.stack([edges[:, 1], -edges[:, 0]], 1)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The signed distance of points to the border, in pixels."""
        centre = self.corners.mean(0)
        offsets = ((self.corners - centre) * self.normals).sum(1)
        x, y = x - float(centre[0]), y - float(centre[1])
        edges = zip(self.normals.tolist(), offsets.tolist(), strict=True)
        distances = ((offset - ny * y) - nx * x for (nx, ny), offset in edges)
        nearest = next(distances)
        for distance in distances:
            torch.minimum(nearest, distance, out=nearest)
        return nearest

    def width(self) -> float:
        """Twice the largest distance inside, found on a grid of 65 x 65 points."""
        low, high = self.corners.min(0), self.corners.max(0)
        x, y = (torch.linspace(float(a), float(b), 65) for a, b in zip(low, high, strict=True))
        return 2 * float(self.distance(x[None, :], y[:, None]).max())

    def area(self) -> float:
        """In square pixels."""
        x, y = self.corners.T
        return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2

    def extremes(self, margin: float) -> np.ndarray:
        """The corners, with every edge moved outward by the margin."""
        before = np.roll(self.normals, 1, 0)
        cosine = (before * self.normals).sum(1, keepdims=True)
        return self.corners + margin * (before + self.normals) / (1 + cosine)


Outline = Rectangle | Ellipse | Hull


def hull(points: np.ndarray) -> Hull | None:
    """The convex hull of points (N, 2); None where they lie on a line or are not finite."""
    points = np.asarray(points, np.float64)
    if not np.isfinite(points).all():
        return None
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:
        return None
    # from the leftmost corner on, so that the order of the points does not matter
    return Hull(np.roll(corners, -np.lexsort((corners[:, 1], corners[:, 0]))[0], 0))
