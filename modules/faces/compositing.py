"""Paste finished crops back where they were cut, with a feathered edge.

Differs from the paper's code (nearest neighbour in a hard square, one face over the other) on purpose: bicubic,
antialiased, feathered, and where squares overlap each pixel belongs mostly to the face whose middle is nearer,
whatever the order. A later square pasted whole would put what it shows of its neighbour, unchanged, over the
neighbour's new face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from .alignment import check_faces, invert_affine
from .types import Faces

_STRIP_PIXELS = 1 << 20  # picture pixels that are composited at once; bounds memory for large pictures
# A crop that shrinks is reduced to this many pixels a picture pixel before it is sampled. Noise then keeps 1.1 times
# the deviation of an ideal average; 1 blurs (0.7), 2 aliases (1.5).
_OVERSAMPLING = 1.5
_OWNERSHIP = 8  # power of the closeness to a face's middle by which overlapping faces share a pixel
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's mode L


@dataclass(frozen=True)
class _Placement:
    """A crop, ready to be sampled: `crop` [3, h, w]; `matrix` (2, 3) takes picture pixel centres to the crop's unit
    square.
    """

    crop: torch.Tensor
    matrix: np.ndarray
    region: tuple[int, int, int, int]  # x0 y0 x1 y1 in the picture, exclusive ends
    limits: tuple[float, float]  # of the crop's values: bicubic overshoot stays within them


def paste_faces(
    images: torch.Tensor, crops: torch.Tensor, faces: Faces, feather: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images with every crop in its place, and where they were changed.

    images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is kept, one channel takes the crop's luma). Never modified.
    crops: float [N, S, S, 3], 0..1 (also 1 or 4 channels), one a face in their order; S may differ from the faces'
    crop_size. faces: with matrices, of these images. feather: 0..0.5, the fraction of the crop's side over which the
    paste fades out towards its border; 0 is a hard edge.
    Returns images like the input and mask float32 [B, H, W], 0..1. Where the mask is 0 a pixel is the input's, bit
    for bit. Where crops overlap, each counts by its mask times the eighth power of its closeness to its own middle,
    and the mask is the union 1 - (1 - a)(1 - b). What a crop shows of beyond the picture's border never reaches the
    picture. Raises ValueError when counts or sizes do not fit together or a face has no matrix.
    """
    check_faces(images, faces)
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] not in (1, 3, 4):
        raise ValueError(f"Crops are square, [N, S, S, C] with 1, 3 or 4 channels, got {list(crops.shape)}.")
    if len(crops) != len(faces):
        raise ValueError(
            f"There are {len(crops)} crops but {len(faces)} faces: connect all the crops that were made of these faces."
        )
    if any(face.matrix is None or not face.crop_size for face in faces):
        raise ValueError("The faces have no crop matrices: connect FaceAnonCropFaces (its faces output).")
    if not 0 <= feather <= 0.5:
        raise ValueError(f"feather is 0..0.5 of the crop's side, got {feather}.")
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    for index in range(faces.image_count):
        members = [(crop, face) for crop, face in zip(crops, faces, strict=True) if face.image_index == index]
        regions = [_region(face.matrix, face.crop_size, faces.height, faces.width) for _, face in members]
        for group in _overlapping(regions):
            placements = [_place(*members[i], regions[i], faces, images.device) for i in group]
            _composite(result[index], mask[index], placements, feather)
    return result, mask


def _region(matrix: np.ndarray, size: int, height: int, width: int) -> tuple[int, int, int, int]:
    """The pixels x0 y0 x1 y1 whose centres may lie in the crop; empty (x0 >= x1 or y0 >= y1) when it is beside the
    picture.
    """
    inverse = invert_affine(matrix)
    ends = (-0.5, size - 0.5)
    corners = np.array([(x, y) for x in ends for y in ends]) @ inverse[:, :2].T + inverse[:, 2]
    limit = np.array([width, height])
    low = np.clip(np.floor(corners.min(0)), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, 0, limit).astype(int)
    return (*low.tolist(), *high.tolist())


def _overlapping(regions: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """The indices of regions in groups: regions that overlap, also by way of others, are in one group; empty ones in
    none.
    """
    groups: list[list[int]] = []
    for i, (x0, y0, x1, y1) in enumerate(regions):
        if x0 >= x1 or y0 >= y1:
            continue
        touched = [
            group
            for group in groups
            if any(
                x0 < regions[j][2] and regions[j][0] < x1 and y0 < regions[j][3] and regions[j][1] < y1 for j in group
            )
        ]
        groups = [group for group in groups if group not in touched]
        groups.append(sorted([i, *(j for group in touched for j in group)]))
    return groups


def _place(crop: torch.Tensor, face, region: tuple[int, int, int, int], faces: Faces, device) -> _Placement:
    crop = crop.to(device, torch.float32)[..., :3].permute(2, 0, 1)
    crop = crop.expand(3, -1, -1)
    matrix = np.asarray(face.matrix, np.float64) / face.crop_size
    matrix[:, 2] += 0.5 / face.crop_size  # to edges of the unit square
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) * crop.shape[1]
    crop = _extend_inside(crop, matrix, faces, scale, resized=crop.shape[1] != face.crop_size)
    if scale > _OVERSAMPLING:
        side = max(1, round(crop.shape[1] * _OVERSAMPLING / scale))
        crop = F.interpolate(crop[None], size=(side, side), mode="bicubic", align_corners=False, antialias=True)[0]
    return _Placement(crop, matrix, region, (float(crop.min()), float(crop.max())))


