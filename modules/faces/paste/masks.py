"""The shapes that cover a face in a picture, as signed distances to their borders.

A distance field serves every edge alike: hard (field > 0), feathered (field / width), enlarged (field + margin).
Fields are in units of the face's size, so that what they are compared with holds at any resolution. Picture pixels have
their centres at integers; a box counts pixel edges, half a pixel less.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch

from ..alignment import crop_matrix
from ..settings import PARTS, SHAPES
from ..types import FIVE_POINTS, IBUG_68, Face
from .outlines import Ellipse, Hull, Outline, Rectangle, hull

# The face oval of 68 points is the hull of the jaw and of the brows, raised to the hairline. Each brow point is raised
# along base of nose -> brows, by this share of that distance, so that on the average face the raised brows lie on the
# half ellipse over the ends of the jaw whose top is the detector's box's (0.8 of the distance above the brows; the
# classical thirds of a face would be 1).
_RAISE = np.array([0.46, 0.51, 0.63, 0.76, 0.88, 0.88, 0.76, 0.63, 0.51, 0.46])
_BROWS, _JAW, _NOSE_BASE = slice(17, 27), slice(0, 17), 33
# The oval of five points in the aligned crop of side 1 (crop_matrix): centre and half axes, beside and along the face.
# Measured so that it holds the ovals of 68 points (docs/measured.md, "Constants of the face code").
_OVAL_CENTRE = (0.496, 0.456)
_OVAL_AXES = (0.303, 0.410)
# Points whose oval has less than this share of the box's area are not those of the face: the box's ellipse is used.
_LEAST_AREA = 1 / 3

_OUTLINES = {"eyes": (slice(36, 42), slice(42, 48)), "nose": (slice(27, 36),), "mouth": (slice(48, 60),)}
# What five points say of the parts, in the aligned crop of side 1: which points, how far below their mean the middle
# lies, half axes. The axes are half the widths and heights of the outlines of the same faces.
_PART_ELLIPSES = {
    "eyes": (((0,), 0.0, (0.051, 0.018)), ((1,), 0.0, (0.051, 0.018))),
    "nose": (((2,), -0.050, (0.060, 0.100)),),
    "mouth": (((3, 4), 0.0, (0.111, 0.053)),),
}
_PART_MARGIN = 0.03  # face sizes by which an outline of a part is dilated: lids, lips' edges, wings of the nose


class FaceShapes:
    """The shapes and parts of one face; the outline of each is worked out once.

    "crop": the square that the crop was cut from (the one that would be cut, before cropping). "box": the detector's
    box. "ellipse": the ellipse that touches the box's sides. "oval": forehead, cheeks and chin: of 68 points the hull
    of the jaw and the raised brows; of five an ellipse placed by them as the aligned crop is; of none, and of points
    that cannot be this face's, the box's ellipse.

    Every method raises ValueError for an unknown shape or part, and for a box that is empty or not finite.
    """

    def __init__(self, face: Face):
        self.face = face
        self._outlines: dict[str, Outline] = {}
        self._widths: dict[str, float] = {}
        self._parts: dict[str, list[Outline] | None] = {}

    @cached_property
    def size(self) -> float:
        """Face.size, in picture pixels."""
        return self.face.size

    def field(self, shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """How far inside a shape points lie.

        Args:
            shape: one of SHAPES.
            x, y: picture pixels, integers at pixel centres; broadcast against each other.

        Returns:
            float32 on x's device: the signed distance to the shape's border, above 0 inside, in face sizes. Exact on
            "crop" and "box"; "ellipse" and "oval" have the exact border, exact distances near it, and outside may name
            too small a distance, never too large.
        """
        return self._outline(shape).distance(x.float(), y.float()).div_(self.size)

    def width(self, shape: str) -> float:
        """The narrowest width of a shape in face sizes: twice the largest value of its field."""
        if shape not in self._widths:
            self._widths[shape] = self._outline(shape).width() / self.size
        return self._widths[shape]

    def bounds(self, shape: str, margin: float = 0.0) -> tuple[int, int, int, int]:
        """The rectangle around all pixels whose field is above -margin, not clipped to a picture.

        Args:
            shape: one of SHAPES.
            margin: in face sizes; below 0 counts as 0.

        Returns:
            x0 y0 x1 y1 in picture pixels, exclusive ends.
        """
        points = self._outline(shape).extremes(max(margin, 0.0) * self.size)
        low, high = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
        return (*low.astype(int).tolist(), *high.astype(int).tolist())

    def part_field(self, part: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor | None:
        """How far inside a part of the face points lie, as `field`; None for a face without points.

        Of 68 points a part is the hull of its outline; of five, ellipses around the points, of the average face's
        proportions; both are dilated by 0.03 face sizes. Both eyes are one part.

        Args:
            part: one of PARTS.
            x, y: as in `field`.
        """
        if part not in self._parts:
            self._parts[part] = self._part_outlines(part)
        field = None
        x, y = x.float(), y.float()
        for outline in self._parts[part] or ():
            distance = outline.distance(x, y).div_(self.size).add_(_PART_MARGIN)
            field = distance if field is None else torch.maximum(field, distance)
        return field

    @cached_property
    def _aligned(self) -> np.ndarray:
        """(2, 3), picture pixels -> the crop of side 1 that the points give."""
        return crop_matrix(self.face.points, self.face.layout, self.face.box, 1)

    def _outline(self, shape: str) -> Outline:
        if shape not in self._outlines:
            self._outlines[shape] = self._work_out(shape)
        return self._outlines[shape]

    def _work_out(self, shape: str) -> Outline:
        if shape not in SHAPES:
            raise ValueError(f"Unknown shape {shape!r} of a face: use one of {', '.join(SHAPES)}.")
        size = self.size  # first, as it refuses empty boxes
        if shape == "crop":
            return self._crop_square()
        x0, y0, x1, y1 = (float(v) for v in self.face.box)
        half = ((x1 - x0) / 2, (y1 - y0) / 2)
        matrix = np.array(
            [[1 / half[0], 0, -((x0 + x1) / 2 - 0.5) / half[0]], [0, 1 / half[1], -((y0 + y1) / 2 - 0.5) / half[1]]]
        )
        if shape == "box":
            return Rectangle(matrix, half)
        if shape == "oval":
            oval = self._oval()
            if oval is not None and oval.area() >= _LEAST_AREA * size**2:
                return oval
        return Ellipse(matrix, half)

    def _crop_square(self) -> Rectangle:
        face = self.face
        if face.matrix is not None and face.crop_size:
            matrix = np.asarray(face.matrix, np.float64) * (2 / face.crop_size)
            matrix[:, 2] += 1 / face.crop_size  # crop pixel centres are integers: the square is -0.5..crop_size - 0.5
        elif face.alignment is not None:
            matrix = np.asarray(face.alignment, np.float64) * 2
        else:
            matrix = self._aligned * 2
        matrix[:, 2] -= 1
        half = 1 / math.sqrt(abs(np.linalg.det(matrix[:, :2])))
        return Rectangle(matrix, (half, half))

    def _oval(self) -> Ellipse | Hull | None:
        points, layout = np.asarray(self.face.points, np.float64), self.face.layout
        if layout == IBUG_68 and points.shape == (68, 2) and np.isfinite(points).all():
            brows = points[_BROWS]
            up = brows.mean(0) - points[_NOSE_BASE]
            return hull(np.concatenate([points[_JAW], brows + _RAISE[:, None] * up]))
        if layout == FIVE_POINTS and points.shape == (5, 2) and np.isfinite(points).all():
            return _crop_ellipse(self._aligned, _OVAL_CENTRE, _OVAL_AXES)
        return None

    def _part_outlines(self, part: str) -> list[Outline] | None:
        if part not in PARTS:
            raise ValueError(f"Unknown part {part!r} of a face: use some of {', '.join(PARTS)}.")
        if self.face.layout == IBUG_68:
            hulls = [hull(self.face.points[rows]) for rows in _OUTLINES[part]]
            return [outline for outline in hulls if outline is not None]
        if self.face.layout != FIVE_POINTS:
            return None
        points = np.asarray(self.face.points, np.float64) @ self._aligned[:, :2].T + self._aligned[:, 2]
        return [
            _crop_ellipse(self._aligned, points[list(rows)].mean(0) + np.array([0, drop]), axes)
            for rows, drop, axes in _PART_ELLIPSES[part]
        ]


def _crop_ellipse(aligned: np.ndarray, centre, axes) -> Ellipse:
    """The ellipse with centre and half axes in a crop of side 1, which `aligned` takes the picture to."""
    axes = np.asarray(axes, np.float64)
    matrix = aligned / axes[:, None]
    matrix[:, 2] -= np.asarray(centre) / axes
    half = axes / math.sqrt(abs(np.linalg.det(aligned[:, :2])))
    return Ellipse(matrix, tuple(half.tolist()))
