"""How long a thorough search takes, before it starts: one look at one tile, times all that it looks at."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import nn

from .centerface import SIZE_MULTIPLE
from .tiles import _CORE, _MARGIN, tiles_of
from .turned import for_rough_looks, look_turned

_SIDE = _CORE + 2 * _MARGIN  # of a tile of the largest kind


def thorough_pixels(height: int, width: int) -> int:
    """Pixels that the network sees in the tiles of one picture, all levels and directions.

    Args:
        height, width: of the picture, in pixels.
    """
    total = 0
    for tile in tiles_of(height, width):
        x0, y0, x1, y1 = tile.core
        sides = (_seen(x0, x1, width, tile.factor), _seen(y0, y1, height, tile.factor))
        total += 4 * math.prod(sides)  # four directions
    return total


def _seen(start: int, end: int, side: int, factor: float) -> int:
    """Working pixels along one side of a tile, as find_candidates cuts and frames it."""
    reach = math.ceil(_MARGIN / factor)
    length = max(1, round((min(side, end + reach) - max(0, start - reach)) * factor))
    framed = length + _MARGIN * ((start == 0) + (end == side))
    return framed + -framed % SIZE_MULTIPLE


def thorough_seconds(centerface: nn.Module, height: int, width: int) -> float:
    """About how long the tiles of one picture take at most, where the network is; to ask costs a look at one of them.

    Args:
        centerface: the network.
        height, width: of the picture, in pixels.
    """
    tile = torch.full((1, 3, _SIDE, _SIDE), 0.5, device=next(centerface.parameters()).device)
    start = time.perf_counter()
    look_turned(centerface, for_rough_looks(centerface, tile), 0, np.ones(2), np.zeros(2))
    return (time.perf_counter() - start) * thorough_pixels(height, width) / _SIDE**2
