"""Candidates for turned and cut faces: the whole picture turned by quarters of a circle, framed with grey."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import boxes as box_math
from .centerface import SIZE_MULTIPLE, CenterFace
from .decoding import MAX_INSIDE, NMS_IOU, Candidates, decode, join, no_candidates
from .first_look import LONG_SIDE, working_size

MIN_CANDIDATE_SCORE = 0.05  # noise passes too; whoever calls looks at each candidate again (refinement.look_again)
FAINT = 0.02  # score of what the larger size may show to be a face; docs/measured.md, "What searching costs"
_WINDOW, _CORE = 320, 192  # working pixels of a finer look at a place, and of the part of it that has enough around it
_DEARER = 1.4  # times the work of the whole that windows are, pixel by pixel, on a processor
_LARGEST = 96  # root of a box's area in working pixels of the larger size: what is larger shows in the smaller one
_BORDER = 32  # grey pixels around a picture: a wider frame costs time and shows no more
_GREY = 0.5


class TurnedLook(NamedTuple):
    """How a picture is looked at once more.

    Args:
        long_side, enlarged: as for working_size.
        exact: in float32 also where integers are faster.
        sparing: resized in bytes where it is looked at in integers, and in the larger size only where something shows
            before, be it faint. Not for frames: their faces may be of a few pixels.
    """

    long_side: int
    enlarged: float
    exact: bool
    sparing: bool


OF_PHOTO = TurnedLook(1600, 2.0, exact=False, sparing=True)
# of a clip of which each frame is looked at
OF_FRAME = TurnedLook(LONG_SIDE, 1.0, exact=False, sparing=False)
# ... of which few are: who is missed is so until the next
OF_FEW_FRAMES = TurnedLook(LONG_SIDE, 1.0, exact=True, sparing=False)


class Shown(NamedTuple):
    """What is known of a picture before it is looked at turned.

    Args:
        faces: boxes (N, 4) of those that are sure.
        noticed: what else a look upright showed, from FAINT.
    """

    faces: np.ndarray
    noticed: Candidates


def turned_views(height: int, width: int, look: TurnedLook) -> list[tuple[tuple[int, int], int]]:
    """In which sizes and directions a picture is looked at once more.

    At half of the look's long side in all four directions; where that is smaller than the working size, at this upside
    down too, and upright, where the first look is smaller. All four would find the same faces of 24 working pixels and
    more.

    Args:
        height, width: of the picture, in pixels.
        look: how.

    Returns:
        Sizes (height, width), and by how many quarters the picture is turned anticlockwise.
    """
    whole, half = (working_size(height, width, side, look.enlarged) for side in (look.long_side, look.long_side // 2))
    views = [(half, quarters) for quarters in range(4)]
    if whole == half:
        return views
    is_enlarged = max(whole) > max(working_size(height, width, LONG_SIDE))
    return [*views, *([(whole, 0)] if is_enlarged else []), (whole, 2)]


def find_turned(
    centerface: nn.Module,
    picture: torch.Tensor,
    views: list[tuple[tuple[int, int], int]],
    *,
    exact: bool = False,
    shown: Shown | None = None,
) -> Candidates:
    """What may be faces in the whole picture, seen in several views, with grey around, so that a cut face has room.

    Args:
        centerface: the network, on any device.
        picture: float32 [1, 1 or 3, H, W], 0..1, on any device; or uint8 of for_rough_looks.
        views: from turned_views.
        exact: in float32 also where integers are faster: for whoever takes the scores as they are.
        shown: what is known before. Given, views of another size than the first are looked at only where something
            small was noticed before, in any direction, that is none of the known faces.

    Returns:
        Candidates in picture pixels, not clipped, best first, without duplicates; their centres lie in the picture.
    """
    height, width = picture.shape[2:]
    resized = {(height, width): picture}
    found = [no_candidates()]
    noticed = [] if shown is None else [_beside(shown.noticed, shown.faces)]
    least = MIN_CANDIDATE_SCORE if shown is None else FAINT
    places = None  # everywhere
    for size, quarters in views:
        per_pixel = np.array([width / size[1], height / size[0]])
        if shown is not None and size != views[0][0]:
            if places is None:
                places = _small_places(join(noticed).unique(), per_pixel)
            if not len(places):
                continue
        if size not in resized:
            resized[size] = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)
        part, corner = framed(resized[size], [_BORDER] * 4)
        part = part if exact else for_rough_looks(centerface, part)
        looks = [(part, np.zeros(2))] if places is None else _windows(part, places - corner)
        for window, place in looks:
            seen = look_turned(centerface, window, quarters, per_pixel, (corner + place) * per_pixel, min_score=least)
            centres = box_math.centres(seen.boxes)
            seen = seen.pick(np.logical_and.reduce((centres >= 0) & (centres <= [width, height]), axis=1))
            found.append(seen.pick(seen.scores >= MIN_CANDIDATE_SCORE))
            if shown is not None and places is None:
                noticed.append(_beside(seen, shown.faces))
    return join(found).unique()


def _beside(seen: Candidates, faces: np.ndarray) -> Candidates:
    return seen.pick(~box_math.overlapping(seen.boxes, faces, NMS_IOU, MAX_INSIDE))


def _small_places(noticed: Candidates, per_pixel: np.ndarray) -> np.ndarray:
    """Where to look closer, x y (N, 2) in working pixels of the size that has so many picture pixels each."""
    boxes = noticed.boxes / np.tile(per_pixel, 2)
    return box_math.centres(boxes[box_math.extents(boxes) <= _LARGEST])


def _windows(part: torch.Tensor, places: np.ndarray) -> list[tuple[torch.Tensor, np.ndarray]]:
    """What is around places in a framed part of a picture; all of it where that is less.

    Args:
        part: [1, C, h, w], framed.
        places: x y (N, 2), in pixels of the part.

    Returns:
        Windows, and the x y of each one's corner.
    """
    height, width = part.shape[2:]
    size = np.array([min(_WINDOW, width), min(_WINDOW, height)])
    looks = []
    while len(places):
        corner = np.clip(np.rint(places[0] - size / 2), 0, [width, height] - size).astype(int)
        x, y = corner
        looks.append((part[:, :, y : y + size[1], x : x + size[0]], corner))
        places = places[(np.abs(places - places[0]) > _CORE / 2).any(1)]
    return looks if _DEARER * len(looks) * size.prod() < height * width else [(part, np.zeros(2))]


def for_rough_looks(centerface: nn.Module, picture: torch.Tensor) -> torch.Tensor:
    """A picture as look_turned takes it where a rough look is enough.

    Args:
        centerface: the network, on any device.
        picture: float32 [1, C, H, W], 0..1, or what this function returned.

    Returns:
        Levels, uint8, each pixel's channels side by side, where the network counts in integers: to resize them takes a
        tenth of the time that float32 takes. Else the picture.
    """
    is_rough = isinstance(centerface, CenterFace) and centerface.is_rough_faster and picture.device.type == "cpu"
    if not is_rough or picture.dtype == torch.uint8:
        return picture
    levels = picture.contiguous(memory_format=torch.channels_last) * 255
    return levels.round_().to(torch.uint8)


def framed(part: torch.Tensor, pad: list[int]) -> tuple[torch.Tensor, np.ndarray]:
    """A part of a picture with grey around it, in a size that the network takes.

    Args:
        part: float32 or uint8 [1, C, h, w].
        pad: grey pixels left, right, top and bottom; right and bottom get what is missing to multiples of 32.

    Returns:
        The framed part, and the x y of its corner in pixels of the part.
    """
    height, width = part.shape[2:]
    left, right, top, bottom = pad
    right += -(width + left + right) % SIZE_MULTIPLE
    bottom += -(height + top + bottom) % SIZE_MULTIPLE
    grey = _GREY if part.is_floating_point() else round(_GREY * 255)
    return F.pad(part, [left, right, top, bottom], value=grey), -np.array([left, top])


def look_turned(
    centerface: nn.Module,
    part: torch.Tensor,
    quarters: int,
    per_pixel: np.ndarray,
    corner: np.ndarray,
    *,
    min_score: float = MIN_CANDIDATE_SCORE,
) -> Candidates:
    """What CenterFace sees in a part of a picture that is turned by quarters of a circle.

    Args:
        centerface: the network, on any device.
        part: [1, C, h, w], framed: float32, 0..1; or uint8 of for_rough_looks, which is looked at in integers.
        quarters: of a turn, anticlockwise.
        per_pixel: picture pixels (x, y) a pixel of the part.
        corner: x y of the part's corner in picture pixels.
        min_score: of a candidate, 0..1.

    Returns:
        Candidates in picture pixels, not clipped, with duplicates.
    """
    device = next(centerface.parameters()).device
    turned = torch.rot90(part, quarters, (2, 3)).expand(-1, 3, -1, -1)
    with torch.inference_mode():
        if isinstance(centerface, CenterFace) and turned.dtype == torch.uint8:
            outputs = centerface.rough(turned)
        else:
            outputs = centerface(turned.to(device) * 255)
    heatmap, *others = (output[0].float().cpu().numpy().astype(np.float64) for output in outputs)
    boxes, scores, points = decode(heatmap[0], *others, min_score=min_score)
    size = part.shape[3], part.shape[2]
    corners = turn_back(boxes.reshape(-1, 2, 2), quarters, *size) * per_pixel + corner
    points = turn_back(points, quarters, *size) * per_pixel + corner
    return Candidates(np.concatenate([corners.min(1), corners.max(1)], 1), scores, points)


def turn_back(points: np.ndarray, quarters: int, width: int, height: int) -> np.ndarray:
    """Points of a part that was turned by torch.rot90, in the part itself.

    Args:
        points: (N, M, 2), x y, edges.
        quarters: by which the part was turned.
        width, height: of the part before.
    """
    x, y = points[..., 0], points[..., 1]
    turned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters]
    return np.stack(turned, -1)
