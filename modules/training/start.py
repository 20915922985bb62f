"""What a training starts from: networks and the optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from ..model import checkpoint
from ..model.diffusers_engine.networks import Networks, join_networks, load_networks, read_unet_config
from .attention_start import start_from_lookup
from .settings import TrainingSettings


def make_start(settings: TrainingSettings) -> Networks:
    """The networks that the settings name, before any step; ValueError for a model that was trained another way."""
    options = (settings.routing, settings.trained_reference)
    if settings.unet_config is not None:
        return make_networks(settings.unet_config, settings.seed, *options)
    if settings.unet is not None:
        return load_networks([settings.unet] * 3, *options)
    assert settings.model is not None  # one of the three, as Settings.check has it
    own = {
        "routing": checkpoint.read_settings(settings.model).routing,
        "prediction": checkpoint.read_prediction_type(settings.model),
    }
    for name, value in own.items():
        if getattr(settings, name) != value:
            raise ValueError(
                f"{settings.model} was trained with {name} {value}, not {getattr(settings, name)}: --{name} {value} "
                f"continues it."
            )
    return load_networks([settings.model / name for name in checkpoint.NETWORKS], *options)


def make_networks(config: Path, seed: int, routing: str, trained_reference: str) -> Networks:
    """Networks from scratch: all three have the same start, random but for the self-attention (start_from_lookup).

    Args:
        config: a diffusers UNet config.
        seed: of the start.
        routing: see UNetLayout.routes.
        trained_reference: ATTENTION (the paper) or ALL: what of the ReferenceNets is trained.

    Raises:
        FileNotFoundError, ValueError: there is no such config, or ComfyUI could not load a model of it.
    """
    nets = []
    for _ in checkpoint.NETWORKS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            nets.append(UNet2DConditionModel.from_config(read_unet_config(config)))
        start_from_lookup(nets[-1], seed)
    return join_networks(nets, [config] * 3, routing, trained_reference)


def make_optimizer(settings: TrainingSettings, parameters: list) -> torch.optim.Optimizer:
    """AdamW, or bitsandbytes' 8-bit one; ImportError with the next step when that is not installed."""
    options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **options)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ImportError(
            "--optimizer adamw8bit needs bitsandbytes (pip install bitsandbytes), or take --optimizer adamw."
        ) from error
    return AdamW8bit(parameters, **options)
