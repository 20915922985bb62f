"""ComfyUI's models as the engine of the method. Touches the host: runs its models, shows its progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import latent_preview
import torch

from .checkpoint import read_settings
from .embedding import encode_image
from .reference_net import ReferenceNet
from .references import References
from .sampling import sample
from .settings import PaintSettings, SamplerSettings
from .states import ImageEmbeds, ReferenceStates


class FaceAnonModel(NamedTuple):
    """All parts of one loaded model folder: an Engine; engine.py defines what each method takes and gives.

    Latents are unscaled, as ComfyUI's VAE gives them. Results lie on the host's intermediate device.
    """

    unet: comfy.model_patcher.ModelPatcher
    source_reference_net: ReferenceNet
    driving_reference_net: ReferenceNet
    clip_vision: comfy.clip_vision.ClipVisionModel
    vae: comfy.sd.VAE

    @property
    def resolution(self) -> int:
        """See Engine.resolution."""
        return self.source_reference_net.resolution

    @property
    def folder(self) -> str:
        """The folder it was loaded from; "" where it is not known."""
        return self.source_reference_net.model  # a MODEL may be patched, or compiled, by other nodes

    @property
    def demonstration(self) -> str:
        """Why the model is not for real use, as its folder says; "" where it is, or where its folder is not known."""
        is_known = bool(self.folder) and os.path.isdir(self.folder)
        return read_settings(Path(self.folder)).demonstration if is_known else ""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See Engine.encode."""
        return self.vae.encode(images[..., :3])

    def embed(self, images: torch.Tensor) -> ImageEmbeds:
        """See Engine.embed."""
        return encode_image(self.clip_vision, images, 0.0)

    def source_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        """See Engine.source_states."""
        return self.source_reference_net.states(latents, embeds)

    def driving_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        """See Engine.driving_states."""
        return self.driving_reference_net.states(latents, embeds)

    def sample(
        self,
        references: References,
        seeds: Sequence[int],
        sampler: SamplerSettings,
        on_step: Callable | None = None,
    ) -> torch.Tensor:
        """See Engine.sample; sampling.sample has the arguments."""
        return sample(self.unet, references, seeds, sampler, on_step)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See Engine.decode."""
        return self.vae.decode(latents).float()

    def progress(self, settings: PaintSettings, runs: int) -> JobProgress:
        """The host's progress bar and previews; see Engine.progress."""
        return JobProgress(self.unet, settings.sampler.steps, runs)


class JobProgress:
    """The progress bar and the previews of a job of several sampler runs, as one run of KSampler shows them."""

    def __init__(self, unet, steps: int, runs: int):
        """
        Args:
            unet: the MODEL, which decides how its latents are previewed.
            steps: of each run.
            runs: how many there are in all.
        """
        self._steps = steps
        self._all = steps * max(1, runs)
        self._show = latent_preview.prepare_callback(unet, self._all)
        self._started = 0  # runs

    def add_runs(self, count: int) -> None:
        """Make the bar longer by so many runs: faces are painted once more."""
        self._all += count * self._steps

    def start_run(self) -> None:
        """Begin the next run, unless the user has interrupted."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._started += 1

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        """Show a step of the current run, unless the user has interrupted.

        Args:
            step: its number, from 0.
            denoised: latents, for the preview.
            x: noised latents.
            steps: of the current run.

        Raises:
            InterruptProcessingException: of ComfyUI; the user has interrupted.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        done = (self._started - 1) * self._steps + step * self._steps // steps
        self._show(done, denoised, x, self._all)
