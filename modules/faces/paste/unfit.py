"""Which crops must not be pasted, since the face would stay as it was: the model failed or gave its input back."""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_avg_pool2d

from ..settings import PasteSettings
from ..types import Faces
from .colour import luma
from .placement import Placement, check_crops, placements_in

NOT_FINITE = "not finite"
TOO_SMALL = "too small"
UNCHANGED = "unchanged"

# Crop and picture are compared as averages over 64 x 64 cells of the crop, 8 pixels of a 512 crop each: what a JPEG or
# a VAE loses is gone there, and a face is still known. Their difference, less its mean in each channel (a cast hides
# nobody), is a share of the face's contrast (docs/measured.md, "Constants of the face code").
_CELLS = 64
_LEAST_SHARE = 0.08
# in a dark picture rounding and JPEG count for more
_LEAST_DIFFERENCE = 0.75 / 255


def unfit_crops(
    images: torch.Tensor, crops: torch.Tensor, faces: Faces, min_size: float = PasteSettings().min_size
) -> dict[int, str]:
    """The faces whose crops must not be pasted, and why.

    The first reason that holds: "not finite" (the crop has NaN or infinite values), "too small" (a face smaller than
    min_size), "unchanged": within the face oval the crop shows what the picture shows. For that both are averaged over
    cells of 1/64 of the crop's side; apart from a constant shift of a channel, the mean difference is below 8 % of the
    face's contrast, its mean deviation from its own mean, or below 0.75 levels of 255. A crop that went through a JPEG
    of quality 30 or better, a VAE, a resize to 64 pixels or a shift of colour is unchanged: it hides nobody. A face of
    which the picture shows nothing is fit.

    Args:
        images: float [B, H, W, C], 0..1, those the crops were cut from.
        crops: float [N, S, S, 1, 3 or 4], one a face in their order; S may differ from the faces' crop_size.
        faces: with matrices.
        min_size: pixels of face size (Face.size).

    Returns:
        Index in `faces` -> reason.

    Raises:
        ValueError: counts or sizes do not fit together, or a face has no matrix.
    """
    check_crops(images, crops, faces)
    reasons = {}
    for index in range(faces.image_count):
        for i, placement in placements_in(index, images, crops, faces).items():
            reasons[i] = reason_against(placement, min_size)
    return {i: reason for i, reason in sorted(reasons.items()) if reason is not None}


def reason_against(placement: Placement, min_size: float) -> str | None:
    """Why a crop must not be pasted, or None when it may; see unfit_crops."""
    if not torch.isfinite(placement.crop).all():
        return NOT_FINITE
    if placement.shapes.size < min_size:
        return TOO_SMALL
    return UNCHANGED if _is_unchanged(placement) else None


def _is_unchanged(placement: Placement) -> bool:
    x, y, inside = placement.cell_centres(_CELLS, torch.device("cpu"))
    compared = inside & (placement.shapes.field("oval", x, y) > 0)
    if not compared.any():
        return False
    before = _cells(placement.cut)[:, compared]
    crop = placement.crop[..., :3].float()
    if placement.image.shape[2] == 1 and crop.shape[2] == 3:
        crop = luma(crop)  # all that a grey picture takes of it
    after = _cells(crop.expand(-1, -1, 3))[:, compared]
    difference = after - before
    difference = float((difference - difference.mean(1, keepdim=True)).abs().mean())
    contrast = float((before - before.mean(1, keepdim=True)).abs().mean())
    return difference < max(_LEAST_DIFFERENCE, _LEAST_SHARE * contrast)


def _cells(crop: torch.Tensor) -> torch.Tensor:
    # on the CPU: not every device averages to a side that does not divide the crop's
    return adaptive_avg_pool2d(crop.cpu().permute(2, 0, 1)[None], _CELLS)[0]
