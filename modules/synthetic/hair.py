"""Hair: which parts of its shell are there, its colour and strands. Parts in the head's frame."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from .geometry import HairShell, View, bump, dot
from .shading import Light, Surface, colour, cover, hair_colour, smoothstep


class Hair:
    """The hair of one head.

    Args:
        identity: columns() of the identity.
    """

    def __init__(self, identity: SimpleNamespace):
        self.identity = identity
        self.shell = HairShell(identity)
        self._colour = hair_colour(identity)

    def opening(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """About the distance to the hairline around the face, negative where the face is free."""
        i = self.identity
        aside = x - i.hair_parting
        fringe = i.hair_fringe * (1 - 0.85 * bump((aside * (1 / 0.16)).square()))
        upper = i.hairline + i.hair_sweep * x - fringe + i.hair_waves * torch.sin(16 * aside)
        middle = -0.12
        share_y = (y - middle).clamp_min(0) / (upper - middle).clamp_min(0.12)
        share_x = x / i.hairline_width
        return ((share_x.square().square() + share_y.square().square()).sqrt().sqrt() - 1) * 0.42

    def shadow(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Share of the light that the hair leaves to the skin, 0..1, at x and y of the head's frame."""
        length = smoothstep(self.identity.hair_length + y, -0.05, 0.1)
        return 1 - 0.42 * smoothstep(self.opening(x, y), -0.15, 0.01) * length

    def _end(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        i = self.identity
        uneven = 0.025 * torch.sin(17 * x + 9 * i.hair_parting) + i.hair_waves * torch.sin(11 * x)
        return -i.hair_length - 0.10 * x.square() - y + uneven

    def front(self, view: View, light: Light) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The hair as the camera sees it: its near side, and what hangs behind the head.

        Returns:
            The near side's colour, linear [B, 3, H, W], and its cover [B, 1, H, W]; then both of what hangs behind.
        """
        i, pixel = self.identity, view.pixel
        point, outline, edge = self.shell.trace(view.origin, view.ray)
        x, y, z = point
        free = torch.maximum(self.opening(x, y), -z)
        end = self._end(x, y)
        mask = cover(torch.maximum(-free, end), pixel, 0.018) * cover(outline, pixel)
        fan = (x - i.hair_parting) / (1.30 - y).clamp_min(0.2)
        strands = torch.sin(46 * fan + 2.2 * torch.sin(7 * fan + 4 * y) + 35 * i.hair_waves * torch.sin(9 * y))
        strands = strands + 0.5 * torch.sin(101 * fan + 3 * torch.sin(3 * y))
        normal = self.shell.normal(point)
        parting = bump(((x - i.hair_parting) * (1 / 0.035)).square()) * smoothstep(y - i.hairline, -0.05, 0.15)
        albedo = self._colour * (0.84 + 0.13 * strands) * (1 - 0.35 * parting)
        occlusion = 1 - 0.35 * smoothstep(-free, -0.07, 0.01) * smoothstep(z, 0, 0.2)
        occlusion = occlusion * (1 - 0.35 * smoothstep(-y, 0.1, 0.9))
        gloss = (0.03 + 0.16 * self._colour[:, 1:2]) * (1 + 0.5 * strands).clamp_min(0)
        surface = Surface(albedo, normal, occlusion, gloss)
        shaded = light.shade(surface, dot(normal, view.up), view.light, view.ray, power=3)
        # behind: seen past the head, in its shade
        behind = cover(torch.maximum(outline, self._end(edge[0], edge[1])), pixel, 0.01)
        facing = (0.55 + 0.45 * dot(self.shell.normal(edge), view.light)).clamp_min(0)
        return shaded, mask, self._colour * (0.10 + 0.30 * facing) * colour(1.0, 0.97, 0.95, x), behind
