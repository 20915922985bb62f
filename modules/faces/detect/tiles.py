"""Candidates for small, turned and cut faces: the whole picture turned, or at many sizes in overlapping tiles, in four
directions.

CenterFace is sure of upright faces of 16 pixels and more. Turned ones of that size it notices, with a low score, when
they stand within 45 degrees of upright and the picture is enlarged. So candidates are taken from a score at which noise
passes too, and whoever calls looks at each of them again (look_again of refinement.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .centerface import SIZE_MULTIPLE
from .decoding import decode, suppress

MIN_CANDIDATE_SCORE = 0.05
_CORE = 640  # largest side of the part of a tile whose faces are its own, in working pixels
_MARGIN = 64  # working pixels that a tile sees around its core; grey beyond the picture, so that a cut face has room
_BORDER = 32  # the same around a whole picture: a wider one costs time and shows no more
_SLACK = 8  # working pixels by which cores overlap: the tiles on both sides may see a centre a little apart
_SMALLEST, _LARGEST = 10, 110  # root of a box's area in working pixels; other sizes are found at other levels
_ENLARGE, _ENLARGED_PIXELS = 2.0, 16e6  # small pictures are enlarged so much, larger ones up to so many pixels
_COARSE_SIDE = 320  # long side at which the coarsest level ends, in working pixels
_NMS_IOU = 0.3
_GREY = 0.5


@dataclass(frozen=True)
class Tile:
    """A part of a picture at one level: core (x0 y0 x1 y1, picture pixels), working pixels a picture pixel, and whether
    the level is the finest (keeps the smallest faces) or the coarsest one (keeps the largest).
    """

    core: tuple[int, int, int, int]
    factor: float
    finest: bool
    coarsest: bool


def tiles_of(height: int, width: int) -> list[Tile]:
    """All tiles of all levels of a picture, finest first. Each level is half of the one before in length.

    The finest one doubles pictures of up to 4 million pixels, enlarges those of up to 16 million to that, and takes
    larger ones as they are.
    """
    factor = min(_ENLARGE, max(1.0, math.sqrt(_ENLARGED_PIXELS / (height * width))))
    factors = [factor]
    while max(height, width) * factors[-1] > _COARSE_SIDE and min(height, width) * factors[-1] > _SMALLEST:
        factors.append(factors[-1] / 2)
    tiles = []
    for level, factor in enumerate(factors):
        rows, columns = (_parts(side, factor) for side in (height, width))
        for y0, y1 in rows:
            for x0, x1 in columns:
                tiles.append(Tile((x0, y0, x1, y1), factor, level == 0, level == len(factors) - 1))
    return tiles


def _parts(side: int, factor: float) -> list[tuple[int, int]]:
    count = min(side, math.ceil(side * factor / _CORE))
    edges = [round(i * side / count) for i in range(count + 1)]
    return list(pairwise(edges))


def find_candidates(
    centerface: nn.Module, picture: torch.Tensor, advance: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (N, 4), scores (N,) and points (N, 5, 2) of what may be faces, best first, without duplicates.

    picture: float32 [1, 1 or 3, H, W], 0..1, on any device. Boxes and points in picture pixels, edges; not clipped;
    centres lie in the picture. advance is told the share done, 0..1, after each direction of each tile; what it raises
    passes through. Memory: one tile beside the picture.
    """
    tiles = tiles_of(*picture.shape[2:])
    found = [(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))]
    for number, tile in enumerate(tiles):
        for quarters, candidates in enumerate(_candidates_in_tile(centerface, picture, tile)):
            found.append(candidates)
            advance((number + (quarters + 1) / 4) / len(tiles))
    boxes, scores, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = suppress(boxes, scores, _NMS_IOU)
    return boxes[keep], scores[keep], points[keep]


