"""The first look at a picture: CenterFace on the whole of it, upright, at a few sizes.

Source of pre- and postprocessing: the CenterFace paper (arXiv 1911.03599, sections 3.2 and 3.4) and its published code
(Star-Clouds/CenterFace, MIT).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import boxes as box_math
from .centerface import SIZE_MULTIPLE
from .decoding import Candidates, decode, join

LONG_SIDE = 1280  # pixels to which larger pictures are reduced for a look between two searches
_COARSE_SIDE = 320  # long side of the smallest level of the pyramid, in pixels
# root of a box's area in pixels of a level: larger ones are left to the next level, smaller to the one before
_LARGE, _MEDIUM = 320, 10  # the latter for each step between two levels: 40 where one is a quarter of the other
_TINY_SIDE, _TINY_FACTOR = 128, 4  # pictures below this long side are enlarged to it, by this factor at most


class Sizes(NamedTuple):
    """The sizes in which a picture is looked at.

    Args:
        long_side: pixels to which larger pictures are reduced.
        enlarged: by which smaller ones are enlarged, at most.
        step: size of each level, of the one before.
    """

    long_side: int = LONG_SIDE
    enlarged: float = 1.0
    step: float = 0.25


# Photos are enlarged for their faces of 12 to 24 pixels. A frame of a clip is not always looked at turned, too, in half
# the size, so it has that level in its place.
PHOTO, SHOT, FRAME = Sizes(1600, 2.0), Sizes(1600, 2.0, 0.5), Sizes(step=0.5)


def working_size(height: int, width: int, long_side: int, enlarged: float = 1.0) -> tuple[int, int]:
    """The size at which a picture goes through the network, for its finest level.

    The long side is reduced to long_side. A strip of more than 4:1 may be longer, up to the area of a 4:1 picture
    of that long side: else the faces of a panorama, no higher than its short side, would vanish. Pictures under 128
    pixels are enlarged: what that gives stands in docs/measured.md.

    Args:
        height, width: of the picture, in pixels.
        long_side: in pixels.
        enlarged: smaller pictures are enlarged by up to this.

    Returns:
        Height and width, multiples of 32.
    """
    effective = min(max(height, width), 2 * math.sqrt(height * width))
    scale = min(long_side / effective, max(enlarged, min(_TINY_FACTOR, _TINY_SIDE / effective)))
    return _whole_cells(height * scale, width * scale)


def pyramid(height: int, width: int, sizes: Sizes) -> list[tuple[int, int]]:
    """The sizes at which a picture goes through the network, finest first.

    The last is near 320 pixels: CenterFace was trained on faces of crowds, and beyond some 500 pixels its boxes cover
    only part of a face.

    Args:
        height, width: of the picture, in pixels.
        sizes: of the finest, and the step to the next.

    Returns:
        Heights and widths, multiples of 32.
    """
    levels = [working_size(height, width, sizes.long_side, sizes.enlarged)]
    while (longest := max(levels[-1])) > 1.5 * _COARSE_SIDE:
        factor = max(_COARSE_SIDE / longest, sizes.step)
        levels.append(_whole_cells(levels[-1][0] * factor, levels[-1][1] * factor))
    return levels


def first_look(centerface: nn.Module, picture: torch.Tensor, min_score: float, sizes: Sizes = Sizes()) -> Candidates:
    """What CenterFace finds in the whole picture, upright.

    Args:
        centerface: the network, on any device.
        picture: float32 [1, 1 or 3, H, W], 0..1, on any device.
        min_score: 0..1.
        sizes: in which it is looked at.

    Returns:
        Candidates in picture pixels, best first, clipped to the picture, without duplicates.
    """
    height, width = picture.shape[2:]
    found = []
    levels = pyramid(height, width, sizes)
    for level, size in enumerate(levels):
        seen = decode(*_run(centerface, picture, size), min_score=min_score)
        extent = box_math.extents(seen.boxes)
        least, largest = _MEDIUM / sizes.step if level else 0, _LARGE if size != levels[-1] else np.inf
        seen = seen.pick((extent >= least) & (extent <= largest))
        per_pixel = np.array([width / size[1], height / size[0]])
        found.append(Candidates(seen.boxes * np.tile(per_pixel, 2), seen.scores, seen.points * per_pixel))
    best = join(found).unique()
    best = best._replace(boxes=box_math.clip(best.boxes, height, width))
    return best.pick(box_math.has_area(best.boxes))


def _whole_cells(height: float, width: float) -> tuple[int, int]:
    rows, columns = (max(1, math.ceil(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in (height, width))
    return rows, columns


def _run(centerface: nn.Module, picture: torch.Tensor, size: tuple[int, int]) -> list[np.ndarray]:
    """The four outputs of the network, float64, for a picture resized to `size`."""
    if size != tuple(picture.shape[2:]):
        picture = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)
    with torch.inference_mode():
        outputs = centerface(picture.expand(-1, 3, -1, -1).to(next(centerface.parameters()).device) * 255)
    heatmap, *others = (output[0].float().cpu().numpy().astype(np.float64) for output in outputs)
    return [heatmap[0], *others]
