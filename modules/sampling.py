"""References on a MODEL, and the paper's sampler run on it. Touches the host: clones patchers, drives its guider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from . import ddpm
from .attention import ReferenceAttention
from .states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates, common_batch

DDPM = "ddpm (paper)"  # beside the names of the host's samplers


class Applied(NamedTuple):
    """What a sampler node of ComfyUI needs: model, positive, negative, latent."""

    model: object
    positive: list
    negative: list
    latent: dict


def apply_references(
    model,
    source_states: ReferenceStates,
    driving_states: ReferenceStates,
    source_embeds: ImageEmbeds,
    driving_embeds: ImageEmbeds,
) -> Applied:
    """A clone of `model` that reads the references, with conditionings and an empty latent that fit them.

    Context: two tokens, [source, driving]; unconditional [0, driving] (section 3.2 of the paper).
    Raises ValueError when the inputs are swapped, come from different models, or differ in batch or size.
    """
    for states, role in ((source_states, SOURCE), (driving_states, DRIVING)):
        if states.role != role:
            raise ValueError(f"{role}_states holds states of a {states.role} ReferenceNet. Swap the two connections.")
    if driving_embeds.degree != 0:
        raise ValueError(
            f"driving_embeds was encoded with degree {driving_embeds.degree}. The driving embedding is never scaled: "
            f"encode the driving image with degree 0, in a FaceAnonEncodeImage of its own."
        )
    if source_states.routes != driving_states.routes:
        raise ValueError("source_states and driving_states come from different models. Use one FaceAnonLoadModel.")
    if source_states.latent_size != driving_states.latent_size:
        (source_h, source_w), (driving_h, driving_w) = source_states.latent_size, driving_states.latent_size
        raise ValueError(
            f"The source latent is {source_w}x{source_h}, the driving latent {driving_w}x{driving_h} (latent pixels). "
            f"Bring both images to one size before VAE Encode, for example 512x512."
        )
    context_dim = model.model.model_config.unet_config.get("context_dim")
    if context_dim != source_embeds.embeds.shape[-1]:
        raise ValueError(
            f"The MODEL takes embeddings of width {context_dim}, these are {source_embeds.embeds.shape[-1]} wide. "
            f"Take MODEL and CLIP_VISION from one FaceAnonLoadModel."
        )
    batch = common_batch(
        source_states=source_states.batch,
        driving_states=driving_states.batch,
        source_embeds=source_embeds.batch,
        driving_embeds=driving_embeds.batch,
    )
    patched = model.clone()
    patched.set_model_attn1_patch(ReferenceAttention(source_states, driving_states))
    source = source_embeds.embeds.expand(batch, -1, -1)
    driving = driving_embeds.embeds.expand(batch, -1, -1)
    channels = model.get_model_object("latent_format").latent_channels
    latent = torch.zeros(
        [batch, channels, *source_states.latent_size],
        device=comfy.model_management.intermediate_device(),
        dtype=comfy.model_management.intermediate_dtype(),
    )
    return Applied(
        model=patched,
        positive=[[torch.cat([source, driving], dim=1), {}]],
        negative=[[torch.cat([torch.zeros_like(source), driving], dim=1), {}]],
        latent={"samples": latent},
    )


class Sampler(NamedTuple):
    """How latents are sampled. name: DDPM or a sampler of the host, which also takes its scheduler."""

    name: str = DDPM
    scheduler: str = "karras"
    steps: int = 200
    guidance_scale: float = 4.0


PAPER_SAMPLER = Sampler()


def sample(
    model,
    source_states: ReferenceStates,
    driving_states: ReferenceStates,
    source_embeds: ImageEmbeds,
    driving_embeds: ImageEmbeds,
    seed: int,
    offsets: Sequence[int] | None = None,
    sampler: Sampler = PAPER_SAMPLER,
    callback: Callable | None = None,
) -> torch.Tensor:
    """Latents [B, C, h, w] (unscaled, for VAE Decode); face i has seed + offsets[i], by default seed + i.

    Each face has a CPU generator of its own, which gives its start noise and, with the paper's DDPM sampler, one draw a
    step; so its result depends neither on the other faces nor on the device. The host's samplers that add noise on the
    way draw it for all faces of a call together. guidance_scale <= 1 is the conditional prediction alone, as in the
    official code. A crowd goes through in as many parts as memory asks for.
    callback(step, denoised, x, steps of all parts): after each step; None shows progress and previews as KSampler does.
    Raises what apply_references raises, and ValueError for steps out of 1..1000 or offsets that do not fit the batch.
    """
    references = (source_states, driving_states, source_embeds, driving_embeds)
    latent = apply_references(model, *references).latent["samples"]
    offsets = range(latent.shape[0]) if offsets is None else offsets
    if len(offsets) != latent.shape[0]:
        raise ValueError(
            f"There are {len(offsets)} faces, but references for {latent.shape[0]}: connect the faces of these crops."
        )
    seeds = [seed + offset for offset in offsets]
    scheduler = ddpm.make_scheduler(sampler.steps) if sampler.name == DDPM else None
    parts = torch.arange(latent.shape[0]).split(_faces_at_once(model, latent.shape[1:]))
    total = sampler.steps * len(parts)
    show = callback or latent_preview.prepare_callback(model, total)
    samples = []
    for number, part in enumerate(parts):
        first, last = int(part[0]), int(part[-1]) + 1
        applied = apply_references(model, *(reference.part(slice(first, last)) for reference in references))

        def on_step(step, denoised, x, _steps, done=number * sampler.steps):
            show(done + step, denoised, x, total)

        generators = ddpm.face_generators(seeds[first:last])
        noise = ddpm.start_noise(generators, latent.shape[1:])
        if sampler.name == DDPM:
            drawn = _sample_ddpm(applied, noise, scheduler, generators, sampler.guidance_scale, seeds[first], on_step)
        else:
            drawn = _sample_host(applied, noise, sampler, seeds[first], on_step)
        samples.append(drawn)
    samples = torch.cat(samples)
    return samples.to(comfy.model_management.intermediate_device(), comfy.model_management.intermediate_dtype())


def _faces_at_once(model, latent_shape: torch.Size) -> int:
    """How many faces fit beside the model into the device's whole memory: not what is free now, which may be freed."""
    room = comfy.model_management.get_total_memory(model.load_device) - model.model_size()
    # two halves of the guidance; and half as much again, as the host knows nothing of the references' tokens
    face = 1.5 * model.memory_required([2, *latent_shape])
    return max(1, int(room / face))


