"""Whose faces a curve of quality against cost is measured on, and by what: synthetic people, or photos of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from face_anonymizer.modules.evaluation import conditions as c
from face_anonymizer.modules.evaluation import face_own, identification, presence, quality, synthetic_set
from face_anonymizer.modules.evaluation.folder_pairs import read_picture
from face_anonymizer.modules.evaluation.measured import EXPRESSION, GAZE, IDENTITY, POSE, Measured, distance
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.evaluation.synthetic_backend import SyntheticBackend
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.selection import select_faces
from face_anonymizer.modules.faces.settings import SelectSettings
from face_anonymizer.modules.files import sha256_of
from face_anonymizer.modules.photos.kinds import PHOTO_SUFFIXES
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.synthetic import regressor

_DEGREES = (0.3, 1.25)
MILD, MAIN = (c.anonymized(degree) for degree in _DEGREES)
PLAN = [c.Condition(c.SWAP, 0.0, swaps=True), *(c.Condition(c.anonymized(degree), degree) for degree in _DEGREES)]


class People(Protocol):
    """Somebody to paint, and what measures the results.

    Attributes:
        described: all that makes the pictures what they are, as JSON can hold it.
        originals: aligned crops, uint8 [N, S, S, 3], one a person.
    """

    described: dict
    originals: np.ndarray

    def values(self, pictures: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """Measure -> one value a person, float64 [M], NaN where it is not measurable; those of `pictures` alone.

        Args:
            pictures: condition of PLAN -> uint8 [M, S, S, 3], of all people or of the first M; MAIN is among them.
        """
        ...


class _Measuring:
    """What both kinds of people have in common."""

    def __init__(self, originals: np.ndarray, backend):
        self.originals, self._backend = originals, backend
        self._networks = load_face_networks()
        self._before, _ = self._measure(originals)

    def values(self, pictures: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """See People."""
        main = pictures[MAIN]
        faces, scores = self._measure(main)
        before = self._before[: len(faces)]
        others = identification.cosine_distances(faces).fill_diagonal_(torch.nan)
        found = {
            "rank1_1.25": identification.identified(faces, self._before),
            **{
                name: distance(aspect, faces, before)
                for name, aspect in (("pose", POSE), ("gaze", GAZE), ("expression", EXPRESSION))
            },
            "background": self._background(main),
            "sharpness": quality.sharpness(main),
            "score": scores,
            "spread": others.nanmean(1),
        }
        if MILD in pictures:
            found["rank1_0.3"] = identification.identified(self._measure(pictures[MILD])[0], self._before)
        if c.SWAP in pictures:
            swapped, _ = self._measure(pictures[c.SWAP])
            sources = self._before[torch.tensor(synthetic_set.swap_sources(len(self._before)))[: len(faces)]]
            nearer = distance(IDENTITY, swapped, before) - distance(IDENTITY, swapped, sources)
            found["swap"] = torch.where(nearer.isnan(), torch.nan, (nearer > 0).double())
        return found

    def _measure(self, pictures: np.ndarray) -> tuple[Measured, torch.Tensor]:
        scores = presence.face_scores(self._networks, pictures)
        side = pictures.shape[1]
        return self._backend.measure(pictures, presence.as_faces(scores, side)), torch.from_numpy(scores).double()

    def _background(self, pictures: np.ndarray) -> torch.Tensor:
        """Nobody knows where it is in a photo."""
        return torch.full((len(pictures),), torch.nan, dtype=torch.float64)


class SyntheticPeople(_Measuring):
    """People that no training has seen, drawn by the renderer, and the network that reads its parameters off pictures.

    Args:
        count: how many, 2 or more.
        size: side of the pictures in pixels.
        described: of the model; more is added.
        folder: of their pictures, made if need be.
    """

    def __init__(self, count: int, size: int, described: dict, folder: Path):
        self.described = described | {"people": count, "size": size, "renderer": synthetic_set.renderer_digest()}
        people = synthetic_set.make_set(count, PictureStore(folder, self.described), size=size)
        self._region = quality.regions(people.background, people.face)["background, clear of the person"]
        super().__init__(people.originals, SyntheticBackend(regressor.load_regressor(regressor.WEIGHTS)))

    def _background(self, pictures: np.ndarray) -> torch.Tensor:
        return quality.background_error(pictures, self.originals[: len(pictures)], self._region[: len(pictures)])


class PhotoPeople(_Measuring):
    """The largest face of each photo of a folder, each taken for another person, and the pack's own recognisers.

    Args:
        folder: of the photos.
        count: of how many, in the order of their names; those without a face are left out.
        size: side of the crops in pixels.
        described: of the model; more is added.

    Raises:
        ValueError: the folder has fewer than two photos with a face.
    """

    def __init__(self, folder: Path, count: int, size: int, described: dict):
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PHOTO_SUFFIXES and file.is_file())
        networks, crops, digests = load_face_networks(), [], []
        for file in files:
            image = face_own.as_image(read_picture(file))
            largest, _ = select_faces(detect_faces(networks, image), SelectSettings(largest=1))
            if len(largest):
                crops.append(synthetic_set.to_levels(crop_faces(image, largest, size)[0]))
                digests.append(sha256_of(file))
            if len(crops) == count:
                break
        if len(crops) < 2:
            raise ValueError(f"{folder} has {len(files)} photos, of which {len(crops)} show a face: two are the least.")
        self.described = described | {"size": size, "photos": digests}
        super().__init__(np.concatenate(crops), _CropBackend())


class _CropBackend:
    """Identity by dlib's ResNet, and what shows, of aligned crops."""

    def __init__(self):
        shared = _SharedCrops()
        self._identity, _, self._shown = face_own.own_backends(shared)

    def measure(self, pictures: np.ndarray, faces: list) -> Measured:
        """As Backend of modules/evaluation/measured.py."""
        who, shown = self._identity.measure(pictures, faces), self._shown.measure(pictures, faces)
        return Measured(who.found, who.identity, shown.pose, shown.gaze, shown.expression)


class _SharedCrops(face_own.SharedReader):
    """A reader that knows that its pictures are aligned crops."""

    def __init__(self):
        self._crops = FaceReader()
        super().__init__(self._crops)

    def _read(self, pictures, faces):
        readings = self._crops.read_crops(torch.from_numpy(np.stack(pictures)).float() / 255)
        return [None if face is None else reading for reading, face in zip(readings, faces, strict=True)]
