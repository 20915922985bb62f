"""Find the faces of a clip whose frames come in their order, without searching each as if it were the only one.

At the end of every few frames, and where a frame has little to do with the one before, the frame is searched as a photo
is. Between, O-Net looks for known faces where they should be. Where something moves that is no known face, where one is
lost, and in every fourth frame, the whole frame is looked at in half the size, and in every second of these and where
that loses a face, in full size. A face that a search finds and nobody knew is followed back, to where it came in. A
frame that shows nothing new is not looked at.

How many frames lie between two searches goes by time, not by number: of a time lapse every frame is searched. So is
every frame as long as a face of under 20 pixels is known: others of that size may show in a few frames only.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from .. import boxes as box_math
from ..settings import DetectSettings
from ..track.scene_cuts import difference, thumbnail
from ..types import FIVE_POINTS, Face, Faces
from .changes import Change, cell_side, change_between, coarse_cells
from .decoding import Candidates
from .detection import EXPECTED, SURE, FaceNetworks, Search, ordered_points, reading_order
from .first_look import LONG_SIDE, first_look
from .following_points import follow_points
from .refinement import look_again, refine_points
from .turned import OF_FEW_FRAMES, OF_FRAME

SEARCHED, LOOKED, FOLLOWED, SAME = "searched", "looked at", "followed", "the same as the one before"
_SEARCH_S = 0.27  # seconds between two searches, at most
_MOST_BETWEEN = 8  # frames between two searches, at most
_SMALL = 20.0  # pixels of a face in a frame of working size; beside such a one every frame is searched
_LOOK_EVERY = 4  # frames in which known faces alone moved; one of so many is looked at all the same
_SHOT = 0.3  # of difference(): from it on a frame has little to do with the one before; a cut has 0.4 and more
_AFTER_SHOT = 3  # frames from a cut or flash on that are searched in full: nobody of them is known yet
_TURNED_EVERY = 4  # searches in which nothing new moved; one of so many looks at the turned frame all the same
_SAME_IOU = 0.3  # of a known face's expected box and one that is seen
_STILL_THERE = 0.5  # of O-Net's probability
_CONFIRMED = 3  # possible faces that are looked at again in a frame, the best
_LOST = 8  # frames in which a face that is seen no more is still expected
_FOLLOWED_LONG = 16  # frames that O-Net alone may follow a face; then a search has to see it
_FOLLOWED = "followed"


@dataclass
class _Known:
    """A face of the frames before.

    velocity: of its middle, pixels a frame. unseen: frames since CenterFace saw it. lost: frames since anybody did.
    number: of the face, the same in all frames.
    """

    box: np.ndarray
    score: float
    points: np.ndarray
    source: str
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    unseen: int = 0
    lost: int = 0
    number: int = 0

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Box and points in the frame that follows."""
        return self.box + np.tile(self.velocity, 2), self.points + self.velocity


