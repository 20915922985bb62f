"""The faces of an image batch, as they travel through a graph (socket FACE_ANON_FACES)."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .fingerprint import Fingerprint

if TYPE_CHECKING:
    from .marks import Mark

FIVE_POINTS = "five"  # eye, eye, nose, mouth corner, mouth corner; the image-left one first
IBUG_68 = "ibug68"
BOX_ONLY = "box"
ADAPTED = ("face_landmarks", "bounding_box")  # sources of faces that other nodes found


@dataclass(frozen=True)
class Painted:
    """How the crop of a face was painted, and what recognisers said of it.

    Args:
        attempts: how often it was painted.
        degree: of anonymization, of the painting that was taken; of a swap, of the source.
        seed: of its noise, 0..2^64 - 1.
        verification: what was said of the crop, as the report has it (report.py); None where nobody looked.
        refused: why the crop may not leave, with figure and threshold; "" where it may.
        kept: whether the user lets it leave all the same.
        digest: of the crop that was looked at, see crop_digest; "" where nobody looked.
    """

    attempts: int
    degree: float
    seed: int
    verification: dict | None = None
    refused: str = ""
    kept: bool = False
    digest: str = ""


@dataclass(frozen=True)
class Face:
    """One face in one image of a batch.

    Args:
        image_index: number of the image in the batch, from 0.
        box: float64 (4,), x0 y0 x1 y1 in image pixels, edges (x1 and y1 exclusive).
        score: detector confidence, 0..1.
        points: float64 (N, 2), x y in image pixels, integers at pixel centres; N = 5, 68 or 0 by `layout`.
        layout: FIVE_POINTS, IBUG_68 or BOX_ONLY.
        source: what found it, for reports.
        matrix: float64 (2, 3), image pixels -> crop pixels, integers at pixel centres in both; None before cropping.
        crop_size: side of the square crop in pixels; None before cropping.
        track: number of the person it belongs to over the frames of a clip, from 0; None for single pictures.
        alignment: float64 (2, 3), image pixels -> a crop of side 1 (crop_matrix with size 1), smoothed over the track;
            None: a crop is cut by the points.
        original: uint8 (3, 160, 160), what the picture shows in the square of its crop (originals.remember), by which a
            later step knows the person; None where nobody looked. Never written anywhere.
        painted: how its crop was painted, where that is known.
        mark: what the picture showed at its place, by which another shot is told; None where nobody took it.
    """

    image_index: int
    box: np.ndarray
    score: float
    points: np.ndarray
    layout: str
    source: str
    matrix: np.ndarray | None = None
    crop_size: int | None = None
    track: int | None = None
    alignment: np.ndarray | None = None
    original: np.ndarray | None = field(default=None, repr=False, compare=False)
    painted: Painted | None = None
    mark: Mark | None = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> float:
        """The size of the face in picture pixels: the geometric mean of its box's sides.

        Raises:
            ValueError: the box is empty or not finite.
        """
        x0, y0, x1, y1 = (float(v) for v in self.box)
        if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
            raise ValueError(
                f"A face box needs finite x0 < x1 and y0 < y1, got {[x0, y0, x1, y1]}: detect the face again."
            )
        return math.sqrt((x1 - x0) * (y1 - y0))

    def crop_place(self) -> tuple[np.ndarray, int]:
        """`matrix` and `crop_size` of a face that was cropped.

        Raises:
            ValueError: it was not.
        """
        if self.matrix is None or not self.crop_size:
            raise ValueError("The faces have no crop matrices: connect FaceAnonCropFaces (its faces output).")
        return np.asarray(self.matrix, np.float64), self.crop_size

    def with_crop(self, matrix: np.ndarray, crop_size: int) -> Face:
        """This face with the place of a crop that was cut now."""
        return replace(self, matrix=matrix, crop_size=crop_size, painted=None)


@dataclass(frozen=True)
class Faces:
    """All faces of an image batch.

    Args:
        image_count: pictures of the batch.
        height, width: of each picture, in pixels.
        faces: those that are to be changed.
        kept: those that were found and not selected: only reports name them.
        fingerprint: of the pictures they were found in, by which another picture is known; None: not taken.
    """

    image_count: int
    height: int
    width: int
    faces: tuple[Face, ...] = ()
    kept: tuple[Face, ...] = ()
    fingerprint: Fingerprint | None = None

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self):
        return iter(self.faces)

    def window(self, start: int, stop: int) -> Faces:
        """The faces of images start <= i < stop, in their order, as faces of a batch of these images alone."""

        def inside(faces: tuple[Face, ...], places: list[int]) -> tuple[Face, ...]:
            def image_of(place: int) -> int:
                return faces[place].image_index

            mine = places[bisect_left(places, start, key=image_of) : bisect_left(places, stop, key=image_of)]
            return tuple(replace(faces[i], image_index=image_of(i) - start) for i in sorted(mine))

        of_faces, of_kept = self._places_by_image
        faces, kept = inside(self.faces, of_faces), inside(self.kept, of_kept)
        taken = self.fingerprint and self.fingerprint.window(start, stop)
        return Faces(stop - start, self.height, self.width, faces, kept, taken)

    def shifted(self, first_image: int) -> Faces:
        """These faces of a part of a clip, which begins at image `first_image`, numbered as in the whole clip."""

        def moved(faces: tuple[Face, ...]) -> tuple[Face, ...]:
            return tuple(replace(face, image_index=face.image_index + first_image) for face in faces)

        return replace(
            self,
            image_count=first_image + self.image_count,
            faces=moved(self.faces),
            kept=moved(self.kept),
            fingerprint=self.fingerprint and self.fingerprint.shifted(first_image),
        )

    @cached_property
    def _places_by_image(self) -> tuple[list[int], list[int]]:
        """Places in `faces` and in `kept`, ordered by image: a clip asks for its windows one after the other."""

        def ordered(faces: tuple[Face, ...]) -> list[int]:
            return sorted(range(len(faces)), key=lambda place: faces[place].image_index)

        return ordered(self.faces), ordered(self.kept)

    def seed_offsets(self) -> list[int]:
        """What each face adds to a run's seed: the number of its track, so that a person keeps one seed over all
        frames; else its place in the batch.
        """
        return [i if face.track is None else face.track for i, face in enumerate(self.faces)]
