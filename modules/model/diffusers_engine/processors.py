"""Attention as the three networks need it: states are recorded in two of them and read in the third.

Both ride on diffusers' `cross_attention_kwargs`, so that nothing is stored between calls and gradient checkpointing
computes a block again from the same arguments.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch.nn.functional import pad, scaled_dot_product_attention

from ..checkpoint import BLOCK_FIRST

# Of so few keys the flash kernels for CPUs are slower, backward two to six times.
_FEW_KEYS = 256


class AllRecorded(Exception):
    """A ReferenceNet has met its last wanted layer: what follows in it serves nothing."""


class Record(dict):
    """Layer -> norm1(x), [B, tokens, channels]. wanted: the layers to keep; stop: raise AllRecorded after the last."""

    def __init__(self, wanted: frozenset[str], stop: bool):
        super().__init__()
        self.wanted, self.stop = wanted, stop

    def add(self, layer: str, state: torch.Tensor) -> None:
        """Record the state of a layer if it is wanted.

        Args:
            layer: its name.
            state: [B, tokens, channels].

        Raises:
            AllRecorded: it was the last one that is wanted, and `stop` is set.
        """
        if layer in self.wanted:
            self[layer] = state
            if self.stop and len(self) == len(self.wanted):
                raise AllRecorded


class KeptProjections:
    """Keys and values of a run's references, projected in its first step: neither states nor weights change in it.

    ComfyUI's models have the same of modules/model/projections.py. Make one for each run. In each step the rows of x
    are written before those of the references, so that nothing else is joined or copied.

    Args:
        room: bytes that may be kept; layers that find none left are projected in every step.
    """

    def __init__(self, room: int):
        self._room = room
        self._kept: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def join(
        self, layer: str, attn: Attention, reference: torch.Tensor, own: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of [x, references].

        Args:
            layer: its name.
            attn: its attention.
            reference: states of all rows of the run, [rows, tokens of both references, channels].
            own: keys and values of x, [rows, tokens, width]; of fewer than all rows, they are the first.

        Returns:
            [rows of x, all tokens, width] each; good until the next call for this layer.
        """
        (rows, tokens, width), parts = own[0].shape, (attn.to_k, attn.to_v)
        size = 2 * len(reference) * (tokens + reference.shape[1]) * width * own[0].element_size()
        if layer not in self._kept and size > self._room:
            keys, values = (torch.cat([x, to(reference[:rows])], 1) for x, to in zip(own, parts, strict=True))
            return keys, values
        if layer not in self._kept:
            self._room -= size
            before = (0, 0, tokens, 0)  # room for x before the tokens of the references
            self._kept[layer] = pad(attn.to_k(reference), before), pad(attn.to_v(reference), before)
        keys, values = (each[:rows] for each in self._kept[layer])
        keys[:, :tokens], values[:, :tokens] = own
        return keys, values


class ReferenceProcessor:
    """Attention of one layer. layer: its name, None for cross-attention; reads: the layer whose states it takes."""

    def __init__(self, layer: str | None, reads: str | None):
        self.layer, self.reads = layer, reads

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        *,
        record: Record | None = None,
        states: dict[str, torch.Tensor] | None = None,
        kept: KeptProjections | None = None,
    ) -> torch.Tensor:
        """hidden_states: [B * draws, tokens, channels]. states: layer -> [B, source and driving tokens, channels].

        Keys and values are [x, source, driving] along the tokens, as in modules/model/attention.py. The states of a
        triple are projected once and serve all of its draws. With `kept`, they are projected once a run, and
        hidden_states may be the first rows of B alone.
        """
        if record is not None and self.layer is not None:
            record.add(self.layer, hidden_states)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        if states is not None and self.layer is not None and self.reads is not None:
            reference = states[self.reads]
            if kept is not None:
                key, value = kept.join(self.layer, attn, reference, (key, value))
            else:
                draws = len(hidden_states) // len(reference)
                key = torch.cat([key, _repeat(attn.to_k(reference), draws)], dim=1)
                value = torch.cat([value, _repeat(attn.to_v(reference), draws)], dim=1)
        query, key, value = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value))
        mixed = _attend(query, key, value)
        return attn.to_out[0](mixed.transpose(1, 2).flatten(2))  # to_out[1] is a dropout of these UNets' 0


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention over [B, heads, tokens, width]."""
    if key.device.type == "cpu" and key.shape[2] < _FEW_KEYS:
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        return scores.softmax(dim=3) @ value
    return scaled_dot_product_attention(query, key, value)


def _repeat(tokens: torch.Tensor, draws: int) -> torch.Tensor:
    return tokens if draws == 1 else tokens.repeat_interleave(draws, dim=0)


def set_processors(unet: UNet2DConditionModel, routing: str) -> frozenset[str]:
    """Give every attention of `unet` a ReferenceProcessor; returns the layers whose states are read.

    Layers are named as diffusers names them, such as "down_blocks.0.attentions.1.transformer_blocks.0.attn1".
    For the routings see UNetLayout.routes.
    """
    processors, first = {}, {}
    for name in unet.attn_processors:
        layer = name.removesuffix(".processor")
        if not layer.endswith(".attn1"):
            processors[name] = ReferenceProcessor(None, None)
            continue
        block = layer.split(".attentions.")[0]
        reads = first.setdefault(block, layer) if routing == BLOCK_FIRST else layer
        processors[name] = ReferenceProcessor(layer, reads)
    unet.set_attn_processor(dict(processors))  # which it empties
    return frozenset(processor.reads for processor in processors.values() if processor.reads is not None)
