"""Guidance in a part of the noise levels alone. Touches the host: its guider decides in every step."""

from __future__ import annotations

import comfy.samplers

from .settings import SamplerSettings


class IntervalGuider(comfy.samplers.CFGGuider):
    """The host's guider, which asks for the conditional half alone outside an interval of noise levels.

    Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion
    Models" (arXiv 2404.07724).

    Args:
        model: the MODEL.
        sampler: its guidance scale and interval.
    """

    def __init__(self, model, sampler: SamplerSettings):
        super().__init__(model)
        self.set_cfg(max(1.0, sampler.guidance_scale))
        self._sampler = sampler

    def predict_noise(self, x, timestep, model_options={}, seed=None):  # noqa: B006 - as the host calls it
        """The denoised latents; at a scale of 1 the host leaves the unconditional half out."""
        scale = self.cfg
        if not self._is_guided(timestep):
            self.cfg = 1.0
        try:
            return super().predict_noise(x, timestep, model_options, seed)
        finally:
            self.cfg = scale

    def _is_guided(self, sigmas) -> bool:
        if self._sampler.guides_everywhere:
            return True
        levels = self.inner_model.model_sampling
        first, last = self._sampler.guidance_from, self._sampler.guidance_to
        return levels.percent_to_sigma(last) <= float(sigmas[0]) <= levels.percent_to_sigma(first)
