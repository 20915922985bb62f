"""The jobs of a folder run in this process, by diffusers' networks: a file in, its result and a report out.

What ComfyUI's graphs do for a folder run (modules/runs/folder_run.py), with the same settings, files and reports.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..attempts.settings import AttemptSettings
from ..faces.settings import DetectSettings, PasteSettings, RedactSettings
from ..faces.types import Faces
from ..files import sha256_of, working_folder
from ..model import checkpoint
from ..model.settings import PaintSettings, SamplerSettings
from ..output.encoding import encode_picture
from ..output.generated import says_so
from ..photos.pages import UnreadablePhoto
from ..photos.reading import read_photo
from ..recognition.settings import OFF
from ..runs.folder_report import summarize
from ..runs.jobs import PHOTO, Job
from ..runs.journal import Journal
from ..runs.publishing import DISK_FULL, Made, Outcome, RunStopped, publish
from .anonymizer import Anonymizer, Options, Result


class EngineRun:
    """The jobs of one output folder, one after the other.

    Args:
        journal: of the folder, open, with the settings of FolderOptions.of_results.
        model: folder of the model that paints; None for a redaction.
        source: the photo whose largest face all faces get; None: each becomes a stranger.
        steps: a bar of sampling steps; None shows nothing.
        video_steps: of sampling a video's faces; None: 25.

    Raises:
        ValueError, OSError: the source cannot be read, or shows no face.
    """

    def __init__(
        self,
        journal: Journal,
        model: Path | None,
        source: Path | None = None,
        steps: tqdm | None = None,
        video_steps: int | None = None,
    ):
        self._journal, self._settings, self._steps = journal, journal.settings, steps
        self._anonymizer = Anonymizer(model or checkpoint.DEMO, progress=self._progress)
        self._source = None if source is None else read_photo(source.read_bytes()).seen
        if self._source is not None and not len(self._anonymizer.detect(self._source)):
            raise ValueError(f"{source} shows no face that is found: take a photo of one from the front.")
        self._options = options_of(journal.settings)
        self._video_options = video_options_of(journal.settings, video_steps)

    def do(self, jobs: list[Job], on_outcome: Callable[[Outcome], None]) -> None:
        """Do the jobs; one that fails is told, and the next is done.

        Args:
            jobs: what is to be done, in this order.
            on_outcome: called with each job as it is done.

        Raises:
            RunStopped: the disk is full.
        """
        for job in jobs:
            if self._steps is not None:
                self._steps.set_description(job.source.path.name.encode("ascii", "replace").decode())
            try:
                outcome = Outcome(job, self._do_one(job))
            except Exception as error:  # whatever one file causes, the others are done all the same
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    raise RunStopped(str(error)) from None
                outcome = Outcome(job, None, explained(error))
            on_outcome(outcome)

    def _do_one(self, job: Job) -> dict:
        return self._do_photo(job) if job.source.kind == PHOTO else self._do_video(job)

    def _do_video(self, job: Job) -> dict:
        started, source = time.monotonic(), job.source.path

        def write(part: Path) -> Made:
            settings, options = self._settings, self._video_options
            with working_folder() as folder:
                new = folder / "new.mp4"
                if settings["task"] == "redact":
                    how = RedactSettings(settings["mode"], settings["shape"], settings["detail"])
                    report = self._anonymizer.redact_video(source, new, how, options=options, progress=self._frames)
                else:
                    how = {"identity": settings["identity"], "options": options, "progress": self._frames}
                    report = self._anonymizer.video(source, new, settings["degree"], settings["seed"], **how)
                shutil.copyfile(new, part)
            return Made(sha256_of(source), summarize(json.loads(report.to_json()), job.source.kind))

        return publish(self._journal, job, started, write)

    def _frames(self, done: float, count: int) -> None:
        if self._steps is not None:
            if done == 0:
                self._steps.reset(total=count)
                self._steps.unit = "frame"
            self._steps.update(done - self._steps.n)

    def _do_photo(self, job: Job) -> dict:
        started, data = time.monotonic(), job.source.path.read_bytes()
        photo, format = read_photo(data), self._settings["format"]
        result = change(self._anonymizer, self._settings, photo.seen, options=self._options, source=self._source)
        pixels = result.image if photo.is_finished_by_nodes(format) else photo.finish(result.image)
        encoded = encode_picture(
            pixels,
            format,
            self._settings["quality"],
            profile=photo.colour.profile,
            mark=self._settings["task"] != "redact" or says_so(data),
            cicp=photo.colour.cicp,
        )
        summary = summarize(json.loads(result.report.to_json()), PHOTO)

        def write(part: Path) -> Made:
            part.write_bytes(encoded)
            return Made(hashlib.sha256(data).hexdigest(), summary, photo.said(format))

        return publish(self._journal, job, started, write)

    def _progress(self, painting: PaintSettings, runs: int) -> _Steps:
        return _Steps(self._steps, painting.sampler.steps, runs)


class _Steps:
    """A Progress of modules/model/engine.py on a bar."""

    def __init__(self, bar: tqdm | None, steps: int, runs: int):
        self._bar, self._each = bar, steps
        if bar is not None:
            bar.unit = "step"
            bar.reset(total=steps * runs)

    def add_runs(self, count: int) -> None:
        if self._bar is not None:
            self._bar.total += count * self._each
            self._bar.refresh()

    def start_run(self, faces: int, again: bool = False) -> None:
        pass

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        if self._bar is not None:
            self._bar.update()


def change(
    anonymizer: Anonymizer,
    settings: Mapping,
    seen: np.ndarray,
    *,
    options: Options,
    source: np.ndarray | None = None,
    faces: Faces | None = None,
) -> Result:
    """What a run does to a photo, or to several of one size.

    Args:
        anonymizer: that does it.
        settings: as FolderOptions.of_results gives them.
        seen: uint8 [H, W, 3] or [B, H, W, 3].
        options: those of the settings.
        source: uint8 [H, W, 3], whose largest face all faces get; None: each becomes a stranger.
        faces: of these pictures; None: they are looked for.
    """
    if settings["task"] == "redact":
        how = RedactSettings(settings["mode"], settings["shape"], settings["detail"])
        return anonymizer.redact(seen, how, faces=faces, options=options)
    if source is not None:
        return anonymizer.swap(seen, source, settings["seed"], faces=faces, options=options)
    return anonymizer(seen, settings["degree"], settings["seed"], faces=faces, options=options)


def options_of(settings: Mapping) -> Options:
    """The options of photos for an Anonymizer.

    Args:
        settings: as FolderOptions.of_results gives them.
    """
    detecting = DetectSettings(settings["min_score"], thorough=settings["thorough"] in ("all", "photos"))
    if settings["task"] == "redact":
        return Options(detecting)
    verify = settings.get("verify", OFF)
    attempts = AttemptSettings()
    if verify != OFF:
        attempts = AttemptSettings(settings["attempts"], settings["keep_traits"], settings["degree_mode"])
    interval = {name: settings[name] for name in ("guidance_from", "guidance_to") if name in settings}
    sampler = SamplerSettings(steps=settings["steps"], guidance_scale=settings["guidance_scale"], **interval)
    return Options(
        detecting,
        sampler=sampler,
        size=settings["size"],
        attempts=attempts,
        verify=verify,
        pasting=PasteSettings(fallback=settings["fallback"]),
    )


def video_options_of(settings: Mapping, steps: int | None) -> Options:
    """The options of videos, as the graphs for videos have them.

    Args:
        settings: as FolderOptions.of_results gives them.
        steps: of sampling; None: 25.
    """
    options = options_of(settings)
    detecting = replace(options.detecting, thorough=settings["thorough"] in ("all", "videos"))
    if options.sampler is None:
        return replace(options, detecting=detecting)
    sampler = PaintSettings().sampler
    kept = {name: getattr(options.sampler, name) for name in ("guidance_scale", "guidance_from", "guidance_to")}
    sampler = replace(sampler, scheduler="karras", steps=steps or sampler.steps, **kept)
    return replace(options, detecting=detecting, sampler=sampler, size=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is for want of memory, of the GPU or of the machine."""
    wanted = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return wanted or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def explained(error: BaseException) -> str:
    """An error that one file caused, for the report."""
    if isinstance(error, UnreadablePhoto):
        return str(error)
    if is_out_of_memory(error):
        return f"Out of memory: a smaller --size needs less, and so does ComfyUI (--engine comfyui). ({error})"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
