"""Paste finished crops back where they were cut, without a seam.

Differs from the paper's code (nearest neighbour in a hard square, one face over the other) on purpose: bicubic,
antialiased, feathered, and where squares overlap each pixel belongs mostly to the face whose middle is nearer,
whatever the order. A later square pasted whole would put what it shows of its neighbour, unchanged, over the
neighbour's new face.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from ..settings import PasteSettings
from ..types import Faces
from .colour import luma
from .edge import Edge, smooth
from .placement import Placement, check_crops, placements_in
from .resampling import PreparedCrop, prepare, sample

_STRIP_PIXELS = 1 << 20  # picture pixels that are composited at once; bounds memory for large pictures
_KEEP_FADE = 0.05  # face sizes over which the new face fades in around a part that is kept


def paste_faces(
    images: torch.Tensor,
    crops: torch.Tensor,
    faces: Faces,
    settings: PasteSettings = PasteSettings(),
    *,
    protect: torch.Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images with every crop in its place, and where they were changed.

    Regions "oval" and "box" are enlarged by 0.05 face sizes on every side and end at the crop's border at the latest;
    with the default feather their mask is a half about where the shape itself ends. Where crops overlap, each counts by
    its mask times the eighth power of its closeness to its own middle, the mask is the union 1 - (1 - a)(1 - b), and
    what is kept of one is kept of all. A face without points is pasted whole: what lies where in it is not known, and
    what was kept by guess could show who it is. What a crop shows of beyond the picture's border never reaches the
    picture. Beyond the result, memory is bounded: the crops of faces that overlap, and a strip of the picture.

    Args:
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is kept, one channel takes the crop's luma). Never
            modified.
        crops: float [N, S, S, 3], 0..1 (also 1 or 4 channels), one a face in their order; S may differ from the faces'
            crop_size.
        faces: with matrices, of these images.
        settings: feather, region, colour_match and keep; the others are replace_faces'.
        protect: float [B or 1, H, W], 0..1: where it is 1 the original stays; NaN protects nothing.
        progress: called with (pictures done, pictures in all) after each; what it raises ends the paste.

    Returns:
        Images like the input, and mask float32 [B, H, W], 0..1, what was really replaced. Where the mask is 0 a pixel
        is the input's, bit for bit.

    Raises:
        ValueError: counts or sizes do not fit together, a face has no matrix, or a crop is not finite (such a face must
            be redacted: replace_faces).
    """
    check_crops(images, crops, faces)
    check_protect(protect, faces)
    for index, crop in enumerate(crops):
        if not torch.isfinite(crop).all():
            raise ValueError(
                f"Crop {index} has values that are not finite (NaN or infinite): sample it again, or redact this face."
            )
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    for index in range(faces.image_count):
        placements = placements_in(index, images, crops, faces).values()
        paste_into(result[index], mask[index], placements, settings, shield_of(protect, index))
        if progress is not None:
            progress(index + 1, faces.image_count)
    return result, mask


def check_protect(protect: torch.Tensor | None, faces: Faces) -> None:
    """Raise ValueError unless a protect mask, if there is one, is [B or 1, H, W] of the faces' images."""
    if protect is None:
        return
    if protect.ndim != 3 or tuple(protect.shape[1:]) != (faces.height, faces.width):
        shape = list(protect.shape) if protect.ndim != 3 else f"{protect.shape[2]}x{protect.shape[1]} pixels"
        raise ValueError(
            f"The protect mask is {shape}, but the images are {faces.width}x{faces.height} pixels: connect a mask made "
            "for these images, or scale it to their size."
        )
    if len(protect) not in (1, faces.image_count):
        raise ValueError(
            f"There are {len(protect)} protect masks but {faces.image_count} images: connect one mask for all images, "
            "or one each."
        )


def shield_of(protect: torch.Tensor | None, index: int) -> torch.Tensor | None:
    """The protect mask [H, W] of one picture."""
    return None if protect is None else protect[index if len(protect) > 1 else 0]


