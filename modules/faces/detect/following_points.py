"""Known faces from one frame of a clip to the next: O-Net looks at where each should be, all of them in one batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import boxes as box_math
from ..alignment import invert_affine
from .onet import SIDE
from .refinement import MIRRORED, upright_matrix

_GREY = 0.5
_MAX_MOVE = 0.35  # of the points on average, in roots of the box's area; a larger one is an error of O-Net
_MOST_SCALE = 1.25  # by which a face may grow or shrink in a frame


def follow_points(
    onet: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray, exact: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces where O-Net sees them, near where they should be.

    Args:
        onet: the network, on any device.
        picture: float32 [1, C, H, W], 0..1, on any device.
        boxes: (N, 4) where they should be, in picture pixels, edges.
        points: (N, 5, 2), the image-left eye first.
        exact: look at a mirrored copy, too, which halves the noise of the points.

    Returns:
        Boxes (N, 4), moved and scaled as the points were; points (N, 5, 2); O-Net's probability of a face (N,), 0 where
        the points went too far.
    """
    if not len(boxes):
        return boxes, points, np.zeros(0)
    device = next(onet.parameters()).device
    centres, extents = box_math.centres(boxes), box_math.extents(boxes)
    matrices = [upright_matrix(f, c, SIDE / e, SIDE) for f, c, e in zip(points, centres, extents, strict=True)]
    patches = sample_patches(picture, np.array(matrices), SIDE).expand(-1, 3, -1, -1).to(device)
    with torch.inference_mode():
        probability, _, looks = onet(torch.cat([patches, patches.flip(3)]) if exact else patches)
    plain, *others = looks.cpu().double().numpy().reshape(-1, len(boxes), 5, 2)  # not every device has float64
    mirrored = [(other * [-1, 1] + [1, 0])[:, MIRRORED] for other in others]
    found = np.mean([plain, *mirrored], axis=0) * SIDE
    certain = probability.cpu().double().numpy().reshape(-1, len(boxes)).mean(0)
    placed = np.array([(f - m[:, 2]) @ np.linalg.inv(m[:, :2]).T for f, m in zip(found, matrices, strict=True)])
    move = np.hypot(*np.moveaxis(placed - points, 2, 0)).mean(1)
    certain = np.where(move <= _MAX_MOVE * extents, certain, 0.0)
    spread = np.sqrt(placed.var(1).sum(1) / np.maximum(points.var(1).sum(1), 1e-9))
    # by half of what the points say, in a logarithm: their noise must not add up over frames
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.sqrt(np.clip(spread, 1 / _MOST_SCALE, _MOST_SCALE))[:, None]
    middle = centres + placed.mean(1) - points.mean(1)
    return np.concatenate([middle - half, middle + half], 1), placed, certain


def sample_patches(picture: torch.Tensor, matrices: np.ndarray, side: int) -> torch.Tensor:
    """Square patches of a picture, from copies of it that are halved as often as each patch shrinks it.

    Args:
        picture: float32 [1, C, H, W].
        matrices: (N, 2, 3), picture to patch, both in edge coordinates: similarity transforms.
        side: of the patches in pixels.

    Returns:
        float32 [N, C, side, side]; grey beyond the picture.
    """
    scales = np.sqrt(np.linalg.det(matrices[:, :, :2]))
    levels = np.clip(np.floor(np.log2(1 / np.maximum(scales, 1e-6)) + 0.25), 0, None).astype(int)
    index = np.arange(side) + 0.5
    patches = picture.new_empty((len(matrices), picture.shape[1], side, side))
    reduced, level = picture, 0
    for wanted in sorted(set(levels.tolist())):
        while level < wanted and min(reduced.shape[2:]) > 1:
            reduced, level = _halved(reduced), level + 1
        rows = np.flatnonzero(levels == wanted)
        grid = np.empty((len(rows), side, side, 2), np.float32)
        for place, matrix in zip(grid, matrices[rows], strict=True):
            inverse = invert_affine(matrix)
            for axis, (across, down, start) in enumerate(inverse.tolist()):
                # a copy with an odd row or column more reaches beyond the picture
                reach = reduced.shape[3 - axis] * 2.0**level
                place[..., axis] = (index * across + (index * down)[:, None] + start) / reach * 2 - 1
        grid = torch.from_numpy(grid).to(picture.device)
        shown = (reduced - _GREY).expand(len(rows), -1, -1, -1)
        seen = F.grid_sample(shown, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + _GREY
        patches[torch.from_numpy(rows).to(picture.device)] = seen
    return patches


def _halved(picture: torch.Tensor) -> torch.Tensor:
    """The means of squares of two pixels, float32 [1, C, H / 2, W / 2] rounded up: the last may be of fewer."""
    height, width = (length // 2 * 2 for length in picture.shape[2:])
    if (height, width) != tuple(picture.shape[2:]):
        return F.avg_pool2d(picture, 2, ceil_mode=True, count_include_pad=False)
    # torch's pooling takes five times as long where the three channels of a pixel lie side by side, as in a frame
    rows = picture[:, :, ::2] + picture[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25
