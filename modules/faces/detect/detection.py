"""Find faces with CenterFace: boxes, scores and five points for every picture of a batch.

Source of pre- and postprocessing: the CenterFace paper (arXiv 1911.03599, sections 3.2 and 3.4) and its published code
(Star-Clouds/CenterFace, MIT). What differs is said where it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..settings import DetectSettings
from ..types import FIVE_POINTS, Face, Faces
from .centerface import SIZE_MULTIPLE, load_centerface
from .decoding import decode, overlapping, suppress
from .onet import load_onet
from .refinement import best_probability, look_upright, refine_points
from .tiles import MIN_CANDIDATE_SCORE, find_candidates, find_turned

LONG_SIDE = 1280  # pixels to which larger pictures are reduced before the first look
_SOURCE = "centerface"
_UPRIGHT_SOURCE = "centerface upright"
_TILE_SOURCE = "centerface tiles"
_SURE = 0.3  # score; what the first look gives less is looked at again, turned upright
_PLAUSIBLE = 0.3  # of O-Net's probability; below, a candidate is not worth that look, the dearest step by far
_NMS_IOU = 0.3
_MAX_INSIDE = 0.6  # share of a box that may lie in a better one: a face does not fit into a face
_REFINE_FROM = 0.2  # score; what is less of a face is not worth a second look
_COARSE_SIDE = 320  # long side of the smallest level of the pyramid, in pixels
# root of a box's area in pixels of a level: larger ones are left to the next level, smaller to the one before
_LARGE, _MEDIUM = 320, 40
_TINY_SIDE, _TINY_FACTOR = 128, 4  # pictures below this long side are enlarged to it, by this factor at most
_ROWS = 8  # a picture is read in this many rows of faces when they are put in order

_Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (N, 4), scores (N,), points (N, 5, 2)


class FaceNetworks(nn.Module):
    """The detector, and the network that places points: one module, so that a host can manage both as one model."""

    def __init__(self, centerface: nn.Module, onet: nn.Module):
        super().__init__()
        self.centerface = centerface
        self.onet = onet


def load_face_networks() -> FaceNetworks:
    """Both networks with the weights that ship with the pack, float32, on the CPU. Raises as load_centerface does."""
    return FaceNetworks(load_centerface(), load_onet())


def detect_faces(
    network: nn.Module,
    images: torch.Tensor,
    settings: DetectSettings = DetectSettings(),
    *,
    device: torch.device | str | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Faces:
    """All faces of every picture, at any rotation, one picture at a time.

    network: from load_face_networks; CenterFace alone (load_centerface) judges by itself, with coarser points.
    images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is dropped), any size, B = 0 included. min_score: 0..1, the
    least confidence. max_faces: keeps so many of the best in each picture; 0 keeps all. long_side: larger pictures are
    reduced to it, in pixels (see working_size). What a first look gives a score under 0.3, and what shows only in a
    picture turned or framed with grey (see turned_views), is looked at again, turned upright, and has the source
    "centerface upright" and the better of both scores. thorough: looks once more at full size and enlarged, in tiles
    and in four directions, for faces from 12 pixels, turned ones and ones cut by the border (see find_candidates); what
    the ordinary pass finds stays as it is, what is new has the source "centerface tiles".
    device: the network is moved there first; None leaves it where it is. progress: called with (pictures done, all)
    after each picture and, when thorough, with the share of the picture added after each direction of each tile; what
    it raises passes through. Returns Faces with five points each, the image-left eye first as seen on the upright face.
    In each picture faces are read like text: by row of an eighth of the height, then from left to right, by the centres
    of their boxes. Raises ValueError for images of another shape or settings out of range.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape[1:3]:
        raise ValueError(
            f"Images are [B, H, W, C] with 1, 3 or 4 channels and H, W of 1 at least, got {list(images.shape)}."
        )
    min_score = settings.min_score
    if device is not None:
        network.to(device)
    centerface, onet = (network.centerface, network.onet) if isinstance(network, FaceNetworks) else (network, None)
    count, height, width = images.shape[:3]
    faces: list[Face] = []
    for index in range(count):
        # resized where it is: not every device has the antialiasing filter
        picture = torch.nan_to_num(images[index, ..., :3].permute(2, 0, 1)[None].float()).clamp(0, 1)
        seen = first_look(centerface, picture, min(min_score, MIN_CANDIDATE_SCORE))
        # not min_score itself: one above _SURE only drops faces, and changes the score of none
        sure = seen[1] >= min(min_score, _SURE)
        found, possible = (tuple(part[which] for part in seen) for which in (sure, ~sure))
        sources = [_SOURCE] * len(found[1])
        views = turned_views(height, width, LONG_SIDE)
        possible = _unique(possible, find_turned(centerface, picture, views))
        found = _with_candidates(centerface, onet, picture, min_score, found, possible, _PLAUSIBLE)
        sources += [_UPRIGHT_SOURCE] * (len(found[1]) - len(sources))
        if settings.thorough:
            advance = _ignore if progress is None else lambda share, done=index: progress(done + share, count)
            candidates = find_candidates(centerface, picture, advance)
            found = _with_candidates(centerface, onet, picture, min_score, found, candidates)
            sources += [_TILE_SOURCE] * (len(found[1]) - len(sources))
        boxes, scores, points = found
        best = np.argsort(-scores, kind="stable")
        best = best[scores[best] >= min_score][: settings.max_faces or None]
        points[best] = _refined(centerface, onet, picture, boxes[best], scores[best], points[best])
        for i in best[_reading_order(boxes[best], height)]:
            faces.append(Face(index, boxes[i], float(scores[i]), points[i] - 0.5, FIVE_POINTS, sources[i]))
        if progress is not None:
            progress(index + 1, count)
    return Faces(count, height, width, tuple(faces))