def paste_into(
    image: torch.Tensor,
    mask: torch.Tensor,
    placements: Collection[Placement],
    settings: PasteSettings,
    shield: torch.Tensor | None,
) -> None:
    """Paste the crops of one picture; see paste_faces.

    Args:
        image: float [H, W, C], changed in place; the placements hold the picture as it was.
        mask: float32 [H, W], changed in place.
        placements: of this picture.
        settings: of paste_faces.
        shield: float [H, W], where the original stays.
    """
    placements, edge = list(placements), Edge(settings.region, settings.feather)
    for group in overlapping_groups([edge.bounds(placement) for placement in placements]):
        prepared = [prepare(placements[i], edge, settings.colour_match) for i in group]
        _composite(image, mask, prepared, settings, shield)


def overlapping_groups(regions: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """Which regions must be composited together: those that overlap, also by way of others.

    Args:
        regions: x0 y0 x1 y1, exclusive ends.

    Returns:
        The indices of regions in groups; empty regions are in none.
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


def _composite(
    image: torch.Tensor,
    mask: torch.Tensor,
    group: list[PreparedCrop],
    settings: PasteSettings,
    shield: torch.Tensor | None,
) -> None:
    """Blend one group of crops into image [H, W, C] and mask [H, W], strip by strip."""
    edge = Edge(settings.region, settings.feather)
    x0, y0 = (min(crop.bounds[axis] for crop in group) for axis in (0, 1))
    x1, y1 = (max(crop.bounds[axis] for crop in group) for axis in (2, 3))
    rows = max(1, _STRIP_PIXELS // (x1 - x0))
    channels = min(image.shape[2], 3)
    for top in range(y0, y1, rows):
        bottom = min(top + rows, y1)
        colour = torch.zeros((bottom - top, x1 - x0, channels), dtype=torch.float32, device=image.device)
        weight = torch.zeros(colour.shape[:2], dtype=torch.float32, device=image.device)
        untouched = torch.ones_like(weight)
        open_to_change = torch.ones_like(weight)
        for crop in group:
            left, right = crop.bounds[0], crop.bounds[2]
            first, last = max(top, crop.bounds[1]), min(bottom, crop.bounds[3])
            if first >= last:
                continue
            part = (slice(first - top, last - top), slice(left - x0, right - x0))
            values, alpha, share = sample(crop, (left, first, right, last), edge)
            if len(group) == 1:
                share = torch.ones_like(share)  # so that its colours stay exact
            if channels == 1:
                values = luma(values)
            colour[part] += values * share[..., None]
            weight[part] += share
            untouched[part] *= 1 - alpha
            for name in settings.keep:
                open_to_change[part] *= 1 - _kept_part(crop, name, (left, first, right, last))
        if shield is not None:
            protected = shield[top:bottom, x0:x1].to(image.device, torch.float32)
            open_to_change *= 1 - protected.nan_to_num(nan=0.0).clamp(0, 1)
        alpha = (1 - untouched) * open_to_change
        target = image[top:bottom, x0:x1, :channels]
        pasted = colour / weight.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
        blended = torch.lerp(target.float(), pasted, alpha[..., None])
        target.copy_(torch.where((alpha > 0)[..., None], blended.to(target.dtype), target))
        mask[top:bottom, x0:x1] = torch.maximum(mask[top:bottom, x0:x1], alpha)


def _kept_part(crop: PreparedCrop, part: str, region: tuple[int, int, int, int]) -> torch.Tensor | float:
    left, top, right, bottom = region
    x = torch.arange(left, right, device=crop.values.device, dtype=torch.float32)[None, :]
    y = torch.arange(top, bottom, device=crop.values.device, dtype=torch.float32)[:, None]
    field = crop.placement.shapes.part_field(part, x, y)
    return 0.0 if field is None else smooth(1 + field / _KEEP_FADE)
