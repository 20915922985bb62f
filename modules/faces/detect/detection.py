"""Find faces with CenterFace: boxes, scores and five points for every picture of a batch.

A first look at the whole picture finds most of them (first_look.py). What it is not sure of, and what shows only in a
picture turned (turned.py) or in tiles (tiles.py), is looked at again, turned upright (refinement.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from .. import boxes as box_math
from ..settings import DetectSettings
from ..types import FIVE_POINTS, Face, Faces
from .centerface import load_centerface
from .centerface_int8 import integer_filters
from .decoding import MAX_INSIDE, NMS_IOU, Candidates, join, no_candidates
from .first_look import first_look
from .onet import load_onet
from .refinement import best_probability, look_upright, refine_points, rough_look
from .tiles import find_candidates
from .turned import FAINT, MIN_CANDIDATE_SCORE, OF_PHOTO, Shown, TurnedLook, find_turned, for_rough_looks, turned_views

_SOURCE = "centerface"
_UPRIGHT_SOURCE = "centerface upright"
_TILE_SOURCE = "centerface tiles"
SURE = 0.3  # score; what the first look gives less is looked at again, turned upright
EXPECTED = 0.15  # ... and where a face is expected
_PLAUSIBLE = 0.3  # of O-Net's probability; below, a candidate is worth a look upright, the dearest step by far, ...
_NOTICED, _HOPEFUL = 0.08, 0.15  # ... only with this score and with that of a rough look upright
_EVIDENT = 0.4  # score of that look, of what is a face whatever O-Net says: it does not know faces behind a flower
_ELSEWHERE, _PLAIN = 0.35, 0.5  # scores of a rough look in another direction, and of one upright in that
_AGREED, _AGREEING = 0.3, 0.75  # ... or of one upright, and O-Net's probability there
_REFINE_FROM = 0.2  # score; what is less of a face is not worth a second look
_AT_ONCE = 64  # candidates that are looked at before anybody is asked whether to go on
_ROWS = 8  # a picture is read in this many rows of faces when they are put in order


class FaceNetworks(nn.Module):
    """The detector, and the network that places points: one module, so that a host can manage both as one model."""

    def __init__(self, centerface: nn.Module, onet: nn.Module):
        super().__init__()
        self.centerface = centerface
        self.onet = onet


def load_face_networks() -> FaceNetworks:
    """Both networks with the weights that ship with the pack, float32, on the CPU, where rough looks count in integers.

    Raises as load_centerface and integer_filters do.
    """
    centerface = load_centerface()
    centerface.integers = integer_filters(centerface)
    return FaceNetworks(centerface, load_onet())


def detect_faces(
    network: nn.Module,
    images: torch.Tensor,
    settings: DetectSettings = DetectSettings(),
    *,
    device: torch.device | str | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Faces:
    """All faces of every picture, at any rotation, one picture at a time.

    A face has the source "centerface" where the first look is sure of it (a score of 0.3), "centerface upright" where a
    second look turned upright was, with the better of both scores, and "centerface tiles" where `thorough` alone found
    it, by looking at full size and enlarged, in tiles and in four directions: faces from 12 pixels, turned ones and
    ones cut by the border. What the ordinary pass finds stays as it is.

    Args:
        network: from load_face_networks; CenterFace alone (load_centerface) judges by itself, with coarser points.
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is dropped), any size, B = 0 included.
        settings: what counts as a face.
        device: the network is moved there first; None leaves it where it is.
        progress: called with (pictures done, all) after each picture, between looks at many candidates and, when
            thorough, with the share of the picture added after each direction of each tile. What it raises passes
            through.

    Returns:
        Faces with five points each, the image-left eye first as seen on the upright face. In each picture they are read
        like text: by row of an eighth of the height, then from left to right, by the centres of their boxes. Faces
        beyond max_faces are `kept`, so that every report names them.

    Raises:
        ValueError: images of another shape.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape[1:3]:
        raise ValueError(
            f"Images are [B, H, W, C] with 1, 3 or 4 channels and H, W of 1 at least, got {list(images.shape)}."
        )
    if device is not None:
        network.to(device)
    centerface, onet = (network.centerface, network.onet) if isinstance(network, FaceNetworks) else (network, None)
    count, height, width = images.shape[:3]
    faces: list[Face] = []
    kept: list[Face] = []
    for index in range(count):
        # resized where it is: not every device has the antialiasing filter
        picture = torch.nan_to_num(images[index, ..., :3].permute(2, 0, 1)[None].float()).clamp(0, 1)
        advance = _ignore if progress is None else lambda share, done=index: progress(done + share, count)
        found, sources = Search(centerface, onet, picture, settings).run(advance)
        taken = settings.max_faces or len(sources)  # best first
        for i in reading_order(found.boxes, height):
            points = found.points[i] - 0.5
            face = Face(index, found.boxes[i], float(found.scores[i]), points, FIVE_POINTS, sources[i])
            (faces if i < taken else kept).append(face)
        if progress is not None:
            progress(index + 1, count)
    return Faces(count, height, width, tuple(faces), tuple(kept))


