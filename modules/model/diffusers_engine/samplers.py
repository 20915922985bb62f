"""diffusers' schedulers by the names that ComfyUI has for them, for the schedule that the method is trained with."""

from __future__ import annotations

from typing import Any, Protocol

import diffusers
import torch

from ..ddpm import BETA_END, BETA_START, TRAIN_STEPS
from ..settings import SamplerSettings

# name -> (class of diffusers, its options)
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "uni_pc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}),
}
# name -> options; DDIM has "normal" alone
SPACINGS: dict[str, dict[str, Any]] = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "sgm_uniform": {"timestep_spacing": "trailing"},
    "normal": {},
}
_OF_DDIM = ("sgm_uniform", "normal")


class Scheduler(Protocol):
    """What the engine needs of a scheduler of diffusers."""

    timesteps: torch.Tensor
    init_noise_sigma: float
    alphas_cumprod: torch.Tensor

    def scale_model_input(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The sample as the network takes it."""
        ...

    def step(self, model_output, timestep, sample, **options) -> Any:
        """The sample one step on: with return_dict=False the first of a tuple."""
        ...


def make_scheduler(sampler: SamplerSettings, prediction: str) -> Scheduler:
    """A scheduler of diffusers whose steps are set.

    Args:
        sampler: by a name of SAMPLERS, with a scheduler of SPACINGS.
        prediction: what the UNet predicts, "v_prediction" or "epsilon".

    Raises:
        ValueError: another sampler, scheduler, or number of steps than 1 to 1000.
    """
    if sampler.name not in SAMPLERS:
        raise ValueError(f"The sampler {sampler.name} is ComfyUI's; without it there are {', '.join(SAMPLERS)}.")
    spacings = _OF_DDIM if sampler.name == "ddim" else tuple(SPACINGS)
    if sampler.scheduler not in spacings:
        raise ValueError(
            f"{sampler.name} has no scheduler {sampler.scheduler} without ComfyUI; it has {', '.join(spacings)}."
        )
    if not 1 <= sampler.steps <= TRAIN_STEPS:
        raise ValueError(f"steps is {sampler.steps}; the sampler takes 1 to {TRAIN_STEPS}.")
    name, options = SAMPLERS[sampler.name]
    schedule = {"num_train_timesteps": TRAIN_STEPS, "beta_start": BETA_START, "beta_end": BETA_END}
    scheduler = getattr(diffusers, name)(
        **schedule,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        **options,
        **SPACINGS[sampler.scheduler],
    )
    scheduler.set_timesteps(sampler.steps)
    return scheduler


def alpha_bar(scheduler: Scheduler, timestep: torch.Tensor) -> float:
    """The schedule's alpha_bar at a timestep, which need not be whole: Karras' sigmas lie between them."""
    below = int(timestep)
    first, second = scheduler.alphas_cumprod[[below, min(below + 1, TRAIN_STEPS - 1)]].log()
    return float(torch.lerp(first, second, float(timestep) - below).exp())
