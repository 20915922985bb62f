"""ComfyUI's models as the engine of the method. Touches the host: runs its models, shows its progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import latent_preview
import torch

from .embedding import encode_image
from .reference_net import ReferenceNet
from .references import References
from .sampling import sample
from .settings import PaintSettings, SamplerSettings
from .states import ImageEmbeds, ReferenceStates


class FaceAnonModel(NamedTuple):
    """All parts of one loaded model folder; an Engine (engine.py says what each method takes and gives).

    Latents are unscaled, as ComfyUI's VAE gives them. Results lie on the host's intermediate device.
    """

    unet: comfy.model_patcher.ModelPatcher
    source_reference_net: ReferenceNet
    driving_reference_net: ReferenceNet
    clip_vision: comfy.clip_vision.ClipVisionModel
    vae: comfy.sd.VAE

    @property
    def resolution(self) -> int:
        return self.source_reference_net.resolution

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self.vae.encode(images[..., :3])

    def embed(self, images: torch.Tensor) -> ImageEmbeds:
        return encode_image(self.clip_vision, images, 0.0)

    def source_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        return self.source_reference_net.states(latents, embeds)

    def driving_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        return self.driving_reference_net.states(latents, embeds)

    def sample(
        self,
        references: References,
        seeds: Sequence[int],
        sampler: SamplerSettings,
        on_step: Callable | None = None,
    ) -> torch.Tensor:
        return sample(self.unet, references, seeds, sampler, on_step)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.vae.decode(latents).float()

    def progress(self, settings: PaintSettings, runs: int) -> JobProgress:
        return JobProgress(self.unet, settings.sampler.steps, runs)


class JobProgress:
    """The progress bar and the previews of a job of several sampler runs, as one run of KSampler shows them."""

    def __init__(self, unet, steps: int, runs: int):
        """
        Args:
            unet: the MODEL, which says how its latents are previewed.
            steps: of each run.
            runs: how many there are in all.
        """
        self._steps = steps
        self._all = steps * max(1, runs)
        self._show = latent_preview.prepare_callback(unet, self._all)
        self._started = 0  # runs

    def start_run(self) -> None:
        """Begin the next run, unless the user has interrupted."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._started += 1

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        """Show step number `step` of the `steps` of the current run, unless the user has interrupted."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        done = (self._started - 1) * self._steps + step * self._steps // steps
        self._show(done, denoised, x, self._all)
