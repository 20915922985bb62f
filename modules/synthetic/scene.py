"""What surrounds the face: background, neck, clothing, ears, glasses."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from .geometry import Head, Pose, Vector, View, along, bump, dot, normalised
from .shading import Light, Surface, channels, colour, cover, skin_colour, smoothstep

_EAR_Y, _EAR_Z = -0.05, -0.10


def background(attributes: SimpleNamespace, x: torch.Tensor, y: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """What is behind the person: a gradient of two colours with stripes, a round and an angular shape of a third one.

    Args:
        attributes: columns() of the attributes.
        x: -1..1 across the picture, to the right.
        y: -1..1, up.
        pixel: side of a pixel in the units of x and y, [B, 1, 1, 1].

    Returns:
        Linear [B, 3, H, W].
    """
    a = attributes
    first, second, third = (
        channels(*(getattr(a, f"background_{name}_{i}") for name in ("red", "green", "blue"))).square()
        for i in (1, 2, 3)
    )
    angle = a.background_angle * (torch.pi / 180)
    along_gradient = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    result = torch.lerp(first, second, smoothstep(along_gradient, -1.2, 1.2))
    wave = torch.sin(a.background_frequency * across + a.background_phase * (torch.pi / 180))
    stripes = cover(wave * (1 / a.background_frequency), pixel, 0.12) * a.background_stripes
    result = result * (1 - 0.45 * stripes)
    away_x, away_y = x - a.background_blob_x, y - a.background_blob_y
    blob = cover((away_x.square() + away_y.square()).sqrt() - a.background_blob_size, pixel, 0.05)
    # a second, angular one on the other side
    corner = torch.maximum((x + a.background_blob_x).abs(), (y + 0.6 * a.background_blob_y).abs())
    block = cover(corner - 0.6 * a.background_blob_size, pixel, 0.02)
    return torch.lerp(result, third, (0.85 * blob + 0.55 * block).clamp_max(0.9))


class Body:
    """Neck and clothing: they stay upright under the head, and are flat but for their shading.

    Args:
        identity: columns() of the identity.
        attributes: columns() of the attributes.
        head: above the neck.
        pose: where the head is.
    """

    def __init__(self, identity: SimpleNamespace, attributes: SimpleNamespace, head: Head, pose: Pose):
        self._attributes = attributes
        self._skin = skin_colour(identity)
        zero = torch.zeros_like(attributes.yaw)
        self._x, _ = pose.project((zero, zero - 0.55, zero - 0.30))
        self._chin_y = pose.project((zero, 0.12 - head.chin, zero + 0.45))[1]
        self._half = (0.62 * identity.head_width * (1 + 0.5 * identity.jaw_width)) * attributes.scale
        _, self._y = pose.project((zero, zero - 0.98, zero))

    def over(
        self, picture: torch.Tensor, light: Light, x: torch.Tensor, y: torch.Tensor, pixel: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw neck and clothing over a picture.

        Args:
            picture: linear [B, 3, H, W].
            light: of the scene.
            x: -1..1 across the picture, to the right.
            y: -1..1, up.
            pixel: side of a pixel in the units of x and y, [B, 1, 1, 1].

        Returns:
            The picture with both over it, and their cover [B, 1, H, W].
        """
        a = self._attributes
        aside = x - self._x
        widening = 0.22 * (self._y + 0.10 - y).clamp_min(0)
        share = aside / (self._half + widening)
        neck = cover((share.abs() - 1) * self._half, pixel) * smoothstep(self._chin_y + 0.45 - y, 0.0, 0.1)
        flat = (1 - share.square().clamp_max(0.98)).sqrt()
        normal = (share, -0.15 + 0 * share, flat)
        ray = (0 * share, 0 * share, 0 * share - 1)
        shadow = 1 - 0.62 * smoothstep(y - self._chin_y, -0.26, 0.10)
        surface = Surface(self._skin * (0.45 + 0.55 * shadow), normal, shadow, gloss=0.03)
        skin = light.shade(surface, 0 * share, light.direction, ray, power=4)
        picture = torch.lerp(picture, skin, neck)
        shoulder_y = self._y + 0.06 - 0.30 * aside.square() - 0.05 * aside.abs()
        rounded = (2.4 - 2.0 * a.collar_shape) * aside.square()
        drop = a.collar_depth * (1.35 - 0.4 * a.collar_shape) - 0.9 * a.collar_shape * aside.abs() - rounded
        cloth_y = torch.minimum(shoulder_y, self._y - 0.02 - drop.clamp_min(-0.2))
        cloth = cover(y - cloth_y, pixel)
        fabric = channels(a.clothing_red, a.clothing_green, a.clothing_blue).square()
        hem = cover((y - cloth_y).abs() - 0.035, pixel)
        normal = normalised((0.55 * aside, 0.35 + 0 * aside, 1 + 0 * aside))
        surface = Surface(fabric * (1 - 0.35 * hem), normal, occlusion=0.9, gloss=0.0)
        fabric = light.shade(surface, normal[1], light.direction, ray, power=1)
        return torch.lerp(picture, fabric, cloth), torch.maximum(neck, cloth)


