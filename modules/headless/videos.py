"""Whole videos without ComfyUI: clip_jobs.py with diffusers' networks, and results without metadata."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..faces.detect.clip_search import ClipSearch
from ..faces.detect.detection import FaceNetworks
from ..faces.detect.glance import glance
from ..faces.report import Report
from ..faces.settings import DetectSettings
from ..files import working_folder, written_whole
from ..recognition.pairs import Read
from ..video.clip_jobs import Clip, ClipJobs, Machine
from ..video.files import WHOLE, copy_clean

Progress = Callable[[float, int], None]


def clip_jobs(networks: Callable[[], FaceNetworks], reader: Callable[[], Read]) -> ClipJobs:
    """What is done to videos, where these networks look at the frames.

    Args:
        networks: gives the detector's.
        reader: gives what reads faces, for the recognisers.
    """

    @contextlib.contextmanager
    def search(settings: DetectSettings, rate: float) -> Iterator[ClipSearch]:
        yield ClipSearch(networks(), settings, rate)

    def looker():
        return lambda picture, faces, painted: glance(networks(), picture, faces, painted)

    return ClipJobs(Machine(search, looker, reader, lambda: None))


class _Writable(Exception):
    """A file can be written there; nothing is left of it."""


def change_clip(source: Path, target: Path, mark: bool, change: Callable[[Clip, Path], tuple[Path, Report]]) -> Report:
    """Write a changed video, whole or not at all.

    Args:
        source: the video; it stays as it is.
        target: the new file, .mp4.
        mark: say in the file that a trained model made a part of it.
        change: writes the changed clip into a file of that name, which it returns.

    Returns:
        The report of what was done.

    Raises:
        ValueError: no such video, or another suffix. OSError: as written_whole. All that `change` raises.
    """
    if target.suffix != ".mp4":
        raise ValueError(f"Videos are written as .mp4: {target} has another suffix.")
    if not source.is_file():
        raise FileNotFoundError(f"No such video: {source}")
    with contextlib.suppress(_Writable), written_whole(target):  # before hours of work, not after them
        raise _Writable
    with working_folder() as folder:
        written, report = change(Clip(os.fspath(source), WHOLE), folder / "changed.mp4")
        clean = folder / "clean.mp4"
        copy_clean(os.fspath(written), clean, mark)
        with written_whole(target) as part:
            shutil.copyfile(clean, part)
    return report


def no_progress(done: float, count: int) -> None:
    """Show nothing."""
