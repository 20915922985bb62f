"""Candidates for small, turned and cut faces: a picture at many sizes in overlapping tiles, in four directions.

CenterFace is sure of upright faces of 16 pixels and more. Turned ones of that size it notices, with a low score, when
they stand within 45 degrees of upright and the picture is enlarged. So candidates are taken from a score at which noise
passes too, and whoever calls looks at each of them again (look_again of refinement.py).

The finest level is most of the work. What it alone would find shows faintly in the level before, in the same direction:
where nothing does but faces that are known, it is not looked at.
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

from .. import boxes as box_math
from .decoding import MAX_INSIDE, NMS_IOU, Candidates, join, no_candidates
from .turned import MIN_CANDIDATE_SCORE, for_rough_looks, framed, look_turned

_CORE = 640  # largest side of the part of a tile whose faces are its own, in working pixels
_MARGIN = 64  # working pixels that a tile sees around its core; grey beyond the picture, so that a cut face has room
_FAINT = 0.03  # score in the level before the finest; docs/measured.md, "What searching costs"
_NEAR = 32  # working pixels around a finest tile's core in which it counts
_SLACK = 8  # working pixels by which cores overlap: the tiles on both sides may see a centre a little apart
_SMALLEST, _LARGEST = 10, 110  # root of a box's area in working pixels; other sizes are found at other levels
_ENLARGE, _ENLARGED_PIXELS = 2.0, 16e6  # small pictures are enlarged so much, larger ones up to so many pixels
# Where so little changes there is no face: of 6 levels of contrast CenterFace still sees one (in float32 of 4).
_FLAT = 1.5 / 255
_CELL, _CELLS = 32, 5  # working pixels of a cell, and cells of a window, into which a face of _LARGEST fits anywhere
_COARSE_SIDE = 320  # long side at which the coarsest level ends, in working pixels


@dataclass(frozen=True)
class Tile:
    """A part of a picture at one level.

    Args:
        core: x0 y0 x1 y1 in picture pixels: the part whose faces are this tile's own.
        factor: working pixels a picture pixel.
        finest: whether the level is the finest, which keeps the smallest faces.
        coarsest: whether it is the coarsest, which keeps the largest.
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
    centerface: nn.Module, picture: torch.Tensor, advance: Callable[[float], None], known: np.ndarray | None = None
) -> Candidates:
    """What may be faces, at every size and in every direction. Memory: one tile beside the picture.

    Args:
        centerface: the network, on any device.
        picture: float32 [1, 1 or 3, H, W], 0..1, on any device.
        advance: called with the share that is done, 0..1, after each direction of each tile; what it raises passes
            through.
        known: boxes (N, 4) of faces that are found already. Given, what shows there is no reason to look closer, nor is
            what is too large for the finest level.

    Returns:
        Candidates in picture pixels, not clipped, best first, without duplicates; their centres lie in the picture.
    """
    tiles = tiles_of(*picture.shape[2:])
    picture = for_rough_looks(centerface, picture)
    finest = max(tile.factor for tile in tiles)
    found, faint = [no_candidates()], []
    for number, tile in enumerate(reversed(tiles)):
        hints = faint if tile.finest and not tile.coarsest else None
        for quarters, (candidates, shown) in enumerate(_seen_in_tile(centerface, picture, tile, hints)):
            found.append(candidates)
            if tile.factor == finest / 2:
                faint.append((quarters, box_math.centres(_finer(shown, known, tile.factor).boxes)))
            advance((number + (quarters + 1) / 4) / len(tiles))
    return join(found).unique()


def _seen_in_tile(
    centerface: nn.Module, picture: torch.Tensor, tile: Tile, faint: list[tuple[int, np.ndarray]] | None
) -> Iterator[tuple[Candidates, Candidates]]:
    """A tile's own candidates, and all that it shows, be it faint: one direction after the other.

    Nothing where it is flat.

    Args:
        centerface, picture: as for find_candidates.
        tile: of the picture.
        faint: by direction, the places of the level before; None: there was none.
    """
    height, width = picture.shape[2:]
    x0, y0, x1, y1 = tile.core
    reach = math.ceil(_MARGIN / tile.factor)
    left, top, right, bottom = max(0, x0 - reach), max(0, y0 - reach), min(width, x1 + reach), min(height, y1 + reach)
    size = [max(1, round(length * tile.factor)) for length in (bottom - top, right - left)]
    part = picture[:, :, top:bottom, left:right]
    if size != list(part.shape[2:]):
        # resized where it is: not every device has the antialiasing filter
        part = F.interpolate(part, size=size, mode="bilinear", align_corners=False, antialias=tile.factor < 1)
    if is_flat(part, whole=tile.coarsest):
        yield from [(no_candidates(), no_candidates())] * 4
        return
    pad = [_MARGIN if x0 == 0 else 0, _MARGIN if x1 == width else 0, _MARGIN if y0 == 0 else 0]
    pad.append(_MARGIN if y1 == height else 0)
    part, corner = framed(part, pad)
    per_pixel = np.array([(right - left) / size[1], (bottom - top) / size[0]])
    corner = np.array([left, top]) + corner * per_pixel
    slack = _SLACK / tile.factor
    low = np.array([max(0, x0 - slack), max(0, y0 - slack)])
    high = np.array([min(width, x1 + slack), min(height, y1 + slack)])
    smallest, largest = 0 if tile.finest else _SMALLEST, np.inf if tile.coarsest else _LARGEST
    near = np.array([[x0, y0], [x1, y1]]) + np.array([[-1], [1]]) * _NEAR / tile.factor
    for quarters in range(4):
        if faint is not None and not any(
            ((places >= near[0]) & (places <= near[1])).all(1).any() for turned, places in faint if turned == quarters
        ):
            yield no_candidates(), no_candidates()
            continue
        seen = look_turned(centerface, part, quarters, per_pixel, corner, min_score=_FAINT)
        centres = box_math.centres(seen.boxes)
        extents = np.sqrt(np.prod((seen.boxes[:, 2:] - seen.boxes[:, :2]) / per_pixel, axis=1))
        mine = ((centres >= low) & (centres <= high)).all(1) & (extents >= smallest) & (extents <= largest)
        yield seen.pick(mine & (seen.scores >= MIN_CANDIDATE_SCORE)).unique(), seen


def _finer(shown: Candidates, known: np.ndarray | None, factor: float) -> Candidates:
    """What is a reason to look at the next level."""
    if known is None:
        return shown
    shown = shown.pick(box_math.extents(shown.boxes) * factor <= _LARGEST)
    return shown.pick(~box_math.overlapping(shown.boxes, known, NMS_IOU, MAX_INSIDE))


def is_flat(part: torch.Tensor, whole: bool = False) -> bool:
    """Whether nothing in a part of a picture has the contrast of a face that could be found.

    Clear sky, bars beside a film and plain backgrounds are: half a thorough search, at times.

    Args:
        part: float32, 0..1, or uint8 [1, C, h, w], in working pixels.
        whole: compare all of it; else what is as far apart as a face's ends are, so that a slow gradient is flat.
    """
    part = part if part.is_floating_point() else part.float() / 255
    high, low = (F.max_pool2d(levels, _CELL, ceil_mode=True) for levels in (part, -part))
    if whole:
        return bool((high.amax((2, 3)) + low.amax((2, 3)) <= _FLAT).all())
    high, low = (F.max_pool2d(levels, _CELLS, 1, _CELLS // 2) for levels in (high, low))
    return bool((high + low <= _FLAT).all())
