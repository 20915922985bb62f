"""diffusers' networks as the engine of the method. No ComfyUI here.

A training makes its pictures with it, and whoever has no ComfyUI all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .. import ddpm
from ..clip_input import preprocess
from ..references import References
from ..settings import DDPM, PaintSettings, SamplerSettings
from ..states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates
from .encoders import Encoders
from .networks import Networks


class DiffusersEngine:
    """An Engine of diffusers' networks; modules/model/engine.py defines what each method takes and gives.

    Latents are scaled. Layers of states have diffusers' names, and the routing is the networks' own.
    """

    def __init__(self, networks: Networks, encoders: Encoders, prediction: str, resolution: int):
        """
        Args:
            networks: the three UNets.
            encoders: VAE and image encoder.
            prediction: what the UNet predicts, "v_prediction" or "epsilon".
            resolution: side in pixels of the faces that the networks are trained on.
        """
        self.networks = networks
        self.encoders = encoders
        self.prediction = prediction
        self.resolution = resolution

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of images, scaled; see Engine.encode."""
        return self.encoders.encode(images[..., :3].movedim(3, 1).float() * 2 - 1)

    def embed(self, images: torch.Tensor) -> ImageEmbeds:
        """CLIP embeddings of images; see Engine.embed."""
        return ImageEmbeds(self.encoders.embeds(preprocess(images, *self.encoders.clip_input)).float())

    @torch.no_grad()
    def source_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        """States of the source ReferenceNet; see Engine.source_states."""
        context = embeds.embeds.expand(len(latents), -1, -1)
        record = self.networks.record_source
        null = record(torch.zeros_like(latents[:1]), torch.zeros_like(context[:1]))
        return self._states(SOURCE, record(latents, context), null, latents, embeds.degree)

    @torch.no_grad()
    def driving_states(self, latents: torch.Tensor, embeds: ImageEmbeds) -> ReferenceStates:
        """States of the driving ReferenceNet; see Engine.driving_states."""
        context = embeds.embeds.expand(len(latents), -1, -1)
        return self._states(DRIVING, self.networks.record_driving(latents, context), {}, latents, embeds.degree)

    @staticmethod
    def _states(role: str, conditional: dict, unconditional: dict, latents: torch.Tensor, degree: float):
        return ReferenceStates(
            role=role,
            conditional=dict(conditional),
            unconditional=dict(unconditional),
            routes={layer: layer for layer in conditional},
            latent_size=(latents.shape[2], latents.shape[3]),
            embeds_degree=degree,
        )

    @torch.no_grad()
    def sample(
        self,
        references: References,
        seeds: Sequence[int],
        sampler: SamplerSettings,
        on_step: Callable | None = None,
    ) -> torch.Tensor:
        """Latents of faces by the paper's sampler, see Engine.sample; the result lies on the device of the references.

        Args:
            references: of the faces, made by this engine.
            seeds: one a face.
            sampler: with the name DDPM.
            on_step: called after each step with (step from 0, denoised latents, x, number of steps).

        Raises:
            ValueError: another sampler than the paper's, references that do not fit, or another number of seeds than of
                faces.
        """
        if sampler.name != DDPM:
            raise ValueError(f"The sampler {sampler.name} is one of ComfyUI's; this engine has {DDPM} alone.")
        faces = references.check("", self.networks.unet.config.cross_attention_dim)
        if len(seeds) != faces:
            raise ValueError(f"There are {len(seeds)} seeds, but references for {faces} faces.")
        guided = sampler.guidance_scale > 1
        source_embeds = references.source_embeds.embeds.expand(faces, -1, -1)
        driving_embeds = references.driving_embeds.embeds.expand(faces, -1, -1)
        if guided:  # the conditional half, then the unconditional one
            source_embeds = torch.cat([source_embeds, torch.zeros_like(source_embeds)])
            driving_embeds = driving_embeds.repeat(2, 1, 1)
        states = _joined_states(references, faces, guided)
        schedule = ddpm.Schedule.of(sampler.steps)

        def denoise(x: torch.Tensor, i: int) -> torch.Tensor:
            timestep = schedule.timesteps[i]
            given = torch.cat([x, x]) if guided else x
            times = timestep.expand(len(given)).to(x.device)
            predicted = self.networks.predict(given, times, source_embeds, driving_embeds, states).float()
            if guided:
                conditional, unconditional = predicted.chunk(2)
                predicted = torch.lerp(unconditional, conditional, sampler.guidance_scale)
            alpha = schedule.alphas_cumprod[timestep].item()
            if self.prediction == "epsilon":
                return (x - (1 - alpha) ** 0.5 * predicted) / alpha**0.5
            return alpha**0.5 * x - (1 - alpha) ** 0.5 * predicted

        def show_step(i: int, x: torch.Tensor, denoised: torch.Tensor) -> None:
            if on_step is not None:
                on_step(i, denoised, x, sampler.steps)

        generators = ddpm.face_generators(seeds)
        shape = (self.encoders.latent_channels, *references.latent_size)
        noise = ddpm.draw_noise(generators, shape).to(source_embeds.device)
        return ddpm.sample(denoise, noise, schedule, generators, show_step)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of scaled latents, clamped to 0..1; see Engine.decode."""
        return ((self.encoders.decode_pixels(latents) + 1) / 2).clamp(0, 1).movedim(1, 3)

    def progress(self, settings: PaintSettings, runs: int) -> SilentProgress:
        """A Progress that shows nothing."""
        return SilentProgress()


class SilentProgress:
    """A Progress that shows nothing."""

    def add_runs(self, count: int) -> None:
        """Do nothing."""
        pass

    def start_run(self) -> None:
        """Do nothing."""
        pass

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        """Do nothing."""
        pass


def _joined_states(references: References, faces: int, guided: bool) -> dict[str, torch.Tensor]:
    """Layer -> source and driving states along the tokens, [faces, tokens, channels], of both halves when guided."""
    joined = {}
    for layer, source in references.source_states.conditional.items():
        source = source.expand(faces, -1, -1)
        driving = references.driving_states.conditional[layer].expand(faces, -1, -1)
        if guided:
            null = references.source_states.unconditional[layer].expand(faces, -1, -1)
            source, driving = torch.cat([source, null]), driving.repeat(2, 1, 1)
        joined[layer] = torch.cat([source, driving], dim=1)
    return joined
