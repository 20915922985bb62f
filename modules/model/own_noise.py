"""The host's samplers that add noise at every step, with noise of its own for each face of a batch.

The host draws it for a whole batch by one seed: a face would depend on who else is in the photo, and a new seed of the
first one would change all others. A single face gets what the host gives it on a CPU.

Source: comfy/k_diffusion/sampling.py of ComfyUI.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler

from . import ddpm

NoiseSampler = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def with_own_noise(sampler: comfy.samplers.KSAMPLER, name: str, seeds: Sequence[int]) -> comfy.samplers.KSAMPLER:
    """A sampler whose noise on the way is each face's own.

    Args:
        sampler: of the host, by comfy.samplers.sampler_object.
        name: of it.
        seeds: one a face of the batch that will be sampled.

    Returns:
        Another one; the given one where it asks nobody for noise.
    """
    function = sampler.sampler_function
    if "noise_sampler" not in inspect.signature(function).parameters:
        return sampler

    @functools.wraps(function)
    def sample(model, x, sigmas, **given):
        return function(model, x, sigmas, noise_sampler=noise_sampler(name, x, sigmas, seeds), **given)

    return comfy.samplers.KSAMPLER(sample, sampler.extra_options, sampler.inpaint_options)


def noise_sampler(name: str, x: torch.Tensor, sigmas: torch.Tensor, seeds: Sequence[int]) -> NoiseSampler:
    """What gives unit normal noise [B, C, h, w] for a step from one sigma to another, by each face's seed.

    Args:
        name: of the sampler. DPM++'s stochastic ones ask for parts of a step and for all of it, so theirs are
            increments of one Brownian motion; for all others every draw is a new one.
        x: [B, C, h, w], for shape, type and device; all is drawn on the CPU.
        sigmas: of all steps, with 0 at the end.
        seeds: B of them.
    """
    if name.startswith("dpmpp") and "sde" in name:
        ends = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, *ends, seed=[seed % 2**64 for seed in seeds], cpu=True)
    # one more than the start noise's, as the host has it on a CPU, whose draws would be the same else
    generators = ddpm.face_generators(seed + 1 for seed in seeds)
    return lambda _, __: ddpm.draw_noise(generators, x.shape[1:], x.dtype).to(x.device)
