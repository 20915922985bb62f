"""The training: one loop over optimizer steps, on as many processes as accelerate was launched with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from diffusers.training_utils import EMAModel

from ..model import checkpoint
from ..model.diffusers_engine.encoders import Encoders
from ..model.diffusers_engine.engine import DiffusersEngine, check_fit
from ..model.settings import SamplerSettings
from . import validation
from .batches import Batch, Order, cached_batches, in_parts, read_batches
from .cache import Encoded, encode_pictures
from .export import export_model
from .log import TrainingLog
from .objective import draw, learning_rate, loss_of, training_scheduler
from .settings import FIXED, TrainingSettings
from .start import make_optimizer, make_start
from .state import CheckpointNotWritten, Trained, load_checkpoint, newest_checkpoint, random_state, save_checkpoint
from .triples import Triples, UnusablePicture, load_picture, read_triples

logger = logging.getLogger("face_anonymizer")

MODEL_FOLDER = "model"
_VALIDATION_TRIPLES = 64
_SHARED_ERRORS = (CheckpointNotWritten, UnusablePicture, OSError, ValueError)  # a process raises them for another

Result = TypeVar("Result")


class TrainingStopped(RuntimeError):
    """The loss is no number any more."""


class Training:
    """A training from its settings to its model folder: Training(settings).run()."""

    def __init__(self, settings: TrainingSettings):
        settings.check()
        self.settings = settings
        self.began = time.monotonic()
        kept = newest_checkpoint(settings.output)
        if kept is not None and not settings.resume:
            raise ValueError(f"{kept} holds a training. --resume continues it; or name another output folder.")
        # with the routing of the published weights a ReferenceNet's end serves nothing and gets no gradient
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            mixed_precision=settings.mixed_precision,
            gradient_accumulation_steps=settings.accumulate,
            kwargs_handlers=[unused],
        )
        self.phases = [read_triples(settings.data)]
        if settings.data_phase_2:
            self.phases.append(read_triples(settings.data_phase_2))
        self.resolution = settings.resolution or len(load_picture(self.phases[0].pictures[0], None))
        self.encoders = Encoders(*settings.encoder_folders()).to(self.accelerator.device)
        self.networks = make_start(settings)
        check_fit(self.networks, self.encoders)
        if settings.gradient_checkpointing:
            self.networks.enable_gradient_checkpointing()
        parameters = list(self.networks.trained().values())
        self.networks.to(self.accelerator.device)
        self.optimizer = make_optimizer(settings, parameters)
        ema = EMAModel(parameters, decay=settings.ema, foreach=True) if settings.ema else None
        self.trained = Trained(self.networks, self.optimizer, ema)
        self.scheduler = training_scheduler(settings.prediction)
        self.step, self.elapsed_before = 0, 0.0
        if kept is not None:
            self._resume(kept)
        if settings.compile:
            self.networks.unet.compile()
        self.model, self.stepper = self.accelerator.prepare(self.networks, self.optimizer)
        self.log = self._shared(lambda: TrainingLog(settings.output, self.step, self.accelerator.is_main_process))
        self.encoded: list[Encoded] = []
        self.batches, self.phase = iter(()), -1
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def run(self, stop: Callable[[], bool] = lambda: False) -> Path:
        """Train up to settings.steps, or until stop() or the time limit; write a checkpoint and the model folder.

        Returns the model folder. Raises TrainingStopped for a loss that is NaN or infinite, with the last checkpoint in
        its place, and OSError when the disk is full at the end: of several processes all.
        """
        if self.step < self.settings.steps:
            try:
                self._loop(stop)
            except UnusablePicture:
                self._save()
                raise
            self._save()
        return self._export()

    def _loop(self, stop: Callable[[], bool]) -> None:
        settings = self.settings
        held_out = self._held_out()
        if settings.cache:
            self.encoded = [self._encode(triples, phase) for phase, triples in enumerate(self.phases, 1)]
        a_step = settings.batch * settings.accumulate * settings.draws * self.accelerator.num_processes
        losses, spent = [], 0.0
        while self.step < settings.steps and not self._should_end(stop):
            before = time.monotonic()
            losses.append(self._train_step())
            spent += time.monotonic() - before
            self.step += 1
            if self.step % settings.log_every == 0:
                self.log.write(
                    self.step,
                    loss=sum(losses) / len(losses),
                    learning_rate=learning_rate(settings, self.step - 1),
                    samples_per_second=a_step * len(losses) / spent,
                    elapsed=self._elapsed(),
                )
                losses, spent = [], 0.0
            if settings.validation_data and self.step % settings.validate_every == 0:
                self._on_main(lambda: self._validate(held_out))
            if self._is_checkpoint_due():
                try:
                    self._save()
                except CheckpointNotWritten as error:  # what is in memory is worth more: go on and try again
                    logger.error("%s The training goes on.", error)

    def _train_step(self) -> float:
        """One optimizer step; returns the mean loss of all processes."""
        settings = self.settings
        self._enter_phase()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, self.step)
        total = torch.zeros((), device=self.accelerator.device)
        for micro in range(settings.accumulate):
            with self.accelerator.autocast():  # the encoders, where pictures are read as they are needed
                batch = self._next_batch()
            course = (settings.seed, self.step, micro, self.accelerator.process_index)
            drawn = draw(batch.truth_latents, settings.draws, settings.null_share, course)
            with self.accelerator.accumulate(self.model):
                loss = loss_of(self.model, batch, drawn, self.scheduler)
                self.accelerator.backward(loss)
            total += loss.detach() / settings.accumulate
        mean = self.accelerator.reduce(total, "mean").item()
        norm = self.accelerator.clip_grad_norm_(self.networks.parameters(), settings.max_grad_norm)
        # With a scaler (fp16) an infinite gradient is only a scale too large, and the scaler skips the step.
        sound = self.accelerator.scaler is not None or bool(torch.isfinite(norm))
        if not (torch.isfinite(torch.tensor(mean)) and sound):
            kept = newest_checkpoint(settings.output)
            raise TrainingStopped(
                f"At step {self.step + 1} the loss is {mean} and the norm of its gradient {float(norm)}: this step is "
                f"not taken. {f'{kept} is the last good checkpoint' if kept else 'There is no checkpoint yet'}. Resume "
                f"with a smaller --learning-rate, or with --mixed-precision no."
            )
        self.stepper.step()
        self.stepper.zero_grad()
        if self.trained.ema is not None:
            self.trained.ema.step(self.networks.trained().values())
        return mean

    def _enter_phase(self) -> None:
        """Open the data of the curriculum's phase that the current step is in."""
        settings = self.settings
        phase = 0 if settings.phase_2_at is None or self.step < settings.phase_2_at else 1
        if phase == self.phase:
            return
        self.phase = phase
        triples = self.phases[phase]
        accelerator = self.accelerator
        order = Order(len(triples), settings.batch, settings.seed, accelerator.process_index, accelerator.num_processes)
        start = (self.step - (settings.phase_2_at or 0) * phase) * settings.accumulate
        if settings.cache:
            self.batches = cached_batches(triples, self.encoded[phase], order, start, accelerator.device)
        else:
            self.batches = read_batches(triples, self.encoders, order, start, self.resolution, workers=settings.workers)

    def _next_batch(self) -> Batch:
        if self.settings.cache:  # every picture was read before
            return next(self.batches)
        return self._shared(lambda: next(self.batches))

    def _encode(self, triples: Triples, phase: int) -> Encoded:
        file = self.settings.output / "cache" / f"phase_{phase}.safetensors"

        def encode() -> Encoded:
            with self.accelerator.autocast():
                return encode_pictures(triples, self.encoders, self.resolution, file)

        first = self._on_main(encode)
        return self._shared(lambda: encode() if first is None else first)  # the others read the file

    def _held_out(self) -> list[Batch]:
        """The first triples of --validation-data; none on other processes than the main one."""
        if not self.settings.validation_data:
            return []

        def read() -> list[Batch]:
            triples, at_once = read_triples(self.settings.validation_data), self.settings.validation_count
            with self.accelerator.autocast():
                return in_parts(triples, self.encoders, max(at_once, _VALIDATION_TRIPLES), at_once, self.resolution)

        return self._on_main(read) or []

    def _validate(self, held_out: list[Batch]) -> None:
        settings, few = self.settings, held_out[0]
        with self._averages_in_place(), self.accelerator.autocast():
            loss = validation.validation_loss(self.networks, held_out, settings.prediction)
            engine = DiffusersEngine(self.networks, self.encoders, settings.prediction, self.resolution)
            sampler = SamplerSettings(steps=settings.validation_steps, guidance_scale=settings.guidance_scale)
            sampled = validation.sample_swaps(engine, few, sampler)
            sheet = validation.picture_sheet(self.encoders, few, sampled)
        self.log.write(self.step, validation_loss=loss)
        self.log.write_sheet(self.step, sheet)

    @contextmanager
    def _averages_in_place(self) -> Iterator[None]:
        """The moving averages as the networks' weights."""
        ema = self.trained.ema
        if ema is None:
            yield
            return
        parameters = list(self.networks.trained().values())
        ema.store(parameters)
        ema.copy_to(parameters)
        try:
            yield
        finally:
            ema.restore(parameters)

    def _should_end(self, stop: Callable[[], bool]) -> bool:
        limit = self.settings.time_limit
        over = stop() or (limit is not None and time.monotonic() - self.began > 60 * limit)
        return self._any_process(over)

    def _is_checkpoint_due(self) -> bool:
        minutes = self.settings.checkpoint_minutes
        late = minutes is not None and time.monotonic() - self.saved_at > 60 * minutes
        return self.step % self.settings.checkpoint_every == 0 or self._any_process(late)

    def _any_process(self, here: bool) -> bool:
        """Whether it is so in one of the processes, which must agree on what comes next."""
        if self.accelerator.num_processes == 1:
            return here
        return self.accelerator.reduce(torch.tensor(float(here), device=self.accelerator.device), "sum").item() > 0

    def _on_main(self, work: Callable[[], Result]) -> Result | None:
        """As _shared, for work of the main process; None in the others."""
        return self._shared(lambda: work() if self.accelerator.is_main_process else None)

    def _shared(self, work: Callable[[], Result]) -> Result:
        """work() in all processes; where it fails in one, all raise its error.

        One that raised, or went on, alone would leave the others waiting for it.
        """
        try:
            result = work()
        except Exception as error:
            self._any_process(True)
            kind = next((kind for kind in _SHARED_ERRORS if isinstance(error, kind)), RuntimeError)
            gather_object([(kind, str(error))])
            raise
        if self._any_process(False):
            kind, message = next(each for each in gather_object([None]) if each is not None)
            raise kind(message)
        return result

    def _elapsed(self) -> float:
        """Seconds, with those of the calls before."""
        return self.elapsed_before + time.monotonic() - self.began

    def _save(self) -> None:
        if self.step == self.saved_step:
            return
        random_states = gather_object([random_state()])
        self.saved_at = time.monotonic()
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None
        state = {"step": self.step, "elapsed": self._elapsed(), "scaler": scaler, "settings": self._recorded()}
        self._on_main(lambda: save_checkpoint(self.settings.output, self.trained, state, random_states))
        self.saved_step = self.step

    def _recorded(self) -> dict:
        recorded = self.settings.recorded(self.accelerator.num_processes)
        return recorded | {"resolution": self.resolution, "triples": [len(triples) for triples in self.phases]}

    def _resume(self, kept: Path) -> None:
        state = load_checkpoint(kept, self.trained, self.accelerator.process_index)
        before, now = state["settings"], self._recorded()
        changed = {name: (before.get(name), now[name]) for name in now if before.get(name) != now[name]}
        for name in changed.keys() & set(FIXED):
            was, wanted = changed[name]
            raise ValueError(
                f"{kept} was trained with {name} {was!r}, this call asks for {wanted!r}. Name another output folder."
            )
        if changed:
            logger.warning("Resumed with other settings, so not exactly: %s", changed)
        self.step, self.elapsed_before = state["step"], state.get("elapsed", 0.0)
        if self.accelerator.scaler is not None and state.get("scaler"):
            self.accelerator.scaler.load_state_dict(state["scaler"])
        logger.info("resumed from %s", kept)

    def _export(self) -> Path:
        folder, settings = self.settings.output / MODEL_FOLDER, self.settings

        def export() -> None:
            ema = self.trained.ema
            averages = dict(zip(self.networks.trained(), ema.shadow_params, strict=True)) if ema else {}
            start = checkpoint.ModelSettings() if settings.model is None else checkpoint.read_settings(settings.model)
            own = replace(start, routing=settings.routing, resolution=self.resolution)
            how = {"prediction": settings.prediction, "dtype": settings.export_dtype}
            export_model(folder, self.networks, averages, self.encoders, own, **how)

        self._on_main(export)
        return folder
