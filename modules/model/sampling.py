"""References on a MODEL, and the paper's sampler run on it. Touches the host: clones patchers, drives its guider."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from . import ddpm
from .attention import ReferenceAttention
from .memory import in_parts, sampled_at_once
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
    mixed_degrees: bool = False,
) -> Applied:
    """A clone of `model` that reads the references, with conditionings and an empty latent that fit them.

    Context: two tokens, [source, driving]; unconditional [0, driving] (section 3.2 of the paper).
    mixed_degrees: let the source's embedding and its states have different degrees, for ablations alone.
    Raises ValueError when the inputs are swapped, come from different models, or differ in degree, batch or size.
    """
    batch = _check_references(model, source_states, driving_states, source_embeds, driving_embeds, mixed_degrees)
    patched = model.clone()
    patched.set_model_attn1_patch(ReferenceAttention(source_states, driving_states))
    source = source_embeds.embeds.expand(batch, -1, -1)
    driving = driving_embeds.embeds.expand(batch, -1, -1)
    latent = torch.zeros(
        [batch, *_latent_shape(model, driving_states)],
        device=comfy.model_management.intermediate_device(),
        dtype=comfy.model_management.intermediate_dtype(),
    )
    return Applied(
        model=patched,
        positive=[[torch.cat([source, driving], dim=1), {}]],
        negative=[[torch.cat([torch.zeros_like(source), driving], dim=1), {}]],
        latent={"samples": latent},
    )


def _latent_shape(model, states: ReferenceStates) -> tuple[int, int, int]:
    return model.get_model_object("latent_format").latent_channels, *states.latent_size


def _check_references(model, source_states, driving_states, source_embeds, driving_embeds, mixed_degrees) -> int:
    """The batch of references that fit together; ValueError says what does not, and the next step."""
    for states, role in ((source_states, SOURCE), (driving_states, DRIVING)):
        if states.role != role:
            raise ValueError(f"{role}_states holds states of a {states.role} ReferenceNet. Swap the two connections.")
    if driving_embeds.degree != 0:
        raise ValueError(
            f"driving_embeds was encoded with degree {driving_embeds.degree}. The driving embedding is never scaled: "
            f"encode the driving image with degree 0, in a FaceAnonEncodeImage of its own."
        )
    models = {
        "MODEL": getattr(model.model, "face_anon_folder", ""),
        "source_states": source_states.model,
        "driving_states": driving_states.model,
        "source_embeds": source_embeds.model,
        "driving_embeds": driving_embeds.model,
    }
    known = {folder for folder in models.values() if folder}
    # states without a folder were made by hand; a MODEL without one comes from a loader of ComfyUI's own
    foreign = source_states.model and not models["MODEL"]
    if len(known) > 1 or foreign or source_states.routes != driving_states.routes:
        listed = ", ".join(f"{what} of {folder or 'an unknown model'}" for what, folder in models.items())
        raise ValueError(f"The inputs come from different models: {listed}. Use one FaceAnonLoadModel for all.")
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
    degrees = {
        "Interpolate States": source_states.degree,
        "the Encode Image before Source Reference": source_states.embeds_degree,
        "the Encode Image of source_embeds": source_embeds.degree,
    }
    if not mixed_degrees and not _are_equal(degrees.values()):
        listed = ", ".join(f"{value:g} in {place}" for place, value in degrees.items())
        raise ValueError(
            f"The degree differs: {listed}. A part of the source's identity would be kept: up to one face in four is "
            f"recognised then (docs/evaluation.md, ablation). Set one degree everywhere, best by one Float wired into "
            f"both nodes."
        )
    return common_batch(
        source_states=source_states.batch,
        driving_states=driving_states.batch,
        source_embeds=source_embeds.batch,
        driving_embeds=driving_embeds.batch,
    )


def _are_equal(degrees: Iterable[float]) -> bool:
    """Whether these are one number, but for the last digits of arithmetic."""
    first, *others = degrees
    return all(math.isclose(first, other, rel_tol=1e-6, abs_tol=1e-6) for other in others)


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
    mixed_degrees: bool = False,
) -> torch.Tensor:
    """Latents [B, C, h, w] (unscaled, for VAE Decode); face i has seed + offsets[i], by default seed + i.

    Each face has a CPU generator of its own, which gives its start noise and, with the paper's DDPM sampler, one draw a
    step; so its result depends neither on the other faces nor on the device. The host's samplers that add noise on the
    way draw it for all faces of a call together. guidance_scale <= 1 is the conditional prediction alone, as in the
    official code. A crowd goes through in as many parts as memory asks for.
    callback(step, denoised, x, steps of all parts): after each step; None shows progress and previews as KSampler does.
    mixed_degrees: see apply_references.
    Raises what apply_references raises, and ValueError for steps out of 1..1000 or offsets that do not fit the batch.
    """
    references = (source_states, driving_states, source_embeds, driving_embeds)
    faces = _check_references(model, *references, mixed_degrees)
    shape = _latent_shape(model, driving_states)
    offsets = range(faces) if offsets is None else offsets
    if len(offsets) != faces:
        raise ValueError(
            f"There are {len(offsets)} faces, but references for {faces}: connect the faces of these crops."
        )
    seeds = [seed + offset for offset in offsets]
    schedule = ddpm.Schedule.of(sampler.steps) if sampler.name == DDPM else None
    at_once = sampled_at_once(model, shape, (source_states, driving_states))
    show = callback or latent_preview.prepare_callback(model, sampler.steps * -(-faces // at_once))
    done = 0  # parts

    def run(part: slice) -> torch.Tensor:
        nonlocal done
        parts = done + -(-(faces - part.start) // (part.stop - part.start))

        def on_step(step, denoised, x, _steps):
            show(done * sampler.steps + step, denoised, x, parts * sampler.steps)

        applied = apply_references(model, *(reference.part(part) for reference in references), mixed_degrees)
        generators = ddpm.face_generators(seeds[part])
        noise = ddpm.draw_noise(generators, shape)
        first = seeds[part.start]
        if sampler.name == DDPM:
            drawn = _sample_ddpm(applied, noise, schedule, generators, sampler.guidance_scale, first, on_step)
        else:
            drawn = _sample_host(applied, noise, sampler, first, on_step)
        done += 1
        return drawn

    samples = torch.cat(in_parts(faces, at_once, run, "the UNet"))
    return samples.to(comfy.model_management.intermediate_device(), comfy.model_management.intermediate_dtype())


def _sample_ddpm(
    applied: Applied, noise: torch.Tensor, schedule, generators, guidance_scale: float, seed: int, callback
) -> torch.Tensor:
    model_sampling = applied.model.get_model_object("model_sampling")
    sigmas = torch.cat([model_sampling.sigmas.cpu()[schedule.timesteps], torch.zeros(1)])
    guider = comfy.samplers.CFGGuider(applied.model)
    guider.set_conds(applied.positive, applied.negative)
    guider.set_cfg(max(1.0, guidance_scale))
    return guider.sample(
        noise,
        applied.latent["samples"].float(),
        _DDPM(schedule, generators),
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

    def __init__(self, schedule, generators):
        super().__init__(self._sample)
        self.schedule = schedule
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
            return ddpm.sample(denoise, x / scales[0], self.schedule, self.generators, on_step)
        finally:
            progress.close()
