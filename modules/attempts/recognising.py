"""The recognisers on painted crops: who is asked in Proof.recognise. Pure: no ComfyUI here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..faces.paste.painted import crop_digest
from ..faces.types import FIVE_POINTS, Face, Faces
from ..recognition.clip_people import ClipPeople
from ..recognition.crops import box_in_crop, five_points_in_crop
from ..recognition.pairs import Read, read_pairs
from ..recognition.reading import Reading, too_small
from ..recognition.settings import ReaderSettings
from ..recognition.verdict import Verification
from .studio import Recognise

_REMEMBERED = 256  # originals; bounds memory in a long film


def crop_recogniser(
    read: Read, settings: ReaderSettings = ReaderSettings(), *, people: ClipPeople | None = None
) -> Recognise:
    """Both recognisers look at crops and at what was painted into them, as Paste Faces does at pictures.

    Args:
        read: the reader.
        settings: what can be read, and the thresholds.
        people: of the clip that the crops are of; nobody of it may be seen in a result. It hears what was read.
    """
    known: dict[int, tuple[Face, Reading]] = {}  # of faces that are painted again, by their id, which the face keeps

    def read_originals(originals: torch.Tensor, faces: Sequence[Face]) -> list[Reading]:
        if len({id(face) for face in faces}) < len(faces):  # one place for several crops: they cannot be told apart
            return read(originals, _placed(originals))
        new = [i for i, face in enumerate(faces) if id(face) not in known]
        if len(known) + len(new) > _REMEMBERED:
            known.clear()
            new = list(range(len(faces)))
        if new:
            found = read(originals[new], _placed(originals[new]))
            known.update((id(faces[i]), (faces[i], reading)) for i, reading in zip(new, found, strict=True))
        return [known[id(face)][1] for face in faces]

    def recognise(originals: torch.Tensor, results: torch.Tensor, faces: Sequence[Face]) -> list[Verification]:
        befores = [
            # a crop shows no more than the picture had
            replace(reading, size=face.size, reason=too_small(face.size, settings))
            if face.size < settings.min_size
            else reading
            for reading, face in zip(read_originals(originals, faces), faces, strict=True)
        ]
        pairs = read_pairs(befores, results, _placed(results), read, settings)
        if people is None:
            return [pair.verification for pair in pairs]
        for result, pair in zip(results, pairs, strict=True):
            people.saw(crop_digest(result), pair.after)
        return [people.against(face, pair) for face, pair in zip(faces, pairs, strict=True)]

    return recognise


def _placed(crops: torch.Tensor) -> Faces:
    """Where the faces of aligned crops [N, S, S, C] are."""
    count, size = crops.shape[:2]
    points, box = five_points_in_crop(size), box_in_crop(size)
    return Faces(count, size, size, tuple(Face(i, box, 1.0, points, FIVE_POINTS, "crop") for i in range(count)))
