"""How faces are sampled and painted: each default is said here and nowhere else. Pure: no ComfyUI here."""

from __future__ import annotations

from dataclasses import dataclass

DDPM = "ddpm (paper)"  # stands beside the names of ComfyUI's samplers


@dataclass(frozen=True)
class SamplerSettings:
    """How latents are sampled; the defaults are the paper's.

    Args:
        name: DDPM or the name of one of ComfyUI's samplers.
        scheduler: the name of one of ComfyUI's schedulers; DDPM does not use it.
        steps: 1 to 1000.
        guidance_scale: w of v = (1 - w) v_uncond + w v_cond. At 1 or less the conditional prediction alone, as in the
            official code.
    """

    name: str = DDPM
    scheduler: str = "karras"
    steps: int = 200
    guidance_scale: float = 4.0


@dataclass(frozen=True)
class PaintSettings:
    """What is painted on face crops, and how; the default sampler is a fast one.

    Args:
        degree: of anonymization. 0 keeps the source's identity, 1 nothing of it, 1.25 turns away from it.
        seed: crop i adds an offset of its own to it.
        sampler: how the latents are sampled.
        faces_at_once: the most crops that go through the networks together; memory may ask for fewer. Another number
            changes results only by rounding, except with samplers of ComfyUI that add noise at every step: they draw
            it for all crops of a part.
    """

    degree: float = 1.25
    seed: int = 0
    sampler: SamplerSettings = SamplerSettings("dpmpp_2m", steps=25)
    faces_at_once: int = 8
