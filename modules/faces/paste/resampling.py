"""A crop at the picture's resolution: reduced, enlarged or extended first, then looked up by the cubic filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..alignment import invert_affine
from .colour import luma, match_colour
from .edge import Edge
from .placement import Placement

_STRIP_PIXELS = 1 << 20  # crop pixels that are looked up at once; bounds memory for large crops
# A crop that shrinks is reduced to this many pixels a picture pixel before it is sampled: 1 blurs, 2 aliases
# (docs/measured.md, "Constants of the face code").
_OVERSAMPLING = 1.5
# A crop with fewer pixels a picture pixel is enlarged twice first: with antialias the cubic is the one that keeps ramps
# straight (a = -0.5), while grid_sample's (-0.75) ripples between pixels far apart.
_RIPPLE = 0.75
# Apple's GPUs sample neither by the cubic filter nor beyond a border; their memory is the CPU's, so the way is short.
_WITHOUT_SAMPLING = ("mps",)
_OWNERSHIP = 8  # power of the closeness to a face's middle by which overlapping faces share a pixel


@dataclass(frozen=True, eq=False)
class PreparedCrop:
    """A crop, ready to be sampled.

    Args:
        placement: where it goes.
        values: float32 [3, h, w] on the picture's device.
        limits: of the crop's values: the cubic filter's overshoot stays within them.
        bounds: x0 y0 x1 y1 in the picture, exclusive ends: where its mask may cover.
    """

    placement: Placement
    values: torch.Tensor
    limits: tuple[float, float]
    bounds: tuple[int, int, int, int]


def prepare(placement: Placement, edge: Edge, colour_match: float) -> PreparedCrop:
    """The crop with the picture's colours, at a resolution from which the picture's pixels can be sampled.

    Args:
        placement: the crop; its `cut` is freed afterwards.
        edge: of the paste; colours are compared outside its mask.
        colour_match: 0..1, as in PasteSettings.
    """
    image = placement.image
    crop = placement.crop.to(image.device, torch.float32)[..., :3]
    if colour_match > 0:
        if image.shape[2] == 1 and crop.shape[2] == 3:
            crop = luma(crop)
        crop = match_colour(crop.expand(-1, -1, 3), placement.cut, edge.ring(placement), colour_match)
        placement.forget_cut()
    crop = crop.permute(2, 0, 1).expand(3, -1, -1)
    scale = np.sqrt(abs(np.linalg.det(placement.to_unit[:, :2]))) * crop.shape[1]
    crop = _extend_inside(placement, crop, scale)
    side = crop.shape[1]
    if scale > _OVERSAMPLING:
        crop = _resize(crop, max(1, round(side * _OVERSAMPLING / scale)))
    limits = float(crop.min()), float(crop.max())
    if scale < _RIPPLE:
        crop = _resize(crop, 2 * side)
    return PreparedCrop(placement, crop, limits, edge.bounds(placement))


def sample(
    prepared: PreparedCrop, region: tuple[int, int, int, int], edge: Edge
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a crop shows in a region of the picture, and how much it counts there.

    Args:
        prepared: the crop.
        region: x0 y0 x1 y1 in picture pixels, exclusive ends: [h, w] of them.
        edge: of the paste.

    Returns:
        Colours [h, w, 3], mask [h, w], 0..1, and share among overlapping faces [h, w], not yet normalised.
    """
    left, top, right, bottom = region
    matrix, device = prepared.placement.to_unit, prepared.values.device
    # from the region's own corner: float32 is exact enough there (1e-4 crop pixels), and not every device has float64
    start = matrix @ (left, top, 1)
    x = torch.arange(right - left, device=device, dtype=torch.float32)[None, :]
    y = torch.arange(bottom - top, device=device, dtype=torch.float32)[:, None]
    u, v = (float(a) * x + float(b) * y + float(c) for (a, b, _), c in zip(matrix, start, strict=True))
    grid = torch.stack([u * 2 - 1, v * 2 - 1], -1)
    values = _look_up(prepared.values, grid, "bicubic")
    values = values.clamp(*prepared.limits).permute(1, 2, 0)
    alpha = edge.mask(prepared.placement, x + left, y + top, u, v)
    return values, alpha, ownership(alpha, u, v)


def ownership(alpha: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """How much a crop counts among those that overlap, at points (u, v) of its unit square with the mask `alpha`."""
    # above 0: a lone face keeps its colour to the border
    closeness = (2 * torch.minimum(torch.minimum(u, 1 - u), torch.minimum(v, 1 - v))).clamp(1e-2, 1)
    return alpha * closeness**_OWNERSHIP


def _look_up(crop: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    """Values [3, h, w] of a crop [3, S, S] at a grid [h, w, 2], x before y, -1..1; its border goes on beyond it."""
    device = crop.device
    if device.type in _WITHOUT_SAMPLING:
        crop, grid = crop.cpu(), grid.cpu()
    values = F.grid_sample(crop[None], grid[None], mode=mode, padding_mode="border", align_corners=False)
    return values[0].to(device)


def _resize(crop: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(crop[None], size=(side, side), mode="bicubic", align_corners=False, antialias=True)[0]


def _extend_inside(placement: Placement, crop: torch.Tensor, scale: float) -> torch.Tensor:
    """The crop with every pixel that shows the outside of the picture replaced by the nearest that shows its inside.

    The cubic filter and the reduction look a few pixels around; without this they would pull the white border in.

    Args:
        placement: where the crop goes.
        crop: float32 [3, S, S].
        scale: crop pixels a picture pixel.
    """
    matrix, inverse, side = placement.to_unit, invert_affine(placement.to_unit), crop.shape[1]
    index = (np.arange(side) + 0.5) / side
    limit = np.array([placement.image.shape[1] - 1.0, placement.image.shape[0] - 1.0])
    corners = np.array([(x, y) for x in index[[0, -1]] for y in index[[0, -1]]]) @ inverse[:, :2].T + inverse[:, 2]
    reach = 1 + 2 / scale
    if (corners >= reach).all() and (corners <= limit - reach).all():
        return crop
    # A crop is sampled to 1/32 pixel; one that was resized since mixes neighbours. What is looked up instead lies so
    # far inside that all four taps of the bilinear filter are inside too.
    resized = side != placement.crop_size
    slack = np.minimum(1 / 32 + (1 / scale if resized else 0), limit / 2)
    margin = np.minimum(slack + np.sqrt(2) / scale, limit / 2)
    half = 0.5 / side
    extended = crop.clone()
    rows = max(1, _STRIP_PIXELS // side)
    for top in range(0, side, rows):
        strip = slice(top, top + rows)
        x = index[None, :, None] * inverse[:, 0] + index[strip, None, None] * inverse[:, 1] + inverse[:, 2]
        outside = ((x < slack) | (x > limit - slack)).any(-1)
        inner = x[outside]
        for _ in range(8):  # towards what is both in the picture and in the crop, by turns
            inner = np.clip(inner, margin, limit - margin) @ matrix[:, :2].T + matrix[:, 2]
            inner = np.clip(inner, half, 1 - half) @ inverse[:, :2].T + inverse[:, 2]
        inner = np.clip(inner, margin, limit - margin) @ matrix[:, :2].T + matrix[:, 2]
        grid = torch.from_numpy((inner[None] * 2 - 1).astype(np.float32)).to(crop.device)
        filled = _look_up(crop, grid, "bilinear")[:, 0]
        extended[:, strip][:, torch.from_numpy(outside).to(crop.device)] = filled
    return extended
