"""The paper's sampler: diffusers' DDPMScheduler defines its timesteps and its step. Pure: no ComfyUI here."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers import DDPMScheduler

TRAIN_STEPS = 1000

# Stable Diffusion 2.1's scheduler, stated here because its repository is gone from the hub.
_SCHEDULE = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "variance_type": "fixed_small",
    "timestep_spacing": "leading",
    "clip_sample": False,
}


class _Scheduler(DDPMScheduler):
    """The step as diffusers had it when the official code was written (0.25).

    Later versions end every run at x0. Of 501 to 999 steps the last one, at timestep 1, goes to timestep 0 instead.
    """

    def previous_timestep(self, timestep):
        return timestep - self.config.num_train_timesteps // self.num_inference_steps


def make_scheduler(steps: int) -> DDPMScheduler:
    """A DDPMScheduler set to `steps` (1..1000) that is stepped with the denoised sample rather than v.

    Stepping with x0 is the same step: diffusers turns v into x0 first, and so has ComfyUI's model done.
    """
    if not 1 <= steps <= TRAIN_STEPS:
        raise ValueError(f"steps is {steps}; the sampler takes 1 to {TRAIN_STEPS}.")
    # Shifted by one, as SD2.1 is; of 1000 steps the first would then stand at 1000, past the end of the schedule.
    offset = 0 if steps == TRAIN_STEPS else 1
    scheduler = _Scheduler(**_SCHEDULE, steps_offset=offset, prediction_type="sample")
    scheduler.set_timesteps(steps)
    return scheduler


def face_generators(seeds: Iterable[int]) -> list[torch.Generator]:
    """One CPU generator a face, of its own seed: a face's noise depends on no other face nor device."""
    return [torch.Generator().manual_seed(seed % 2**64) for seed in seeds]


def start_noise(generators: list[torch.Generator], shape: tuple[int, int, int]) -> torch.Tensor:
    """The first draw of every generator: float32 [faces, *shape]."""
    return torch.cat([torch.randn((1, *shape), generator=generator) for generator in generators])


def sample(denoise, noise: torch.Tensor, scheduler: DDPMScheduler, generators, on_step=None) -> torch.Tensor:
    """Run the sampler from unit normal `noise` [B, C, h, w].

    denoise(x, i): the denoised x0 of x at step i, with guidance. generators: one a face, each draws once a step.
    on_step(i, x, x0) is called after each prediction. Returns x0-space latents [B, C, h, w].
    """
    x = noise
    for i, timestep in enumerate(scheduler.timesteps):
        denoised = denoise(x, i)
        if on_step is not None:
            on_step(i, x, denoised)
        x = scheduler.step(denoised, timestep, x, generator=generators).prev_sample
    return x