def find_turned(
    centerface: nn.Module, picture: torch.Tensor, views: list[tuple[tuple[int, int], int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As find_candidates, of the whole picture in each of the views: a size (height, width), and by how many quarters
    it is turned anticlockwise. Grey lies around the picture, so that a cut face has room.
    """
    height, width = picture.shape[2:]
    found = []
    for size, quarters in views:
        part = picture
        if size != (height, width):
            part = F.interpolate(part, size=size, mode="bilinear", align_corners=False, antialias=True)
        per_pixel = np.array([width / size[1], height / size[0]])
        part, corner = _framed(part, [_BORDER] * 4)
        boxes, scores, points = _seen(centerface, part, quarters, per_pixel, corner * per_pixel)
        centres = boxes.reshape(-1, 2, 2).mean(1)
        keep = np.flatnonzero(((centres >= 0) & (centres <= [width, height])).all(1))
        found.append((boxes[keep], scores[keep], points[keep]))
    boxes, scores, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = suppress(boxes, scores, _NMS_IOU)
    return boxes[keep], scores[keep], points[keep]


def _candidates_in_tile(
    centerface: nn.Module, picture: torch.Tensor, tile: Tile
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    height, width = picture.shape[2:]
    x0, y0, x1, y1 = tile.core
    reach = math.ceil(_MARGIN / tile.factor)
    left, top, right, bottom = max(0, x0 - reach), max(0, y0 - reach), min(width, x1 + reach), min(height, y1 + reach)
    size = [max(1, round(length * tile.factor)) for length in (bottom - top, right - left)]
    part = picture[:, :, top:bottom, left:right]
    if size != list(part.shape[2:]):
        # resized where it is: not every device has the antialiasing filter
        part = F.interpolate(part, size=size, mode="bilinear", align_corners=False, antialias=tile.factor < 1)
    pad = [_MARGIN if x0 == 0 else 0, _MARGIN if x1 == width else 0, _MARGIN if y0 == 0 else 0]
    pad.append(_MARGIN if y1 == height else 0)
    part, corner = _framed(part, pad)
    per_pixel = np.array([(right - left) / size[1], (bottom - top) / size[0]])
    corner = np.array([left, top]) + corner * per_pixel
    slack = _SLACK / tile.factor
    low = np.array([max(0, x0 - slack), max(0, y0 - slack)])
    high = np.array([min(width, x1 + slack), min(height, y1 + slack)])
    smallest, largest = 0 if tile.finest else _SMALLEST, np.inf if tile.coarsest else _LARGEST
    for quarters in range(4):
        boxes, scores, points = _seen(centerface, part, quarters, per_pixel, corner)
        centres = boxes.reshape(-1, 2, 2).mean(1)
        extents = np.sqrt(np.prod((boxes[:, 2:] - boxes[:, :2]) / per_pixel, axis=1))
        mine = ((centres >= low) & (centres <= high)).all(1) & (extents >= smallest) & (extents <= largest)
        keep = np.flatnonzero(mine)
        keep = keep[suppress(boxes[keep], scores[keep], _NMS_IOU)]
        yield boxes[keep], scores[keep], points[keep]


def _framed(part: torch.Tensor, pad: list[int]) -> tuple[torch.Tensor, np.ndarray]:
    """The part with grey around it, `pad` pixels left, right, top and bottom, right and bottom more, so that the
    network takes it; and the x y of its new corner in pixels of the part.
    """
    height, width = part.shape[2:]
    left, right, top, bottom = pad
    right += -(width + left + right) % SIZE_MULTIPLE
    bottom += -(height + top + bottom) % SIZE_MULTIPLE
    return F.pad(part, [left, right, top, bottom], value=_GREY), -np.array([left, top])


def _seen(
    centerface: nn.Module, part: torch.Tensor, quarters: int, per_pixel: np.ndarray, corner: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and points in the part turned by quarters, in picture pixels: per_pixel of them (x, y) a pixel of
    the part, whose corner lies at `corner`.
    """
    device = next(centerface.parameters()).device
    with torch.inference_mode():
        outputs = centerface(torch.rot90(part, quarters, (2, 3)).expand(-1, 3, -1, -1).to(device) * 255)
    heatmap, *others = (output[0].float().cpu().numpy().astype(np.float64) for output in outputs)
    boxes, scores, points = decode(heatmap[0], *others, MIN_CANDIDATE_SCORE)
    size = part.shape[3], part.shape[2]
    corners = _turn_back(boxes.reshape(-1, 2, 2), quarters, *size) * per_pixel + corner
    points = _turn_back(points, quarters, *size) * per_pixel + corner
    return np.concatenate([corners.min(1), corners.max(1)], 1), scores, points


def _turn_back(points: np.ndarray, quarters: int, width: int, height: int) -> np.ndarray:
    """Points (N, M, 2), x y in edges of a tile turned by torch.rot90, in those of the tile, width x height, itself."""
    x, y = points[..., 0], points[..., 1]
    turned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters]
    return np.stack(turned, -1)
