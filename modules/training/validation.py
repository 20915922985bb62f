"""What a training is watched by: the loss on held-out triples, always under the same noise, and pictures of a few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..files import replaced_whole
from ..model import ddpm
from ..model.diffusers_engine.encoders import Encoders
from ..model.diffusers_engine.engine import DiffusersEngine
from ..model.diffusers_engine.networks import Networks
from ..model.references import EncodedImages, References
from ..model.settings import SamplerSettings
from ..model.states import ImageEmbeds
from .batches import Batch
from .objective import draw, loss_of, training_scheduler

_SEED = 1


@torch.no_grad()
def validation_loss(networks: Networks, batches: list[Batch], prediction: str) -> float:
    """The training loss of held-out triples, conditional, each at a timestep and under noise of its own.

    Args:
        networks: that are trained.
        batches: the triples.
        prediction: what the UNet predicts, "v_prediction" or "epsilon".

    Returns:
        The mean over all triples.
    """
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


def sample_swaps(engine: DiffusersEngine, batch: Batch, sampler: SamplerSettings) -> torch.Tensor:
    """Sample what held-out triples should become: degree 0, the source's identity on the driving image.

    Args:
        engine: of the networks that are trained.
        batch: of B triples.
        sampler: the paper's, of any number of steps.

    Returns:
        Scaled latents [B, C, h, w]; triple i has seed 1 + i.
    """
    source = EncodedImages(batch.source_latents, ImageEmbeds(batch.source_embeds))
    driving = EncodedImages(batch.driving_latents, ImageEmbeds(batch.driving_embeds))
    references = References.of(engine, source, driving, degree=0.0)
    return engine.sample(references, range(_SEED, _SEED + references.batch), sampler)


def picture_sheet(encoders: Encoders, batch: Batch, sampled: torch.Tensor) -> np.ndarray:
    """One row of pictures a triple: source, driving image, truth and what was sampled.

    Args:
        encoders: whose VAE decodes.
        batch: of B triples.
        sampled: scaled latents [B, C, h, w] of sample_swaps.

    Returns:
        uint8 [B * height, 4 * width, 3].
    """
    columns = [batch.source_latents, batch.driving_latents, batch.truth_latents, sampled]
    pictures = torch.stack([encoders.decode(latents).cpu() for latents in columns], dim=1)
    triples, _, height, width, _ = pictures.shape
    return pictures.permute(0, 2, 1, 3, 4).reshape(triples * height, 4 * width, 3).numpy()


def save_sheet(sheet: np.ndarray, file: Path) -> None:
    """Write a sheet to `file`, whose folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced_whole(file) as part:
        Image.fromarray(sheet).save(part, file.suffix[1:])
