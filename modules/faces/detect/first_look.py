"""The first look at a picture: CenterFace on the whole of it, upright, at a few sizes.

Source of pre- and postprocessing: the CenterFace paper (arXiv 1911.03599, sections 3.2 and 3.4) and its published code
(Star-Clouds/CenterFace, MIT).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import boxes as box_math
from .centerface import SIZE_MULTIPLE, CenterFace
from .decoding import Candidates, decode, join

Outputs = tuple[torch.Tensor, ...]

LONG_SIDE = 1280  # pixels to which larger pictures are reduced
_COARSE_SIDE = 320  # long side of the smallest level of the pyramid, in pixels
# root of a box's area in pixels of a level: larger ones are left to the next level, smaller to the one before
_LARGE, _MEDIUM = 320, 40
_TINY_SIDE, _TINY_FACTOR = 128, 4  # pictures below this long side are enlarged to it, by this factor at most


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


def pyramid(height: int, width: int, long_side: int) -> list[tuple[int, int]]:
    """The sizes at which a picture goes through the network, finest first.

    Each is a quarter of the one before in length, the last near 320 pixels: CenterFace was trained on faces of crowds,
    and beyond some 500 pixels its boxes cover only part of a face.

    Args:
        height, width: of the picture, in pixels.
        long_side: of the finest, in pixels, see working_size.

    Returns:
        Heights and widths, multiples of 32.
    """
    sizes = [working_size(height, width, long_side)]
    while (longest := max(sizes[-1])) > 1.5 * _COARSE_SIDE:
        factor = max(_COARSE_SIDE / longest, 0.25)
        sizes.append(_whole_cells(sizes[-1][0] * factor, sizes[-1][1] * factor))
    return sizes


def first_look(
    centerface: nn.Module, picture: torch.Tensor, min_score: float, long_side: int = LONG_SIDE
) -> Candidates:
    """What CenterFace finds in the whole picture, upright.

    Args:
        centerface: the network, on any device.
        picture: float32 [1, 1 or 3, H, W], 0..1, on any device.
        min_score: 0..1.
        long_side: to which larger pictures are reduced, in pixels.

    Returns:
        Candidates in picture pixels, best first, clipped to the picture, without duplicates.
    """
    height, width = picture.shape[2:]
    found = []
    sizes = pyramid(height, width, long_side)
    for level, size in enumerate(sizes):
        seen = decode(*_run(centerface, picture, size, centerface), min_score=min_score)
        extent = box_math.extents(seen.boxes)
        seen = seen.pick((extent >= (_MEDIUM if level else 0)) & (extent <= (_LARGE if size != sizes[-1] else np.inf)))
        per_pixel = np.array([width / size[1], height / size[0]])
        found.append(Candidates(seen.boxes * np.tile(per_pixel, 2), seen.scores, seen.points * per_pixel))
    best = join(found).unique()
    best = best._replace(boxes=box_math.clip(best.boxes, height, width))
    return best.pick(box_math.has_area(best.boxes))


def sees_nothing(centerface: nn.Module, picture: torch.Tensor, min_score: float) -> bool:
    """Whether a look in integers is enough to say that first_look would find nothing; False where there are none.

    Args:
        centerface, picture, min_score: as for first_look.
    """
    if not isinstance(centerface, CenterFace) or not centerface.is_rough_faster:
        return False
    height, width = picture.shape[2:]
    sizes = pyramid(height, width, LONG_SIDE)
    return all(float(_run(centerface, picture, size, centerface.rough)[0].max()) < min_score / 2 for size in sizes)


def _whole_cells(height: float, width: float) -> tuple[int, int]:
    rows, columns = (max(1, math.ceil(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in (height, width))
    return rows, columns


def _run(
    centerface: nn.Module, picture: torch.Tensor, size: tuple[int, int], look: Callable[[torch.Tensor], Outputs]
) -> list[np.ndarray]:
    """The four outputs of a look, float64, at a picture resized to `size`."""
    if size != tuple(picture.shape[2:]):
        picture = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)
    with torch.inference_mode():
        outputs = look(picture.expand(-1, 3, -1, -1).to(next(centerface.parameters()).device) * 255)
    heatmap, *others = (output[0].float().cpu().numpy().astype(np.float64) for output in outputs)
    return [heatmap[0], *others]
