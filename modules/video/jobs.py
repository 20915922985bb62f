"""Whole video files, a few frames in memory at a time. Touches the host: runs its models on the frames.

What the single nodes do with a clip as one image batch is done here by chunks: two passes, one to find and follow the
faces, one to change them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import comfy.model_management
import numpy as np
import torch

from ..faces.alignment import crop_faces
from ..faces.paste.paste_or_redact import replace_faces
from ..faces.paste.redaction import redact_faces
from ..faces.report import ANONYMIZED, FOUND, REDACTED, Report, join_reports, report_faces
from ..faces.settings import DetectSettings, PasteSettings, RedactSettings, TrackSettings
from ..faces.track.scene_cuts import THUMBNAIL_SHAPE, find_cuts, thumbnail
from ..faces.track.tracking import best_frames, track_faces
from ..faces.types import Faces
from ..host.detector import detect
from ..model.comfy_engine import FaceAnonModel
from ..model.painting import anonymize_crops, runs, swap_crops
from ..model.settings import PaintSettings
from .files import CannotHold, probe, read_chunks, rewrite

FRAMES_AT_ONCE = 8


class Clip(NamedTuple):
    """A video of the host. source: path or bytes; window: start and duration in seconds, duration 0: to the end."""

    source: object
    window: tuple[float, float]


def track_video(
    clip: Clip, detecting: DetectSettings, tracking: TrackSettings, progress: Callable[[int, int], None]
) -> Faces:
    """All faces of all frames, followed over the clip. progress: called with (frames done, all frames)."""
    count = probe(clip.source, clip.window).frame_count
    found: list[Faces] = []
    # in one piece from the start: kept one by one between the frames, they would hold the freed memory apart
    thumbnails = np.zeros((count, *THUMBNAIL_SHAPE), np.float32)
    height = width = 0
    for first, frames in read_chunks(clip.source, FRAMES_AT_ONCE, clip.window):
        height, width = frames.shape[1:3]
        progress(first, count)
        found.append(detect(frames, detecting).shifted(first))
        for number, frame in enumerate(frames, first):
            thumbnails[number] = thumbnail(frame)
    progress(count, count)
    faces = Faces(count, height, width, tuple(face for part in found for face in part))
    return track_faces(faces, find_cuts(thumbnails), tracking)


def anonymize_video(
    clip: Clip,
    target: Path,
    faces: Faces,
    model: FaceAnonModel,
    painting: PaintSettings,
    pasting: PasteSettings,
    same_face: bool,
) -> tuple[Path, Report]:
    """Write the clip with every face of `faces` painted anew to `target`, an .mp4; audio and times of frames stay.

    same_face: a track's best frame is anonymized once and swapped onto all its frames; else every frame is anonymized
    by itself with the track's start noise. Progress, previews and interrupt are those of a sampler.
    Returns the file, an .mkv in place of `target` where MP4 cannot hold the audio, and the report. Raises ValueError
    when the faces are not of this clip.
    """
    chunks = [faces.window(i, i + FRAMES_AT_ONCE) for i in range(0, faces.image_count, FRAMES_AT_ONCE)]
    best = best_frames(faces) if same_face else {}
    samplings = runs(len(best), painting) + sum(runs(len(chunk), painting) for chunk in chunks)
    progress = model.progress(painting, samplings)
    size = model.source_reference_net.resolution
    synthetic = None
    if best:
        best_crops = _crops_of(clip, faces, list(best.values()), size)
        synthetic = anonymize_crops(model, best_crops, list(best), painting, progress)

    def paint(crops: torch.Tensor, part: Faces) -> torch.Tensor:
        if synthetic is None:
            return anonymize_crops(model, crops, part.seed_offsets(), painting, progress)
        which = [list(best).index(face.track) for face in part]
        swap = replace(painting, degree=0.0)
        return swap_crops(model, synthetic, crops, part.seed_offsets(), swap, progress=progress, which=which)

    def change(frames: torch.Tensor, part: Faces) -> tuple[torch.Tensor, Report]:
        crops, part = crop_faces(frames, part, size)
        changed, _, report = replace_faces(
            frames, paint(crops, part), part, pasting, action=ANONYMIZED, seed=painting.seed
        )
        return changed, report

    return _rewrite(clip, target, faces, change)


def redact_video(
    clip: Clip,
    target: Path,
    faces: Faces,
    settings: RedactSettings,
    progress: Callable[[int, int], None],
) -> tuple[Path, Report]:
    """Write the clip with every face of `faces` covered to `target`; see redact_faces and anonymize_video."""

    def change(frames: torch.Tensor, part: Faces) -> tuple[torch.Tensor, Report]:
        return redact_faces(frames, part, settings)[0], report_faces(part, REDACTED)

    return _rewrite(clip, target, faces, change, progress)


def _rewrite(clip: Clip, target: Path, faces: Faces, change, progress=None) -> tuple[Path, Report]:
    info = probe(clip.source, clip.window)
    if (faces.image_count, faces.height, faces.width) != (info.frame_count, info.height, info.width):
        raise ValueError(
            f"The faces belong to {faces.image_count} frames of {faces.width}x{faces.height} pixels, but the video has "
            f"{info.frame_count} of {info.width}x{info.height}: connect the video they were found in."
        )
    parts: list[Report] = []

    def change_chunk(frames: torch.Tensor, first: int) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        part = faces.window(first, first + len(frames))
        report = report_faces(part, FOUND)
        if len(part):
            frames, report = change(frames, part)
        parts.append(report.shifted(first, faces.image_count))
        return frames

    def write(path: Path) -> Path:
        rewrite(clip.source, path, change_chunk, chunk=FRAMES_AT_ONCE, window=clip.window, progress=progress)
        return path

    try:
        written = write(target)
    except CannotHold:  # raised before the first frame
        written = write(target.with_suffix(".mkv"))
    return written, join_reports(parts, faces.image_count, faces.height, faces.width)


def _crops_of(clip: Clip, faces: Faces, indices: list[int], size: int) -> torch.Tensor:
    """Crops of a few faces of the clip, in the order of `indices`."""
    found: dict[int, torch.Tensor] = {}
    for first, frames in read_chunks(clip.source, FRAMES_AT_ONCE, clip.window):
        comfy.model_management.throw_exception_if_processing_interrupted()
        for index in indices:
            face = faces.faces[index]
            if first <= face.image_index < first + len(frames):
                frame = frames[face.image_index - first : face.image_index - first + 1]
                alone = Faces(faces.image_count, faces.height, faces.width, (face,))
                found[index] = crop_faces(frame, alone.window(face.image_index, face.image_index + 1), size)[0]
    return torch.cat([found[index] for index in indices])