def _ignore(_share: float) -> None:
    pass


def working_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width at which a picture goes through the network, multiples of 32, for its finest level.

    The long side is reduced to long_side. A strip of more than 4:1 may be longer, up to the area of a 4:1 picture
    of that long side: else the faces of a panorama, no higher than its short side, would vanish.
    Pictures under 128 pixels are enlarged: a face that fills one of 12 to 40 pixels scores 0.2 to 0.6 without, 0.6 to
    0.9 with it.
    """
    effective = min(max(height, width), 2 * math.sqrt(height * width))
    scale = min(long_side / effective, max(1.0, min(_TINY_FACTOR, _TINY_SIDE / effective)))
    return _whole_cells(height * scale, width * scale)


def _whole_cells(height: float, width: float) -> tuple[int, int]:
    return tuple(max(1, math.ceil(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in (height, width))


def pyramid(height: int, width: int, long_side: int) -> list[tuple[int, int]]:
    """The working sizes of a picture, finest first: each a quarter of the one before in length, the last near 320
    pixels.

    CenterFace was trained on faces of crowds: beyond some 500 pixels its boxes cover only part of a face.
    """
    sizes = [working_size(height, width, long_side)]
    while (longest := max(sizes[-1])) > 1.5 * _COARSE_SIDE:
        factor = max(_COARSE_SIDE / longest, 0.25)
        sizes.append(_whole_cells(sizes[-1][0] * factor, sizes[-1][1] * factor))
    return sizes


def turned_views(height: int, width: int, long_side: int) -> list[tuple[tuple[int, int], int]]:
    """Sizes and quarters of a turn in which a picture is looked at once more (see find_turned).

    At half of long_side in all four directions; where that is smaller than the working size, at this upside down too.
    All four at the working size would cost twice the time and find the same faces of 24 working pixels and more.
    """
    whole, half = working_size(height, width, long_side), working_size(height, width, long_side // 2)
    return [(half, quarters) for quarters in range(4)] + ([(whole, 2)] if whole != half else [])


def first_look(centerface: nn.Module, picture: torch.Tensor, min_score: float) -> _Candidates:
    """Boxes (N, 4), scores (N,) and points (N, 5, 2), edges, of one picture [1, C, H, W], best first, in its pixels."""
    height, width = picture.shape[2:]
    found = []
    sizes = pyramid(height, width, LONG_SIDE)
    for level, size in enumerate(sizes):
        boxes, scores, points = decode(*_run(centerface, picture, size), min_score)
        extent = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
        mine = (extent >= (_MEDIUM if level else 0)) & (extent <= (_LARGE if size != sizes[-1] else np.inf))
        per_pixel = np.array([width / size[1], height / size[0]])
        found.append((boxes[mine] * np.tile(per_pixel, 2), scores[mine], points[mine] * per_pixel))
    boxes, scores, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = suppress(boxes, scores, _NMS_IOU)
    boxes = _clipped(boxes, picture)
    keep = keep[(boxes[keep, 2:] > boxes[keep, :2]).all(1)]
    return boxes[keep], scores[keep], points[keep]


def _unique(first: _Candidates, second: _Candidates) -> _Candidates:
    boxes, scores, points = (np.concatenate(parts) for parts in zip(first, second, strict=True))
    keep = suppress(boxes, scores, _NMS_IOU)
    return boxes[keep], scores[keep], points[keep]


def _with_candidates(
    centerface: nn.Module,
    onet: nn.Module | None,
    picture: torch.Tensor,
    min_score: float,
    found: _Candidates,
    candidates: _Candidates,
    plausible: float | None = None,
) -> _Candidates:
    """The faces of `found`, then those of the candidates that are others and stand a look at them upright.

    Their score is the better one of two looks of CenterFace, the candidate's and upright; for what it does not find
    again the first look's, but no more than O-Net's probability. plausible: with it, candidates to which O-Net gives
    less, or which are not found again, are none; that saves most of the looks.
    """
    boxes, scores, points = candidates
    new = np.flatnonzero(~overlapping(boxes, found[0], _NMS_IOU, _MAX_INSIDE))
    boxes, scores, points = boxes[new], scores[new], _ordered(points[new])
    if onet is not None and plausible is not None:
        likely = best_probability(onet, picture, boxes, points) >= plausible
        boxes, scores, points = boxes[likely], scores[likely], points[likely]
    boxes, second, points, certain = look_upright(centerface, onet, picture, boxes, points)
    scores = np.where(second > 0, np.maximum(scores, second), np.minimum(scores, certain))
    if plausible is not None:
        likely = (second > 0) & (certain >= plausible)
        boxes, scores, points = boxes[likely], scores[likely], points[likely]
    boxes = _clipped(boxes, picture)
    # a second look moves a box: two candidates may have become the same face
    keep = suppress(boxes, scores, _NMS_IOU, _MAX_INSIDE)
    keep = keep[~overlapping(boxes[keep], found[0], _NMS_IOU, _MAX_INSIDE)]
    keep = keep[(scores[keep] >= min_score) & (boxes[keep, 2:] > boxes[keep, :2]).all(1)]
    added = (boxes[keep], scores[keep], points[keep])
    return tuple(np.concatenate(parts) for parts in zip(found, added, strict=True))


def _refined(
    centerface: nn.Module,
    onet: nn.Module | None,
    picture: torch.Tensor,
    boxes: np.ndarray,
    scores: np.ndarray,
    points: np.ndarray,
) -> np.ndarray:
    points = _ordered(points)
    sure = scores >= _REFINE_FROM
    points[sure] = refine_points(centerface, onet, picture, boxes[sure], points[sure])
    return points


def _ordered(points: np.ndarray) -> np.ndarray:
    return np.array([image_left_first(five) for five in points]).reshape(-1, 5, 2)


def _clipped(boxes: np.ndarray, picture: torch.Tensor) -> np.ndarray:
    return np.clip(boxes, 0, np.tile([picture.shape[3], picture.shape[2]], 2))


def _run(centerface: nn.Module, picture: torch.Tensor, size: tuple[int, int]) -> list[np.ndarray]:
    """The four outputs of the network, float64, for picture [1, 1 or 3, H, W] in 0..1, resized to size."""
    if size != tuple(picture.shape[2:]):
        picture = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)
    with torch.inference_mode():
        outputs = centerface(picture.expand(-1, 3, -1, -1).to(next(centerface.parameters()).device) * 255)
    heatmap, *others = (output[0].float().cpu().numpy().astype(np.float64) for output in outputs)
    return [heatmap[0], *others]


def _reading_order(boxes: np.ndarray, height: int) -> np.ndarray:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    row = np.floor(centre[:, 1] * _ROWS / height)
    return np.lexsort((centre[:, 1], centre[:, 0], row))


def image_left_first(points: np.ndarray) -> np.ndarray:
    """The five points with each pair, eyes and mouth corners, ordered from left to right of the upright face.

    The face's own down is from the middle of the eyes to the middle of the mouth; detectors differ in what they call
    left.
    """
    down = points[3:5].mean(0) - points[:2].mean(0)
    right = np.array([down[1], -down[0]])
    ordered = points.copy()
    for pair in (slice(0, 2), slice(3, 5)):
        if (points[pair] @ right)[0] > (points[pair] @ right)[1]:
            ordered[pair] = points[pair][::-1]
    return ordered
