"""Whether pictures that are to be saved with a report show faces as they were before what the report says of them.

The picture as it was may come by another wire, and resized, mirrored, turned or cropped on its way. Where a picture is
of the report's size and shows at every face what became of it, its place is known. Else it is searched for in the
report's pictures (placing.py), and every face is looked at where it is now. At last faces as they were are looked for
anywhere else in it (insets.py), parts of them (part_insets.py), and where a detector sees faces in any direction
(turned_insets.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch

from .boxes import iou
from .face_states import CHANGED, COVERED, MIXED, OPEN, UNCLEAR, UNKNOWN, look_up, state_at, state_in, state_of
from .fingerprint import GROWN, cells_agreement, take_fingerprint, touched_by_disc, touched_cells
from .fingerprint import SIDE as CELLS
from .insets import Inset, find_insets
from .notes import NOT_COMPARED, Doubt
from .outcomes import counted
from .part_insets import find_part_insets
from .placing import DIRECTIONS, SIDE, Place, find_place, luma_of, oriented, resized, to_square
from .report import Report
from .report_checks import refuse_originals
from .traces import Key, Trace, View, by_image
from .turned_insets import find_turned_insets
from .types import Face

_RANKED = 4096  # pictures of a report among which one is looked for by its cells
_TRIED = 3  # of them that are compared
_NAMED = 12  # numbers of pictures that a note names at most
_SEARCHES = 64  # pictures that are searched for; in half as many, faces are looked for beside their places
_POINTS, _WAS_THERE = 12, 0.85  # along a side of a place; correlation from which a place shows what it did
_KNOWN = 0.3  # intersection over union, from which two places are one face
_NOTHING = {UNKNOWN, UNCLEAR}


FindAnyway = Callable[[torch.Tensor], Sequence[Face]]  # all that may be a face of a picture [H, W, C]


class Comparison:
    """The pictures of a batch or film, one after the other, compared with a report.

    Args:
        report: with the traces of its faces.
        count: pictures that there are in all; as many as the report has are taken to be in its order.
        searches: for how many pictures it is asked where they lie in the report's; all others are taken to lie as the
            last one that was found.
        find: gives all that may be a face of a picture, in any direction; None: nobody looks for turned faces.

    Attributes:
        open_faces: that were seen as they were, by picture and box of the report.
        unknown: numbers of pictures that are none of the report's, as far as anybody can tell.
        unlike: numbers of pictures -> faces at which they show neither what became of them nor the original: both
            mixed, or something else.
    """

    def __init__(self, report: Report, count: int, searches: int = _SEARCHES, find: FindAnyway | None = None):
        self._report = report
        self._traces = by_image(report.traces)
        self._views = {view.image: view for view in report.views}
        self._in_order = count == report.images
        self._last: Place | None = None
        self._searches = searches
        self._find = find
        self._insets = math.ceil(searches / 2)
        self._ranking: tuple[np.ndarray, np.ndarray] | None = None
        self.open_faces: set[Key] = set()
        self.unknown: list[int] = []
        self.unlike: dict[int, list[Key]] = {}

    def look_at(self, number: int, picture: torch.Tensor) -> None:
        """Compare one picture.

        Args:
            number: of the picture in its batch.
            picture: float [H, W, C], 0..1.
        """
        if not self._traces and self._report.fingerprint is None:
            return
        self._look_in_place(number, picture)
        self._look_beside(number, picture)

    def _look_in_place(self, number: int, picture: torch.Tensor) -> None:
        """Compare the faces where the report's pictures have them, wherever those lie in this one."""
        at_once: dict[Key, str] = {}
        if self._in_order and tuple(picture.shape[:2]) == (self._report.height, self._report.width):
            at_once = {trace.key: state_of(trace, picture) for trace in self._traces.get(number, ())}
            if at_once and set(at_once.values()) <= {CHANGED}:
                return
            if not at_once and self._is_that(number, picture):
                return
        states = None
        if at_once and set(at_once.values()) <= {CHANGED, COVERED}:  # where nothing is seen, something else may lie
            states = self._states(number, picture, parts=False)
            if states is None and self._is_that(number, picture):
                return
        if states is None:
            found = (self._states(other, picture) for other in self._candidates(number, picture))
            states = next((one for one in found if one is not None), None)
        if states is None and not {OPEN, MIXED} & set(at_once.values()):
            self.unknown.append(number)
            return
        # what was seen at once may be chance where the picture was shifted, and is better than nothing
        placed = states or {}
        states = at_once | {key: state for key, state in placed.items() if state not in _NOTHING}
        self.open_faces |= {key for key, state in states.items() if state == OPEN}
        unlike = [key for key, state in states.items() if MIXED in (state, placed.get(key))]
        seen = {CHANGED, COVERED}  # at its very place, which may be off by more than a small face's edge when searched
        unlike += [k for k, state in (states | placed).items() if state == UNKNOWN and at_once.get(k) not in seen]
        if unlike:
            self.unlike[number] = unlike

    def _look_beside(self, number: int, picture: torch.Tensor) -> None:
        """Look for faces as they were anywhere else in a picture."""
        view = self._views.get(next(self._candidates(number, picture), -1)) if self._insets > 0 else None
        if view is None or any(key[0] == view.image for key in self.open_faces):
            return
        self._insets -= 1
        size = self._report.height, self._report.width
        is_own = self._in_order and view.image == number and tuple(picture.shape[:2]) == size
        is_own = is_own and number not in self.unknown
        scale = max(picture.shape[:2]) / max(size)
        luma = luma_of(picture).numpy() * 255
        traces = {trace.key: trace for trace in self._traces.get(view.image, ())}
        # faces that the report knows: what became of them it tells, such as that one is kept
        known = np.array([entry.box for entry in self._report.entries if is_own and entry.image == number])

        def keep_open(insets: Iterable[Inset]) -> None:
            for inset in insets:
                if len(known) and iou(np.array([inset.place]), known).max() > _KNOWN:
                    continue
                if self._was_there(view, picture, inset.place):
                    continue
                trace = traces.get((view.image, inset.box))
                # a copy of the result, where that is near to the original, such as a fine mosaic
                if trace is None or state_in(trace, inset.place, luma) not in {CHANGED, COVERED}:
                    self.open_faces.add((view.image, inset.box))

        before = len(self.open_faces)
        keep_open(find_insets(picture, view.faces, scale, is_own))
        if len(self.open_faces) == before:
            keep_open(find_part_insets(picture, view.faces, is_own))
        if self._find is not None and view.faces and len(self.open_faces) == before:
            seen = self._find(picture)
            if len(known):
                seen = [face for face in seen if iou(face.box[None], known).max() <= _KNOWN]
            keep_open(find_turned_insets(picture, view.faces, seen))

    def _was_there(self, view: View, picture: torch.Tensor, box: tuple[float, float, float, float]) -> bool:
        """Whether a picture shows at a place what the report's showed there before: patterns repeat themselves."""
        height, width = picture.shape[:2]
        x0, y0, x1, y1 = box
        x, y = np.meshgrid(np.linspace(x0, x1, _POINTS) / width - 0.5, np.linspace(y0, y1, _POINTS) / height - 0.5)
        now = _on_square(to_square(picture), x, y)
        for a in (np.eye(2, 3), *([self._last.matrix] if self._last is not None else [])):
            u, v = (row[0] * x + row[1] * y + row[2] for row in a)
            then = _on_square(view.before.astype(np.float32), u, v)
            if min(now.std(), then.std()) > 0 and np.corrcoef(now.ravel(), then.ravel())[0, 1] > _WAS_THERE:
                return True
        return False

    def judged(self) -> Report:
        """The report, with a note where pictures could not be compared with it.

        Raises:
            ValueError: faces were seen as they were, which the report says were changed.
        """
        refuse_originals(self.open_faces)
        doubts = []
        if self.unknown:
            why = (
                f"NOT COMPARED: what was saved as {_named(self.unknown)} is none of the pictures of this report as far "
                "as can be told; whether its faces are open nobody has seen"
            )
            doubts.append(Doubt(why, NOT_COMPARED, self.unknown))
        if self.unlike:
            faces = counted(sum(map(len, self.unlike.values())), "face")
            why = (
                f"NOT COMPARED: at {faces} of {_named(list(self.unlike))} what was saved is neither what this report "
                "speaks of nor the original as it was, such as both blended; nobody has looked at that"
            )
            doubts.append(Doubt(why, NOT_COMPARED, self.unlike))
        return self._report.noting(*doubts) if doubts else self._report

    def _is_that(self, number: int, picture: torch.Tensor) -> bool:
        """Whether a picture is the report's of that number, apart from its faces, as far as its cells tell."""
        cells = self._cells_of(number)
        if cells is None:
            return True
        boxes = [np.array(trace.box) for trace in self._traces.get(number, ())]
        size = self._report.height, self._report.width

        def changed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            grown, inside, discs = np.zeros((3, CELLS, CELLS), bool)
            for box in boxes:
                discs |= touched_by_disc(box, *size)
                grown |= touched_cells(box, GROWN * float(np.sqrt(np.prod(box[2:] - box[:2]))), *size)
                inside |= touched_cells(box, 0.0, *size)
            return grown, inside, discs

        value, least = cells_agreement(take_fingerprint(picture[None]).cells[0], cells, changed)
        return value >= least

    def _states(self, other: int, picture: torch.Tensor, parts: bool = True) -> dict[Key, str] | None:
        """What became of the faces of one of the report's pictures in this one; None where it is another picture.

        Args:
            other: number of the report's picture.
            picture: this one.
            parts: it may be a part of that one, or that a part of it.
        """
        traces = self._traces.get(other, [])
        if self._last is not None:  # what was done to the picture before was done to this one too, most likely
            states = self._faces_at(self._last, traces, picture)
            if states and (set(states.values()) <= {CHANGED, OPEN, MIXED} or self._searches <= 0):
                return None if set(states.values()) <= _NOTHING else states
        if self._searches <= 0:
            return None
        self._searches -= 1
        view, cells = self._views.get(other), self._cells_of(other)
        squares = [cells] if cells is not None else []
        squares = [view.before, view.after] if view is not None else squares
        place = self._place([square.astype(np.float32) / 255 for square in squares], picture, parts)
        if place is None or not squares:
            return None
        self._last = place
        return self._faces_at(place, traces, picture, len(squares[0]))

    def _place(self, squares: list[np.ndarray], picture: torch.Tensor, parts: bool) -> Place | None:
        """Where a picture lies in one of the report's as it was or became, or that in it; None: that is not certain."""
        size = self._report.height, self._report.width
        small = [max(1, round(SIDE * side / max(size))) for side in size]  # in its own proportions
        for as_part in (False, True) if parts else (False,):
            for square in squares:
                place = find_place(square, size, picture, as_part)
                if place is not None and place.is_certain:
                    return place
        if parts and len(squares) > 1:
            ours = to_square(picture)
            for square in squares:
                theirs = torch.from_numpy(resized(torch.from_numpy(square), *small))[..., None]
                place = find_place(ours, picture.shape[:2], theirs)
                if place is not None and place.is_certain:
                    return place.inverse
        return None

    def _faces_at(self, place: Place, traces: list[Trace], picture: torch.Tensor, cells: int = SIDE) -> dict[Key, str]:
        luma = luma_of(picture).numpy() * 255
        size = self._report.height, self._report.width
        found = {trace.key: state_at(trace, place, luma, size, cells) for trace in traces}
        return {key: state for key, state in found.items() if state is not None}

    def _cells_of(self, number: int) -> np.ndarray | None:
        taken = self._report.fingerprint
        if taken is None:
            return None
        place = int(np.searchsorted(taken.images, number))
        return taken.cells[place] if place < len(taken.images) and taken.images[place] == number else None

    def _candidates(self, number: int, picture: torch.Tensor) -> Iterator[int]:
        """The report's pictures that this one may be of, the most likely first."""
        tried = set()
        if self._in_order:
            tried.add(number)
            yield number
        numbers, known = self._ranked()
        if not len(numbers):
            return
        cells = take_fingerprint(picture[None]).cells[0].astype(np.float32)
        ours = np.stack([_normalized(oriented(cells, way)) for way in range(DIRECTIONS)])
        likeness = (known @ ours.T).max(1)
        for place in np.argsort(-likeness)[:_TRIED]:
            if int(numbers[place]) not in tried:
                yield int(numbers[place])

    def _ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the report's pictures, and their cells as rows of length 1."""
        if self._ranking is None:
            taken = self._report.fingerprint
            if taken is not None and len(taken.images):
                some = slice(None, None, math.ceil(len(taken.images) / _RANKED))
                self._ranking = taken.images[some], np.stack([_normalized(cells) for cells in taken.cells[some]])
            else:
                step = SIDE // CELLS
                small = [view.before.reshape(CELLS, step, CELLS, step).mean((1, 3)) for view in self._views.values()]
                rows = np.stack([_normalized(cells) for cells in small]) if small else np.zeros((0, CELLS**2))
                self._ranking = np.array(list(self._views), np.int64), rows
        return self._ranking


def _named(numbers: Sequence[int]) -> str:
    """Pictures by their numbers, in words."""
    named = ", ".join(str(number + 1) for number in numbers[:_NAMED])
    return f"picture {named}" if len(numbers) == 1 else f"pictures {named}{', ...' if len(numbers) > _NAMED else ''}"


def _on_square(square: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a square at points, in shares of its sides from its middle."""
    return look_up(square, (x + 0.5) * len(square) - 0.5, (y + 0.5) * len(square) - 0.5)


def _normalized(cells: np.ndarray) -> np.ndarray:
    flat = cells.astype(np.float32).ravel()
    flat = flat - flat.mean()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)
