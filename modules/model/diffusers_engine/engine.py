"""diffusers' networks as the engine of the method. No ComfyUI here.

A training makes its pictures with it, and whoever has no ComfyUI all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature

import torch

from .. import ddpm
from ..clip_input import preprocess
from ..engine import Progress
from ..references import References
from ..settings import DDPM, PaintSettings, SamplerSettings
from ..states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates
from .encoders import Encoders
from .networks import Networks
from .processors import KeptProjections
from .samplers import alpha_bar, make_scheduler


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
        self.make_progress: Callable[[PaintSettings, int], Progress] = lambda settings, runs: SilentProgress()

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
        """Latents of faces, see Engine.sample; the result lies on the device of the references.

        Args:
            references: of the faces, made by this engine.
            seeds: one a face.
            sampler: the paper's, or one of samplers.SAMPLERS.
            on_step: called after each step with (step from 0, denoised latents, x, number of steps).

        Raises:
            ValueError: a sampler that diffusers has not, references that do not fit, or another number of seeds than
                of faces.
        """
        generators = ddpm.face_generators(seeds)
        shape = (self.encoders.latent_channels, *references.latent_size)
        noise = ddpm.draw_noise(generators, shape).to(references.source_embeds.embeds.device)

        def show_step(i: int, x: torch.Tensor, denoised: torch.Tensor) -> None:
            if on_step is not None:
                on_step(i, denoised, x, sampler.steps)

        if sampler.name == DDPM:
            schedule = ddpm.Schedule.of(sampler.steps)
            predict = self._prediction(references, seeds, sampler, schedule.timesteps)

            def denoise(x: torch.Tensor, i: int) -> torch.Tensor:
                timestep = schedule.timesteps[i]
                return self._denoised(x, predict(x, i), schedule.alphas_cumprod[timestep].item())

            return ddpm.sample(denoise, noise, schedule, generators, show_step)
        scheduler = make_scheduler(sampler, self.prediction)
        predict = self._prediction(references, seeds, sampler, scheduler.timesteps)
        x = noise * scheduler.init_noise_sigma
        # such as choose their noise themselves take a generator a face too; the others take none
        options = {"generator": generators} if "generator" in signature(scheduler.step).parameters else {}
        for i, timestep in enumerate(scheduler.timesteps):
            given = scheduler.scale_model_input(x, timestep)
            predicted = predict(given, i)
            show_step(i, given, self._denoised(given, predicted, alpha_bar(scheduler, timestep)))
            x = scheduler.step(predicted, timestep, x, **options, return_dict=False)[0]
        return x

    def _prediction(
        self, references: References, seeds: Sequence[int], sampler: SamplerSettings, timesteps: torch.Tensor
    ) -> Callable[[torch.Tensor, int], torch.Tensor]:
        """What the UNet predicts for noised latents at step i, float32, both halves of the guidance mixed."""
        faces = references.check("", self.networks.unet.config.cross_attention_dim)
        if len(seeds) != faces:
            raise ValueError(f"There are {len(seeds)} seeds, but references for {faces} faces.")
        shares = 1 - timesteps / (ddpm.TRAIN_STEPS - 1)
        is_guided = [sampler.guides_at(share) for share in shares.tolist()]
        source_embeds = references.source_embeds.embeds.expand(faces, -1, -1)
        driving_embeds = references.driving_embeds.embeds.expand(faces, -1, -1)
        if any(is_guided):  # the conditional half, then the unconditional one
            source_embeds = torch.cat([source_embeds, torch.zeros_like(source_embeds)])
            driving_embeds = driving_embeds.repeat(2, 1, 1)
        states = _joined_states(references, faces, any(is_guided))
        kept = KeptProjections(room_for_projections(source_embeds.device))

        def predict(x: torch.Tensor, i: int) -> torch.Tensor:
            given = torch.cat([x, x]) if is_guided[i] else x
            times = timesteps[i].expand(len(given)).to(x.device)
            rows = slice(0, len(given))
            embeds = source_embeds[rows], driving_embeds[rows]
            predicted = self.networks.predict(given, times, *embeds, states, kept=kept).float()
            if not is_guided[i]:
                return predicted
            conditional, unconditional = predicted.chunk(2)
            return torch.lerp(unconditional, conditional, sampler.guidance_scale)

        return predict

    def _denoised(self, x: torch.Tensor, predicted: torch.Tensor, alpha_bar: float) -> torch.Tensor:
        """x0 of noised latents, by what the UNet predicts for them."""
        if self.prediction == "epsilon":
            return (x - (1 - alpha_bar) ** 0.5 * predicted) / alpha_bar**0.5
        return alpha_bar**0.5 * x - (1 - alpha_bar) ** 0.5 * predicted

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of scaled latents, clamped to 0..1; see Engine.decode."""
        return ((self.encoders.decode_pixels(latents) + 1) / 2).clamp(0, 1).movedim(1, 3)

    def progress(self, settings: PaintSettings, runs: int, faces: int) -> Progress:
        """What make_progress gives; by itself it shows nothing. See Engine.progress."""
        return self.make_progress(settings, runs)


class SilentProgress:
    """A Progress that shows nothing."""

    def add_runs(self, count: int) -> None:
        """Do nothing."""
        pass

    def start_run(self, faces: int, again: bool = False) -> None:
        """Do nothing."""
        pass

    def step(self, step: int, denoised: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        """Do nothing."""
        pass


def room_for_projections(device: torch.device) -> int:
    """Bytes of a device that the references' projections may take over a run.

    One face of the published weights takes 0.55 GB in float32 with guidance, and half of that in float16.
    """
    if device.type != "cuda":
        return 2 << 30
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (torch.cuda.mem_get_info(device)[0] + cached) // 2  # the other half is for the step itself


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


def check_fit(networks: Networks, encoders: Encoders) -> None:
    """Raise ValueError unless the encoders give what the networks take."""
    config = networks.unet.config
    if config.in_channels != encoders.latent_channels or config.cross_attention_dim != encoders.width:
        raise ValueError(
            f"The UNet takes {config.in_channels} latent channels and embeddings of width "
            f"{config.cross_attention_dim}; {encoders.folders[0]} gives {encoders.latent_channels} channels, "
            f"{encoders.folders[1]} width {encoders.width}. Choose encoders that fit the UNet."
        )
