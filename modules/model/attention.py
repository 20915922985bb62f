"""Reference states enter the UNet's self-attention: one composable attn1 patch. Pure tensors, no ComfyUI.

Keys and values are [x, source state, driving state] along the tokens, queries are x alone. The official code asks the
reference tokens as queries too and throws their rows away; attention rows are independent, so the result is the same
with less work (docs/measured.md has how much).
"""

from __future__ import annotations

import torch

from .states import ReferenceStates, common_batch
from .unet_layout import LayerKey

_CONDITIONAL = 0  # what the host calls 0 in cond_or_uncond (comfy/samplers.py); every other number is a negative


def layer_of(extra_options: dict) -> LayerKey | None:
    """The attention layer that a patch is called for; None where the host does not say."""
    block = extra_options.get("block")
    return (*block, extra_options.get("block_index", 0)) if block else None


def halves_of(extra_options: dict) -> list[int]:
    """The halves of the guidance that lie behind each other in the batch, as the host numbers them."""
    return extra_options.get("cond_or_uncond") or [_CONDITIONAL]


class ReferenceAttention:
    """The attn1 patch of source and driving states; give an instance to `set_model_attn1_patch` of a MODEL's clone.

    The host calls it in every transformer block with norm1(x), [b * halves, tokens, channels], and moves it between
    devices by `to` (comfy/model_patcher.py, model_patches_to).
    """

    def __init__(self, source: ReferenceStates, driving: ReferenceStates):
        self.routes = dict(source.routes)
        self.latent_size = source.latent_size
        self.batch = common_batch(source_states=source.batch, driving_states=driving.batch)
        self.driving = dict(driving.conditional)
        self.conditional = dict(source.conditional)
        self.unconditional = dict(source.unconditional)

    def to(self, device_or_dtype):
        """Move the states to a device, as the host asks.

        The host also asks for the dtype of the weights (comfy/model_management.py, LoadedModel.model_load): as fp8 that
        would round the states for good. They keep their own, and take that of x when they are used.

        Args:
            device_or_dtype: a device; a dtype changes nothing.

        Returns:
            The patch itself, which the host puts in its place.
        """
        if isinstance(device_or_dtype, torch.device):
            for states in (self.driving, self.conditional, self.unconditional):
                for layer, state in states.items():
                    states[layer] = state.to(device_or_dtype)
        return self

    def __call__(self, x: torch.Tensor, context: torch.Tensor, value: torch.Tensor, extra_options: dict):
        """Let one self-attention layer read the references.

        Args:
            x: norm1(x) of both halves of the guidance, [b * halves, tokens, channels].
            context: x, unless another patch has changed it.
            value: the same.
            extra_options: the host's; "block" and "block_index" name the layer, "cond_or_uncond" the halves.

        Returns:
            Queries, keys and values.

        Raises:
            ValueError: for states of another architecture, batch or size than x.
        """
        layer = layer_of(extra_options)
        if layer not in self.routes:
            raise ValueError(
                f"The MODEL has an attention layer {layer} for which the reference states hold nothing: they come from "
                f"another architecture. Take MODEL and ReferenceNets from one FaceAnonLoadModel."
            )
        halves = halves_of(extra_options)
        references = self._references(self.routes[layer], x, halves)
        keys = torch.cat([context, *references], dim=1)
        return x, keys, keys if value is context else torch.cat([value, *references], dim=1)

    def _references(self, layer: LayerKey, x: torch.Tensor, halves: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Source and driving states for the faces of x, each [b * halves, tokens, channels]."""
        latents = x.shape[0] // len(halves)
        if self.batch not in (1, latents):
            raise ValueError(
                f"The latent has batch {latents}, the reference states have {self.batch}. Use the LATENT output of "
                f"FaceAnonApply, or references of batch 1 to make several variations of one face."
            )
        driving = self.driving[layer]
        if driving.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"The latent gives {tuple(x.shape[1:])} tokens x channels at attention layer {layer}, each "
                f"reference gives {tuple(driving.shape[1:])}: the references are of "
                f"{self.latent_size[1]}x{self.latent_size[0]} latent pixels. Use FaceAnonApply's LATENT output."
            )
        sources = [(self.conditional if half == _CONDITIONAL else self.unconditional)[layer] for half in halves]
        return (
            torch.cat([source.to(x).expand(latents, -1, -1) for source in sources]),
            driving.to(x).expand(latents, -1, -1).repeat(len(halves), 1, 1),
        )
