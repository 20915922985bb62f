"""Where a pasted crop ends: the mask of its region, soft towards the border."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .placement import Placement

_RING_SIDE = 128  # cells along a crop's side on which colours are compared
# "oval" and "box" are enlarged by this many face sizes, so that with the default feather the mask is a half about where
# the shape ends: without it the face's own outline would stay.
_SHAPE_MARGIN = 0.05


def smooth(t: torch.Tensor) -> torch.Tensor:
    """0 below 0, 1 above 1, between them the cubic with flat ends."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Edge:
    """What of a crop is pasted, and how it fades out.

    Args:
        region: one of REGIONS.
        feather: as in PasteSettings.
    """

    region: str
    feather: float

    def bounds(self, placement: Placement) -> tuple[int, int, int, int]:
        """The pixels x0 y0 x1 y1 of the picture that the mask may cover; empty (x0 >= x1 or y0 >= y1) beside it."""
        x0, y0, x1, y1 = placement.square
        if self.region != "crop":
            left, top, right, bottom = placement.shapes.bounds(self.region, _SHAPE_MARGIN)
            x0, y0, x1, y1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
        return x0, y0, x1, y1

    def mask(
        self, placement: Placement, x: torch.Tensor, y: torch.Tensor, u: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """The mask at some pixels of the picture.

        Args:
            placement: of the crop.
            x, y: points in picture pixels, integers at pixel centres; broadcast against each other.
            u, v: where they lie in the crop's unit square, of one shape: that of x and y together.

        Returns:
            float32 of the shape of u and v, 0..1.
        """
        edge_x, edge_y = (torch.minimum(t, 1 - t) for t in (u, v))  # distance to the border, in sides
        if self.region == "crop":
            if self.feather > 0:
                return smooth(edge_x / self.feather) * smooth(edge_y / self.feather)
            return ((edge_x > 0) & (edge_y > 0)).float()
        shapes = placement.shapes
        side = shapes.width("crop")
        field = torch.minimum(edge_x, edge_y).mul_(side)
        field = torch.minimum(field, shapes.field(self.region, x, y).add_(_SHAPE_MARGIN))
        if self.feather > 0:
            return smooth(field / (self.feather * min(shapes.width(self.region) + 2 * _SHAPE_MARGIN, side)))
        return (field > 0).float()

    def ring(self, placement: Placement) -> torch.Tensor:
        """Where crop and picture should look alike: 1 - mask on a grid over the crop, 0 where the picture has ended.

        Returns:
            float32 [128, 128] on the picture's device.
        """
        device = placement.image.device
        x, y, inside = placement.cell_centres(_RING_SIDE, device)
        index = (torch.arange(_RING_SIDE, device=device) + 0.5) / _RING_SIDE
        v, u = torch.meshgrid(index, index, indexing="ij")
        return (1 - self.mask(placement, x, y, u, v)) * inside
