"""The recognisers on painted crops: who is asked in Proof.recognise. Pure: no ComfyUI here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..faces.types import FIVE_POINTS, Face, Faces
from ..recognition.crops import box_in_crop, five_points_in_crop
from ..recognition.pairs import Read, read_pairs
from ..recognition.reading import TOO_SMALL
from ..recognition.settings import ReaderSettings
from ..recognition.verdict import Verification
from .studio import Recognise


def crop_recogniser(read: Read, settings: ReaderSettings = ReaderSettings()) -> Recognise:
    """Both recognisers look at crops and at what was painted into them, as Paste Faces does at pictures.

    Args:
        read: the reader.
        settings: what can be read, and the thresholds.
    """

    def recognise(originals: torch.Tensor, results: torch.Tensor, faces: Sequence[Face]) -> list[Verification]:
        befores = [
            # a crop shows no more than the picture had
            replace(reading, size=face.size, reason=_too_small(face.size)) if _too_small(face.size) else reading
            for reading, face in zip(read(originals, _placed(originals)), faces, strict=True)
        ]
        return [pair.verification for pair in read_pairs(befores, results, _placed(results), read, settings)]

    def _too_small(size: float) -> str:
        least = settings.min_size
        return f"{TOO_SMALL}: {size:.0f} pixels, {least:.0f} are needed" if size < least else ""

    return recognise


def _placed(crops: torch.Tensor) -> Faces:
    """Where the faces of aligned crops [N, S, S, C] are."""
    count, size = crops.shape[:2]
    points, box = five_points_in_crop(size), box_in_crop(size)
    return Faces(count, size, size, tuple(Face(i, box, 1.0, points, FIVE_POINTS, "crop") for i in range(count)))
