"""Colours and light. Colours are linear, [B, 3, H, W] or [B, 3, 1, 1]; pictures get a gamma of 2 at the end."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch

from .geometry import Vector, dot, normalised

# linear skin colours at melanin 0, 0.5 and 1
_SKIN = ((0.88, 0.66, 0.54), (0.50, 0.26, 0.155), (0.085, 0.042, 0.028))
# absorption of hair by eumelanin and pheomelanin; Marschner et al., "Light scattering from human hair fibers", 2003,
# with the coefficients of d'Eon et al. 2011
_EUMELANIN = (0.419, 0.697, 1.37)
_PHEOMELANIN = (0.187, 0.4, 1.05)
_IRIS = ((0.085, 0.035, 0.014), (0.26, 0.13, 0.03), (0.13, 0.21, 0.09), (0.10, 0.24, 0.46))
_WRAP = 0.25  # light that reaches around the edge of what is lit: skin is not quite opaque


def colour(red: float, green: float, blue: float, like: torch.Tensor) -> torch.Tensor:
    """One colour, [1, 3, 1, 1], on the device and of the dtype of a tensor.

    Args:
        red: linear.
        green: linear.
        blue: linear.
        like: the tensor.
    """
    return torch.tensor((red, green, blue), dtype=like.dtype, device=like.device)[None, :, None, None]


def channels(red: torch.Tensor, green: torch.Tensor, blue: torch.Tensor) -> torch.Tensor:
    """Join the channels of colours.

    Args:
        red: [B, 1, H, W], or [B, 1, 1, 1] for one colour a face.
        green: of the same shape.
        blue: of the same shape.

    Returns:
        [B, 3, H, W] or [B, 3, 1, 1].
    """
    return torch.cat((red, green, blue), dim=1)


def cover(distance: torch.Tensor, pixel: torch.Tensor, softness: float = 0.0) -> torch.Tensor:
    """Share of each pixel that lies inside an edge.

    Args:
        distance: signed distance of the pixel's centre to the edge, negative inside.
        pixel: side of a pixel, in the unit of the distance.
        softness: width of the edge itself, in the same unit.

    Returns:
        0..1.
    """
    return (0.5 - distance / (pixel + softness)).clamp(0, 1)


def smoothstep(value: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Rise from 0 to 1 without a kink.

    Args:
        value: any shape.
        low: 0 up to here.
        high: above `low`; 1 from here.

    Returns:
        The cubic 3 t^2 - 2 t^3 of the place between both.
    """
    share = ((value - low) * (1 / (high - low))).clamp(0, 1)
    return share * share * (3 - 2 * share)


def skin_colour(identity: SimpleNamespace) -> torch.Tensor:
    """The skin's colour of columns() of the identity, linear [B, 3, 1, 1]."""
    light, middle, dark = (colour(*values, identity.skin_melanin).log() for values in _SKIN)
    melanin = identity.skin_melanin
    # the parabola through the three logarithms
    logarithm = light + melanin * (4 * middle - 3 * light - dark) + melanin**2 * 2 * (light + dark - 2 * middle)
    rosy = colour(0.09, -0.08, -0.05, melanin) * identity.skin_redness
    golden = colour(0.02, 0.02, -0.22, melanin) * identity.skin_yellowness
    return (logarithm + rosy + golden).exp().clamp_max(0.95)


def hair_colour(identity: SimpleNamespace) -> torch.Tensor:
    """The hair's colour of columns() of the identity, linear [B, 3, 1, 1]."""
    melanin = identity.hair_melanin
    eumelanin = 0.15 + 10.0 * melanin**1.4
    pheomelanin = 0.15 + 2.6 * identity.hair_redness * (1 - 0.6 * melanin)
    absorbed = eumelanin * colour(*_EUMELANIN, melanin) + pheomelanin * colour(*_PHEOMELANIN, melanin)
    return torch.lerp(0.012 + 0.85 * (-absorbed).exp(), colour(0.55, 0.55, 0.57, melanin), 0.85 * identity.hair_grey)


def iris_colour(identity: SimpleNamespace) -> torch.Tensor:
    """The iris's colour of columns() of the identity, linear [B, 3, 1, 1]."""
    place = identity.iris_hue * 3
    result = sum(colour(*values, place) * (1 - (place - i).abs()).clamp_min(0) for i, values in enumerate(_IRIS))
    return 1.15 * result * identity.iris_lightness


@dataclass
class Surface:
    """What light falls on.

    Attributes:
        albedo: linear colour, [B, 3, H, W].
        normal: unit.
        occlusion: how much of the surroundings reaches the point, 0..1, [B, 1, H, W] or one number.
        gloss: strength of the highlight, [B, 1, H, W] or one number.
    """

    albedo: torch.Tensor
    normal: Vector
    occlusion: torch.Tensor | float
    gloss: torch.Tensor | float


class Light:
    """The light of one scene: from one direction, and from everywhere.

    Args:
        attributes: columns() of the attributes.
    """

    def __init__(self, attributes: SimpleNamespace):
        radians = torch.pi / 180
        azimuth, elevation = attributes.light_azimuth * radians, attributes.light_elevation * radians
        self.direction: Vector = (
            torch.sin(azimuth) * torch.cos(elevation),
            torch.sin(elevation),
            torch.cos(azimuth) * torch.cos(elevation),
        )
        warmth = attributes.light_warmth
        self._colour = (colour(0.22, 0.0, -0.30, warmth) * warmth).exp() * attributes.light_strength * 1.15
        self._ambient = attributes.ambient * (colour(-0.03, 0.0, 0.07, warmth) * warmth).exp()

    def shade(
        self,
        surface: Surface,
        up: torch.Tensor,
        direction: Vector,
        ray: Vector,
        power: int,
    ) -> torch.Tensor:
        """Light a surface.

        Args:
            surface: to light.
            up: cosine of its normal with the camera's up.
            direction: towards the light, unit, in the normal's frame.
            ray: from the camera, unit, in the normal's frame.
            power: the highlight's exponent is 2 to this.

        Returns:
            What the camera sees of the surface, linear [B, 3, H, W].
        """
        normal, occlusion = surface.normal, surface.occlusion
        facing = dot(normal, direction)
        diffuse = ((facing + _WRAP) * (1 / (1 + _WRAP))).clamp_min(0)
        half = normalised(tuple(d - r for d, r in zip(direction, ray, strict=True)))
        highlight = dot(normal, half).clamp(0, 1)
        for _ in range(power):
            highlight = highlight * highlight
        highlight = highlight * surface.gloss * (facing * 4).clamp(0, 1)
        around = self._ambient * (0.78 + 0.22 * up) * occlusion
        return (
            surface.albedo * (self._colour * (diffuse * (0.35 + 0.65 * occlusion)) + around) + self._colour * highlight
        )


def to_picture(linear: torch.Tensor) -> torch.Tensor:
    """Linear [B, 3, H, W] to 0..1: the brightest parts are compressed, then a gamma of 2."""
    return (1.08 * linear / (1 + 0.18 * linear)).clamp(0, 1).sqrt()