def ears(identity: SimpleNamespace, head: Head, view: View, light: Light) -> tuple[torch.Tensor, torch.Tensor]:
    """Both ears: ellipsoids behind the head's outline.

    Args:
        identity: columns() of the identity.
        head: that they stand at.
        view: how the head is seen and lit.
        light: of the scene.

    Returns:
        Their colour, linear [B, 3, H, W], and their cover [B, 1, H, W].
    """
    origin, ray = view.origin, view.ray
    middle = along(origin, ray, head.closest(origin, ray))
    side = torch.where(middle[0] >= 0, 1.0, -1.0)
    radii = (0.055 + 0.6 * identity.ear_spread, identity.ear_size, 0.13)
    # in the ear's frame it is a unit ball
    from_ear = tuple(
        (o - c) / r
        for o, c, r in zip(
            origin, (side * (head.width * 0.985 + 0.5 * identity.ear_spread), _EAR_Y, _EAR_Z), radii, strict=True
        )
    )
    into = tuple(d / r for d, r in zip(ray, radii, strict=True))
    length = dot(into, into)
    half = dot(from_ear, into) / length
    miss = dot(from_ear, from_ear) - half.square() * length
    distance = -half - ((1 - miss).clamp_min(0) / length).sqrt()
    ball = tuple(f + i * distance for f, i in zip(from_ear, into, strict=True))
    normal = normalised(tuple(b / r for b, r in zip(ball, radii, strict=True)))
    mask = cover((miss.clamp_min(0).sqrt() - 1) * 0.09, view.pixel)
    fold = bump(((miss - 0.42) * (1 / 0.30)).square()) * (1 - 0.5 * smoothstep(-ball[1], 0.3, 0.9))
    albedo = skin_colour(identity) * (colour(-0.35, -0.85, -0.85, miss) * (0.25 + 0.8 * fold)).exp()
    surface = Surface(albedo, normal, 1 - 0.45 * fold, gloss=0.03)
    return light.shade(surface, dot(normal, view.up), view.light, ray, power=4), mask


def glasses(
    identity: SimpleNamespace,
    attributes: SimpleNamespace,
    eye_z: torch.Tensor,
    view: View,
    traced: tuple[Vector, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The glasses: a frame with a bridge and temples, and the glass in it.

    Args:
        identity: columns() of the identity.
        attributes: columns() of the attributes.
        eye_z: depth of the eyes in the head's frame, [B, 1, 1, 1].
        view: how the head is seen.
        traced: what Head.trace gives for this view; the temples lie on the head.

    Returns:
        The frame's colour, linear [B, 3, 1, 1], the frame's cover and the glass's cover, [B, 1, H, W] each.
    """
    a, pixel = attributes, view.pixel
    surface, outline = traced
    point = along(view.origin, view.ray, (eye_z + 0.13 - view.origin[2]) / view.ray[2])
    ax, y = point[0].abs(), point[1] - identity.eye_height + 0.015
    half_x, half_y = a.glasses_size, a.glasses_size * (0.70 + 0.28 * a.glasses_roundness)
    centre = torch.maximum(identity.eye_spacing, half_x + 0.035)
    radius = half_y * a.glasses_roundness
    corner_x = (ax - centre).abs() - half_x + radius
    corner_y = y.abs() - half_y + radius
    outside = (corner_x.clamp_min(0).square() + corner_y.clamp_min(0).square()).sqrt()
    distance = outside + torch.maximum(corner_x, corner_y).clamp_max(0) - radius
    thickness, opacity = a.glasses_thickness, (1.82 * a.glasses).clamp_max(1)
    frame = distance.abs() - thickness
    bridge = torch.maximum((y - 0.05 + 0.8 * point[0].square()).abs() - thickness, ax - centre + half_x)
    temple = torch.maximum(
        (surface[1] - identity.eye_height - 0.05).abs() - thickness, centre + half_x - surface[0].abs()
    )
    temple = torch.maximum(torch.maximum(temple, surface[2] - eye_z), outline)
    frame = torch.minimum(torch.minimum(frame, bridge), temple)
    shade = a.glasses_lightness.square()
    tint = (colour(0.55, 0.0, -0.55, shade) * a.glasses_hue).exp()
    return shade * tint, cover(frame, pixel) * opacity, cover(distance, pixel) * opacity
