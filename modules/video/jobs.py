"""Whole video files by ComfyUI's models. Touches the host: runs its models on the frames.

clip_jobs.py has what is done, and what each of the three functions takes and gives.
"""

from __future__ import annotations

import comfy.model_management

from ..host.detector import clip_search, looker
from ..host.reader import face_reader
from .clip_jobs import FRAMES_AT_ONCE, Clip, ClipJobs, Machine

__all__ = ["FRAMES_AT_ONCE", "Clip", "anonymize_video", "redact_video", "track_video"]

_JOBS = ClipJobs(
    Machine(clip_search, looker, face_reader, comfy.model_management.throw_exception_if_processing_interrupted)
)
track_video, anonymize_video, redact_video = _JOBS.track, _JOBS.anonymize, _JOBS.redact
