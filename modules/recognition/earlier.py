"""Whom pictures showed before earlier steps changed them: read off what the reports of those steps remember.

A report keeps a small picture of each face that was changed, in memory alone (faces/traces.py): no file has it. So who
was covered, or was given a stranger's face, is still somebody whom no later result may show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..faces import boxes as box_math
from ..faces.originals import as_colours
from ..faces.traces import Trace, by_image
from ..faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces
from .crops import box_in_crop, five_points_in_crop
from .reading import Read, Reading
from .settings import ReaderSettings

CHANGED_BEFORE = "a face that an earlier step changed"
_AT_PLACE = 0.4  # intersection over union of two boxes of one face, as in paste/repaint.py


class Somebody(NamedTuple):
    """A person whom the results of others may not show.

    Args:
        image: number of the picture that shows, or showed, the person.
        name: for people, such as "a face that was kept".
        reading: of the original.
        track: number of the person in a clip, or None.
    """

    image: int
    name: str
    reading: Reading
    track: int | None = None


class EarlierPeople:
    """Who was in pictures before earlier steps; each is read when its picture's turn comes.

    Args:
        traces: of the reports of those steps.
        read: the reader.
        settings: what is too small to be read.
    """

    def __init__(self, traces: Sequence[Trace], read: Read, settings: ReaderSettings = ReaderSettings()):
        self._traces, self._read, self._settings = by_image(traces), read, settings
        self._known: dict[int, list[tuple[Face, Reading]]] = {}

    def of(self, image: int) -> list[tuple[Face, Reading]]:
        """Those of one picture whose originals can be measured.

        Args:
            image: its number in the batch.
        """
        if image not in self._known:
            found = ((_face_of(trace), self._reading_of(trace)) for trace in self._traces.get(image, ()))
            self._known[image] = [(face, one) for face, one in found if one is not None and one.measurable]
        return self._known[image]

    def _reading_of(self, trace: Trace) -> Reading | None:
        if trace.original is None or _face_of(trace).size < self._settings.min_size:
            return None
        return read_remembered(as_colours(trace.original.cells), self._read)


def read_remembered(original: np.ndarray, read: Read) -> Reading:
    """The reading of what a face keeps of the picture that it was cut from.

    Args:
        original: float32 [3, S, S], 0..1, aligned as a crop.
        read: the reader.
    """
    crop = torch.from_numpy(original).movedim(0, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)
    side = crop.shape[0]
    face = Face(0, box_in_crop(side), 1.0, five_points_in_crop(side), FIVE_POINTS, "original")
    return read(crop[None], Faces(1, side, side, (face,)))[0]


def at_one_place(one: Face, other: Face) -> bool:
    """Whether two faces of one picture, found before and after it was changed, are one."""
    return float(box_math.iou(one.box[None], other.box[None])[0, 0]) >= _AT_PLACE


def _face_of(trace: Trace) -> Face:
    return Face(trace.image, np.array(trace.box), 1.0, np.zeros((0, 2)), BOX_ONLY, CHANGED_BEFORE)
