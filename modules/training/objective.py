"""What is minimised: the mean squared error of v or epsilon on noised truth latents (section 3.1 of the paper)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from diffusers import DDPMScheduler

from ..model import ddpm
from .batches import Batch
from .settings import TrainingSettings

_LESS_THAN_ANY = 1e-3  # of the learning rate: where the cosine ends


class Drawn(NamedTuple):
    """What is drawn for one micro-step of one process.

    Args:
        noise: float32 [B * draws, C, h, w]; the draws of a triple stand side by side.
        timesteps: int64 [B * draws], 0..999.
        null: bool [B], which triples are trained without their source.
    """

    noise: torch.Tensor
    timesteps: torch.Tensor
    null: torch.Tensor


def training_scheduler(prediction: str) -> DDPMScheduler:
    """The noise schedule of modules/model/ddpm.py as diffusers has it, with "v_prediction" or "epsilon"."""
    return DDPMScheduler(
        num_train_timesteps=ddpm.TRAIN_STEPS,
        beta_start=ddpm.BETA_START,
        beta_end=ddpm.BETA_END,
        beta_schedule="scaled_linear",
        variance_type="fixed_small",
        timestep_spacing="leading",
        steps_offset=1,
        clip_sample=False,
        prediction_type=prediction,
    )


def draw(latents: torch.Tensor, draws: int, null_share: float, course: tuple[int, ...]) -> Drawn:
    """Draw noise, timesteps and the unconditional triples of a micro-step.

    Args:
        latents: of the truth, [B, C, h, w].
        draws: of noise and timestep, for each triple.
        null_share: of triples that are trained without their source, 0..1.
        course: (seed, step, micro-step, rank), which alone decide what is drawn, on the CPU as everywhere.

    Returns:
        Drawn, on the device of the latents.
    """
    seed = int(np.random.SeedSequence(course).generate_state(1, np.uint64)[0] >> 1)
    generator = torch.Generator().manual_seed(seed)
    count = len(latents) * draws
    noise = torch.randn((count, *latents.shape[1:]), generator=generator)
    timesteps = torch.randint(ddpm.TRAIN_STEPS, (count,), generator=generator)
    null = torch.rand(len(latents), generator=generator) < null_share
    return Drawn(*(part.to(latents.device) for part in (noise, timesteps, null)))


def loss_of(networks, batch: Batch, drawn: Drawn, scheduler: DDPMScheduler) -> torch.Tensor:
    """The mean squared error of what the networks predict for noised truth latents (section 3.1 of the paper).

    Args:
        networks: Networks, or what accelerate made of them.
        batch: B triples.
        drawn: for these.
        scheduler: of training_scheduler; it decides whether v or epsilon is predicted.

    Returns:
        The mean over all draws, a scalar with a gradient.
    """
    present = ~drawn.null.view(-1, 1, 1, 1)
    source_latents = torch.where(present, batch.source_latents, 0.0)
    source_embeds = torch.where(present[..., 0], batch.source_embeds, 0.0)
    draws = len(drawn.noise) // len(batch.truth_latents)
    truth = batch.truth_latents.repeat_interleave(draws, dim=0)
    noisy = scheduler.add_noise(truth, drawn.noise, drawn.timesteps)
    if scheduler.config.prediction_type == "epsilon":
        target = drawn.noise
    else:
        target = scheduler.get_velocity(truth, drawn.noise, drawn.timesteps)
    references = (source_latents, batch.driving_latents, source_embeds, batch.driving_embeds)
    predicted = networks(noisy, drawn.timesteps, references)
    return torch.nn.functional.mse_loss(predicted.float(), target)


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """The learning rate of an optimizer step: a linear warm-up, then constant or a cosine to almost nothing.

    Args:
        settings: of the training.
        step: from 0.
    """
    rate = settings.learning_rate * min(1.0, (step + 1) / (settings.warmup + 1))
    if settings.lr_schedule == "cosine" and step >= settings.warmup:
        done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
        rate *= max(_LESS_THAN_ANY, 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
    return rate
