"""In place of diffusers, in the bundle of gpu_bundle.py: the one scheduler that the pack reads, for its settings alone.

DDPM with scaled_linear betas, "leading" timesteps and fixed_small variance, stepped with the denoised sample. Held to
diffusers' own by tests/host/test_gpu_bundle.py.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch


class DDPMScheduler:
    def __init__(
        self,
        num_train_timesteps: int,
        beta_start: float,
        beta_end: float,
        beta_schedule: str,
        variance_type: str,
        timestep_spacing: str,
        clip_sample: bool,
        steps_offset: int,
        prediction_type: str,
    ):
        given = (beta_schedule, variance_type, timestep_spacing, clip_sample, prediction_type)
        if given != ("scaled_linear", "fixed_small", "leading", False, "sample"):
            raise NotImplementedError(f"This stand-in for diffusers knows nothing of {given}.")
        self.config = SimpleNamespace(num_train_timesteps=num_train_timesteps, steps_offset=steps_offset)
        self.betas = torch.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps, dtype=torch.float32) ** 2
        self.alphas_cumprod = torch.cumprod(1.0 - self.betas, dim=0)

    def set_timesteps(self, steps: int) -> None:
        self.num_inference_steps = steps
        ratio = self.config.num_train_timesteps // steps
        self.timesteps = (torch.arange(steps) * ratio).flip(0) + self.config.steps_offset

    def previous_timestep(self, timestep):
        return timestep - self.config.num_train_timesteps // self.num_inference_steps

    def _alphas(self, timestep):
        previous = self.previous_timestep(timestep)
        return self.alphas_cumprod[timestep], self.alphas_cumprod[previous] if previous >= 0 else torch.tensor(1.0)

    def _get_variance(self, timestep):
        alpha, before = self._alphas(timestep)
        return ((1 - before) / (1 - alpha) * (1 - alpha / before)).clamp(min=1e-20)

    def step(self, denoised: torch.Tensor, timestep, sample: torch.Tensor, generator) -> SimpleNamespace:
        """One generator, or one for each of the batch."""
        alpha, before = self._alphas(timestep)
        ratio = alpha / before
        previous = before**0.5 * (1 - ratio) / (1 - alpha) * denoised + ratio**0.5 * (1 - before) / (1 - alpha) * sample
        if timestep > 0:
            generators = generator if isinstance(generator, list) else [generator]
            shape = (sample.shape[0] // len(generators), *sample.shape[1:])
            noise = torch.cat([torch.randn(shape, generator=one, dtype=denoised.dtype) for one in generators])
            previous = previous + self._get_variance(timestep) ** 0.5 * noise.to(denoised.device)
        return SimpleNamespace(prev_sample=previous)
