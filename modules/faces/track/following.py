"""Follow the faces of a clip whose frames come a few at a time: no frame is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ..fingerprint import Fingerprint, join_fingerprints
from ..settings import TrackSettings
from ..types import Face, Faces
from .scene_cuts import find_cuts, thumbnail
from .tracking import track_faces


def follow_faces(
    parts: Iterable[tuple[Iterable[torch.Tensor], Faces]], image_count: int, settings: TrackSettings = TrackSettings()
) -> Faces:
    """Tell which faces of a clip are one person, shot by shot.

    Args:
        parts: of the clip, in their order: the frames of a part, each float [H, W, C], 0..1, of one size over the clip,
            and the faces found in them, numbered from the first frame of the part.
        image_count: frames of the whole clip.
        settings: how faces are followed.

    Returns:
        All faces as tracks; see track_faces.

    Raises:
        ValueError: as track_faces and thumbnail.
    """
    faces: list[Face] = []
    kept: list[Face] = []
    taken: list[Fingerprint | None] = []
    height = width = 0

    def thumbnails() -> Iterator[np.ndarray]:
        nonlocal height, width
        first = 0
        for frames, found in parts:
            found = found.shifted(first)
            faces.extend(found.faces)
            kept.extend(found.kept)
            taken.append(found.fingerprint)
            height, width = found.height, found.width
            for frame in frames:
                yield thumbnail(frame)
                first += 1

    cuts = find_cuts(thumbnails())  # first: it is what goes through the parts
    found = Faces(image_count, height, width, tuple(faces), tuple(kept), join_fingerprints(taken))
    return track_faces(found, cuts, settings)
