"""References on a MODEL, and the paper's sampler run on it. Touches the host: clones patchers, drives its guider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from . import ddpm
from .attention import ReferenceAttention
from .guidance import IntervalGuider
from .memory import in_parts, sampled_at_once
from .own_noise import BY_BATCH, with_own_noise
from .projections import patch_references
from .references import References
from .settings import DDPM, SamplerSettings


class Applied(NamedTuple):
    """What a sampler node of ComfyUI needs.

    Args:
        model: a MODEL that reads the references.
        positive: its CONDITIONING of the conditional half.
        negative: that of the unconditional half.
        latent: a LATENT of zeros, of the size and batch of the references.
    """

    model: comfy.model_patcher.ModelPatcher
    positive: list
    negative: list
    latent: dict


def apply_references(model, references: References, keep: bool = True) -> Applied:
    """Make a clone of a MODEL read the references, with conditionings and an empty latent that fit them.

    The context has two tokens, [source, driving]; the unconditional one [0, driving] (section 3.2 of the paper).

    Args:
        model: a MODEL of load_model_folder, patched or not; it stays as it is.
        references: of all faces that will be sampled with the clone.
        keep: whether a run may keep what it projects of the references, see projections.py; results are the same.

    Raises:
        ValueError: what does not fit, see References.check.
    """
    batch = _check(model, references)
    patched = model.clone()
    patch_references(patched, ReferenceAttention(references.source_states, references.driving_states), keep)
    source = references.source_embeds.embeds.expand(batch, -1, -1)
    driving = references.driving_embeds.embeds.expand(batch, -1, -1)
    latent = torch.zeros(
        [batch, *_latent_shape(model, references)],
        device=comfy.model_management.intermediate_device(),
        dtype=comfy.model_management.intermediate_dtype(),
    )
    return Applied(
        model=patched,
        positive=[[torch.cat([source, driving], dim=1), {}]],
        negative=[[torch.cat([torch.zeros_like(source), driving], dim=1), {}]],
        latent={"samples": latent},
    )


def _check(model, references: References) -> int:
    """References.check with what this MODEL is; returns the batch."""
    folder = getattr(model.model, "face_anon_folder", "")
    return references.check(folder, model.model.model_config.unet_config.get("context_dim"))


def _latent_shape(model, references: References) -> tuple[int, int, int]:
    return model.get_model_object("latent_format").latent_channels, *references.latent_size


def sample(
    model,
    references: References,
    seeds: Sequence[int],
    sampler: SamplerSettings,
    on_step: Callable | None = None,
) -> torch.Tensor:
    """Sample the latents of a batch of faces, in as many parts as memory asks for.

    Each face has its noise, at the start and what a sampler adds at its steps, from the CPU by its own seed; so its
    result depends neither on the other faces nor on the device.

    Args:
        model: a MODEL of load_model_folder, patched or not; it stays as it is.
        references: of the B faces.
        seeds: B of them, one a face.
        sampler: which one, and how many steps.
        on_step: called after each step with (step, denoised, x, steps of all parts). None shows progress and
            previews as KSampler does.

    Returns:
        Latents [B, C, h, w], unscaled, for VAE Decode; on the host's intermediate device.

    Raises:
        ValueError: for references that do not fit (see References.check), for steps out of 1 to 1000, and for another
            number of seeds than of faces.
    """
    faces = _check(model, references)
    if len(seeds) != faces:
        raise ValueError(f"There are {len(seeds)} faces, but references for {faces}: connect the faces of these crops.")
    states = (references.source_states, references.driving_states)
    at_once = 1 if sampler.name in BY_BATCH else sampled_at_once(model, _latent_shape(model, references), states)
    show = on_step or latent_preview.prepare_callback(model, sampler.steps * -(-faces // at_once))
    parts_done = 0

    def run(part: slice) -> torch.Tensor:
        nonlocal parts_done
        parts = parts_done + -(-(faces - part.start) // (part.stop - part.start))

        def show_step(step, denoised, x, _steps):
            show(parts_done * sampler.steps + step, denoised, x, parts * sampler.steps)

        applied = apply_references(model, references.part(part))
        run_sampler = _sample_ddpm if sampler.name == DDPM else _sample_host
        latents = run_sampler(applied, seeds[part], sampler, show_step)
        parts_done += 1
        return latents

    samples = torch.cat(in_parts(faces, at_once, run, "the UNet"))
    return samples.to(comfy.model_management.intermediate_device(), comfy.model_management.intermediate_dtype())


def _sample_ddpm(applied: Applied, seeds: Sequence[int], sampler: SamplerSettings, on_step: Callable) -> torch.Tensor:
    """The paper's sampler on one part."""
    latent = applied.latent["samples"].float()
    schedule = ddpm.Schedule.of(sampler.steps)
    generators = ddpm.face_generators(seeds)
    noise = ddpm.draw_noise(generators, latent.shape[1:])
    model_sampling = applied.model.get_model_object("model_sampling")
    sigmas = torch.cat([model_sampling.sigmas.cpu()[schedule.timesteps], torch.zeros(1)])
    return _guider(applied, sampler).sample(
        noise,
        latent,
        _DDPM(schedule, generators),
        sigmas,
        callback=on_step,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seeds[0] % 2**64,
    )


def _sample_host(applied: Applied, seeds: Sequence[int], sampler: SamplerSettings, on_step: Callable) -> torch.Tensor:
    """One of the host's samplers on one part."""
    latent = applied.latent["samples"].float()
    model = applied.model
    how = (sampler.steps, model.load_device, sampler.name, sampler.scheduler)
    sigmas = comfy.samplers.KSampler(model, *how, model_options=model.model_options).sigmas
    generators = ddpm.face_generators(seeds)
    return _guider(applied, sampler).sample(
        ddpm.draw_noise(generators, latent.shape[1:]),
        latent,
        with_own_noise(comfy.samplers.sampler_object(sampler.name), sampler.name, seeds, generators),
        sigmas,
        callback=on_step,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seeds[0] % (2**64 - 1),  # ddim of the host adds one, for noise that nobody reads here
    )


def _guider(applied: Applied, sampler: SamplerSettings) -> IntervalGuider:
    guider = IntervalGuider(applied.model, sampler)
    guider.set_conds(applied.positive, applied.negative)
    return guider


class _DDPM(comfy.samplers.KSAMPLER):
    """ddpm.sample as a SAMPLER of the host, whose samples are scaled by sqrt(1 + sigma^2)."""

    def __init__(self, schedule, generators):
        super().__init__(self._sample)
        self.schedule = schedule
        self.generators = generators

    def max_denoise(self, model_wrap, sigmas):
        # The paper starts from plain N(0, 1) at every first timestep; the host scales it down unless it is the last.
        return True

    def _sample(self, model, x, sigmas, *, extra_args, callback, disable):
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
