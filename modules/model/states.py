"""What travels between the nodes of the method: image embeddings and reference states. Pure tensors, no ComfyUI.

Notation of the paper (Kung et al., WACV 2025): Z is the image embedding, S the states of a ReferenceNet, d the
degree of anonymization.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

SOURCE = "source"
DRIVING = "driving"

Layer = Any  # an attention layer as the engine names it: a LayerKey of unet_layout.py in ComfyUI, a str in diffusers


def check_degree(degree: float) -> float:
    """Return `degree` as it is; ValueError where it is not a finite number."""
    if not math.isfinite(degree):
        raise ValueError(f"degree is {degree}; it is a finite number: 0 keeps the source's identity, 1.25 anonymizes.")
    return degree


@dataclass(frozen=True)
class ImageEmbeds:
    """CLIP embeddings of a batch of images (socket FACE_ANON_EMBEDS).

    Args:
        embeds: float32 [B, 1, C], already scaled by (1 - degree): equation (1), Z' = (1 - d) Z.
        degree: of anonymization.
        model: folder of the model whose image encoder it was; "" where it is not known.
    """

    embeds: torch.Tensor
    degree: float = 0.0
    model: str = ""

    @property
    def batch(self) -> int:
        """How many images these are."""
        return self.embeds.shape[0]

    def scaled(self, degree: float) -> ImageEmbeds:
        """Equation (1): Z' = (1 - d) Z, for the source alone. ValueError for a degree that is no number."""
        check_degree(degree)
        if self.degree != 0:
            raise ValueError(f"These embeddings are scaled already, with degree {self.degree}. Scale once.")
        return replace(self, embeds=self.embeds * (1 - degree), degree=degree)

    def part(self, images: slice | Sequence[int]) -> ImageEmbeds:
        """The embeddings of some images of the batch; a batch of 1 serves any and stays as it is."""
        return self if self.batch == 1 else replace(self, embeds=self.embeds[images])


@dataclass(frozen=True)
class ReferenceStates:
    """What one ReferenceNet reads from a batch of images (socket FACE_ANON_STATES).

    Args:
        role: SOURCE or DRIVING.
        conditional: attention layer -> norm1(x) of that layer, [B, tokens, channels], at timestep 0.
        unconditional: the same for latents and embedding of zeros, [1, tokens, channels]; empty for DRIVING, whose
            states are the same in both halves of the guidance.
        routes: attention layer of the UNet -> layer whose state it reads (see UNetLayout.routes).
        latent_size: height and width of the latents, in latent pixels.
        degree: of the interpolation, equation (2).
        embeds_degree: of the embedding that was the network's context.
        model: folder of the model that the network is part of; "" where it is not known.
    """

    role: str
    conditional: Mapping[Layer, torch.Tensor]
    unconditional: Mapping[Layer, torch.Tensor]
    routes: Mapping[Layer, Layer]
    latent_size: tuple[int, int]
    degree: float = 0.0
    embeds_degree: float = 0.0
    model: str = ""

    @property
    def batch(self) -> int:
        """How many images these are."""
        return next(iter(self.conditional.values())).shape[0]

    def part(self, images: slice | Sequence[int]) -> ReferenceStates:
        """The states of some images of the batch; a batch of 1 serves any and stays as it is."""
        if self.batch == 1:
            return self
        return replace(self, conditional={layer: state[images] for layer, state in self.conditional.items()})


def interpolate_states(states: ReferenceStates, degree: float) -> ReferenceStates:
    """Equation (2): S' = (1 - d) S + d S_uncond for the conditional half; d > 1 extrapolates away from the source.

    Args:
        states: of a source; their unconditional half stays as it is.
        degree: d. 0 gives the very same states.

    Raises:
        ValueError: for driving states, for states that were interpolated before and for a degree that is no number.
    """
    check_degree(degree)
    if states.role != SOURCE:
        raise ValueError("Only source states are interpolated; these come from a driving ReferenceNet.")
    if states.degree != 0:
        raise ValueError(f"These states are interpolated already, with degree {states.degree}. Interpolate once.")
    if degree == 0:
        return states
    # in float32: at half precision the difference of two near states would lose most of its digits
    conditional = {
        layer: torch.lerp(state.float(), states.unconditional[layer].float().expand_as(state), degree).to(state.dtype)
        for layer, state in states.conditional.items()
    }
    return replace(states, conditional=conditional, degree=degree)


def common_batch(**batches: int) -> int:
    """The one batch size that all named sizes agree on, where 1 serves any; ValueError names all where they do not."""
    sizes = {size for size in batches.values() if size != 1}
    if len(sizes) > 1 or 0 in sizes:
        listed = ", ".join(f"{name} {size}" for name, size in batches.items())
        raise ValueError(f"Batches do not fit: {listed}. Each is 1 or the same number, and none is 0.")
    return sizes.pop() if sizes else 1
