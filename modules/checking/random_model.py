"""Write a model folder with random weights: of the published architecture and full size, or a tiny sister of it.

What a face costs hangs on the shapes of the weights, not on their values, and what a device rounds shows on any values:
so both are measured without a download.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file

from ..model.checkpoint import DRIVING_REFERENCE_NET, IMAGE_ENCODER, SOURCE_REFERENCE_NET, UNET, VAE
from .shapes import image_encoder_shapes, unet_shapes, vae_shapes


class Architecture(NamedTuple):
    """The sizes of a model.

    Args:
        unet, vae, image_encoder: the config.json of each network; all three UNets are alike.
        resolution: side of the faces in pixels.
    """

    unet: dict
    vae: dict
    image_encoder: dict
    resolution: int


def _architecture(
    *, widths, heads, vae_widths, encoder: tuple[int, int, int, int], layers: int, groups: int, resolution: int
) -> Architecture:
    """The published architecture with other sizes. encoder: width, layers, heads and side of its pictures."""
    levels = len(widths)
    width, depth, encoder_heads, side = encoder
    return Architecture(
        unet={
            "block_out_channels": widths,
            "attention_head_dim": heads,
            "cross_attention_dim": width,
            "down_block_types": ["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1),
            "in_channels": 4,
            "out_channels": 4,
            "layers_per_block": layers,
            "norm_num_groups": groups,
            "upcast_attention": True,
            "use_linear_projection": True,
        },
        vae={
            "block_out_channels": vae_widths,
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "layers_per_block": layers,
            "norm_num_groups": groups,
            "scaling_factor": 0.18215,
        },
        image_encoder={
            "model_type": "clip_vision_model",
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": depth,
            "num_attention_heads": encoder_heads,
            "num_channels": 3,
            "patch_size": side // 16,
            "image_size": side,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "projection_dim": 3 * width // 4,
        },
        resolution=resolution,
    )


FULL_SIZE = _architecture(
    widths=[320, 640, 1280, 1280],
    heads=[5, 10, 20, 20],
    vae_widths=[128, 256, 512, 512],
    encoder=(1024, 24, 16, 224),
    layers=2,
    groups=32,
    resolution=512,
)
# Eight channels or more a group, as at full size: the normalisation of few, of a constant input, enlarges rounding.
TINY = _architecture(
    widths=[32, 64, 64],
    heads=[1, 2, 2],
    vae_widths=[32, 32, 32, 32],
    encoder=(64, 2, 2, 64),
    layers=1,
    groups=4,
    resolution=128,
)


def write_random_model(
    folder: Path, architecture: Architecture, dtype: torch.dtype, seed: int, say: Callable[[str], None]
) -> None:
    """Write a whole model folder with random weights; all three UNets are one file on disk.

    Args:
        folder: there, and empty.
        architecture: FULL_SIZE or TINY.
        dtype: of the weights in the files; their values are the same in every dtype.
        seed: of the weights.
        say: takes lines of progress.
    """
    generator = torch.Generator().manual_seed(seed)
    for network, config, shapes in (
        (UNET, architecture.unet, unet_shapes),
        (VAE, architecture.vae, vae_shapes),
        (IMAGE_ENCODER, architecture.image_encoder, image_encoder_shapes),
    ):
        say(f"writing random weights: {network}")
        (folder / network).mkdir()
        (folder / network / "config.json").write_text(json.dumps(config), encoding="utf-8")
        tensors = {key: _random(key, shape, generator).to(dtype) for key, shape in shapes(config).items()}
        save_file(tensors, folder / network / "model.safetensors")
    for network in (SOURCE_REFERENCE_NET, DRIVING_REFERENCE_NET):
        (folder / network).mkdir()
        for file in (folder / UNET).iterdir():
            os.link(file, folder / network / file.name)
    settings = {"resolution": architecture.resolution}
    (folder / "face_anon.json").write_text(json.dumps(settings), encoding="utf-8")


def _random(key: str, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    """Weights that keep the size of what goes through them, as trained ones do.

    Numbers that fp8 has too, and so every other dtype: the same weights whatever they are loaded in, also under dynamic
    VRAM, which rounds some layers and leaves others as they are in the file.
    """
    if key.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1 and "norm" in key:
        return torch.ones(shape)
    weights = torch.randn(shape, generator=generator) / max(1, torch.Size(shape[1:]).numel()) ** 0.5
    return weights.to(torch.float8_e4m3fn).float()
