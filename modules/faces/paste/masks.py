"""The shapes that cover a face in a picture, as signed distances to their borders.

A distance field serves every edge alike: hard (field > 0), feathered (field / width), enlarged (field + margin).
Fields are in units of the face's size, so that what they are compared with holds at any resolution. Picture pixels have
their centres at integers; a box counts pixel edges, half a pixel less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..alignment import crop_matrix, invert_affine
from ..settings import PARTS, SHAPES
from ..types import FIVE_POINTS, IBUG_68, Face

# The face oval of 68 points is the hull of the jaw and of the brows, raised to the hairline. Each brow point is raised
# along base of nose -> brows, by this share of that distance, so that on the average face the raised brows lie on the
# half ellipse over the ends of the jaw whose top is the detector's box's (0.8 of the distance above the brows; the
# classical thirds of a face would be 1).
_RAISE = np.array([0.46, 0.51, 0.63, 0.76, 0.88, 0.88, 0.76, 0.63, 0.51, 0.46])
_BROWS, _JAW, _NOSE_BASE = slice(17, 27), slice(0, 17), 33
# The oval of five points in the aligned crop of side 1 (crop_matrix): centre and half axes, beside and along the face.
# The smallest that holds the 68-point ovals of four frontal faces (tests/fixtures/golden) and their mirror images has
# the half axes 0.294 and 0.397. It is 3 % larger, and lower, since a smile lifts the mouth and not the chin.
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
PART_MARGIN = 0.03  # face sizes by which an outline of a part is dilated: lids, lips' edges, wings of the nose


@dataclass(frozen=True)
class _Rectangle:
    """matrix (2, 3) takes picture pixels to the square -1..1; half: its half sides in picture pixels."""

    matrix: np.ndarray
    half: tuple[float, float]

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        across, along = (axis.abs_() for axis in _apply(self.matrix, x, y))
        across, along = (across - 1).mul_(self.half[0]), (along - 1).mul_(self.half[1])
        inside = torch.maximum(across, along).clamp_max_(0)
        return -(torch.hypot(across.clamp_min_(0), along.clamp_min_(0)) + inside)

    def width(self) -> float:
        return 2 * min(self.half)

    def area(self) -> float:
        return 4 * self.half[0] * self.half[1]

    def extremes(self, margin: float) -> np.ndarray:
        inverse = invert_affine(self.matrix)
        corners = np.array([(u, v) for u in (-1, 1) for v in (-1, 1)]) @ inverse[:, :2].T + inverse[:, 2]
        return np.concatenate([corners - margin, corners + margin])


@dataclass(frozen=True)
class _Ellipse:
    """matrix (2, 3) takes picture pixels to the unit circle; half: the half axes in picture pixels."""

    matrix: np.ndarray
    half: tuple[float, float]

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # First order, value over gradient of the circle's radius: exact on the axes and at the border. It errs to the
        # outer side: too far from the border inside (never more than half the narrow axis), too near outside.
        across, along = _apply(self.matrix, x, y)
        radius = torch.hypot(across, along)
        slope = torch.hypot(across.div_(self.half[0]), along.div_(self.half[1])).clamp_min_(1e-12)
        return ((1 - radius).mul_(radius).div_(slope) + (radius < 1e-6) * min(self.half)).clamp_max_(min(self.half))

    def width(self) -> float:
        return 2 * min(self.half)

    def area(self) -> float:
        return math.pi * self.half[0] * self.half[1]

    def extremes(self, margin: float) -> np.ndarray:
        inverse = invert_affine(self.matrix)
        reach = np.hypot(inverse[:, 0], inverse[:, 1]) * (1 + margin / min(self.half))
        return np.stack([inverse[:, 2] - reach, inverse[:, 2] + reach])


@dataclass(frozen=True)
class _Hull:
    """corners (N, 2) of a convex polygon in picture pixels, in order; normals (N, 2) of the edges from each corner to
    the next, of length 1 and outward.
    """

    corners: np.ndarray
    normals: np.ndarray

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # exact inside and beside an edge; beyond a corner nearer than the corner is
        centre = self.corners.mean(0)
        offsets = ((self.corners - centre) * self.normals).sum(1)
        x, y = x - float(centre[0]), y - float(centre[1])
        result = None
        for (nx, ny), offset in zip(self.normals.tolist(), offsets.tolist(), strict=True):
            edge = (offset - ny * y) - nx * x
            result = edge if result is None else torch.minimum(result, edge, out=result)
        return result

    def width(self) -> float:
        low, high = self.corners.min(0), self.corners.max(0)
        x, y = (torch.linspace(float(a), float(b), 65) for a, b in zip(low, high, strict=True))
        return 2 * float(self.distance(x[None, :], y[:, None]).max())

    def area(self) -> float:
        x, y = self.corners.T
        return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2

    def extremes(self, margin: float) -> np.ndarray:
        before = np.roll(self.normals, 1, 0)
        cosine = (before * self.normals).sum(1, keepdims=True)
        return self.corners + margin * (before + self.normals) / (1 + cosine)


def face_size(face: Face) -> float:
    """The size of a face in picture pixels: the geometric mean of its box's sides. Raises ValueError for a box that is
    empty or not finite.
    """
    x0, y0, x1, y1 = (float(v) for v in face.box)
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise ValueError(f"A face box needs finite x0 < x1 and y0 < y1, got {[x0, y0, x1, y1]}: detect the face again.")
    return math.sqrt((x1 - x0) * (y1 - y0))


def shape_field(face: Face, shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How far inside a shape of a face each pixel lies.

    shape: one of SHAPES. "crop": the square that the crop was cut from (the one that would be cut, before cropping).
    "box": the detector's box. "ellipse": the ellipse that touches the box's sides. "oval": forehead, cheeks and chin:
    of 68 points the hull of the jaw and the raised brows; of five an ellipse placed by them as the aligned crop is; of
    none, and of points that cannot be this face's, the box's ellipse.
    x: float (w,), y: float (h,), picture pixels, integers at pixel centres.
    Returns float32 (h, w) on x's device: the signed distance to the shape's border, above 0 inside, in face sizes
    (face_size). Exact on "crop" and "box"; "ellipse" and "oval" have the exact border, exact distances near it, and
    outside may name too small a distance, never too large. Raises ValueError for another shape or an empty box.
    """
    return field_at(face, shape, x[None, :], y[:, None])


