"""Better points for faces that were found: CenterFace looks at each again, upright, and O-Net places the points.

CenterFace finds turned faces, but places their points by habit: at 90 degrees its eye line is 20 degrees off. Seen a
second time, turned upright by what the first look said, a face gets the points of an upright one, and a score that
tells more than that of the first look. O-Net (MTCNN's third stage), made for points, then halves their error, but only
on upright faces in a tight square. A mirrored copy in each step halves the noise.

What each step gains stands in docs/measured.md ("Crops against 68 points"). Averages of both networks' points were
worse than O-Net's alone.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import boxes as box_math
from .centerface import CenterFace
from .decoding import decode
from .onet import SIDE as _ONET_SIDE

_PATCH = 192  # side in pixels of what CenterFace sees; the root of the box's area is half of it
_MIN_SCORE = 0.15  # of the second look; the first one has decided already that there is a face
_LEAST_ROUGH = 0.05  # of a rough one
_ROUGH_PATCH, _EIGHTHS = 96, 8  # pixels of its patch, which goes through the network in so many directions at once
_FINER, _AROUND = 2, 272  # how much finer what is around it is, and its side in pixels: a turned patch fits
_BATCH = 8  # faces that go through the network at once
_GREY = 0.5  # beyond the picture: beside it a cut face scores higher than beside black
MIRRORED = [1, 0, 2, 4, 3]
_SURE_DIRECTION = 0.3  # by so much more O-Net must believe in a face that stands in another direction
_MIN_PROBABILITY = 0.5  # of O-Net; below, as in half a face or a profile, its points are guesses
_MAX_MOVE = 0.25  # of the points on average, in roots of the box's area; a larger one is an error of O-Net


def refine_points(
    centerface: nn.Module, onet: nn.Module | None, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Points of faces after two further looks of CenterFace and two of O-Net.

    A face that CenterFace does not find again keeps its points; one that O-Net does not believe in, or whose points it
    would throw far, keeps those of CenterFace.

    Args:
        centerface: the network, on any device.
        onet: the other one; None leaves the points of CenterFace.
        picture: float32 [1, 1 or 3, H, W], 0..1, on any device.
        boxes: (N, 4) x0 y0 x1 y1 in picture pixels, edges.
        points: (N, 5, 2) in picture pixels, edges, the image-left eye first.

    Returns:
        float64 (N, 5, 2).
    """
    _, _, points, _ = look_upright(centerface, onet, picture, boxes, points)
    if onet is None or not len(points):
        return points
    placed, _ = _onet_look(onet, picture, boxes, points)
    placed, certain = _onet_look(onet, picture, boxes, placed)
    move = np.hypot(*np.moveaxis(placed - points, 2, 0)).mean(1)
    good = (certain >= _MIN_PROBABILITY) & (move <= _MAX_MOVE * box_math.extents(boxes))
    return np.where(good[:, None, None], placed, points)


