"""A model folder as the engine of diffusers' networks: checked as ComfyUI's loader checks it, then loaded."""

from __future__ import annotations

from pathlib import Path

import torch

from .. import checkpoint
from ..configs import read_clip_config, read_vae_config
from .encoders import Encoders
from .engine import DiffusersEngine, check_fit
from .networks import ALL, load_networks


def best_device() -> torch.device:
    """The first of CUDA, Apple's MPS and the CPU that torch can use here."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def load_engine(
    folder: Path, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> DiffusersEngine:
    """Load a model folder, in the published layout or the demonstration's.

    Args:
        folder: unet/, referencenet/, conditioning_referencenet/, image_encoder/ and vae/.
        device: where it runs; None is best_device().
        dtype: of the three UNets; None is float16 on a GPU and float32 elsewhere. The encoders stay in float32.

    Raises:
        FileNotFoundError: names the file that is missing, and the next step.
        ValueError: names the file that does not fit, and the next step.
    """
    device = best_device() if device is None else torch.device(device)
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    settings, prediction = checkpoint.read_settings(folder), checkpoint.read_prediction_type(folder)
    clip, vae = folder / checkpoint.IMAGE_ENCODER, folder / checkpoint.VAE
    read_clip_config(clip / "config.json")  # both raise for what nobody should build
    read_vae_config(vae / "config.json")
    encoders = Encoders(vae, clip)
    networks = load_networks([folder / name for name in checkpoint.NETWORKS], settings.routing, ALL, dtype)
    check_fit(networks, encoders)
    networks.eval().requires_grad_(False)
    return DiffusersEngine(networks.to(device), encoders.to(device), prediction, settings.resolution)
