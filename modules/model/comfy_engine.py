"""ComfyUI's models as the engine of the method. Touches the host: runs its models, shows its progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import comfy.clip_vision
import comfy.model_patcher
import comfy.sd
import torch

from .checkpoint import read_settings
from .embedding import encode_image
from .progress import JobProgress, LatentPictures, Tell
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

    def progress(self, settings: PaintSettings, runs: int, faces: int) -> JobProgress:
        """The host's progress bar; see Engine.progress."""
        return JobProgress(settings.sampler.steps, runs, faces)


class WatchedModel(FaceAnonModel):
    """A model whose user looks on: the faces that are painted are shown, and in words how far they are."""

    tell: Tell
    has_pictures: bool

    @classmethod
    def of(cls, model: FaceAnonModel, tell: Tell, has_pictures: bool = True) -> WatchedModel:
        """The same model, watched.

        Args:
            model: all its parts.
            tell: called with the words, a few times a second at most.
            has_pictures: whether previews are made.
        """
        watched = cls(*model)
        watched.tell, watched.has_pictures = tell, has_pictures
        return watched

    def progress(self, settings: PaintSettings, runs: int, faces: int) -> JobProgress:
        """The host's progress bar, with previews and words; see Engine.progress."""
        pictures = LatentPictures(self.unet, self.vae) if self.has_pictures else None
        return JobProgress(settings.sampler.steps, runs, faces, pictures=pictures, tell=self.tell)