def _ignore(_share: float) -> None:
    pass


@dataclass(frozen=True)
class Search:
    """The search for the faces of one picture, float32 [1, 1 or 3, H, W], 0..1."""

    centerface: nn.Module
    onet: nn.Module | None
    picture: torch.Tensor
    settings: DetectSettings

    def run(self, advance: Callable[[float], None]) -> tuple[Candidates, list[str]]:
        """The faces, best first, with points in edges, and the source of each."""
        found, sources = self.find(advance)
        count = self.settings.max_faces or len(sources)
        pause = partial(advance, 1.0 if self.settings.thorough else 0.0)
        return join([self._refined(found.pick(slice(count)), pause), found.pick(slice(count, None))]), sources

    def find(
        self,
        advance: Callable[[float], None],
        *,
        turned: TurnedLook | None = OF_PHOTO,
        expected: np.ndarray = np.zeros((0, 4)),
        followed: np.ndarray = np.zeros((0, 4)),
        possible_from: float | None = None,
    ) -> tuple[Candidates, list[str]]:
        """As run, with the points as they were found.

        Args:
            advance: as for find_candidates, and with 0 or 1 between looks at many candidates.
            turned: how the picture is looked at turned by quarters of a circle, too; None: it is not.
            expected: boxes (N, 4) where faces should be: there the first look is sure from EXPECTED.
            followed: boxes (N, 4) of faces that are known to be there: what is possible at their places is no other.
            possible_from: the least score of what no first look is sure of, in place of the settings' min_score.
        """
        min_score = self.settings.min_score
        least = min_score if possible_from is None else min(min_score, possible_from)
        sparing = turned if turned is not None and turned.sparing else None
        noticed = min(min_score, MIN_CANDIDATE_SCORE)
        seen = first_look(self.centerface, self.picture, min(noticed, FAINT) if sparing else noticed)
        # not min_score itself: one above SURE only drops faces, and changes the score of none
        sure = seen.scores >= min(min_score, SURE)
        sure |= (seen.scores >= EXPECTED) & box_math.overlapping(seen.boxes, expected, NMS_IOU)
        found, faint = seen.pick(sure), seen.pick(~sure)
        possible = faint.pick(faint.scores >= noticed)
        sources = [_SOURCE] * len(found.scores)
        if turned is not None:
            shown = Shown(found.boxes, faint) if sparing else None
            possible = join([possible, self._turned(turned, shown)]).unique()
        possible = possible.pick(~box_math.overlapping(possible.boxes, followed, NMS_IOU, MAX_INSIDE))
        found = self._with_candidates(found, possible, min(least, SURE), partial(advance, 0.0), strict=True)
        sources += [_UPRIGHT_SOURCE] * (len(found.scores) - len(sources))
        if self.settings.thorough:
            known = found.boxes if sparing else None  # in a clip whoever is missed is so for some frames
            tiles = find_candidates(self.centerface, self.picture, advance, known)
            if sparing:
                tiles = join([tiles, self._turned(sparing, None)]).unique()
            found = self._with_candidates(found, tiles, min(least, SURE), partial(advance, 1.0), strict=False)
            sources += [_TILE_SOURCE] * (len(found.scores) - len(sources))
        best = np.argsort(-found.scores, kind="stable")
        best = best[found.scores[best] >= least]
        return found.pick(best), [sources[i] for i in best]

    def _turned(self, look: TurnedLook, shown: Shown | None) -> Candidates:
        """What shows turned; a sparing look without what is known is what another one left out: the larger size."""
        picture = for_rough_looks(self.centerface, self.picture) if look.sparing else self.picture
        height, width = self.picture.shape[2:]
        views = turned_views(height, width, look)
        if look.sparing and shown is None:
            views = [view for view in views if view[0] != views[0][0]]
        return find_turned(self.centerface, picture, views, exact=look.exact, shown=shown)

    def _with_candidates(
        self, found: Candidates, candidates: Candidates, least: float, pause: Callable[[], None], *, strict: bool
    ) -> Candidates:
        """The faces of `found`, then those of the candidates that are others and stand a look at them upright.

        Their score is the better one of two looks of CenterFace, the candidate's and upright; for what it does not find
        again the first look's, but no more than O-Net's probability.

        Args:
            found: faces.
            candidates: what may be faces.
            least: score of a face.
            pause: called between looks at many; what it raises passes through.
            strict: candidates in which O-Net does not believe, or which are not found again, are none, but for those
                that are plain to see upright; most of the others are spared the look, too.
        """
        new = candidates.pick(~box_math.overlapping(candidates.boxes, found.boxes, NMS_IOU, MAX_INSIDE))
        new = new._replace(points=ordered_points(new.points))
        faces = [no_candidates()]
        for start in range(0, len(new.scores), _AT_ONCE):
            if start:
                pause()
            faces.append(self._of_candidates(new.pick(slice(start, start + _AT_ONCE)), least, strict=strict))
        new = join(faces)
        # a second look moves a box: two candidates may have become the same face
        new = new._replace(boxes=box_math.clip(new.boxes, *self.picture.shape[2:])).unique(MAX_INSIDE)
        new = new.pick(~box_math.overlapping(new.boxes, found.boxes, NMS_IOU, MAX_INSIDE))
        new = new.pick((new.scores >= least) & box_math.has_area(new.boxes))
        return join([found, new])

    def _of_candidates(self, new: Candidates, least: float, *, strict: bool) -> Candidates:
        """The candidates that stand a look at them upright, by their points or, plainly, in another direction."""
        look = partial(look_upright, self.centerface, self.onet, self.picture)
        worth, elsewhere, turned = np.ones(len(new.scores), bool), np.zeros(len(new.scores)), new.points
        if self.onet is not None:
            if strict:
                worth = best_probability(self.onet, self.picture, new.boxes, new.points) >= _PLAUSIBLE
                noticed = worth | (new.scores >= _NOTICED)
                new, worth = new.pick(noticed), worth[noticed]
            rough, elsewhere, turned = rough_look(self.centerface, self.picture, new.boxes, new.points)
            worth |= rough >= _HOPEFUL
        seen = np.flatnonzero(worth)
        boxes, second, points, certain = look(new.boxes[seen], new.points[seen])
        scores = np.where(second > 0, np.maximum(new.scores[seen], second), np.minimum(new.scores[seen], certain))
        stands = scores >= least
        if strict:
            stands &= ((second > 0) & (certain >= _PLAUSIBLE)) | (second >= _EVIDENT)
        faces = Candidates(boxes, scores, points).pick(stands)
        others = np.setdiff1d(np.flatnonzero(elsewhere >= _ELSEWHERE), seen[stands])
        boxes, second, points, certain = look(new.boxes[others], turned[others])
        stands = second >= _PLAIN
        agreed = np.flatnonzero(~stands & (second >= _AGREED) & (certain >= _AGREEING))
        if self.onet is not None and len(agreed):  # also where the face is now said to be
            stands[agreed] = best_probability(self.onet, self.picture, boxes[agreed], points[agreed]) >= _AGREEING
        scores = np.maximum(new.scores[others], second)
        return join([faces, Candidates(boxes, scores, points).pick(stands)])

    def _refined(self, faces: Candidates, pause: Callable[[], None]) -> Candidates:
        points = ordered_points(faces.points)
        sure = np.flatnonzero(faces.scores >= _REFINE_FROM)
        for start in range(0, len(sure), _AT_ONCE):
            if start:
                pause()
            some = sure[start : start + _AT_ONCE]
            points[some] = refine_points(self.centerface, self.onet, self.picture, faces.boxes[some], points[some])
        return faces._replace(points=points)


def ordered_points(points: np.ndarray) -> np.ndarray:
    """image_left_first of each face, (N, 5, 2)."""
    return np.array([image_left_first(five) for five in points]).reshape(-1, 5, 2)


def reading_order(boxes: np.ndarray, height: int) -> np.ndarray:
    """The places of boxes (N, 4) as they are read: by row of an eighth of the height, then from left to right."""
    centre = box_math.centres(boxes)
    row = np.floor(centre[:, 1] * _ROWS / height)
    return np.lexsort((centre[:, 1], centre[:, 0], row))


def image_left_first(points: np.ndarray) -> np.ndarray:
    """The five points with each pair, eyes and mouth corners, ordered from left to right of the upright face.

    The face's own down is from the middle of the eyes to the middle of the mouth; detectors differ in what they call
    left.

    Args:
        points: (5, 2), x y: eyes, nose, mouth corners.
    """
    down = points[3:5].mean(0) - points[:2].mean(0)
    right = np.array([down[1], -down[0]])
    ordered = points.copy()
    for pair in (slice(0, 2), slice(3, 5)):
        if (points[pair] @ right)[0] > (points[pair] @ right)[1]:
            ordered[pair] = points[pair][::-1]
    return ordered
