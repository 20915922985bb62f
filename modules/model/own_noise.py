"""The host's samplers that add noise at every step, with noise of its own for each face of a batch.

The host draws it for a whole batch by one seed: a face would depend on who else is in the photo, and a new seed of the
first one would change all others.

Source: comfy/k_diffusion/sampling.py of ComfyUI.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler

from . import ddpm

BY_BATCH = ("dpm_adaptive",)  # choose their steps by all faces of a batch
NoiseSampler = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def with_own_noise(
    sampler: comfy.samplers.Sampler, name: str, seeds: Sequence[int], generators: Sequence[torch.Generator]
) -> comfy.samplers.Sampler:
    """A sampler whose noise on the way is each face's own.

    Args:
        sampler: of the host, by comfy.samplers.sampler_object.
        name: of it.
        seeds: one a face of the batch that will be sampled.
        generators: of these, as they stand after the start noise (ddpm.face_generators).

    Returns:
        Another one; the given one where it asks nobody for noise.
    """
    function = getattr(sampler, "sampler_function", None)
    if function is None or not _asks_for_noise(function):
        return sampler

    @functools.wraps(function)
    def sample(model, x, sigmas, **given):
        given.setdefault("noise_sampler", noise_sampler(name, x, sigmas, seeds, generators))
        return function(model, x, sigmas, **given)

    own = copy.copy(sampler)
    own.sampler_function = sample
    return own


def _asks_for_noise(function: Callable) -> bool:
    try:
        return "noise_sampler" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # nobody can say what it takes
        return False


def noise_sampler(
    name: str,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    seeds: Sequence[int],
    generators: Sequence[torch.Generator],
) -> NoiseSampler:
    """What gives unit normal noise [B, C, h, w] for a step from one sigma to another, by each face's seed.

    Args:
        name: of the sampler. DPM++'s stochastic ones ask for parts of a step and for all of it, so theirs are
            increments of one Brownian motion; for all others every draw is a new one.
        x: [B, C, h, w], for shape, type and device; all is drawn on the CPU.
        sigmas: of all steps, with 0 at the end.
        seeds, generators: B of them, as for with_own_noise.
    """
    if name.startswith("dpmpp") and "sde" in name:
        ends = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, *ends, seed=[seed % 2**64 for seed in seeds], cpu=True)
    return lambda _, __: ddpm.draw_noise(list(generators), x.shape[1:], x.dtype).to(x.device)
