"""What the method needs of the networks, whoever runs them. Pure: no ComfyUI here.

There are two engines: ComfyUI's models (comfy_engine.py) and diffusers' (diffusers_engine/engine.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from .references import References
from .settings import PaintSettings, SamplerSettings
from .states import ImageEmbeds, ReferenceStates


class Progress(Protocol):
    """Follows a job of several sampler runs; each method may raise to end the job."""

    def add_runs(self, count: int) -> None:
        """Called where the job takes more runs than was said when it began."""
        ...

    def start_run(self, faces: int, again: bool = False) -> None:
        """Called before each run.

        Args:
            faces: that are painted in it.
            again: whether they are painted at other times too, and are not among the faces of the job.
        """
        ...

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        """Called after each step of a run; see Engine.sample.

        Args:
            step: its number, from 0.
            denoised: the denoised latents, [B, C, h, w].
            x: the noised latents, of the same shape.
            steps: of the current run.
        """
        ...


class Engine(Protocol):
    """The networks of one model: an image encoder, a VAE, two ReferenceNets and a denoising UNet.

    Images are float [B, H, W, 3], 0..1. Latents are [B, C, h, w] in a scale of the engine's own.
    """

    @property
    def resolution(self) -> int:
        """Side in pixels of the faces that the model was trained on."""
        ...

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of images: the mean of the VAE's posterior. A fourth channel, alpha, is left out."""
        ...

    def embed(self, images: torch.Tensor) -> ImageEmbeds:
        """CLIP embeddings of images, of degree 0."""
        ...

    def source_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        """States of the source ReferenceNet, with their unconditional half."""
        ...

    def driving_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        """States of the driving ReferenceNet."""
        ...

    def sample(
        self,
        references: References,
        seeds: Sequence[int],
        sampler: SamplerSettings,
        on_step: Callable | None = None,
    ) -> torch.Tensor:
        """Sample latents.

        Args:
            references: of B faces.
            seeds: B of them, one a face.
            sampler: how latents are sampled.
            on_step: called after each step with (step from 0, denoised latents, x, number of steps); None for none.

        Returns:
            Latents of the faces, [B, C, h, w].

        Raises:
            ValueError: references that do not fit each other or this model, or another number of seeds.
        """
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of latents, float32."""
        ...

    def progress(self, settings: PaintSettings, runs: int, faces: int) -> Progress:
        """Progress of a job of so many sampler runs and faces, shown as the engine shows it."""
        ...
