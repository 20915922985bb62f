"""What a training is watched by: the loss on held-out triples, always under the same noise, and pictures of a few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..model import ddpm
from .batches import Batch
from .encoders import Encoders
from .networks import Networks
from .objective import draw, loss_of, training_scheduler

_SEED = 1


@torch.no_grad()
def validation_loss(networks: Networks, batches: list[Batch], prediction: str) -> float:
    """The training loss of held-out triples, conditional, each at a timestep and under noise of its own."""
    scheduler = training_scheduler(prediction)
    sizes = [len(batch.truth_latents) for batch in batches]
    # evenly over the schedule, so that few triples say as much as many random ones
    timesteps = ((torch.arange(sum(sizes)) + 0.5) / sum(sizes) * ddpm.TRAIN_STEPS).long().split(sizes)
    total = 0.0
    for number, (batch, size) in enumerate(zip(batches, sizes, strict=True)):
        drawn = draw(batch.truth_latents, 1, 0.0, (_SEED, number))
        drawn = drawn._replace(timesteps=timesteps[number].to(drawn.timesteps.device))
        total += size * loss_of(networks, batch, drawn, scheduler).item()
    return total / sum(sizes)


@torch.no_grad()
def sample_swaps(networks: Networks, batch: Batch, prediction: str, steps: int, guidance: float) -> torch.Tensor:
    """Scaled latents [B, C, h, w] that the paper's sampler makes of held-out triples: degree 0, the source's identity.

    steps: 1 to 1000. guidance: w of v = (1 - w) v_uncond + w v_cond.
    """
    schedule = ddpm.Schedule.of(steps)
    generators = ddpm.face_generators(range(_SEED, _SEED + len(batch.truth_latents)))
    # the conditional half, then the unconditional one
    source_latents, source_embeds = (
        torch.cat([part, torch.zeros_like(part)]) for part in (batch.source_latents, batch.source_embeds)
    )
    driving_latents, driving_embeds = (
        torch.cat([part, part]) for part in (batch.driving_latents, batch.driving_embeds)
    )
    states = networks.states(source_latents, driving_latents, source_embeds, driving_embeds)

    def denoise(x: torch.Tensor, i: int) -> torch.Tensor:
        timestep = schedule.timesteps[i]
        times = timestep.expand(2 * len(x)).to(x.device)
        predicted = networks.predict(torch.cat([x, x]), times, source_embeds, driving_embeds, states).float()
        conditional, unconditional = predicted.chunk(2)
        guided = torch.lerp(unconditional, conditional, guidance)
        alpha = schedule.alphas_cumprod[timestep].item()
        if prediction == "epsilon":
            return (x - (1 - alpha) ** 0.5 * guided) / alpha**0.5
        return alpha**0.5 * x - (1 - alpha) ** 0.5 * guided

    noise = ddpm.draw_noise(generators, batch.truth_latents.shape[1:]).to(batch.truth_latents.device)
    return ddpm.sample(denoise, noise, schedule, generators)


def picture_sheet(encoders: Encoders, batch: Batch, sampled: torch.Tensor) -> np.ndarray:
    """uint8 [rows, columns, 3]: one row a triple, with source, driving image, truth and what was sampled."""
    columns = [batch.source_latents, batch.driving_latents, batch.truth_latents, sampled]
    pictures = torch.stack([encoders.decode(latents).cpu() for latents in columns], dim=1)
    triples, _, height, width, _ = pictures.shape
    return pictures.permute(0, 2, 1, 3, 4).reshape(triples * height, 4 * width, 3).numpy()


def save_sheet(sheet: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(file)
