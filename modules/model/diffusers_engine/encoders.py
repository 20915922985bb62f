"""The frozen encoders: VAE and CLIP image encoder, as diffusers and transformers load them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...files import sha256_of
from .. import checkpoint
from ..clip_input import preprocess


class ClipInput(NamedTuple):
    """How the image encoder wants its pictures; small, so that loader processes can have it without the encoder."""

    size: int
    mean: list[float]
    std: list[float]

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """uint8 [B, H, W, 3] -> float32 [B, 3, size, size]."""
        return preprocess(pictures.float() / 255, *self)


class Encoders:
    """VAE and image encoder, float32 and frozen, on the CPU until `to` moves them.

    Args:
        vae_folder, encoder_folder: config.json and safetensors, as diffusers and transformers save them.

    Raises:
        FileNotFoundError, ValueError: weights are missing or not safetensors; the message names the folder.
    """

    def __init__(self, vae_folder: Path, encoder_folder: Path):
        self.folders = (vae_folder, encoder_folder)
        for folder in self.folders:
            checkpoint.weight_files(folder)
        self.vae = _load(AutoencoderKL, vae_folder)
        self.clip = _load(CLIPVisionModel, encoder_folder)
        config = checkpoint.read_json(encoder_folder / "config.json")
        config = config.get("vision_config", config)
        self.clip_input = ClipInput(
            self.clip.config.image_size,
            list(config.get("image_mean", OPENAI_CLIP_MEAN)),
            list(config.get("image_std", OPENAI_CLIP_STD)),
        )

    @property
    def latent_channels(self) -> int:
        """The number of channels of a latent."""
        return self.vae.config.latent_channels

    @property
    def width(self) -> int:
        """The width of an embedding."""
        return self.clip.config.hidden_size

    def to(self, device) -> Encoders:
        """Move both encoders to a device; returns this object."""
        self.vae.to(device)
        self.clip.to(device)
        return self

    @torch.no_grad()
    def latents(self, pictures: torch.Tensor) -> torch.Tensor:
        """uint8 [B, H, W, 3] -> the posterior's mean times the scaling factor, [B, C, H / 8, W / 8].

        The paper samples the posterior; inference here takes the mean, and so does training.
        """
        return self.encode(pictures.to(self.vae.device).movedim(3, 1).float() / 127.5 - 1)

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """The same latents from float pixels [B, 3, H, W], -1..1."""
        latents = self.vae.encode(pixels.to(self.vae.device)).latent_dist.mean * self.vae.config.scaling_factor
        return latents.float().contiguous()  # channels last, as they come, crash the UNet's backward on CPUs

    @torch.no_grad()
    def embeds(self, clip_pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, size, size] of ClipInput -> [B, 1, width], the pooler output, before any projection."""
        return self.clip(pixel_values=clip_pixels.to(self.clip.device)).pooler_output[:, None]

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents [B, C, h, w] -> uint8 pictures [B, H, W, 3]."""
        return ((self.decode_pixels(latents) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(1, 3)

    @torch.no_grad()
    def decode_pixels(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents [B, C, h, w] -> float32 pixels [B, 3, H, W], about -1..1."""
        return self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0].float()

    def digest(self) -> str:
        """A digest of both configs and all weights, by which a cache knows its encoders."""
        files = ([folder / "config.json", *checkpoint.weight_files(folder)] for folder in self.folders)
        return sha256_of(*itertools.chain.from_iterable(files))


def _load(kind: type, folder: Path):
    # else diffusers warns where accelerate, which is of no use here, is not installed
    options = {"low_cpu_mem_usage": False} if kind is AutoencoderKL else {}
    model, report = kind.from_pretrained(
        folder,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        torch_dtype=torch.float32,
        **options,
    )
    # position_ids are a constant that old files carry; text and projection are of a whole CLIP
    missing = [key for key in report["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} tensors of the {kind.__name__} are missing (first: {min(missing)}). Weights and "
            f"config.json belong to different models; get both again."
        )
    return model.eval().requires_grad_(False)
