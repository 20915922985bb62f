"""Which attempt each person of a clip is given: chosen once, on a few frames, so that the face stays one face."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..faces.track.tracking import key_frames
from ..faces.types import Faces
from ..model.settings import PaintSettings
from .loop import Sitter
from .schedule import Attempt
from .settings import FIXED, AttemptSettings
from .studio import Studio

KEY_FRAMES = 3  # of a person, the best of each third of the frames that show it
_CROPS_AT_ONCE = 48  # that are in memory: a crop of 512 pixels takes 3 MB


def choose_for_people(
    studio: Studio,
    faces: Faces,
    crops_at: Callable[[list[int]], torch.Tensor],
    painting: PaintSettings,
    settings: AttemptSettings,
) -> dict[int, tuple[Attempt, int]]:
    """Choose seed and degree of each tracked person, on at most three frames of each.

    An attempt passes where the person passes in all of these frames; where none does, it is the one with which most of
    them pass. Every frame of the clip is looked at all the same, when it is painted.

    Args:
        studio: paints and looks.
        faces: all faces of the clip; those without a track are left out.
        crops_at: gives the crops of a few faces by their places in `faces`.
        painting: degree, seed, how many crops go through at once.
        settings: how often, and which is taken. One attempt at a degree that is set leaves nothing to choose.

    Returns:
        Number of a track -> the attempt, and how many were made.
    """
    if settings.attempts == 1 and settings.degree_mode == FIXED:
        tracks = {face.track for face in faces if face.track is not None}
        return {track: (Attempt(0, painting.seed_of(track) % 2**64, painting.degree), 1) for track in tracks}
    at_once = painting.faces_at_once
    chosen: dict[int, tuple[Attempt, int]] = {}
    keys = key_frames(faces, min(KEY_FRAMES, at_once))
    for group in _groups(keys, max(_CROPS_AT_ONCE, at_once)):
        crops = crops_at([place for track in group for place in keys[track]])
        start = 0
        for together in _groups({track: keys[track] for track in group}, at_once):
            places = [place for track in together for place in keys[track]]
            sitters, row = [], 0
            for track in together:
                sitters.append(Sitter(tuple(range(row, row + len(keys[track]))), painting.seed_of(track)))
                row += len(keys[track])
            mine = crops[start : start + row]
            start += row
            found = studio.attend(mine, [faces.faces[place] for place in places], sitters, is_planned=False)
            chosen |= {track: (one.attempt, one.painted) for track, one in zip(together, found, strict=True)}
    return chosen


def _groups(keys: Mapping[int, list[int]], most: int) -> list[list[int]]:
    """Tracks in their order, in groups that have at most so many key frames together."""
    groups: list[list[int]] = []
    count = 0
    for track, places in keys.items():
        if not groups or count + len(places) > most:
            groups.append([])
            count = 0
        groups[-1].append(track)
        count += len(places)
    return groups
