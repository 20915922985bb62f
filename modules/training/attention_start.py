"""Where a training from scratch starts: attention looks up what is alike, as that of a pretrained UNet does.

From a random start a UNet learns to denoise long before it learns to read its ReferenceNets: queries and keys that
know nothing of each other first have to meet by chance. Here both are one rotation, the same in all three networks, so
that a token reads the tokens of source and driving image that look like it; values pass as they are. Everything is
trained from there.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn


@torch.no_grad()
def start_from_lookup(unet: UNet2DConditionModel, seed: int) -> None:
    """Change the self-attention of `unet`, fresh from diffusers, in place; `seed` decides the rotations.

    Behind a LayerNorm a head of width w gives a token the score sqrt(w) with its like, and about 0 with any other.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in unet.modules():
        if isinstance(module, Transformer2DModel):
            _pass(module.proj_in)
            _pass(module.proj_out)
        elif isinstance(module, BasicTransformerBlock):
            attention = module.attn1
            alike, values = (_rotation(attention.to_q.weight, generator) for _ in range(2))
            attention.to_q.weight.copy_(alike)
            attention.to_k.weight.copy_(alike)
            attention.to_v.weight.copy_(values)
            attention.to_out[0].weight.copy_(values.T)
            attention.to_out[0].bias.zero_()


def _pass(layer: nn.Linear | nn.Conv2d) -> None:
    """Make a projection the identity; a convolution of one pixel is one too."""
    layer.weight.copy_(torch.eye(*layer.weight.shape[:2]).view_as(layer.weight))
    assert layer.bias is not None  # diffusers' projections have one
    layer.bias.zero_()


def _rotation(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random matrix with orthonormal columns of the shape of `weight`, [inner, channels] with inner >= channels."""
    return torch.linalg.qr(torch.randn(weight.shape, generator=generator))[0]
