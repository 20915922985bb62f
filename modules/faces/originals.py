"""What a picture shows in the square of a face's crop, as a small grid.

A face carries the grid of the picture that it was found or cut in: what is pasted for it later, into whatever was made
of that picture meanwhile, is compared with the original and not with the last step alone. The grids stay in memory:
no report, log or file has them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, grid_sample

CELLS = 160  # along the crop's side: eyelashes and pores of a large face still stand there


def square_of(to_picture: np.ndarray, size: int, height: int, width: int) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1, exclusive ends, around all pixels of a picture that a crop shows; empty beside it.

    Args:
        to_picture: float64 (2, 3), crop pixels -> picture pixels.
        size: side of the crop in pixels.
        height, width: of the picture.
    """
    ends = (-0.5, size - 0.5)
    corners = np.array([(x, y) for x in ends for y in ends]) @ to_picture[:, :2].T + to_picture[:, 2]
    limit = np.array([width, height])
    low = np.clip(np.floor(corners.min(0)), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, 0, limit).astype(int)
    return (*low.tolist(), *high.tolist())


def read_square(image: torch.Tensor, to_picture: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The square of a crop in a picture of its size.

    A large face is averaged down to about two pixels a cell first, then looked up bilinearly: what is lost is finer
    than what is compared.

    Args:
        image: float [H, W, C], on any device.
        to_picture: float64 (2, 3), crop pixels -> picture pixels.
        size: side of the crop in pixels.

    Returns:
        Colours float32 [3, 160, 160], 0..1 (one channel becomes three), and which cells lie in the picture, bool
        [160, 160].
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = square_of(to_picture, size, height, width)
    if x0 >= x1 or y0 >= y1:
        return np.zeros((3, CELLS, CELLS), np.float32), np.zeros((CELLS, CELLS), bool)
    pitch = np.sqrt(abs(np.linalg.det(to_picture[:, :2]))) * size / CELLS  # picture pixels a cell
    part = image[y0:y1, x0:x1, :3].movedim(2, 0).float()
    step = max(1, int(pitch / 2))
    if step > 1:
        part = avg_pool2d(part[None], min(step, *part.shape[1:]), step, ceil_mode=True, count_include_pad=False)[0]
    levels = torch.nan_to_num(part.cpu()).clamp(0, 1)
    index = (np.arange(CELLS) + 0.5) * size / CELLS - 0.5
    visible = np.ones((CELLS, CELLS), bool)
    grid = np.empty((1, CELLS, CELLS, 2), np.float32)
    # x and y one after the other: two numbers side by side take numpy five times as long
    for axis, (across, down, start) in enumerate(to_picture.tolist()):
        at = index * across + (index * down)[:, None] + start
        visible &= (at >= 0) & (at <= (width, height)[axis] - 1)
        # as grid_sample counts: from -1 to 1 between the outer edges of the first pixel and the last
        grid[0, ..., axis] = 2 * (at - (x0, y0)[axis] + 0.5) / (levels.shape[2 - axis] * step) - 1
    grid = torch.from_numpy(grid)
    colours = grid_sample(levels[None], grid, padding_mode="border", align_corners=False)[0].numpy()
    return np.broadcast_to(colours, (3, CELLS, CELLS)), visible


def remember(image: torch.Tensor, to_picture: np.ndarray, size: int) -> np.ndarray:
    """What a face keeps of the picture that it was cut from: uint8 [3, 160, 160]; as read_square."""
    return np.rint(read_square(image, to_picture, size)[0] * 255).astype(np.uint8)


class Remembered(NamedTuple):
    """What a face remembers, and where it lies in the picture.

    Args:
        cells: uint8 [3, 160, 160], of `remember`.
        matrix: float64 (2, 3), picture pixels -> crop pixels.
        size: side of the crop in pixels.
    """

    cells: np.ndarray
    matrix: np.ndarray
    size: int

    def at(self, to_picture: np.ndarray, size: int) -> np.ndarray:
        """The same in the square of another crop of about that place: uint8 [3, 160, 160].

        Args:
            to_picture: float64 (2, 3), pixels of the other crop -> picture pixels.
            size: its side in pixels.
        """
        index = (np.arange(CELLS) + 0.5) * size / CELLS - 0.5
        there = index[None, :, None] * to_picture[:, 0] + index[:, None, None] * to_picture[:, 1] + to_picture[:, 2]
        here = there @ self.matrix[:, :2].T + self.matrix[:, 2]
        grid = torch.from_numpy((2 * (here + 0.5) / self.size - 1).astype(np.float32))[None]
        cells = torch.from_numpy(self.cells.astype(np.float32))[None]
        found = grid_sample(cells, grid, padding_mode="border", align_corners=False)[0]
        return found.round().clamp(0, 255).byte().numpy()


def as_colours(original: np.ndarray) -> np.ndarray:
    """What `remember` kept as read_square gives it: float32 [3, 160, 160], 0..1."""
    return original.astype(np.float32) / 255
