"""Reference states enter the UNet's self-attention: one composable attn1 patch. Pure tensors, no ComfyUI.

Keys and values are [x, source state, driving state] along the tokens, queries are x alone. The official code asks the
reference tokens as queries too and throws their rows away; attention rows are independent, so the result is the same
at 0.58 of the FLOPs of a guided step (scripts/benchmark.py).
"""

from __future__ import annotations

import torch

from .states import ReferenceStates, common_batch
from .unet_layout import LayerKey

_CONDITIONAL = 0  # what the host calls 0 in cond_or_uncond (comfy/samplers.py); every other number is a negative


class ReferenceAttention:
    """The attn1 patch of one pair of references; give an instance to `set_model_attn1_patch` of a MODEL's clone.

    The host calls it in every transformer block with norm1(x), [b * halves, tokens, channels], and moves it between
    devices by `to` (comfy/model_patcher.py, model_patches_to).
    """

    def __init__(self, source: ReferenceStates, driving: ReferenceStates):
        self.routes = dict(source.routes)
        self.latent_size = source.latent_size
        self.batch = common_batch(source_states=source.batch, driving_states=driving.batch)
        self.conditional = _tokens(source.conditional, driving.conditional)
        self.unconditional = _tokens(source.unconditional, driving.conditional)

    def to(self, device_or_dtype):
        """Move to a device or a dtype, as the host asks; returns the patch, which the host puts in its place."""
        for half in (self.conditional, self.unconditional):
            for layer, tokens in half.items():
                half[layer] = tokens.to(device_or_dtype)
        return self

    def __call__(self, x: torch.Tensor, context: torch.Tensor, value: torch.Tensor, extra_options: dict):
        """(queries, keys, values) of one self-attention layer; `context` and `value` are x unless patched before."""
        block = extra_options.get("block")
        layer = (*block, extra_options.get("block_index", 0)) if block else None
        if layer not in self.routes:
            raise ValueError(
                f"The MODEL has an attention layer {layer} for which the reference states hold nothing: they come from "
                f"another architecture. Take MODEL and ReferenceNets from one FaceAnonLoadModel."
            )
        halves = extra_options.get("cond_or_uncond") or [_CONDITIONAL]
        tokens = self._reference_tokens(self.routes[layer], x, halves)
        keys = torch.cat([context, tokens], dim=1)
        return x, keys, keys if value is context else torch.cat([value, tokens], dim=1)

    def _reference_tokens(self, layer: LayerKey, x: torch.Tensor, halves: list[int]) -> torch.Tensor:
        latents = x.shape[0] // len(halves)
        if self.batch not in (1, latents):
            raise ValueError(
                f"The latent has batch {latents}, the reference states have {self.batch}. Use the LATENT output of "
                f"FaceAnonApply, or references of batch 1 to make several variations of one face."
            )
        parts = []
        for half in halves:
            tokens = (self.conditional if half == _CONDITIONAL else self.unconditional)[layer]
            if tokens.shape[1] != 2 * x.shape[1] or tokens.shape[2] != x.shape[2]:
                raise ValueError(
                    f"The latent gives {tuple(x.shape[1:])} tokens x channels at attention layer {layer}, each "
                    f"reference gives {(tokens.shape[1] // 2, tokens.shape[2])}: the references are of "
                    f"{self.latent_size[1]}x{self.latent_size[0]} latent pixels. Use FaceAnonApply's LATENT output."
                )
            parts.append(tokens.to(x).expand(latents, -1, -1))
        return torch.cat(parts)


def _tokens(source, driving) -> dict[LayerKey, torch.Tensor]:
    """Layer -> [batch or 1, source and driving tokens, channels]."""
    joined = {}
    for layer, driving_state in driving.items():
        source_state = source[layer]
        batch = max(source_state.shape[0], driving_state.shape[0])
        joined[layer] = torch.cat(
            [source_state.expand(batch, -1, -1), driving_state.expand(batch, -1, -1).to(source_state)], dim=1
        )
    return joined