def _sample_ddpm(
    applied: Applied, noise: torch.Tensor, scheduler, generators, guidance_scale: float, seed: int, callback
) -> torch.Tensor:
    model_sampling = applied.model.get_model_object("model_sampling")
    sigmas = torch.cat([model_sampling.sigmas.cpu()[scheduler.timesteps], torch.zeros(1)])
    guider = comfy.samplers.CFGGuider(applied.model)
    guider.set_conds(applied.positive, applied.negative)
    guider.set_cfg(max(1.0, guidance_scale))
    return guider.sample(
        noise,
        applied.latent["samples"].float(),
        _DDPM(scheduler, generators),
        sigmas,
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed % 2**64,
    )


def _sample_host(applied: Applied, noise: torch.Tensor, sampler: Sampler, seed: int, callback) -> torch.Tensor:
    return comfy.sample.sample(
        applied.model,
        noise,
        sampler.steps,
        max(1.0, sampler.guidance_scale),
        sampler.name,
        sampler.scheduler,
        applied.positive,
        applied.negative,
        applied.latent["samples"].float(),
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed % 2**64,
    )


class _DDPM(comfy.samplers.KSAMPLER):
    """ddpm.sample as a SAMPLER of the host, whose samples are scaled by sqrt(1 + sigma^2)."""

    def __init__(self, scheduler, generators):
        super().__init__(self._sample)
        self.scheduler = scheduler
        self.generators = generators

    def max_denoise(self, model_wrap, sigmas):
        # The paper starts from plain N(0, 1) at every first timestep; the host scales it down unless it is the last.
        return True

    def _sample(self, model, x, sigmas, extra_args, callback, disable):
        scales = (1 + sigmas**2).sqrt()

        def denoise(x, i):
            return model(x * scales[i], sigmas[i].expand(x.shape[0]), **extra_args)

        progress = comfy.utils.model_trange(len(sigmas) - 1, disable=disable)

        def on_step(i, x, denoised):
            callback({"x": x * scales[i], "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
            progress.update()

        try:
            return ddpm.sample(denoise, x / scales[0], self.scheduler, self.generators, on_step)
        finally:
            progress.close()
