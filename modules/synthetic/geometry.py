"""The head as a body: its surface, the camera's rays in its frame, where they meet, and points on it in the picture.

The head is an implicit surface: an ellipsoid, boxy from front to back, whose width varies with height and whose front
carries bumps (nose, lips, cheeks, chin, sockets). Every ray is followed to it, so that a turned head shows its side and
a nose hides what is behind it. Points and directions are triples (x, y, z) of tensors that broadcast: [B, 1, 1, 1] for
what a face has once, [B, 1, H, W] for pixels. Units and frame: tables.py.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import torch

from .parameters import Parameters

Vector = tuple[torch.Tensor, ...]  # x, y, z


class View(NamedTuple):
    """How a head is seen and lit, in the head's frame.

    Attributes:
        origin: the camera.
        ray: unit directions of the camera's rays, one a pixel.
        light: unit direction towards the light.
        up: unit direction that is up for the camera.
        pixel: side of a pixel in head units, [B, 1, 1, 1].
    """

    origin: Vector
    ray: Vector
    light: Vector
    up: Vector
    pixel: torch.Tensor


CAMERA_DISTANCE = 6.0  # from the middle of the picture, in head units at scale 1
_PIVOT = (0.0, -0.05, 0.28)  # the head turns about this point of its frame; forward, so that the face stays in place
_MIDDLE_Y = 0.13  # of the pivot in the picture, above its middle
_TRACE_STEPS = 8
_LONGEST_STEP = 2.5
_HAIR_STEPS = 4
_LOWEST, _HIGHEST, _HALVINGS = -0.1, 1.0, 12  # where the front surface is looked for
_RADIUS = 0.6  # makes a distance of the field's number
_BACK = 0.86  # depth of the head behind its axis
_FRONT = 0.60
_NORMAL_STEP = 0.006


def columns(parameters: Parameters) -> SimpleNamespace:
    """Natural values by name, each [B, 1, 1, 1]."""
    natural = parameters.natural()
    return SimpleNamespace(**{name: natural[:, i, None, None, None] for i, name in enumerate(parameters.names)})


def bump(squared: torch.Tensor) -> torch.Tensor:
    """1 at 0, falling smoothly to 0 at 1, of a squared distance."""
    return (1 - squared).clamp_min(0).square()


def dot(a: Vector, b: Vector) -> torch.Tensor:
    """The dot product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def normalised(a: Vector) -> Vector:
    """The vector scaled to length 1."""
    scale = torch.rsqrt(dot(a, a).clamp_min(1e-12))
    return a[0] * scale, a[1] * scale, a[2] * scale


def along(origin: Vector, direction: Vector, distance: torch.Tensor) -> Vector:
    """The points at some distances from an origin along directions.

    Args:
        origin: where the distances start.
        direction: unit.
        distance: of each point.
    """
    return tuple(o + d * distance for o, d in zip(origin, direction, strict=True))


class Pose:
    """Where the head is: takes directions and points from its frame to the camera's and back.

    Args:
        attributes: columns() of the attributes.
    """

    def __init__(self, attributes: SimpleNamespace):
        radians = torch.pi / 180
        yaw, pitch, roll = attributes.yaw * radians, attributes.pitch * radians, attributes.roll * radians
        cy, sy, cp, sp = torch.cos(yaw), torch.sin(yaw), torch.cos(pitch), torch.sin(pitch)
        cr, sr = torch.cos(roll), torch.sin(roll)
        # yaw about y, then pitch about x, then roll about z
        turned = ((cy, 0 * cy, sy), (-sy * sp, cp, cy * sp), (-sy * cp, -sp, cy * cp))
        self._rows = (
            tuple(cr * a + sr * b for a, b in zip(turned[0], turned[1], strict=True)),
            tuple(cr * b - sr * a for a, b in zip(turned[0], turned[1], strict=True)),
            turned[2],
        )
        self.scale = attributes.scale
        self._place = (attributes.shift_x, attributes.shift_y + _MIDDLE_Y, torch.zeros_like(yaw))

    def to_head(self, direction: Vector) -> Vector:
        """A direction of the camera's frame, in the head's frame."""
        return tuple(dot((self._rows[0][i], self._rows[1][i], self._rows[2][i]), direction) for i in range(3))

    def to_camera(self, direction: Vector) -> Vector:
        """A direction of the head's frame, in the camera's frame."""
        return tuple(dot(row, direction) for row in self._rows)

    def rays(self, screen_x: torch.Tensor, screen_y: torch.Tensor) -> tuple[Vector, Vector]:
        """The camera's rays through points of the picture.

        Args:
            screen_x: -1..1, to the right.
            screen_y: -1..1, up.

        Returns:
            The camera, and the unit directions of the rays, both in the head's frame.
        """
        place = self._place
        camera = (-place[0] / self.scale, -place[1] / self.scale, (CAMERA_DISTANCE - place[2]) / self.scale)
        origin = tuple(c + p for c, p in zip(self.to_head(camera), _PIVOT, strict=True))
        depth = torch.full_like(screen_x, -CAMERA_DISTANCE)
        return origin, normalised(self.to_head((screen_x, screen_y, depth)))

    def project(self, point: Vector) -> tuple[torch.Tensor, torch.Tensor]:
        """Where points of the head's frame are in the picture: x to the right and y up, -1..1 inside it."""
        turned = self.to_camera(tuple(c - p for c, p in zip(point, _PIVOT, strict=True)))
        x, y, z = (t * self.scale + p for t, p in zip(turned, self._place, strict=True))
        nearer = CAMERA_DISTANCE / (CAMERA_DISTANCE - z)
        return x * nearer, y * nearer


