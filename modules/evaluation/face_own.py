"""The back-ends that need no download: both recognisers of the pack, and what its reader sees of a face.

modules/recognition reads every face once; the back-ends of one reader share what it read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import torch

from ..faces.types import Face, Faces
from ..recognition import dlib_resnet, faceres
from ..recognition.pairs import look_again
from ..recognition.reader import FaceReader
from ..recognition.reading import Reading
from ..recognition.verdict import FAILED, NOT_MEASURABLE, Verification
from .face_points import quaternion
from .measured import Measured
from .synthetic_backend import directions


class SharedReader:
    """Reads the faces of pictures, and gives the back-ends that ask one after the other for the same ones one answer.

    Args:
        reader: that reads; None loads one, on the CPU.
    """

    def __init__(self, reader: FaceReader | None = None):
        self._reader = FaceReader() if reader is None else reader
        self._asked: tuple[Sequence, Sequence] | None = None
        self._answer: list[Reading | None] = []

    @property
    def settings(self):
        """The thresholds, as ReaderSettings."""
        return self._reader.settings

    def read(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> list[Reading | None]:
        """One reading for each face, None where there is no face. Arguments as of Backend.measure."""
        if self._asked is None or self._asked[0] is not pictures or self._asked[1] is not faces:
            self._answer = self._read(pictures, faces)
            self._asked = (pictures, faces)
        return self._answer

    def verify(
        self, originals: Sequence[Reading | None], pictures: Sequence[np.ndarray], faces: Sequence[Face | None]
    ) -> list[Verification]:
        """The verdicts on results, as Verify Faces gives them: what looks like a stranger is read once more.

        Args:
            originals: what was read of each face before.
            pictures: of the results, as of Backend.measure.
            faces: of the results, likewise.
        """
        return [
            self._verify(before, after, picture, face)
            for before, after, picture, face in zip(originals, self.read(pictures, faces), pictures, faces, strict=True)
        ]

    def _verify(
        self, before: Reading | None, after: Reading | None, picture: np.ndarray, face: Face | None
    ) -> Verification:
        if before is None:
            return Verification(NOT_MEASURABLE, "no face")
        if after is None or face is None:
            missing = before.reason or "no face is found any more"
            return Verification(FAILED if before.measurable else NOT_MEASURABLE, missing)
        images = as_image(picture)
        alone = Faces(1, images.shape[1], images.shape[2], (replace(face, image_index=0),))
        (pair,) = look_again([before], [after], images, alone, self._reader.read, settings=self.settings)
        return pair.verification

    def _read(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> list[Reading | None]:
        found: list[Reading | None] = []
        rows = zip(pictures, faces, strict=True)
        for _, group in groupby(rows, key=lambda row: id(row[0])):  # the faces of one picture stand side by side
            shown = list(group)
            images = as_image(shown[0][0])
            there = [replace(face, image_index=0) for _, face in shown if face is not None]
            height, width = images.shape[1:3]
            readings = iter(self._reader.read(images, Faces(1, height, width, tuple(there))))
            found += [None if face is None else next(readings) for _, face in shown]
        return found


class RecogniserBackend:
    """Identity by one of the reader's recognisers; a face that the reader cannot measure is not measurable.

    Args:
        shared: the reader.
        name: of the recogniser, in tables.
        licence: of its weights.
        descriptor: takes it out of a reading.
        width: of the descriptor.
    """

    def __init__(
        self, shared: SharedReader, name: str, licence: str, descriptor: Callable[[Reading], np.ndarray], width: int
    ):
        self.shared, self.name, self.licence = shared, name, licence
        self._descriptor, self._width = descriptor, width

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure faces, as Backend describes."""
        readings = self.shared.read(pictures, faces)
        vectors = _rows([None if reading is None else self._descriptor(reading) for reading in readings], self._width)
        return Measured(_measurable(readings), vectors, features=vectors)


class ShownBackend:
    """What a face shows, as the reader sees it: pose, gaze, expression, age, and whether a man.

    Args:
        shared: the reader.
    """

    name = "what shows"
    licence = "MIT, face-api.js and HSE_FaceRec (Apache-2.0); Apache-2.0, MediaPipe Iris"

    def __init__(self, shared: SharedReader):
        self.shared = shared

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure faces, as Backend describes. Closed eyes have no gaze, which is not measurable then."""
        readings = self.shared.read(pictures, faces)
        gaze = _rows([None if reading is None else np.array(reading.gaze) for reading in readings], 2)
        return Measured(
            found=_measurable(readings),
            pose=_rows([None if reading is None else quaternion(reading.rotation) for reading in readings], 4),
            gaze=directions(gaze[:, 0], gaze[:, 1]),
            # half the sum of the differences of probabilities is the share of them that moved
            expression=_rows([None if reading is None else reading.expression / 2 for reading in readings], 7),
            age=_rows([None if reading is None else np.array([reading.age]) for reading in readings], 1),
            man=_rows([None if reading is None else np.array([reading.man]) for reading in readings], 1),
        )


def own_backends(shared: SharedReader) -> list[RecogniserBackend | ShownBackend]:
    """Both recognisers and what shows, of one reader."""
    return [
        RecogniserBackend(
            shared, "dlib ResNet", "public domain, Davis King", lambda reading: reading.dlib, dlib_resnet.WIDTH
        ),
        RecogniserBackend(
            shared, "FaceRes", "Apache-2.0, Andrey Savchenko", lambda reading: reading.faceres, faceres.WIDTH
        ),
        ShownBackend(shared),
    ]


def shared_reader(backends: Sequence) -> SharedReader | None:
    """The reader of these back-ends, or None where none of them has one."""
    return next((backend.shared for backend in backends if isinstance(backend, ShownBackend)), None)


def as_image(picture: np.ndarray) -> torch.Tensor:
    """A picture, uint8 [H, W, 3], as an image of the host: float32 [1, H, W, 3], 0..1."""
    return torch.from_numpy(picture.copy())[None].float() / 255


def _measurable(readings: Sequence[Reading | None]) -> torch.Tensor:
    return torch.tensor([reading is not None and reading.measurable for reading in readings], dtype=torch.bool)


def _rows(values: Sequence[np.ndarray | None], width: int) -> torch.Tensor:
    """float64 [N, width], zeros where there is nothing."""
    filled = [np.zeros(width) if value is None else value for value in values]
    return torch.from_numpy(np.array(filled, np.float64).reshape(-1, width))