def _extend_inside(crop: torch.Tensor, matrix: np.ndarray, faces: Faces, scale: float, resized: bool) -> torch.Tensor:
    """The crop with every pixel that shows the outside of the picture replaced by the nearest that shows its inside.

    The cubic filter and the reduction look a few pixels around; without this they would pull the white border in.
    """
    side = crop.shape[1]
    inverse = invert_affine(matrix)
    index = (np.arange(side) + 0.5) / side
    limit = np.array([faces.width - 1.0, faces.height - 1.0])
    corners = np.array([(x, y) for x in index[[0, -1]] for y in index[[0, -1]]]) @ inverse[:, :2].T + inverse[:, 2]
    reach = 1 + 2 / scale
    if (corners >= reach).all() and (corners <= limit - reach).all():
        return crop
    # A crop is sampled to 1/32 pixel; one that was resized since mixes neighbours. What is looked up instead lies so
    # far inside that all four taps of the bilinear filter are inside too.
    slack = np.minimum(1 / 32 + (1 / scale if resized else 0), limit / 2)
    margin = np.minimum(slack + np.sqrt(2) / scale, limit / 2)
    x = index[None, :, None] * inverse[:, 0] + index[:, None, None] * inverse[:, 1] + inverse[:, 2]
    outside = ((x < slack) | (x > limit - slack)).any(-1)
    inner, half = x[outside], 0.5 / side
    for _ in range(8):  # towards what is both in the picture and in the crop, by turns
        inner = np.clip(inner, margin, limit - margin) @ matrix[:, :2].T + matrix[:, 2]
        inner = np.clip(inner, half, 1 - half) @ inverse[:, :2].T + inverse[:, 2]
    inner = np.clip(inner, margin, limit - margin) @ matrix[:, :2].T + matrix[:, 2]
    grid = torch.from_numpy((inner[None, None] * 2 - 1).astype(np.float32)).to(crop.device)
    filled = F.grid_sample(crop[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0]
    crop = crop.clone()
    crop[:, torch.from_numpy(outside).to(crop.device)] = filled
    return crop


def _composite(image: torch.Tensor, mask: torch.Tensor, placements: list[_Placement], feather: float) -> None:
    """Blend one group of placements into image [H, W, C] and mask [H, W], both views of the result, strip by strip."""
    x0, y0 = (min(p.region[axis] for p in placements) for axis in (0, 1))
    x1, y1 = (max(p.region[axis] for p in placements) for axis in (2, 3))
    rows = max(1, _STRIP_PIXELS // (x1 - x0))
    channels = min(image.shape[2], 3)
    for top in range(y0, y1, rows):
        bottom = min(top + rows, y1)
        colour = torch.zeros((bottom - top, x1 - x0, channels), dtype=torch.float32, device=image.device)
        weight = torch.zeros(colour.shape[:2], dtype=torch.float32, device=image.device)
        kept = torch.ones_like(weight)
        for placement in placements:
            left, right = placement.region[0], placement.region[2]
            first, last = max(top, placement.region[1]), min(bottom, placement.region[3])
            if first >= last:
                continue
            part = (slice(first - top, last - top), slice(left - x0, right - x0))
            values, alpha, share = _sample(placement, (left, first, right, last), feather)
            if len(placements) == 1:
                share = torch.ones_like(share)  # so that its colours stay exact
            if channels == 1:
                values = (values * values.new_tensor(_LUMA)).sum(-1, keepdim=True)
            colour[part] += values * share[..., None]
            weight[part] += share
            kept[part] *= 1 - alpha
        alpha = 1 - kept
        target = image[top:bottom, x0:x1, :channels]
        pasted = colour / weight.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
        blended = torch.lerp(target.float(), pasted, alpha[..., None])
        target.copy_(torch.where((alpha > 0)[..., None], blended.to(target.dtype), target))
        mask[top:bottom, x0:x1] = torch.maximum(mask[top:bottom, x0:x1], alpha)


def _sample(
    placement: _Placement, region: tuple[int, int, int, int], feather: float
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
    values = F.grid_sample(
        placement.crop[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]
    values = values.clamp(*placement.limits).permute(1, 2, 0)
    edge_x, edge_y = (torch.minimum(t, 1 - t) for t in (u, v))  # distance to the border, in sides
    inside = (edge_x > 0) & (edge_y > 0)
    alpha = _smooth(edge_x / feather) * _smooth(edge_y / feather) if feather > 0 else inside.float()
    closeness = (2 * torch.minimum(edge_x, edge_y)).clamp(
        1e-2, 1
    )  # above 0: a lone face keeps its colour to the border
    return values, alpha, alpha * closeness**_OWNERSHIP


def _smooth(t: torch.Tensor) -> torch.Tensor:
    """0 below 0, 1 above 1, between them the cubic with flat ends."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
