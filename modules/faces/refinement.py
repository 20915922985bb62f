"""Better points for faces that were found: the same network looks at each face again, upright and at its favourite
size.

CenterFace finds turned faces, but places their points by habit: at 90 degrees its eye line is 20 degrees off. Seen a
second time, turned upright by what the first look said, a face gets the points of an upright one. A mirrored copy
halves the noise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .decoding import decode

_PATCH = 192  # side in pixels of what the network sees
_FACE = 96  # root of the box's area in the patch, in pixels
_MIN_SCORE = 0.15  # of the second look; the first one has decided already that there is a face
_BATCH = 8  # faces that go through the network at once
_MIRRORED = [1, 0, 2, 4, 3]


def refine_points(
    network: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray, rounds: int = 2
) -> np.ndarray:
    """Points of faces after `rounds` further looks.

    network: CenterFace. picture: float32 [1, 1 or 3, H, W], 0..1, on any device.
    boxes: (N, 4) x0 y0 x1 y1; points: (N, 5, 2), the image-left eye first; both in picture pixels, edges.
    Returns (N, 5, 2); a face that a second look does not find keeps the points it has.
    """
    device = next(network.parameters()).device
    points = points.copy()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    extents = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    for start in range(0, len(points), _BATCH):
        batch = range(start, min(start + _BATCH, len(points)))
        for _ in range(rounds):
            matrices = [_to_patch(points[i], centres[i], extents[i]) for i in batch]
            patches = torch.cat([_sample(picture, matrix) for matrix in matrices])
            with torch.inference_mode():
                outputs = network(torch.cat([patches, patches.flip(3)]).expand(-1, 3, -1, -1).to(device) * 255)
            outputs = [output.float().cpu().numpy().astype(np.float64) for output in outputs]
            for k, i in enumerate(batch):
                looks = [_central_face([o[j] for o in outputs]) for j in (k, k + len(batch))]
                if looks[1] is not None:
                    centre, extent, mirrored = looks[1]
                    flip = np.array([-1.0, 1.0])
                    shift = np.array([_PATCH, 0.0])
                    looks[1] = (centre * flip + shift, extent, (mirrored * flip + shift)[_MIRRORED])
                looks = [look for look in looks if look is not None]
                if not looks:
                    continue
                centre, extent, found = (np.mean(parts, axis=0) for parts in zip(*looks, strict=True))
                inverse = np.linalg.inv(matrices[k][:, :2])
                points[i] = (found - matrices[k][:, 2]) @ inverse.T
                centres[i] = inverse @ (centre - matrices[k][:, 2])
                extents[i] = extent * np.sqrt(np.linalg.det(inverse))
    return points


def _to_patch(points: np.ndarray, centre: np.ndarray, extent: float) -> np.ndarray:
    """(2, 3), picture to patch, both in edge coordinates: upright by the points, centred and scaled by the box."""
    across = points[1] - points[0] + points[4] - points[3]
    down = points[3:5].mean(0) - points[:2].mean(0)
    # the mean of the two directions, each told by its length: y is x turned by a right angle
    direction = across + np.array([down[1], -down[0]])
    length = np.hypot(*direction)
    cosine, sine = direction / length if length > 0 else (1.0, 0.0)
    linear = np.array([[cosine, sine], [-sine, cosine]]) * (_FACE / extent)
    return np.column_stack([linear, _PATCH / 2 - linear @ centre])


def _sample(picture: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    """The patch [1, C, 192, 192]: reduced with antialias where it shrinks, black beyond the picture."""
    height, width = picture.shape[2:]
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([(0, 0), (_PATCH, 0), (0, _PATCH), (_PATCH, _PATCH)]) - matrix[:, 2]) @ inverse.T
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    low = np.clip(np.floor(corners.min(0) - 2 / scale), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(0) + 2 / scale), low + 1, [width, height]).astype(int)
    region = picture[:, :, low[1] : high[1], low[0] : high[0]]
    if scale < 1:
        size = [max(1, round(side * scale)) for side in region.shape[2:]]
        region = F.interpolate(region, size=size, mode="bilinear", align_corners=False, antialias=True)
    index = np.arange(_PATCH) + 0.5
    target = np.stack(np.meshgrid(index, index), -1)
    grid = ((target - matrix[:, 2]) @ inverse.T - low) / (high - low) * 2 - 1
    grid = torch.from_numpy(grid[None].astype(np.float32)).to(region.device)
    return F.grid_sample(region, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _central_face(outputs: list[np.ndarray]) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Centre, extent and points of the best face near the middle of a patch and of about the expected size, or None."""
    heatmap, scale, offset, landmarks = outputs
    boxes, _, points = decode(heatmap[0], scale, offset, landmarks, _MIN_SCORE)  # best first
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    extents = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    near = (np.abs(centres - _PATCH / 2).max(1) < _FACE / 3) & (np.abs(np.log2(extents / _FACE)) < 0.7)
    if not near.any():
        return None
    best = np.flatnonzero(near)[0]
    return centres[best], extents[best], points[best]
