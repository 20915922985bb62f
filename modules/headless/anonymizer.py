"""`Anonymizer`: what the nodes do to a photo, as one Python object. It takes diffusers' networks, and no ComfyUI."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..attempts.recognising import crop_recogniser
from ..attempts.settings import AttemptSettings
from ..attempts.studio import Proof
from ..faces.alignment import crop_faces
from ..faces.detect.detection import detect_faces, load_face_networks
from ..faces.detect.glance import glance
from ..faces.marks import know
from ..faces.outcomes import ANONYMIZED, FOUND, REDACTED, SWAPPED
from ..faces.paste.cover_and_look import cover_and_look
from ..faces.paste.look import Find, Look
from ..faces.paste.paste_or_redact import replace_faces
from ..faces.report import Report, report_faces
from ..faces.selection import select_faces
from ..faces.settings import (
    SAME_NOISE,
    DetectSettings,
    RedactSettings,
    SelectSettings,
    TrackSettings,
)
from ..faces.types import Faces
from ..model import checkpoint
from ..model.diffusers_engine.engine import DiffusersEngine
from ..model.diffusers_engine.loading import load_engine
from ..model.engine import Progress
from ..model.settings import PaintSettings, SamplerSettings
from ..output.generated import file_says_so
from ..recognition.covers import not_covered
from ..recognition.pairs import identity_judge
from ..recognition.pixels import one_colour
from ..recognition.reader import FaceReader
from ..recognition.recognisers import on_drawn_faces
from ..recognition.settings import AUTO, OFF
from ..recognition.surroundings import moved_around
from ..recognition.verifying import Told, verify_faces
from ..terminal import shown
from ..video.clip_jobs import Clip, ClipJobs
from ..video.files import WHOLE
from ..video.people import PeoplePainter, swap_faces
from .asked import find_model, painting_of
from .options import Options, Result, result_of
from .pictures import as_batch
from .videos import Progress as Progressed
from .videos import change_clip, clip_jobs, no_progress


class Anonymizer:
    """Gives every face of a photo another identity, covers faces, swaps them, and lets recognisers look.

    A seed gives a face the same noise as in ComfyUI, so that both paint the same picture but for rounding. Results do
    not depend on how many faces or pictures are handed in together. The model is loaded when the first face is painted:
    finding and covering faces need none.

    Args:
        model: "demo" (which ships with the pack, for trying it), the name of another folder in models/face_anon of the
            pack or of a ComfyUI that is here, such as "face-anon-simple" after the download, or a model folder.
        device: where it runs, such as "cuda:1"; None takes a GPU where there is one.
        dtype: of the UNets; None is float16 on CUDA and float32 elsewhere.
        progress: called with the settings of a job and how many sampler runs it has; gives a Progress that follows it
            (modules/model/engine.py). None shows nothing.

    Raises:
        FileNotFoundError: there is no such model. ValueError: dtype is not one of floating numbers.
    """

    def __init__(
        self,
        model: str | Path = checkpoint.DEMO,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        progress: Callable[[PaintSettings, int], Progress] | None = None,
    ):
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"dtype is a torch.dtype of floating numbers, such as torch.float16; got {dtype!r}.")
        self.folder = find_model(model)
        self._device, self._dtype, self._progress = device, dtype, progress

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: which model, not its networks, which are loaded there."""
        loaded = ("engine", "_networks", "_reader")
        return {name: value for name, value in vars(self).items() if name not in loaded}

    @cached_property
    def engine(self) -> DiffusersEngine:
        """The loaded model."""
        engine = load_engine(self.folder, self._device, self._dtype)
        if self._progress is not None:
            engine.make_progress = self._progress
        return engine

    @cached_property
    def settings(self) -> checkpoint.ModelSettings:
        """What the model's folder says of it."""
        return checkpoint.read_settings(self.folder)

    def detect(self, image: Any, settings: DetectSettings = DetectSettings()) -> Faces:
        """Find faces.

        Args:
            image: a picture or a batch, see as_batch.
            settings: what counts as a face.

        Raises:
            ValueError: no such picture.
        """
        return self._detect(as_batch(image)[0], settings)

    def choose(self, faces: Faces, settings: SelectSettings) -> Faces:
        """Some of the faces that were found; the report and the look at the result know of the others.

        Args:
            faces: of `detect`.
            settings: which.

        Raises:
            ValueError: numbers that no face has.
        """
        return select_faces(faces, settings)[0]

    @torch.inference_mode()
    def __call__(
        self,
        image: Any,
        degree: float = PaintSettings.degree,
        seed: int = PaintSettings.seed,
        *,
        faces: Faces | None = None,
        options: Options = Options(),
    ) -> Result:
        """Anonymize the faces of a picture or a batch.

        Args:
            image: see as_batch.
            degree: 0..2. 0: the same identity. 1: none of it. 1.25: away from it, the paper's anonymization.
            seed: a whole number; each face adds its number to it.
            faces: those of `detect` or `choose`; None: found and chosen by the options.
            options: everything else.

        Raises:
            ValueError: no such picture, faces of another one, a degree or setting out of range.
        """
        return self._replace(image, None, painting_of(degree, seed), faces, options)

    @torch.inference_mode()
    def swap(
        self,
        image: Any,
        source: Any,
        seed: int = PaintSettings.seed,
        *,
        faces: Faces | None = None,
        options: Options = Options(),
    ) -> Result:
        """Give the faces of a picture the identity of the largest face of another picture.

        Args:
            image: see as_batch.
            source: a picture of whom they become.
            seed, faces, options: as for anonymizing. Recognisers are asked whether the original is gone.

        Raises:
            ValueError: as for anonymizing, or no face is found in `source`.
        """
        pictures, _ = as_batch(source)
        found = self._detect(pictures[:1], replace(options.detecting, max_faces=0))
        if not len(found):
            raise ValueError("No face was found in the source picture: take one that shows a face from the front.")
        largest = max(found, key=lambda face: face.size)
        size = options.size or self.settings.resolution
        crop, _ = crop_faces(pictures[:1], replace(found, faces=(largest,)), size)
        return self._replace(image, crop, painting_of(0.0, seed), faces, options)

    @torch.inference_mode()
    def redact(
        self,
        image: Any,
        settings: RedactSettings = RedactSettings(),
        *,
        faces: Faces | None = None,
        options: Options = Options(),
    ) -> Result:
        """Cover faces; no model is loaded.

        Args:
            image: see as_batch.
            settings: how they are covered.
            faces, options: as for anonymizing.

        Raises:
            ValueError: no such picture, or faces of another one.
        """
        batch, back = as_batch(image)
        faces = self._chosen(batch, options) if faces is None else faces
        covered, mask, report = cover_and_look(batch, faces, settings, look=Look(REDACTED, find=self._look))
        return result_of(covered, back, faces, report, mask)

    @torch.inference_mode()
    def verify(self, before: Any, after: Any, faces: Faces | None = None) -> Report:
        """What two recognisers say of each face: a stranger, the same person, or not measurable; of one that shows one
        colour alone, nothing: it is covered.

        Args:
            before: the originals.
            after: what became of them, of the same size.
            faces: of the originals; None: found.

        Raises:
            ValueError: the pictures differ in size or number, or are not those of the faces.
        """
        originals, results = as_batch(before)[0], as_batch(after)[0]
        faces = self._detect(originals, DetectSettings()) if faces is None else faces
        covered = one_colour(results, faces, originals) if len(faces) and originals.shape == results.shape else ()
        moved = {
            i: f"one colour lies over it, but {why}"
            for i, why in moved_around(originals, results, faces, covered).items()
        }
        told = Told(frozenset(covered) - moved.keys())
        verified = not_covered(verify_faces(originals, results, faces, self._reader.read, told=told), moved)
        found = [None if one is None else one.to_dict() for one in verified.verifications]
        return report_faces(faces, FOUND).verified(faces, found, verified.with_covers())

    @torch.inference_mode()
    def verify_video(self, before: str | Path, after: str | Path, progress: Progressed = no_progress) -> Report:
        """What two recognisers say of each face of a video, a few frames of both files in memory at a time.

        Args:
            before: the original.
            after: what became of it, frame by frame, of the same size.
            progress: called with (frames done, all frames), first while faces are found, then while they are read.

        Raises:
            ValueError: no video, or one differs in size or number of frames. OSError: one cannot be read.
        """
        original, result = (Clip(os.fspath(file), WHOLE) for file in (before, after))
        faces = self._clips.track(original, DetectSettings(), TrackSettings(), progress)
        return self._clips.verify(original, result, faces, progress)

    @torch.inference_mode()
    def video(
        self,
        source: str | Path,
        target: str | Path,
        degree: float = PaintSettings.degree,
        seed: int = PaintSettings.seed,
        *,
        identity: str = SAME_NOISE,
        options: Options = Options(),
        progress: Progressed = no_progress,
    ) -> Report:
        """Anonymize the faces of a video of any length, a few frames in memory at a time; sound and times stay.

        Args:
            source: the video; it stays as it is.
            target: the new file, .mp4, which must not be there yet.
            degree, seed: as for pictures.
            identity: "same noise": each frame by itself, from the person's one noise; "same face": each person is
                painted once, and that face is put on all frames.
            options: everything else; the sampler is dpmpp_2m with 25 steps where none is named.
            progress: called with (frames searched, all frames) while faces are looked for; the painting is followed by
                the `progress` of this object.

        Raises:
            ValueError: no video, a degree or setting out of range. OSError: the target cannot be written, or is there.
        """
        painting = replace(painting_of(degree, seed), faces_at_once=options.faces_at_once)
        guided = replace(painting.sampler, guidance_scale=self.settings.guidance_scale)
        painting = replace(painting, sampler=options.sampler or guided)
        verified = self._verifies(options)
        proof = Proof(crop_recogniser(self._reader.read), options.attempts) if verified else None

        def change(clip: Clip, new: Path) -> tuple[Path, Report]:
            faces = self._clips.track(clip, options.detecting, TrackSettings(), progress)
            faces = select_faces(faces, options.choosing)[0]
            how = {"painting": painting, "pasting": options.pasting, "identity": identity, "proof": proof}
            return self._clips.anonymize(clip, new, faces, self.engine, **how)

        report = change_clip(Path(source), Path(target), True, change)
        return report.noting(*self._notes(verified, report)) if report.entries else report

    @torch.inference_mode()
    def redact_video(
        self,
        source: str | Path,
        target: str | Path,
        settings: RedactSettings = RedactSettings(),
        *,
        options: Options = Options(),
        progress: Progressed = no_progress,
    ) -> Report:
        """Cover the faces of a video; no model is loaded.

        Args:
            source, target, options, progress: as for `video`; progress is called while faces are covered too.
            settings: how they are covered.

        Raises:
            ValueError, OSError: as for `video`.
        """

        def change(clip: Clip, new: Path) -> tuple[Path, Report]:
            faces = self._clips.track(clip, replace(options.detecting, points=False), TrackSettings(), progress)
            return self._clips.redact(clip, new, select_faces(faces, options.choosing)[0], settings, progress)

        return change_clip(Path(source), Path(target), file_says_so(Path(source)), change)

    @property
    def _clips(self) -> ClipJobs:
        return clip_jobs(lambda: self._networks, lambda: self._reader.read)

    def _verifies(self, options: Options) -> bool:
        return options.verify != OFF and not (options.verify == AUTO and bool(self.settings.demonstration))

    def _notes(self, verified: bool, report: Report) -> list[str]:
        """What a report says of the model."""
        if not self.settings.demonstration:
            return []
        return [self.settings.notice, *([on_drawn_faces(shown(self.folder.name), report.entries)] if verified else [])]

    def _replace(
        self, image: Any, source: torch.Tensor | None, painting: PaintSettings, faces: Faces | None, options: Options
    ) -> Result:
        batch, back = as_batch(image)
        faces = self._chosen(batch, options) if faces is None else faces
        sampler = options.sampler or SamplerSettings(
            steps=self.settings.steps, guidance_scale=self.settings.guidance_scale
        )
        painting = replace(painting, sampler=sampler, faces_at_once=options.faces_at_once)
        verified = self._verifies(options)
        crops, faces = crop_faces(batch, faces, options.size or self.settings.resolution)
        if len(faces):
            crops, faces = self._paint(crops, faces, source, painting, options.attempts if verified else None)
        is_swap = source is not None
        judges = (identity_judge(self._reader.read, swap=is_swap, among=faces),) if verified else ()
        look = Look(
            ANONYMIZED if source is None else SWAPPED,
            painting.seed,
            None if source is not None else painting.degree,
            find=self._look,
            judges=judges,
            swap=is_swap,
        )
        pasted, mask, report = replace_faces(batch, crops, faces, options.pasting, look=look)
        notes = self._notes(verified, report) if len(faces) else []
        return result_of(pasted, back, faces, report.noting(*notes), mask)

    def _paint(
        self,
        crops: torch.Tensor,
        faces: Faces,
        source: torch.Tensor | None,
        painting: PaintSettings,
        attempts: AttemptSettings | None,
    ) -> tuple[torch.Tensor, Faces]:
        """The crops painted, NaN where recognisers let none pass; attempts are None where nobody looks."""
        proof = None if attempts is None else Proof(crop_recogniser(self._reader.read), attempts)
        if source is not None:
            painted, faces = swap_faces(self.engine, source, crops, faces, painting, proof=proof)
            return painted.cpu(), faces
        crops_at, batches = lambda places: crops[places], [len(crops)]
        painter = PeoplePainter(
            self.engine, painting, SAME_NOISE, faces, crops_at=crops_at, batches=batches, proof=proof
        )
        painted, faces = painter.paint(crops, faces)
        return painted.cpu(), faces

    def _chosen(self, batch: torch.Tensor, options: Options) -> Faces:
        return select_faces(self._detect(batch, options.detecting), options.choosing)[0]

    def _detect(self, batch: torch.Tensor, settings: DetectSettings) -> Faces:
        with torch.inference_mode():
            return know(batch, detect_faces(self._networks, batch, settings))

    @cached_property
    def _networks(self):
        return load_face_networks()

    @property
    def _look(self) -> Find:
        return lambda picture, faces, painted: glance(self._networks, picture, faces, painted)

    @cached_property
    def _reader(self) -> FaceReader:
        return FaceReader()
