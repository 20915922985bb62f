"""Settings that a graph leaves to its model: values that were never valid stand for them. Pure: no ComfyUI here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from .checkpoint import ModelSettings, read_settings
from .settings import DDPM, PaintSettings, SamplerSettings

OWN_SIZE = 0  # pixels of a crop
OWN_STEPS = 0
OWN_GUIDANCE = -1.0  # 0 is taken: the conditional prediction alone


def own_settings(folder: str) -> ModelSettings:
    """What a model says of itself.

    Args:
        folder: of the model, as its loaded parts know it.

    Raises:
        ValueError: the folder is gone, or was never known.
    """
    if not folder or not os.path.isdir(folder):
        raise ValueError(
            f"The model's own settings are not known: its folder {folder or '(none)'} is not there any more. Put it "
            "back and load it again, or set size, steps and guidance_scale to numbers."
        )
    return read_settings(Path(folder))


def with_own(sampler: SamplerSettings, folder: str) -> SamplerSettings:
    """Sampler settings whose OWN_STEPS and OWN_GUIDANCE are the model's.

    A model names the steps of the paper's sampler; of others PaintSettings has the usual number.

    Args:
        sampler: with or without such values.
        folder: of the model.

    Raises:
        ValueError: numbers that mean nothing, or the model is asked and its folder is gone.
    """
    if sampler.steps < 0 or (sampler.guidance_scale < 0 and sampler.guidance_scale != OWN_GUIDANCE):
        raise ValueError(
            f"steps is 1 or more, or {OWN_STEPS} for the model's own; guidance_scale is 0 or more, or "
            f"{OWN_GUIDANCE:g} for the model's own; got {sampler.steps} and {sampler.guidance_scale:g}."
        )
    if sampler.steps == OWN_STEPS:
        steps = own_settings(folder).steps if sampler.name == DDPM else PaintSettings.sampler.steps
        sampler = replace(sampler, steps=steps)
    if sampler.guidance_scale == OWN_GUIDANCE:
        sampler = replace(sampler, guidance_scale=own_settings(folder).guidance_scale)
    return sampler