class Head:
    """The surface of one head under one expression.

    Args:
        identity: columns() of the identity.
        attributes: columns() of the attributes.
    """

    def __init__(self, identity: SimpleNamespace, attributes: SimpleNamespace):
        self.identity = identity
        smile = attributes.smile.clamp_min(0)
        self.width = identity.head_width
        self.top = identity.head_height
        self.chin = identity.face_length + 0.07 * attributes.mouth_opening  # a mouth opens by lowering the jaw
        self.mouth_y = -identity.mouth_height
        self.tip_y = identity.eye_height - identity.nose_length
        self.tip = identity.nose_tip
        self._cheek = identity.cheek_fullness + 0.035 * smile
        self._nose_inverse = 1 / identity.nose_width
        self._chin_bump = 0.13 + 0.25 * (identity.chin_width + 0.04).clamp_min(-0.2)
        self._shape = (identity.forehead_width, identity.cheek_width, identity.jaw_width - 0.05, identity.chin_width)

    def width_at(self, y: torch.Tensor) -> torch.Tensor:
        """Half the width that the head's ellipsoid has at this height."""
        forehead, cheek, jaw, chin = self._shape
        factor = (
            1
            + forehead * bump(((y - 0.45) * (1 / 0.55)).square())
            + cheek * bump(((y + 0.24) * (1 / 0.42)).square())
            + jaw * bump(((y + 0.60) * (1 / 0.45)).square())
            + chin * bump(((y + self.chin) * (1 / 0.40)).square())
        )
        return self.width * factor

    def relief(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """How far the front stands out of the ellipsoid."""
        i = self.identity
        ax, xx = x.abs(), x.square()
        from_tip = y - self.tip_y
        # ridge from between the brows to the tip, growing downwards
        ridge = bump(xx * (1 / 0.012)) * bump(((from_tip - 0.16) * (1 / 0.30)).square())
        nose = self.tip * bump(xx * (0.8 * self._nose_inverse).square() + (from_tip * (1 / 0.15)).square())
        wings = bump(
            ((ax * self._nose_inverse - 0.62) * (1 / 0.55)).square() + ((from_tip + 0.015) * (1 / 0.085)).square()
        )
        eye = (ax - i.eye_spacing).square() + (y - i.eye_height).square()
        cheeks = self._cheek * bump(((ax - 0.33).square() + (y + 0.27).square()) * (1 / 0.09))
        lips = bump(xx * (1 / 0.10) + (y - self.mouth_y).square() * (1 / 0.030))
        brow = bump(((ax - 0.2) * (1 / 0.3)).square() + ((y - i.brow_height) * (1 / 0.13)).square())
        chin = self._chin_bump * bump(xx * (1 / 0.07) + (y + self.chin - 0.10).square() * (1 / 0.06))
        return (
            nose + i.nose_bridge * ridge + 0.055 * wings + cheeks + chin + 0.05 * lips + 0.03 * brow
            - 0.05 * bump(eye * (1 / 0.035))
        )  # fmt: skip

    def field(self, point: Vector) -> torch.Tensor:
        """About the distance to the surface, negative inside."""
        x, y, z = point
        front = (z * 2.2 + 0.3).clamp(0, 1)
        x_share = x / self.width_at(y)
        down = (y < 0).to(y.dtype)
        y_square = (y / (self.top + (self.chin - self.top) * down)).square()
        # boxy from the brows to the mouth, rounder at the crown
        y_share = y_square * (0.65 - 0.3 * down + (0.35 + 0.3 * down) * y_square)
        raised = z - self.relief(x, y) * front
        z_share = raised * torch.where(raised > 0, 1 / _FRONT, 1 / _BACK)
        return ((x_share.square() + y_share + z_share.square()).clamp_min(1e-9).sqrt() - 1) * _RADIUS

    def closest(self, origin: Vector, direction: Vector) -> torch.Tensor:
        """Distance along each ray to where it comes nearest to the middle of the head.

        Near is measured with each axis in shares of the head's own size along it, so that the head is about a ball.
        """
        return _closest(origin, direction, (1 / self.width.square(), 1 / self.top.square(), 1 / 0.55))

    def trace(self, origin: Vector, direction: Vector) -> tuple[Vector, torch.Tensor]:
        """Where rays meet the head, and their signed distance to its outline (negative inside), in head units.

        A ray that misses ends near its closest approach.
        """
        middle = self.closest(origin, direction)
        outline = self.field(along(origin, direction, middle))
        distance = middle - 0.98
        # the ellipsoid's slope along a ray lengthens the steps of those that graze it; the nose needs the short ones
        pull = (direction[0] / self.width.square(), direction[1] * 1.2, direction[2] * (1 / _FRONT**2))
        for _ in range(_TRACE_STEPS):
            point = along(origin, direction, distance)
            step = self.field(point) * (-0.95 / _RADIUS / dot(point, pull)).clamp(0.95, _LONGEST_STEP)
            distance = torch.minimum(distance + step, middle)
        return along(origin, direction, distance), outline

    def normal(self, point: Vector) -> Vector:
        """Unit normals, from differences of the field over a short step."""
        x, y, z = point
        here, step = self.field(point), _NORMAL_STEP
        return normalised(
            (
                self.field((x + step, y, z)) - here,
                self.field((x, y + step, z)) - here,
                self.field((x, y, z + step)) - here,
            )
        )

    def on_front(self, x: torch.Tensor, y: torch.Tensor) -> Vector:
        """The point of the front surface at x and y of the head's frame."""
        x, y = torch.broadcast_tensors(x, y)
        z = torch.full_like(x, _LOWEST)
        for halving in range(1, _HALVINGS + 1):
            higher = z + (_HIGHEST - _LOWEST) * 0.5**halving
            z = torch.where(self.field((x, y, higher)) < 0, higher, z)
        return x, y, z


class HairShell:
    """The outside of the hair: an ellipsoid above, a hanging curtain below.

    Args:
        identity: columns() of the identity.
    """

    def __init__(self, identity: SimpleNamespace):
        # short hair does not stand off
        volume = identity.hair_volume * (0.45 + 0.55 * ((identity.hair_length + 0.15) * 2).clamp(0, 1))
        self.side = identity.head_width * (1 + 0.5 * identity.forehead_width) + volume
        self.top = identity.head_height + identity.hair_top
        self._middle_z = -0.06
        self._waves = identity.hair_waves
        self._wave_phase = 9 * identity.hair_parting
        self._front = _FRONT + 0.06 + 0.35 * identity.hair_volume
        self._back = _BACK + identity.hair_volume

    def field(self, point: Vector) -> torch.Tensor:
        """As Head.field."""
        return (self._shares(point)[1] - 1) * _RADIUS

    def _shares(self, point: Vector) -> tuple[Vector, torch.Tensor]:
        """Coordinates divided by the radii squared, and by how much the point lies outside (1 on the surface)."""
        x, y, z = point
        z = z - self._middle_z
        side = self.side + self._waves * torch.sin(11 * y + 3 * x + self._wave_phase)
        above = y.clamp_min(0)
        depth = torch.where(z > 0, self._front, self._back)
        pull = (x / side.square(), above / self.top.square(), z / depth.square())
        return pull, (x * pull[0] + above * pull[1] + z * pull[2]).clamp_min(1e-9).sqrt()

    def trace(self, origin: Vector, direction: Vector) -> tuple[Vector, torch.Tensor, Vector]:
        """Where rays meet the hair.

        Returns:
            The points and the signed distance of each ray to the hair's outline (negative inside), as of Head.trace;
            then the points of closest approach, where the outline is.
        """
        weights = (1 / self.side.square(), 0 * self.side, 1 / 0.7)
        level = along(origin, direction, _closest(origin, direction, weights))[1]
        weights = (weights[0], (level > 0) / self.top.square(), weights[2])
        middle = _closest(origin, direction, weights)
        edge = along(origin, direction, middle)
        outline = self.field(edge)
        distance = middle - 0.95
        for _ in range(_HAIR_STEPS):
            # Newton's, which does not pass a convex surface from outside
            pull, outside = self._shares(along(origin, direction, distance))
            slope = dot(direction, pull) / outside
            distance = torch.minimum(distance + (1 - outside) / slope.clamp_max(-0.05), middle)
        return along(origin, direction, distance), outline, edge

    def normal(self, point: Vector) -> Vector:
        """Unit normals of the ellipsoid at points on it; the slope of the waves is left out."""
        return normalised(self._shares(point)[0])


def _closest(origin: Vector, direction: Vector, weights: tuple[torch.Tensor | float, ...]) -> torch.Tensor:
    weighted = tuple(d * w for d, w in zip(direction, weights, strict=True))
    return -dot(origin, weighted) / dot(direction, weighted)
