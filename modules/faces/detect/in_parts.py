"""A picture through a few filters part by part, so that what lies between them stays in the processor's cache.

The widest tensor between two filters of CenterFace has 90 MB at 1280x736: to fetch that memory and to walk through it
takes longer than to compute it. Each part is computed with the cells around it that its own depend on, so that the
result is the same, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

# What is no larger between two filters is not parted: the C library keeps blocks of up to 32 MiB for the next call, and
# fetches larger ones from the system anew each time, page by page.
_WHOLE_BYTES = 32 * 2**20
_PART_BYTES = 3e6  # of a part, for each thread: smaller ones cost more in calls than they save
_LEAST_CELLS = 64  # of a part


@dataclass(frozen=True)
class Chain:
    """Filters, one after the other, and what they take.

    Args:
        apply: the filters, which pad their input with zeros; they do not change it.
        width_out: channels of the result.
        stride: input cells a cell of the result.
        before, after: of a part that begins (ends) inside the picture, so many of the first (last) rows and columns of
            the result depend on cells beyond it.
        bytes_per_cell: of the widest tensor between two of the filters, for each cell of the result.
    """

    apply: Callable[[torch.Tensor], torch.Tensor]
    width_out: int
    stride: int
    before: int
    after: int
    bytes_per_cell: int


def in_parts(chain: Chain, x: torch.Tensor, *, residual: bool = False) -> torch.Tensor:
    """What the chain gives for the whole, computed part by part where it is large.

    Args:
        chain: the filters.
        x: float32 [B, C, H, W], channels last, on the CPU; H and W are multiples of the stride.
        residual: add x to the result, which has its shape.

    Returns:
        float32 [B, width_out, H / stride, W / stride], channels last.
    """
    count, rows, columns = x.shape[0], x.shape[2] // chain.stride, x.shape[3] // chain.stride
    room = _PART_BYTES * torch.get_num_threads()
    if count * rows * columns * chain.bytes_per_cell <= max(_WHOLE_BYTES, room):
        y = chain.apply(x)
        return y.add_(x) if residual else y
    high, wide = _part_size(rows, columns, max(_LEAST_CELLS, int(room / chain.bytes_per_cell)), chain)
    result = torch.empty((count, chain.width_out, rows, columns), memory_format=torch.channels_last)
    for index in range(count):
        for top, y0, y1 in _spans(rows, high, chain):
            for left, x0, x1 in _spans(columns, wide, chain):
                part = x[index : index + 1, :, top * chain.stride :, left * chain.stride :]
                part = part[:, :, : high * chain.stride, : wide * chain.stride]
                y = chain.apply(part.contiguous(memory_format=torch.channels_last))
                y = y[:, :, y0 - top : y1 - top, x0 - left : x1 - left]
                place = result[index : index + 1, :, y0:y1, x0:x1]
                if residual:
                    torch.add(y, x[index : index + 1, :, y0:y1, x0:x1], out=place)
                else:
                    place.copy_(y)
    return result


def _part_size(rows: int, columns: int, cells: int, chain: Chain) -> tuple[int, int]:
    """Rows and columns of the result of each part of about so many cells: as square as they come out even."""
    edge = chain.before + chain.after
    side = math.sqrt(cells)
    across = max(1, round(columns / side))
    wide = columns if across == 1 else min(columns, math.ceil(columns / across) + edge)
    down = max(1, math.ceil(rows / max(1.0, cells / wide - edge)))
    return min(rows, math.ceil(rows / down) + edge), wide


def _spans(length: int, size: int, chain: Chain) -> Iterator[tuple[int, int, int]]:
    """Where each part begins along a side, and from where to where it is taken: all parts have one size."""
    done = 0
    while done < length:
        start = min(max(0, done - chain.before), length - size)
        end = length if start + size == length else start + size - chain.after
        yield start, done, end
        done = end
