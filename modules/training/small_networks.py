"""The loop that the small networks beside the method share: autoencoder, image encoder, regressor."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from ..files import append_json_line, replaced_whole
from ..model.checkpoint import check_safetensors
from .state import flatten, random_state, set_random_state, unflatten

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
_LOG_SECONDS = 60


@dataclass(frozen=True)
class Course:
    """How a small network is trained.

    Minutes on a CPU are those that the thread was running: of a process that is held back by others, or stopped for a
    while, they do not go by. On a GPU they are the clock's. Either way checkpoints and their measurements are free.

    Args:
        steps: at most.
        minutes: after which it ends earlier, with the learning rate at its end; None: no limit.
        batch: pictures of a step.
        learning_rate: after the warm-up; a cosine takes it to 0.
        seed: of the batches, and of what the loss draws.
        warmup: steps in which the learning rate rises.
    """

    steps: int
    minutes: float | None
    batch: int
    learning_rate: float
    seed: int
    warmup: int = 200


@dataclass(frozen=True)
class Keeping:
    """Where a course can be resumed from: one safetensors file in a folder, beside a log.jsonl of its figures.

    Args:
        folder: made if need be.
        minutes: between two checkpoints.
        measure: figures for the log at each of them; it draws no random numbers.
        stop: asked after every step; True ends the course with a checkpoint.
    """

    folder: Path
    minutes: float = 10
    measure: Callable[[], dict[str, float]] = dict
    stop: Callable[[], bool] = lambda: False


# Numbers of pictures [batch], share of the course that is done, generator -> loss, and what the progress bar shows.
Loss = Callable[[torch.Tensor, float, torch.Generator], tuple[torch.Tensor, float]]


def fit(network: nn.Module, pictures: int, loss: Loss, course: Course, keeping: Keeping | None = None) -> bool:
    """Train with AdamW on random batches of pictures, under a cosine.

    A checkpoint in the folder of `keeping` is continued; a longer course than the one it is from goes on as the longer
    one would. A course of steps that was interrupted ends with the weights of an unbroken one, bit for bit.

    Args:
        network: changed in place.
        pictures: how many there are; the loss gets their numbers.
        loss: see Loss.
        course: how long, and with which settings.
        keeping: where checkpoints go; None: there are none.

    Returns:
        Whether the course is at its end; False where keeping.stop ended it.

    Raises:
        ValueError: a loss is not finite, or the checkpoint is damaged or of another network.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=course.learning_rate, weight_decay=0.01, fused=True)
    run = _Run(network, optimizer, torch.Generator().manual_seed(course.seed))
    if keeping is not None and (keeping.folder / CHECKPOINT).is_file():
        run.load(keeping.folder / CHECKPOINT)
    clock = time.thread_time if next(network.parameters()).device.type == "cpu" else time.monotonic
    saved = logged = time.monotonic()
    with tqdm(total=course.steps, initial=run.step) as progress:
        while (done := run.done(course)) < 1:
            began = clock()
            _take_step(run, pictures, loss, course, done)
            progress.update()
            if run.step % 20 == 1:
                progress.set_postfix(loss=f"{run.running:.4f}")
            run.seconds += clock() - began
            if keeping is None:
                continue
            now = time.monotonic()
            if keeping.stop():
                _save(run, keeping)
                return False
            if now - saved >= 60 * keeping.minutes:
                _save(run, keeping)
                saved = logged = time.monotonic()
            elif now - logged >= _LOG_SECONDS:
                _log(run, keeping)
                logged = now
    if keeping is not None:
        _save(run, keeping)
    return True


def autocast(device: str) -> torch.autocast:
    """bfloat16 where the device has it; a processor without would emulate it, a hundred times slower."""
    kind = torch.device(device).type
    has_it = kind != "cpu" or (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(kind, torch.bfloat16, enabled=has_it)


class _Run:
    """Everything that the next step depends on. seconds: of all steps. running: mean of what the last ones showed."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator):
        self.network, self.optimizer, self.generator = network, optimizer, generator
        self.step, self.seconds, self.running = 0, 0.0, None

    def done(self, course: Course) -> float:
        """Share of the course."""
        of_steps = self.step / course.steps
        return max(of_steps, self.seconds / 60 / course.minutes) if course.minutes else of_steps

    def save(self, file: Path) -> None:
        """Whole or not at all: written beside the last one, which it replaces then."""
        optimizer, rest = flatten(self.optimizer.state_dict())
        parts = {
            "network": self.network.state_dict(),
            "optimizer": optimizer,
            "random": random_state() | {"generator": self.generator.get_state()},
        }
        tensors = {
            f"{part}.{name}": value.contiguous() for part, values in parts.items() for name, value in values.items()
        }
        state = {"step": self.step, "seconds": self.seconds, "running": self.running, "optimizer": rest}
        with replaced_whole(file) as part:
            save_file(tensors, part, metadata={"state": json.dumps(state)})

    def load(self, file: Path) -> None:
        """ValueError for a file that is damaged or of another network."""
        check_safetensors(file)
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "optimizer": {}, "random": {}}
        with safe_open(file, framework="pt") as kept:
            state = json.loads(kept.metadata()["state"])
            for key in kept.keys():  # noqa: SIM118 - it is no dict
                part, _, name = key.partition(".")
                parts[part][name] = kept.get_tensor(key)
        try:
            self.network.load_state_dict(parts["network"])
        except RuntimeError as error:
            raise ValueError(f"{file} is of another network: resume with the options that it began with.") from error
        self.optimizer.load_state_dict(unflatten(parts["optimizer"], state["optimizer"]))
        self.generator.set_state(parts["random"].pop("generator"))
        set_random_state(parts["random"])
        self.step, self.seconds, self.running = state["step"], state["seconds"], state["running"]


def _take_step(run: _Run, pictures: int, loss: Loss, course: Course, done: float) -> None:
    warm = min(1, (run.step + 1) / course.warmup)
    run.optimizer.param_groups[0]["lr"] = course.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))
    chosen = torch.randint(pictures, (course.batch,), generator=run.generator)
    value, shown = loss(chosen, done, run.generator)
    if not torch.isfinite(value):
        raise ValueError(f"The loss of step {run.step + 1} is {value.item()}: take a smaller --learning-rate.")
    run.optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    run.optimizer.step()
    run.running = shown if run.running is None else 0.98 * run.running + 0.02 * shown
    run.step += 1


def _save(run: _Run, keeping: Keeping) -> None:
    keeping.folder.mkdir(parents=True, exist_ok=True)
    run.save(keeping.folder / CHECKPOINT)
    training = run.network.training
    _log(run, keeping, **keeping.measure())
    run.network.train(training)


def _log(run: _Run, keeping: Keeping, **figures: float) -> None:
    keeping.folder.mkdir(parents=True, exist_ok=True)
    line = {"step": run.step, "minutes": run.seconds / 60, "loss": run.running} | figures
    rounded = {name: value if isinstance(value, int) else float(f"{value:.6g}") for name, value in line.items()}
    append_json_line(keeping.folder / LOG, rounded)