class ClipSearch:
    """The search for the faces of a clip.

    Args:
        networks: both, on any device.
        settings: what counts as a face; of `thorough` every frame is searched as a photo.
        rate: frames a second.
    """

    def __init__(self, networks: FaceNetworks, settings: DetectSettings, rate: float):
        self.done: Counter[str] = Counter()  # frames by how they were looked at
        self._networks, self._settings = networks, settings
        self._every = 1 if settings.thorough else int(np.clip(round(_SEARCH_S * rate), 1, _MOST_BETWEEN))
        self._known: list[_Known] = []
        self._cells: np.ndarray | None = None
        self._thumbnail: np.ndarray | None = None
        self._since_search, self._since_full, self._since_turned, self._since_look = 0, 0, 0, 0
        self._after_shot = 0  # frames that are still searched in full
        self._is_new = True
        self._is_changed = True  # since the last search
        self._numbers, self._best = itertools.count(), {}  # the best score of each face, by its number

    def search(self, frames: torch.Tensor, advance: Callable[[float], None]) -> Faces:
        """The faces of the next frames.

        Args:
            frames: float [n, H, W, 3], 0..1, n >= 1; the last of them is searched.
            advance: called with the number of frames done, after each; what it raises passes through.

        Returns:
            As detect_faces, without a fingerprint.
        """
        found: list[list[_Known]] = []
        last_search = -1
        for index in range(len(frames)):
            picture = _as_picture(frames[index])
            cells, small = coarse_cells(picture), thumbnail(frames[index])
            change = self._change(cells, small, cell_side(*picture.shape[2:]))
            self._is_new |= change.is_new
            self._since_search += 1
            due = change.is_shot or index == len(frames) - 1 or self._since_search >= self._every
            is_cut = change.is_shot and self._cells is not None  # not the clip's first frame
            self._after_shot = _AFTER_SHOT if is_cut else max(0, self._after_shot - 1)
            due |= self._after_shot > 0
            due |= self._is_any_small(picture)  # whoever is as small is seen in one frame and not in the next
            self._is_changed |= not change.is_none
            if change.is_none and not (due and self._is_changed):
                self.done[SAME] += 1
                self._known = [replace(known, velocity=np.zeros(2)) for known in self._known]
                found.append(self._known)
                advance(index + 1)
                continue
            if due:
                before, self._known = self._known, self._searched(picture, change, advance, index)
                found.append(self._known)
                strangers = self._strangers([] if change.is_shot else before)
                self._follow_back(frames, found, strangers, last_search)
                last_search = index
            else:
                self._known = self._looked(picture, change)
                found.append(self._known)
            self._cells, self._thumbnail = cells, small
            advance(index + 1)
        result = self._as_faces(found, *frames.shape[1:3])
        self._best = {face.number: self._best[face.number] for face in self._known}
        return result

    def told(self) -> str:
        """How many frames were looked at in which way, in words."""
        ways = ", ".join(f"{self.done[way]} {way}" for way in (SEARCHED, LOOKED, FOLLOWED, SAME) if self.done[way])
        return f"of {self.done.total()} frames: {ways}" if ways else "no frames"

    def _change(self, cells: np.ndarray, small: np.ndarray, side: int) -> Change:
        if self._cells is None or self._thumbnail is None:
            return Change(is_shot=True, is_new=True)
        boxes = _boxes(self._known)
        change = change_between(self._cells, cells, boxes / side)
        return replace(change, is_shot=not change.is_none and difference(self._thumbnail, small) >= _SHOT)

    def _searched(
        self, picture: torch.Tensor, change: Change, advance: Callable[[float], None], index: int
    ) -> list[_Known]:
        """The faces of a frame that is searched as a photo is; turned only where something new may be."""
        networks = self._networks
        self._since_turned += 1
        each = self._is_any_small(picture) or self._every == 1  # frame is searched
        turned = each or change.is_shot or self._is_new or self._every < _MOST_BETWEEN
        turned |= self._since_turned >= _TURNED_EVERY or self._after_shot > 0
        search = Search(networks.centerface, networks.onet, picture, self._settings)
        before = [] if change.is_shot else self._known
        followed = self._followed(picture, [old for old in before if old.unseen < _FOLLOWED_LONG])
        certain = [face for face in followed if self._is_certain(face)]  # the others are looked at again
        expected = _boxes([replace(old, box=old.expected()[0]) for old in before])
        found, sources = search.find(
            lambda done: advance(index + done),
            turned=(OF_FRAME if each else OF_FEW_FRAMES) if turned else None,
            expected=expected,
            followed=_boxes(certain),
            possible_from=EXPECTED,
        )
        if turned:
            self._since_turned, self._is_new = 0, False
        self._since_search, self._since_full, self._since_look, self._is_changed = 0, 0, 0, False
        self.done[SEARCHED] += 1
        known = self._matched(found, sources, before, SURE)
        known += [face for face in followed if not _is_among(face, known)]
        return self._with_lost(self._with_points(picture, known, before), before)

    def _looked(self, picture: torch.Tensor, change: Change) -> list[_Known]:
        """The faces of a frame between two searches."""
        self._since_full += 1
        self._since_look += 1
        alone = self._followed(picture, self._known)
        if not change.is_new and self._since_look < _LOOK_EVERY and self._are_there(alone):
            self.done[FOLLOWED] += 1
            return self._with_lost(alone, self._known)
        self._since_look = 0
        whole, half = LONG_SIDE, min(LONG_SIDE, max(picture.shape[2:])) // 2
        # what moves and is no known face may be small: it is looked at in every second frame
        sides = (whole,) if change.is_new and self._since_full >= 2 else (half, whole)
        known: list[_Known] = []
        for side in sides:
            if side == whole:
                self._since_full = 0
            seen = first_look(self._networks.centerface, picture, EXPECTED, side)
            known = self._matched(seen, ["centerface"] * len(seen.scores), self._known, SURE)
            known += [face for face in alone if not _is_among(face, known)]
            if self._are_there(known):
                break
        self.done[LOOKED] += 1
        self._confirm(picture, known)
        return self._with_lost(self._with_points(picture, known, self._known), self._known)

    def _are_there(self, known: list[_Known]) -> bool:
        """Whether all faces of the frame before are, but for those that were lost already."""
        return all(_is_among(old, known) for old in self._known if not old.lost)

    def _is_any_small(self, picture: torch.Tensor) -> bool:
        scale = min(1.0, LONG_SIDE / max(picture.shape[2:]))
        return bool(self._known) and float(box_math.extents(_boxes(self._known)).min()) * scale < _SMALL

    def _is_certain(self, face: _Known) -> bool:
        return max(face.score, self._best.get(face.number, 0.0)) >= self._settings.min_score

    def _confirm(self, picture: torch.Tensor, known: list[_Known]) -> None:
        """Look at possible faces again, upright: in every frame, as one of them may show what the last did not."""
        unsure = sorted((face for face in known if not self._is_certain(face)), key=lambda face: -face.score)[
            :_CONFIRMED
        ]
        if unsure:
            points = np.array([face.points for face in unsure])
            _, scores, _ = look_again(self._networks.centerface, picture, _boxes(unsure), points, rounds=1)
            for face, score in zip(unsure, scores, strict=True):
                face.score = max(face.score, float(score))

    def _with_lost(self, known: list[_Known], before: list[_Known]) -> list[_Known]:
        """The faces, and those that nobody sees any more, where they should be."""
        for old in before:
            if old.lost < _LOST and not _is_among(old, known):
                box, points = old.expected()
                known.append(replace(old, box=box, points=points, unseen=old.unseen + 1, lost=old.lost + 1))
        return known

    def _matched(self, seen: Candidates, sources: list[str], before: list[_Known], least: float) -> list[_Known]:
        """What was seen, as known faces; of low score only where a known face is expected."""
        pairs: dict[int, int] = {}
        if before and len(seen.scores):
            expected = np.array([old.expected()[0] for old in before])
            iou = box_math.iou(seen.boxes, expected)
            rows, columns = linear_sum_assignment(-iou)
            pairs = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if iou[i, j] >= _SAME_IOU}
        result = []
        for i, score in enumerate(seen.scores):
            old = before[pairs[i]] if i in pairs else None
            if old is None and score < least and sources[i] == "centerface":
                continue
            new = _Known(seen.boxes[i], float(score), seen.points[i], sources[i])
            new.number = next(self._numbers) if old is None else old.number
            if old is not None:
                shift = box_math.centres(new.box[None])[0] - box_math.centres(old.box[None])[0]
                new.velocity = (old.velocity + shift / (old.lost + 1)) / 2
                new.score = max(new.score, old.score)
                new.source = old.source if old.source != _FOLLOWED else new.source
            result.append(new)
        return result

    def _followed(self, picture: torch.Tensor, lost: list[_Known]) -> list[_Known]:
        """Known faces that the look did not see, where O-Net still finds them."""
        if not lost:
            return []
        expected = [old.expected() for old in lost]
        boxes, points = (np.array(parts) for parts in zip(*expected, strict=True))
        boxes, points, certain = follow_points(self._networks.onet, picture, boxes, points, self._settings.points)
        result = []
        height, width = picture.shape[2:]
        for old, box, five, sure in zip(lost, boxes, points, certain, strict=True):
            middle = box_math.centres(box[None])[0]
            if sure >= _STILL_THERE and (middle >= 0).all() and (middle <= (width, height)).all():
                velocity = (old.velocity + middle - box_math.centres(old.box[None])[0]) / 2
                result.append(_Known(box, old.score, five, _FOLLOWED, velocity, old.unseen + 1, 0, old.number))
        return result

    def _with_points(self, picture: torch.Tensor, known: list[_Known], before: list[_Known]) -> list[_Known]:
        """The faces with exact points, where somebody wants them: from those of the frame before, or anew."""
        for face in known:
            face.points = ordered_points(face.points[None])[0]
        if not self._settings.points or not known:
            return known
        olds = {id(face): _best_old(face, before) for face in known}
        new = [face for face in known if olds[id(face)] is None and face.source != _FOLLOWED]
        if new:
            networks, boxes = self._networks, np.array([face.box for face in new])
            exact = refine_points(
                networks.centerface, networks.onet, picture, boxes, np.array([face.points for face in new])
            )
            for face, points in zip(new, exact, strict=True):
                face.points = points
        pairs = [(face, old) for face in known if (old := olds[id(face)]) is not None and face.source != _FOLLOWED]
        if pairs:
            boxes = np.array([face.box for face, _ in pairs])
            starts = np.array([_moved_points(old, face.box) for face, old in pairs])
            _, points, certain = follow_points(self._networks.onet, picture, boxes, starts)
            for (face, _), start, five, sure in zip(pairs, starts, points, certain, strict=True):
                face.points = five if sure >= _STILL_THERE else start
        return known

    def _strangers(self, before: list[_Known]) -> list[_Known]:
        before = [old for old in before if not old.lost]
        return [face for face in self._known if not face.lost and _best_old(face, before) is None]

    def _follow_back(
        self, frames: torch.Tensor, found: list[list[_Known]], strangers: list[_Known], last_search: int
    ) -> None:
        """Faces that nobody knew before this frame, in the frames before it, one after the other."""
        alive = strangers
        for index in range(len(found) - 2, last_search, -1):
            if not alive:
                return
            there = self._followed(_as_picture(frames[index]), [replace(face) for face in alive])
            there = [face for face in there if not _is_among(face, found[index])]
            found[index] = [*found[index], *there]
            alive = there

    def _as_faces(self, found: list[list[_Known]], height: int, width: int) -> Faces:
        faces: list[Face] = []
        kept: list[Face] = []
        for face in itertools.chain(*found):
            self._best[face.number] = max(face.score, self._best.get(face.number, 0.0))
        for index, known in enumerate(found):
            known = sorted((face for face in known if not face.lost), key=lambda face: -face.score)
            boxes = box_math.clip(_boxes(known), height, width)
            taken = self._settings.max_faces or len(known)
            for i in reading_order(boxes, height):
                face = known[i]
                score = self._best[face.number]
                if score < self._settings.min_score or not box_math.has_area(boxes[i : i + 1])[0]:
                    continue
                new = Face(index, boxes[i], score, face.points - 0.5, FIVE_POINTS, face.source)
                (faces if i < taken else kept).append(new)
        return Faces(len(found), height, width, tuple(faces), tuple(kept))


