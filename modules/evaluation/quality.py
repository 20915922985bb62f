"""How good pictures are as pictures: sharpness, likeness of populations, and what changed outside the face."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

JPEG_QUALITY = 75
_CLEAR = 1 / 16  # of the side: how far from the person the background is that no other hair reaches


def as_jpeg(pictures: np.ndarray, quality: int = JPEG_QUALITY) -> np.ndarray:
    """Pictures after a JPEG of Pillow (chroma at half size below 90): a change that nobody minds.

    Args:
        pictures: uint8 [N, H, W, 3].
        quality: Pillow's.

    Returns:
        uint8 [N, H, W, 3].
    """
    compressed = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        compressed.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(compressed)


def sharpness(pictures: np.ndarray) -> torch.Tensor:
    """Standard deviation of the Laplacian of luma; low for blurred pictures.

    After J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.

    Args:
        pictures: uint8 [N, H, W, 3].

    Returns:
        Float64 [N], in levels of 255.
    """
    luma = torch.from_numpy(pictures).double() @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64)
    return functional.conv2d(luma[:, None], kernel[None, None]).flatten(1).std(1)


def frechet_distance(features: torch.Tensor, others: torch.Tensor) -> float:
    """How unlike two populations are, as normal distributions: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    M. Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017, whose features are Inception's (FID,
    which the paper reports); here they are the back-end's own, so that figures compare within one table only. It grows
    as samples get fewer: compare populations of one size.

    Args:
        features: [N, F]; rows with NaN are left out.
        others: [M, F], the same.

    Returns:
        0 or more; NaN with fewer than two faces in either.
    """
    first, second = (values.double()[~values.isnan().any(1)] for values in (features, others))
    if min(len(first), len(second)) < 2:
        return float("nan")
    shift = (first.mean(0) - second.mean(0)).square().sum()
    one, two = torch.cov(first.T), torch.cov(second.T)
    # the root's trace by singular values of a product of halves, which is exact for symmetric matrices of low rank too
    halves = [(values - values.mean(0)) / (len(values) - 1) ** 0.5 for values in (first, second)]
    # ... and of their triangles in its place, as many faces would make a product of all with all
    triangles = [torch.linalg.qr(half, mode="r").R for half in halves]
    root = torch.linalg.svdvals(triangles[0] @ triangles[1].T).sum()
    return max(0.0, float(shift + one.trace() + two.trace() - 2 * root))  # rounding may fall below


def background_error(pictures: np.ndarray, originals: np.ndarray, region: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference within a region, picture by picture.

    Args:
        pictures: uint8 [N, H, W, 3].
        originals: uint8 [N, H, W, 3].
        region: bool [N, H, W].

    Returns:
        Float64 [N], in levels of 255; NaN where the region is empty.
    """
    difference = torch.from_numpy(np.abs(pictures.astype(np.int16) - originals)).double().mean(-1)
    area = region.flatten(1).sum(1)
    error = (difference * region).flatten(1).sum(1) / area
    return torch.where(area > 0, error, torch.nan)


def regions(background: torch.Tensor, face: torch.Tensor) -> dict[str, torch.Tensor]:
    """Where a result is to equal its original.

    Args:
        background: float [N, S, S], the renderer's mask.
        face: float [N, S, S], the renderer's mask.

    Returns:
        Bool [N, S, S] each. "background": all that the person does not cover. "background, clear of the person": the
        same, a sixteenth of the side away from the person, where no other hair or shoulder reaches. "outside the face":
        all but the skin of the face, hair and clothes too.
    """
    margin = max(1, round(background.shape[-1] * _CLEAR))
    covered = (background < 0.99).float()[:, None]
    near = functional.max_pool2d(covered, 2 * margin + 1, 1, margin)[:, 0] > 0
    return {
        "background": background >= 0.99,
        "background, clear of the person": ~near,
        "outside the face": face <= 0.01,
    }