def field_at(face: Face, shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """shape_field at any points: x and y are broadcast against each other, and the result has their shape."""
    return _outline(face, shape).distance(x.float(), y.float()).div_(face_size(face))


def shape_width(face: Face, shape: str) -> float:
    """The narrowest width of a shape in face sizes: twice the largest value of its field."""
    return _outline(face, shape).width() / face_size(face)


def bounds(face: Face, shape: str, margin: float = 0.0) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 (exclusive ends) around all pixels whose field is above -margin (face sizes; below 0 counts as 0).

    Not clipped to a picture. Raises ValueError like shape_field.
    """
    points = _outline(face, shape).extremes(max(margin, 0.0) * face_size(face))
    low, high = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
    return (*low.astype(int).tolist(), *high.astype(int).tolist())


def part_field(face: Face, part: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor | None:
    """How far inside a part of a face each point lies, as field_at; None for a face without points.

    part: one of PARTS. Of 68 points: the hull of the outline, dilated by PART_MARGIN; of five: ellipses around the
    points, of the average face's proportions, dilated alike. Both eyes are one part.
    """
    if part not in PARTS:
        raise ValueError(f"Unknown part {part!r} of a face: use some of {', '.join(PARTS)}.")
    if face.layout == IBUG_68:
        hulls = [_hull(face.points[rows]) for rows in _OUTLINES[part]]
        outlines = [hull for hull in hulls if hull is not None]
    elif face.layout == FIVE_POINTS:
        outlines = _part_ellipses(face, part)
    else:
        return None
    x, y, field = x.float(), y.float(), None
    for outline in outlines:
        distance = outline.distance(x, y).div_(face_size(face)).add_(PART_MARGIN)
        field = distance if field is None else torch.maximum(field, distance)
    return field


def _apply(matrix: np.ndarray, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    # about the shape's middle: far from the picture's corner float32 would lose digits in the sums
    middle = invert_affine(matrix)[:, 2]
    x, y = x - float(middle[0]), y - float(middle[1])
    return [float(a) * x + float(b) * y for a, b, _ in matrix]


def _outline(face: Face, shape: str) -> _Rectangle | _Ellipse | _Hull:
    if shape not in SHAPES:
        raise ValueError(f"Unknown shape {shape!r} of a face: use one of {', '.join(SHAPES)}.")
    size = face_size(face)
    if shape == "crop":
        return _crop_square(face)
    x0, y0, x1, y1 = (float(v) for v in face.box)
    half = ((x1 - x0) / 2, (y1 - y0) / 2)
    matrix = np.array(
        [[1 / half[0], 0, -((x0 + x1) / 2 - 0.5) / half[0]], [0, 1 / half[1], -((y0 + y1) / 2 - 0.5) / half[1]]]
    )
    if shape == "box":
        return _Rectangle(matrix, half)
    if shape == "oval":
        oval = _oval(face)
        if oval is not None and oval.area() >= _LEAST_AREA * size**2:
            return oval
    return _Ellipse(matrix, half)


def _crop_square(face: Face) -> _Rectangle:
    if face.matrix is not None and face.crop_size:
        matrix = np.asarray(face.matrix, np.float64) * (2 / face.crop_size)
        matrix[:, 2] += 1 / face.crop_size  # crop pixel centres are integers: the square is -0.5..crop_size - 0.5
    elif face.alignment is not None:
        matrix = np.asarray(face.alignment, np.float64) * 2
    else:
        matrix = crop_matrix(face.points, face.layout, face.box, 1) * 2
    matrix[:, 2] -= 1
    half = 1 / math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return _Rectangle(matrix, (half, half))


def _oval(face: Face) -> _Ellipse | _Hull | None:
    points = np.asarray(face.points, np.float64)
    if face.layout == IBUG_68 and points.shape == (68, 2) and np.isfinite(points).all():
        brows = points[_BROWS]
        up = brows.mean(0) - points[_NOSE_BASE]
        return _hull(np.concatenate([points[_JAW], brows + _RAISE[:, None] * up]))
    if face.layout == FIVE_POINTS and points.shape == (5, 2) and np.isfinite(points).all():
        return _crop_ellipse(crop_matrix(points, face.layout, face.box, 1), _OVAL_CENTRE, _OVAL_AXES)
    return None


def _crop_ellipse(aligned: np.ndarray, centre, axes) -> _Ellipse:
    """The ellipse with centre and half axes in a crop of side 1, which `aligned` takes the picture to."""
    axes = np.asarray(axes, np.float64)
    matrix = aligned / axes[:, None]
    matrix[:, 2] -= np.asarray(centre) / axes
    half = axes / math.sqrt(abs(np.linalg.det(aligned[:, :2])))
    return _Ellipse(matrix, tuple(half.tolist()))


def _part_ellipses(face: Face, part: str) -> list[_Ellipse]:
    aligned = crop_matrix(face.points, face.layout, face.box, 1)
    points = np.asarray(face.points, np.float64) @ aligned[:, :2].T + aligned[:, 2]
    return [
        _crop_ellipse(aligned, points[list(rows)].mean(0) + np.array([0, drop]), axes)
        for rows, drop, axes in _PART_ELLIPSES[part]
    ]


def _hull(points: np.ndarray) -> _Hull | None:
    """The convex hull; None where the points lie on a line. Source: A. M. Andrew's monotone chain, 1979."""
    ordered = np.unique(np.asarray(points, np.float64), axis=0)
    scale = np.ptp(ordered, axis=0).max()

    def turn(a, b, c) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    corners = []
    for sweep in (ordered, ordered[::-1]):
        chain = []
        for point in sweep:
            while len(chain) > 1 and turn(chain[-2], chain[-1], point) <= 1e-9 * scale**2:
                chain.pop()
            chain.append(point)
        corners += chain[:-1]
    if len(corners) < 3:
        return None
    corners = np.array(corners)
    edges = np.roll(corners, -1, 0) - corners
    normals = np.stack([edges[:, 1], -edges[:, 0]], 1)
    return _Hull(corners, normals / np.linalg.norm(normals, axis=1, keepdims=True))