def _as_picture(frame: torch.Tensor) -> torch.Tensor:
    picture = frame[..., :3].permute(2, 0, 1)[None].float()
    if not math.isfinite(float(picture.sum())):  # a tenth of the time that replacing nothing takes
        picture = torch.nan_to_num(picture)
    return picture.clamp(0, 1)


def _boxes(faces: list[_Known]) -> np.ndarray:
    """(N, 4)."""
    return np.array([face.box for face in faces]).reshape(-1, 4)


def _best_old(face: _Known, before: list[_Known]) -> _Known | None:
    """The face of the frame before that this one is."""
    if not before:
        return None
    iou = box_math.iou(face.box[None], np.array([old.expected()[0] for old in before]))[0]
    return before[int(iou.argmax())] if iou.max() >= _SAME_IOU else None


def _is_among(face: _Known, others: list[_Known]) -> bool:
    """Whether a face is one of those that were found."""
    place = np.array([face.box, face.expected()[0]])
    return bool(box_math.overlapping(place, _boxes(others), _SAME_IOU, 0.6).any())


def _moved_points(old: _Known, box: np.ndarray) -> np.ndarray:
    """The points of a face of the frame before, moved and scaled as its box was."""
    before, after = box_math.centres(old.box[None])[0], box_math.centres(box[None])[0]
    scale = box_math.extents(box[None])[0] / box_math.extents(old.box[None])[0]
    return (old.points - before) * scale + after
