"""Paste finished crops back where they were cut, without a seam.

Differs from the paper's code (nearest neighbour in a hard square, one face over the other) on purpose: bicubic,
antialiased, feathered, and where squares overlap each pixel belongs mostly to the face whose middle is nearer,
whatever the order. A later square pasted whole would put what it shows of its neighbour, unchanged, over the
neighbour's new face.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from ..alignment import check_faces
from ..settings import PasteSettings
from ..types import Faces
from .masks import part_field
from .placement import LUMA, Edge, Placement, place, sample, smooth

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

    images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is kept, one channel takes the crop's luma). Never modified.
    crops: float [N, S, S, 3], 0..1 (also 1 or 4 channels), one a face in their order; S may differ from the faces'
    crop_size. faces: with matrices, of these images.
    region: what of a crop is pasted: "crop" all of it, "oval" the face (masks.shape_field), "box" the detector's box.
    Oval and box are enlarged by 0.05 face sizes on every side and end at the crop's border at the latest.
    feather: 0..0.5, the fraction of the region's narrowest width (of the crop: its side) over which the paste fades out
    towards the region's border, all of it inside; 0 is a hard edge. At 0.1 the mask of oval and box is a half about
    where the shape itself ends.
    colour_match: 0..1, how far a crop takes on the picture's colours: mean and covariance in linear light, measured
    where crop and picture should look alike: in the crop, weighted by 1 - mask of the region, so in the outer part of
    the feather band and from there to the crop's border; not beyond the picture (colour.colour_map).
    keep: some of "eyes", "nose", "mouth": there the original stays, with a soft edge of 0.05 face sizes around
    (masks.part_field). A face without points is pasted whole: what lies where in it is not known, and what was kept by
    guess could show who it is.
    protect: float [B or 1, H, W], 0..1: where it is 1 the original stays; NaN protects nothing.
    progress: called with (pictures done, pictures in all) after each; what it raises ends the paste.
    Returns images like the input and mask float32 [B, H, W], 0..1, what was really replaced. Where the mask is 0 a
    pixel is the input's, bit for bit. Where crops overlap, each counts by its mask times the eighth power of its
    closeness to its own middle, the mask is the union 1 - (1 - a)(1 - b), and what is kept of one is kept of all. What
    a crop shows of beyond the picture's border never reaches the picture. Beyond the result, memory is bounded: the
    crops of faces that overlap, and a strip of the picture.
    Raises ValueError when counts or sizes do not fit together, a face has no matrix, a crop is not finite (such a face
    must be redacted: verdict.unfit_crops) or an option is unknown.
    """
    _check(images, crops, faces, protect)
    edge = Edge(settings.region, settings.feather)
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    for index in range(faces.image_count):
        members = [(crop, face) for crop, face in zip(crops, faces, strict=True) if face.image_index == index]
        regions = [edge.region(face, faces.height, faces.width) for _, face in members]
        shield = None if protect is None else protect[index if len(protect) > 1 else 0]
        for group in _overlapping(regions):
            placements = [place(images[index], *members[i], regions[i], edge, settings.colour_match) for i in group]
            _composite(result[index], mask[index], placements, edge, settings.keep, shield)
        if progress is not None:
            progress(index + 1, faces.image_count)
    return result, mask


def _check(images, crops, faces, protect) -> None:
    check_faces(images, faces)
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] not in (1, 3, 4):
        raise ValueError(f"Crops are square, [N, S, S, C] with 1, 3 or 4 channels, got {list(crops.shape)}.")
    if len(crops) != len(faces):
        raise ValueError(
            f"There are {len(crops)} crops but {len(faces)} faces: connect all the crops that were made of these faces."
        )
    if any(face.matrix is None or not face.crop_size for face in faces):
        raise ValueError("The faces have no crop matrices: connect FaceAnonCropFaces (its faces output).")
    if protect is not None:
        _check_protect(protect, faces)
    for index, crop in enumerate(crops):
        if not torch.isfinite(crop).all():
            raise ValueError(
                f"Crop {index} has values that are not finite (NaN or infinite): sample it again, or redact this face."
            )


def _check_protect(protect: torch.Tensor, faces: Faces) -> None:
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


def _composite(
    image: torch.Tensor,
    mask: torch.Tensor,
    placements: list[Placement],
    edge: Edge,
    keep: Collection[str],
    protect: torch.Tensor | None,
) -> None:
    """Blend one group of placements into image [H, W, C] and mask [H, W], both views of the result, strip by strip."""
    x0, y0 = (min(p.region[axis] for p in placements) for axis in (0, 1))
    x1, y1 = (max(p.region[axis] for p in placements) for axis in (2, 3))
    rows = max(1, _STRIP_PIXELS // (x1 - x0))
    channels = min(image.shape[2], 3)
    for top in range(y0, y1, rows):
        bottom = min(top + rows, y1)
        colour = torch.zeros((bottom - top, x1 - x0, channels), dtype=torch.float32, device=image.device)
        weight = torch.zeros(colour.shape[:2], dtype=torch.float32, device=image.device)
        untouched = torch.ones_like(weight)
        open_to_change = torch.ones_like(weight)
        for placement in placements:
            left, right = placement.region[0], placement.region[2]
            first, last = max(top, placement.region[1]), min(bottom, placement.region[3])
            if first >= last:
                continue
            part = (slice(first - top, last - top), slice(left - x0, right - x0))
            values, alpha, share = sample(placement, (left, first, right, last), edge)
            if len(placements) == 1:
                share = torch.ones_like(share)  # so that its colours stay exact
            if channels == 1:
                values = (values * values.new_tensor(LUMA)).sum(-1, keepdim=True)
            colour[part] += values * share[..., None]
            weight[part] += share
            untouched[part] *= 1 - alpha
            for name in keep:
                open_to_change[part] *= 1 - _kept_part(placement, name, (left, first, right, last))
        if protect is not None:
            shield = protect[top:bottom, x0:x1].to(image.device, torch.float32)
            open_to_change *= 1 - shield.nan_to_num(nan=0.0).clamp(0, 1)
        alpha = (1 - untouched) * open_to_change
        target = image[top:bottom, x0:x1, :channels]
        pasted = colour / weight.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
        blended = torch.lerp(target.float(), pasted, alpha[..., None])
        target.copy_(torch.where((alpha > 0)[..., None], blended.to(target.dtype), target))
        mask[top:bottom, x0:x1] = torch.maximum(mask[top:bottom, x0:x1], alpha)


def _kept_part(placement: Placement, part: str, region: tuple[int, int, int, int]) -> torch.Tensor | float:
    left, top, right, bottom = region
    x = torch.arange(left, right, device=placement.crop.device, dtype=torch.float32)[None, :]
    y = torch.arange(top, bottom, device=placement.crop.device, dtype=torch.float32)[:, None]
    field = part_field(placement.face, part, x, y)
    return 0.0 if field is None else smooth(1 + field / _KEEP_FADE)
