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
        guidance_from, guidance_to: where there is guidance, as shares of the noise levels, from 0, all noise, to 1,
            none. Elsewhere the conditional prediction alone, in half the time. In the paper: everywhere.

    Raises:
        ValueError: an interval that ends before it begins, or is not within 0..1.
    """

    name: str = DDPM
    scheduler: str = "karras"
    steps: int = 200
    guidance_scale: float = 4.0
    guidance_from: float = 0.0
    guidance_to: float = 1.0

    def __post_init__(self):
        if not 0 <= self.guidance_from <= self.guidance_to <= 1:
            raise ValueError(
                f"guidance_from is {self.guidance_from:g} and guidance_to {self.guidance_to:g}: they are shares of the "
                f"noise levels, from 0 (all noise) to 1 (none), and the first is not above the second."
            )

    @property
    def guides_everywhere(self) -> bool:
        """Whether the interval leaves nothing out."""
        return self.guidance_from == 0 and self.guidance_to == 1

    def guides_at(self, share: float) -> bool:
        """Whether there is guidance at a share of the noise levels, from 0, all noise, to 1, none."""
        return self.guidance_scale > 1 and self.guidance_from <= share <= self.guidance_to


@dataclass(frozen=True)
class PaintSettings:
    """What is painted on face crops, and how; the default sampler is a fast one.

    Args:
        degree: of anonymization. 0 keeps the source's identity, 1 nothing of it, 1.25 turns away from it.
        seed: crop i adds an offset of its own to it.
        own_seeds: (offset, seed) of crops whose seed is another one; those of all others stay as they are.
        sampler: how the latents are sampled.
        faces_at_once: the most crops that go through the networks together; memory may ask for fewer. Another number
            changes results only by rounding.
    """

    degree: float = 1.25
    seed: int = 0
    sampler: SamplerSettings = SamplerSettings("dpmpp_2m", steps=25)
    faces_at_once: int = 8
    own_seeds: tuple[tuple[int, int], ...] = ()

    def seed_of(self, offset: int) -> int:
        """The seed of the crop with this offset (Faces.seed_offsets), not yet taken modulo 2^64."""
        return dict(self.own_seeds).get(offset, self.seed + offset)