def look_upright(
    centerface: nn.Module, onet: nn.Module | None, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """look_again, twice for faces that O-Net believes to stand in another direction than they were taken for.

    Upside down, most often.

    Args:
        centerface, onet, picture, boxes, points: as for refine_points.

    Returns:
        Boxes, scores and points as look_again gives them, of two tries the one with the better score; and O-Net's
        probability of a face (N,) in the direction that it likes best, 1 without an O-Net.
    """
    seen = look_again(centerface, picture, boxes, points)
    if onet is None or not len(points):
        return *seen, np.ones(len(points))
    certain = _probabilities(onet, picture, boxes, seen[2], mirrored=True)
    direction = certain.argmax(0)
    wrong = np.flatnonzero(certain.max(0) > certain[0] + _SURE_DIRECTION)
    turned = np.stack([turn_points(seen[2], boxes, eighths) for eighths in (0, 2, 4, 6)])
    second = look_again(centerface, picture, boxes[wrong], turned[direction[wrong], wrong])
    better = second[1] >= seen[1][wrong]
    for kept, new in zip(seen, second, strict=True):
        kept[wrong[better]] = new[better]
    return *seen, certain.max(0)


def best_probability(onet: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """O-Net's probability of a face in the direction that it likes best of four.

    From one patch of 48 pixels a face: cheap enough for many candidates.

    Args:
        onet: the network, on any device.
        picture, boxes, points: as for refine_points.

    Returns:
        float64 (N,), 0..1.
    """
    return _probabilities(onet, picture, boxes, points, mirrored=False).max(0)


def _probabilities(
    onet: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray, *, mirrored: bool
) -> np.ndarray:
    """O-Net's probability of a face in each of four directions, float64 (4, N): of points turned by 0, 2, 4, 6 eighths.

    Args:
        onet, picture, boxes, points: as for refine_points.
        mirrored: look at a mirrored copy, too, and take the mean.
    """
    device = next(onet.parameters()).device
    certain = [np.zeros((4, 0))]
    for start in range(0, len(points), _BATCH):
        part = slice(start, start + _BATCH)
        places = zip(points[part], box_math.centres(boxes[part]), box_math.extents(boxes[part]), strict=True)
        matrices = [upright_matrix(five, centre, _ONET_SIDE / extent, _ONET_SIDE) for five, centre, extent in places]
        patches = torch.cat([sample_patch(picture, matrix, _ONET_SIDE) for matrix in matrices])
        looks = [torch.rot90(patches, quarters, (2, 3)) for quarters in range(4)]
        looks += [look.flip(3) for look in looks] if mirrored else []
        with torch.inference_mode():
            probability, _, _ = onet(torch.cat(looks).expand(-1, 3, -1, -1).to(device))
        probability = probability.cpu().double()  # not every device has float64
        certain.append(probability.numpy().reshape(-1, 4, len(patches)).mean(0))
    return np.concatenate(certain, 1)


def rough_look(
    centerface: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What CenterFace gives faces upright and in seven other directions, large, in integers where that is faster.

    For many candidates, a quarter of the time of look_again: what is noticed in a turned picture often stands in
    another direction than its points say, and by them it shows nothing upright.

    Args:
        centerface, picture, boxes, points: as for refine_points.

    Returns:
        Scores upright, float64 (N,), 0..1, 0 for what is not found; the best of the other directions; and the points,
        turned about the middles of the boxes into the direction of that.
    """
    look = centerface.rough if isinstance(centerface, CenterFace) else centerface
    device = next(centerface.parameters()).device
    turned = np.stack([turn_points(points, boxes, eighths) for eighths in range(_EIGHTHS)], 1)
    scores = np.zeros((len(points), _EIGHTHS))
    centres, extents = box_math.centres(boxes), box_math.extents(boxes)
    grid = torch.from_numpy(_eighths_grid()).to(picture.device)
    for i, (centre, extent) in enumerate(zip(centres, extents, strict=True)):
        matrix = upright_matrix(points[i], centre, _FINER * _ROUGH_PATCH / 2 / extent, _AROUND)
        around = sample_patch(picture, matrix, _AROUND).expand(_EIGHTHS, 3, -1, -1)
        patches = F.grid_sample(around, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        with torch.inference_mode():
            outputs = look(patches.to(device) * 255)
        outputs = [output.float().cpu().numpy().astype(np.float64) for output in outputs]
        for k in range(_EIGHTHS):
            seen = _central_face([output[k] for output in outputs], _LEAST_ROUGH, _ROUGH_PATCH)
            scores[i, k] = 0.0 if seen is None else seen[0]
    best = np.arange(len(points)), 1 + scores[:, 1:].argmax(1)
    return scores[:, 0], scores[best], turned[best]


@functools.cache
def _eighths_grid() -> np.ndarray:
    """Where the patches of a rough look in eight directions lie in what is around them, float32 [8, side, side, 2]."""
    index = np.arange(_ROUGH_PATCH) + 0.5 - _ROUGH_PATCH / 2
    place = np.stack(np.meshgrid(index, index), -1).reshape(-1, 2) * _FINER / (_AROUND / 2)
    turned = [place @ _turn(eighths).T for eighths in range(_EIGHTHS)]
    return np.array(turned, np.float32).reshape(_EIGHTHS, _ROUGH_PATCH, _ROUGH_PATCH, 2)


def look_again(
    centerface: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray, rounds: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces as CenterFace sees them upright and large.

    Args:
        centerface, picture, boxes, points: as for refine_points.
        rounds: how many times each is looked at, each time turned by what the last one said.

    Returns:
        Boxes (N, 4), which keep their proportions and are moved and scaled; scores (N,); points (N, 5, 2). A face that
        is not found again keeps its box and points and has the score 0.
    """
    device = next(centerface.parameters()).device
    points, scores = points.copy(), np.zeros(len(points))
    centres, extents = box_math.centres(boxes), box_math.extents(boxes)
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 / extents[:, None]
    for start in range(0, len(points), _BATCH):
        batch = list(range(start, min(start + _BATCH, len(points))))
        for _ in range(rounds):
            if not batch:
                break
            missed = set()
            matrices = [upright_matrix(points[i], centres[i], _PATCH / 2 / extents[i], _PATCH) for i in batch]
            patches = torch.cat([sample_patch(picture, matrix, _PATCH) for matrix in matrices])
            with torch.inference_mode():
                outputs = centerface(torch.cat([patches, patches.flip(3)]).expand(-1, 3, -1, -1).to(device) * 255)
            outputs = [output.float().cpu().numpy().astype(np.float64) for output in outputs]
            for k, i in enumerate(batch):
                looks = [_central_face([o[j] for o in outputs]) for j in (k, k + len(batch))]
                if looks[1] is not None:
                    score, centre, extent, mirrored = looks[1]
                    flip = np.array([-1.0, 1.0])
                    shift = np.array([_PATCH, 0.0])
                    looks[1] = (score, centre * flip + shift, extent, (mirrored * flip + shift)[MIRRORED])
                looks = [look for look in looks if look is not None]
                if not looks:
                    missed.add(i)
                    continue
                score, centre, extent, found = (np.mean(parts, axis=0) for parts in zip(*looks, strict=True))
                inverse = np.linalg.inv(matrices[k][:, :2])
                points[i] = (found - matrices[k][:, 2]) @ inverse.T
                centres[i] = inverse @ (centre - matrices[k][:, 2])
                extents[i] = extent * np.sqrt(np.linalg.det(inverse))
                scores[i] = score
            # another look at the same patch would show the same
            batch = [i for i in batch if i not in missed]
    half = half * extents[:, None]
    return np.concatenate([centres - half, centres + half], 1), scores, points


def _onet_look(
    onet: nn.Module, picture: torch.Tensor, boxes: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 5, 2) and the probability (N,) of a face, from squares turned upright by the given points.

    The square is that of the box's area; MTCNN's own, of the box's longer side, has the points 0.3 % of the face worse.
    """
    device = next(onet.parameters()).device
    centres, extents = box_math.centres(boxes), box_math.extents(boxes)
    placed, certain = [np.zeros((0, 5, 2))], [np.zeros(0)]
    for start in range(0, len(points), _BATCH):
        part = slice(start, start + _BATCH)
        places = zip(points[part], centres[part], extents[part], strict=True)
        matrices = [upright_matrix(five, centre, _ONET_SIDE / extent, _ONET_SIDE) for five, centre, extent in places]
        patches = torch.cat([sample_patch(picture, matrix, _ONET_SIDE) for matrix in matrices]).expand(-1, 3, -1, -1)
        with torch.inference_mode():
            probability, _, looks = onet(torch.cat([patches, patches.flip(3)]).to(device))
        plain, mirrored = looks.cpu().double().numpy().reshape(2, -1, 5, 2)  # not every device has float64
        mirrored = (mirrored * [-1, 1] + [1, 0])[:, MIRRORED]
        found = (plain + mirrored) / 2 * _ONET_SIDE
        placed.append(
            np.array([(f - m[:, 2]) @ np.linalg.inv(m[:, :2]).T for f, m in zip(found, matrices, strict=True)])
        )
        certain.append(probability.cpu().double().numpy().reshape(2, -1).mean(0))
    return np.concatenate(placed), np.concatenate(certain)


def turn_points(points: np.ndarray, boxes: np.ndarray, eighths: int) -> np.ndarray:
    """The points of each face turned about the middle of its box.

    Args:
        points: (N, 5, 2).
        boxes: (N, 4).
        eighths: of a circle.
    """
    centres = box_math.centres(boxes)[:, None]
    return (points - centres) @ _turn(eighths).T + centres


def _turn(eighths: int) -> np.ndarray:
    """(2, 2), a turn by eighths of a circle; by quarters it is exact."""
    turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), eighths // 2)
    return turn @ np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2) if eighths % 2 else turn


def upright_matrix(points: np.ndarray, centre: np.ndarray, scale: float, side: int) -> np.ndarray:
    """(2, 3), picture to patch, both in edge coordinates: upright by the points, the centre in the middle."""
    across = points[1] - points[0] + points[4] - points[3]
    down = points[3:5].mean(0) - points[:2].mean(0)
    # the mean of the two directions, each weighted by its length: y is x turned by a right angle
    direction = across + np.array([down[1], -down[0]])
    length = np.hypot(*direction)
    cosine, sine = direction / length if length > 0 else (1.0, 0.0)
    linear = np.array([[cosine, sine], [-sine, cosine]]) * scale
    return np.column_stack([linear, side / 2 - linear @ centre])


def sample_patch(picture: torch.Tensor, matrix: np.ndarray, side: int) -> torch.Tensor:
    """A square patch of a picture: reduced with antialias where it shrinks, grey beyond the picture.

    Args:
        picture: float32 [1, C, H, W].
        matrix: (2, 3), picture to patch, both in edge coordinates: a similarity transform.
        side: of the patch in pixels.

    Returns:
        float32 [1, C, side, side].
    """
    height, width = picture.shape[2:]
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([(0, 0), (side, 0), (0, side), (side, side)]) - matrix[:, 2]) @ inverse.T
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    low = np.clip(np.floor(corners.min(0) - 2 / scale), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(0) + 2 / scale), low + 1, [width, height]).astype(int)
    region = picture[:, :, low[1] : high[1], low[0] : high[0]]
    if scale < 1:
        size = [max(1, round(length * scale)) for length in region.shape[2:]]
        region = F.interpolate(region, size=size, mode="bilinear", align_corners=False, antialias=True)
    across, down = (np.arange(side) + 0.5 - start for start in matrix[:, 2])
    grid = np.empty((1, side, side, 2), np.float32)
    for axis in (0, 1):  # one after the other: two numbers side by side take numpy several times as long
        place = inverse[axis, 0] * across + inverse[axis, 1] * down[:, None]
        grid[0, ..., axis] = (place - low[axis]) / (high - low)[axis] * 2 - 1
    grid = torch.from_numpy(grid).to(region.device)
    return F.grid_sample(region - _GREY, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + _GREY


def _central_face(
    outputs: list[np.ndarray], min_score: float = _MIN_SCORE, side: int = _PATCH
) -> tuple[float, np.ndarray, float, np.ndarray] | None:
    """Score, centre, extent and points of the best face near the middle of a patch and of about the expected size.

    None where there is none.
    """
    heatmap, scale, offset, landmarks = outputs
    boxes, scores, points = decode(heatmap[0], scale, offset, landmarks, min_score)  # best first
    centres, extents = box_math.centres(boxes), box_math.extents(boxes)
    near = (np.abs(centres - side / 2).max(1) < side / 6) & (np.abs(np.log2(extents / (side / 2))) < 0.7)
    if not near.any():
        return None
    best = np.flatnonzero(near)[0]
    return float(scores[best]), centres[best], float(extents[best]), points[best]
