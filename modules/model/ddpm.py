"""The paper's sampler: Stable Diffusion 2.1's noise schedule and the step of DDPM. Pure tensors, no ComfyUI.

Source: Ho et al., "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239), equations (4), (6) and (7). The
official code samples with diffusers' DDPMScheduler 0.25; timesteps and results here are equal to it bit for bit, for
every number of steps (tests/unit/test_ddpm.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

TRAIN_STEPS = 1000
# Of Stable Diffusion 2.1, stated here because its repository is gone from the hub.
BETA_START = 0.00085
BETA_END = 0.012


@dataclass(frozen=True)
class Schedule:
    """The steps of one run, from noise to picture.

    timesteps: int64 [steps], descending, within 0..999.
    alphas_cumprod: float32 [TRAIN_STEPS], of every timestep of the training; equation (4).
    denoised_weights, sample_weights: float32 [steps], the factors of x0 and x_t in the mean of a step; equation (7).
    variances: float32 [steps], of the noise that a step adds to its mean; a step at timestep 0 adds none.
    """

    timesteps: torch.Tensor
    alphas_cumprod: torch.Tensor
    denoised_weights: torch.Tensor
    sample_weights: torch.Tensor
    variances: torch.Tensor

    @classmethod
    def of(cls, steps: int) -> Schedule:
        """The schedule of a run of `steps`.

        Args:
            steps: 1 to 1000.

        Raises:
            ValueError: for another number.
        """
        if not 1 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}; the sampler takes 1 to {TRAIN_STEPS}.")
        betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS) ** 2  # "scaled_linear"
        alphas_cumprod = torch.cumprod(1 - betas, dim=0)

        # "leading" timesteps, shifted by one as SD2.1's are; of 1000 steps the first would then stand past the end.
        stride = TRAIN_STEPS // steps
        timesteps = (torch.arange(steps) * stride).flip(0) + (0 if steps == TRAIN_STEPS else 1)

        # Each step goes one stride down; what would go below timestep 0 goes to the picture itself. So of 501 to 999
        # steps, whose stride is 1, the last goes from timestep 1 to 0 and leaves a little noise, as in diffusers 0.25.
        previous = timesteps - stride
        alpha_bar = alphas_cumprod[timesteps]
        previous_alpha_bar = torch.where(previous >= 0, alphas_cumprod[previous.clamp(min=0)], 1.0)
        alpha = alpha_bar / previous_alpha_bar
        left, previous_left = 1 - alpha_bar, 1 - previous_alpha_bar
        return cls(
            timesteps,
            alphas_cumprod,
            denoised_weights=previous_alpha_bar**0.5 * (1 - alpha) / left,
            sample_weights=alpha**0.5 * previous_left / left,
            variances=(previous_left / left * (1 - alpha)).clamp(min=1e-20),  # "fixed_small"
        )

    def step(self, i: int, x: torch.Tensor, denoised: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Step number `i`, from x_t to x_(t - stride): equation (7) and the noise of equation (6).

        Set to predict v, diffusers turns v into x0 and then does the same; ComfyUI's models give x0 themselves.

        Args:
            i: 0 to steps - 1.
            x: noised latents [B, C, h, w].
            denoised: x0, what the model takes x for without its noise; of x's shape.
            generators: one a face; each draws once, but at timestep 0.
        """
        mean = self.denoised_weights[i] * denoised + self.sample_weights[i] * x
        if self.timesteps[i] == 0:
            return mean
        noise = draw_noise(generators, x.shape[1:], denoised.dtype).to(denoised.device)
        return mean + self.variances[i] ** 0.5 * noise


def face_generators(seeds: Iterable[int]) -> list[torch.Generator]:
    """One CPU generator a face, of its own seed: a face's noise depends on no other face nor device."""
    return [torch.Generator().manual_seed(seed % 2**64) for seed in seeds]


def draw_noise(
    generators: list[torch.Generator], shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """The next draw of every generator.

    Args:
        generators: one a face, see face_generators.
        shape: of one face's noise, such as (C, h, w).
        dtype: in which it is drawn.

    Returns:
        Unit normal [faces, *shape] on the CPU.
    """
    return torch.cat([torch.randn((1, *shape), generator=generator, dtype=dtype) for generator in generators])


def sample(
    denoise: Callable[[torch.Tensor, int], torch.Tensor],
    noise: torch.Tensor,
    schedule: Schedule,
    generators: list[torch.Generator],
    on_step: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Go through all steps of a schedule.

    Args:
        denoise: of (x, i), the denoised x0 of x at step i, with guidance.
        noise: unit normal [B, C, h, w]; the paper starts from it at whatever timestep is first.
        schedule: the steps.
        generators: one a face, see Schedule.step.
        on_step: called with (i, x, x0) after each prediction.

    Returns:
        Latents [B, C, h, w].
    """
    x = noise
    for i in range(len(schedule.timesteps)):
        denoised = denoise(x, i)
        if on_step is not None:
            on_step(i, x, denoised)
        x = schedule.step(i, x, denoised, generators)
    return x
