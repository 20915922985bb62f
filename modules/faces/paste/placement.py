"""A finished crop over its picture: where its pixels lie, what it shows there, how far its mask reaches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from ..alignment import crop_faces, invert_affine
from ..types import Face, Faces
from .colour import match_colour
from .masks import bounds, field_at, shape_width

_STRIP_PIXELS = 1 << 20  # crop pixels that are looked up at once; bounds memory for large crops
# A crop that shrinks is reduced to this many pixels a picture pixel before it is sampled. Noise then keeps 1.1 times
# the deviation of an ideal average; 1 blurs (0.7), 2 aliases (1.5).
_OVERSAMPLING = 1.5
# A crop with fewer pixels a picture pixel is enlarged twice first: with antialias the cubic is the one that keeps ramps
# straight (a = -0.5), while grid_sample's (-0.75) ripples between pixels far apart: gradients grow by up to 15 %.
_RIPPLE = 0.75
# Apple's GPUs sample neither by the cubic filter nor beyond a border; their memory is the CPU's, so the way is short.
_WITHOUT_SAMPLING = ("mps",)
_OWNERSHIP = 8  # power of the closeness to a face's middle by which overlapping faces share a pixel
_RING_SIDE = 128  # cells along a crop's side on which colours are compared
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's mode L
# "oval" and "box" are enlarged by this many face sizes, so that with the default feather the mask is a half about where
# the shape ends: without it the face's own outline would stay.
SHAPE_MARGIN = 0.05


@dataclass(frozen=True)
class Placement:
    """A crop, ready to be sampled: `crop` [3, h, w]; `matrix` (2, 3) takes picture pixel centres to the crop's unit
    square.
    """

    crop: torch.Tensor
    matrix: np.ndarray
    region: tuple[int, int, int, int]  # x0 y0 x1 y1 in the picture, exclusive ends
    limits: tuple[float, float]  # of the crop's values: bicubic overshoot stays within them
    face: Face


@dataclass(frozen=True)
class Edge:
    """Where a crop's mask ends: shape "crop", "oval" or "box", and feather as in paste_faces."""

    shape: str
    feather: float

    def region(self, face: Face, height: int, width: int) -> tuple[int, int, int, int]:
        """The pixels x0 y0 x1 y1 of the picture that the mask may cover; empty (x0 >= x1 or y0 >= y1) beside it."""
        inverse = invert_affine(face.matrix)
        ends = (-0.5, face.crop_size - 0.5)
        corners = np.array([(x, y) for x in ends for y in ends]) @ inverse[:, :2].T + inverse[:, 2]
        limit = np.array([width, height])
        low = np.clip(np.floor(corners.min(0)), 0, limit).astype(int)
        high = np.clip(np.ceil(corners.max(0)) + 1, 0, limit).astype(int)
        if self.shape != "crop":
            shape = bounds(face, self.shape, SHAPE_MARGIN)
            low, high = np.maximum(low, shape[:2]), np.minimum(high, shape[2:])
        return (*low.tolist(), *high.tolist())

    def mask(self, face: Face, x: torch.Tensor, y: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """The mask, 0..1, at picture pixels x, y, which lie at u, v of the crop's unit square."""
        edge_x, edge_y = (torch.minimum(t, 1 - t) for t in (u, v))  # distance to the border, in sides
        if self.shape == "crop":
            if self.feather > 0:
                return smooth(edge_x / self.feather) * smooth(edge_y / self.feather)
            return ((edge_x > 0) & (edge_y > 0)).float()
        side = shape_width(face, "crop")
        field = torch.minimum(edge_x, edge_y).mul_(side)
        field = torch.minimum(field, field_at(face, self.shape, x, y).add_(SHAPE_MARGIN))
        if self.feather > 0:
            return smooth(field / (self.feather * min(shape_width(face, self.shape) + 2 * SHAPE_MARGIN, side)))
        return (field > 0).float()


def smooth(t: torch.Tensor) -> torch.Tensor:
    """0 below 0, 1 above 1, between them the cubic with flat ends."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def recut(image: torch.Tensor, face: Face) -> torch.Tensor:
    """The face's crop, cut again from image [H, W, C] by its own matrix: float32 [crop_size, crop_size, 3]."""
    again = replace(face, image_index=0, alignment=np.asarray(face.matrix, np.float64) / face.crop_size)
    return crop_faces(image[None], Faces(1, *image.shape[:2], (again,)), face.crop_size)[0][0]


def cell_centres(
    face: Face, side: int, height: int, width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where the cells of a grid of side x side over the crop lie: x and y, float32 [side, side], in picture pixels; and
    which cells show the inside of the picture alone, bool [side, side].
    """
    inverse = invert_affine(face.matrix)
    index = (np.arange(side) + 0.5) * face.crop_size / side - 0.5
    across = index[None, :, None] * inverse[:, 0] + index[:, None, None] * inverse[:, 1] + inverse[:, 2]
    reach = 1 + np.abs(inverse[:, :2]).sum(1) * (0.5 * face.crop_size / side + 1)
    inside = ((across >= reach) & (across <= np.array([width - 1, height - 1]) - reach)).all(-1)
    x, y = torch.from_numpy(across.astype(np.float32)).to(device).unbind(-1)
    return x, y, torch.from_numpy(inside).to(device)


def place(
    image: torch.Tensor,
    crop: torch.Tensor,
    face: Face,
    region: tuple[int, int, int, int],
    edge: Edge,
    colour_match: float,
) -> Placement:
    """The crop [S, S, C] of a face, over its picture image [H, W, C]."""
    height, width, channels = image.shape
    crop = crop.to(image.device, torch.float32)[..., :3]
    if colour_match > 0:
        if channels == 1 and crop.shape[2] == 3:
            crop = (crop * crop.new_tensor(LUMA)).sum(-1, keepdim=True)
        weights = _ring(face, edge, height, width, image.device)
        crop = match_colour(crop.expand(-1, -1, 3), recut(image, face), weights, colour_match)
    crop = crop.permute(2, 0, 1).expand(3, -1, -1)
    matrix = np.asarray(face.matrix, np.float64) / face.crop_size
    matrix[:, 2] += 0.5 / face.crop_size  # to edges of the unit square
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) * crop.shape[1]
    crop = _extend_inside(crop, matrix, (height, width), scale, resized=crop.shape[1] != face.crop_size)
    side = crop.shape[1]
    if scale > _OVERSAMPLING:
        crop = _resize(crop, max(1, round(side * _OVERSAMPLING / scale)))
    limits = float(crop.min()), float(crop.max())
    if scale < _RIPPLE:
        crop = _resize(crop, 2 * side)
    return Placement(crop, matrix, region, limits, face)


def sample(
    placement: Placement, region: tuple[int, int, int, int], edge: Edge
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Colours [h, w, 3], mask [h, w] and share among overlapping faces [h, w] of a placement in a region of the
    picture.
    """
    left, top, right, bottom = region
    # from the region's own corner: float32 is exact enough there (1e-4 crop pixels), and not every device has float64
    start = placement.matrix @ (left, top, 1)
    x = torch.arange(right - left, device=placement.crop.device, dtype=torch.float32)[None, :]
    y = torch.arange(bottom - top, device=placement.crop.device, dtype=torch.float32)[:, None]
    u, v = (float(a) * x + float(b) * y + float(c) for (a, b, _), c in zip(placement.matrix, start, strict=True))
    grid = torch.stack([u * 2 - 1, v * 2 - 1], -1)
    values = _look_up(placement.crop, grid, "bicubic")
    values = values.clamp(*placement.limits).permute(1, 2, 0)
    alpha = edge.mask(placement.face, x + left, y + top, u, v)
    closeness = (2 * torch.minimum(torch.minimum(u, 1 - u), torch.minimum(v, 1 - v))).clamp(
        1e-2, 1
    )  # above 0: a lone face keeps its colour to the border
    return values, alpha, alpha * closeness**_OWNERSHIP


def _look_up(crop: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    """Values [3, h, w] of a crop [3, S, S] at a grid [h, w, 2], x before y, -1..1; its border goes on beyond it."""
    device = crop.device
    if device.type in _WITHOUT_SAMPLING:
        crop, grid = crop.cpu(), grid.cpu()
    values = F.grid_sample(crop[None], grid[None], mode=mode, padding_mode="border", align_corners=False)
    return values[0].to(device)


def _resize(crop: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(crop[None], size=(side, side), mode="bicubic", align_corners=False, antialias=True)[0]


def _ring(face: Face, edge: Edge, height: int, width: int, device: torch.device) -> torch.Tensor:
    """Where crop and picture should look alike: 1 - mask on a grid over the crop, 0 where the picture has ended."""
    x, y, inside = cell_centres(face, _RING_SIDE, height, width, device)
    index = (torch.arange(_RING_SIDE, device=device) + 0.5) / _RING_SIDE
    v, u = torch.meshgrid(index, index, indexing="ij")
    return (1 - edge.mask(face, x, y, u, v)) * inside


def _extend_inside(
    crop: torch.Tensor, matrix: np.ndarray, size: tuple[int, int], scale: float, resized: bool
) -> torch.Tensor:
    """The crop with every pixel that shows the outside of the picture replaced by the nearest that shows its inside.

    The cubic filter and the reduction look a few pixels around; without this they would pull the white border in.
    """
    side = crop.shape[1]
    inverse = invert_affine(matrix)
    index = (np.arange(side) + 0.5) / side
    limit = np.array([size[1] - 1.0, size[0] - 1.0])
    corners = np.array([(x, y) for x in index[[0, -1]] for y in index[[0, -1]]]) @ inverse[:, :2].T + inverse[:, 2]
    reach = 1 + 2 / scale
    if (corners >= reach).all() and (corners <= limit - reach).all():
        return crop
    # A crop is sampled to 1/32 pixel; one that was resized since mixes neighbours. What is looked up instead lies so
    # far inside that all four taps of the bilinear filter are inside too.
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
