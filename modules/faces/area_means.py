"""Pictures made small: the mean of what each cell of a grid covers, as two products of matrices.

torch's adaptive pooling gives the same, but takes up to seven times as long where a pixel's channels lie side by side.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch


def area_means(picture: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The means of a picture's parts; where its sides are no multiples, neighbours share rows and columns of pixels.

    Args:
        picture: float [H, W, C], 0..1, H and W at least 1. What lies beyond counts as 0 or 1, what is no number as 0.
        rows, columns: parts along its height and width.

    Returns:
        float32 [rows, columns, C] on the CPU, as torch's adaptive_avg_pool2d, but for rounding.
    """
    picture = picture.detach().float().cpu()
    low, high = (float(end) for end in picture.aminmax())
    if not (low >= 0 and high <= 1):  # one is not if anything is no number
        picture = torch.nan_to_num(picture).clamp(0, 1)
    height, width, channels = picture.shape
    down = _weights(height, rows) @ picture.reshape(height, width * channels)
    return _weights(width, columns) @ down.view(rows, width, channels)


@lru_cache(maxsize=64)
def _weights(length: int, parts: int) -> torch.Tensor:
    """What each pixel of a side counts in each part of it, float32 [parts, length]."""
    with torch.inference_mode(False):  # they outlast the mode of who asks first
        return _shares(length, parts)


def _shares(length: int, parts: int) -> torch.Tensor:
    part = np.arange(parts)[:, None]
    first, end = part * length // parts, -(-(part + 1) * length // parts)
    pixel = np.arange(length)
    return torch.from_numpy((((pixel >= first) & (pixel < end)) / (end - first)).astype(np.float32))
