"""Keys and values of the references, projected once a run and not in every step. Touches the host: wraps its sampler.

What a self-attention layer projects of the references is the same in all steps of a run, as neither their states nor
the layer's weights change in it. In the first step the host itself projects [x, source, driving], under whatever LoRA,
cast or offload there is; the result is kept, and in each later step the rows of x in it are written anew. So nothing is
joined by a copy a step, and nothing outlives its run: a LoRA, another face or another size finds nothing kept.

Where something else in the run could see or change what is projected, all is as without: see `reason_against`.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.modules import attention as host_attention
from comfy.model_patcher import set_model_options_patch_replace
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from .attention import ReferenceAttention, halves_of, layer_of
from .memory import can_keep, can_keep_now, memory_of_one_more
from .unet_layout import LayerKey

logger = logging.getLogger("face_anonymizer")

_KEY = "face_anonymizer"


@dataclass
class _Kept:
    """Keys and values of one layer, [halves * faces, tokens of x and both references, width]."""

    halves: tuple[int, ...]
    tokens: int  # of x, which stand first
    keys: torch.Tensor
    values: torch.Tensor

    def of(self, halves: tuple[int, ...], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The rows of these halves, as views; None where x is of another batch or size, or on another device."""
        faces = len(self.keys) // len(self.halves)
        same = (len(x), x.shape[1], x.dtype, x.device) == (
            *(faces * len(halves), self.tokens),
            *(self.keys.dtype, self.keys.device),
        )
        if not same:
            return None
        if halves == self.halves:
            return self.keys, self.values
        if len(halves) == 1 and halves[0] in self.halves:  # memory is short now, or there is no guidance in this step
            start = self.halves.index(halves[0]) * faces
            return self.keys[start : start + faces], self.values[start : start + faces]
        return None


class KeptProjections:
    """The two patches of a run: `patch` in the place of the references' attn1 patch, `replace` at every layer.

    Args:
        attention: what the host calls where nothing is kept.
    """

    def __init__(self, attention: ReferenceAttention):
        self.attention = attention
        self._kept: dict[LayerKey | None, _Kept] = {}
        self._ready: tuple[torch.Tensor, torch.Tensor] | None = None  # between the two patches of one layer
        self._missing: tuple[LayerKey | None, tuple[int, ...]] | None = None

    def patch(self, x: torch.Tensor, context: torch.Tensor, value: torch.Tensor, extra_options: dict):
        """As ReferenceAttention; where keys and values of the references are kept, x goes on alone."""
        self._ready = self._missing = None
        if context is not x or value is not x:
            return self.attention(x, context, value, extra_options)
        layer, halves = layer_of(extra_options), tuple(halves_of(extra_options))
        kept = self._kept.get(layer)
        self._ready = kept.of(halves, x) if kept else None
        if self._ready is not None:
            return x, x, x
        self._missing = (layer, halves)
        self._kept.pop(layer, None)  # never both, so that memory is bounded
        return self.attention(x, context, value, extra_options)

    def replace(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict) -> torch.Tensor:
        """The layer's attention, by the host's kernel.

        Args:
            q: projected queries, [b * halves, tokens, width].
            k, v: projected keys and values, of x alone where the references' are kept, else joined.
            extra_options: the host's.

        Returns:
            What goes into the layer's output projection, of q's shape.
        """
        (ready, missing), self._ready, self._missing = (self._ready, self._missing), None, None
        tokens = q.shape[1]
        if ready is not None:
            keys, values = ready
            keys[:, :tokens], values[:, :tokens] = k, v
            k, v = keys, values
        elif missing is not None:
            layer, halves = missing
            self._kept[layer] = _Kept(halves, tokens, k, v)
        return host_attention.optimized_attention(
            *(q, k, v),
            extra_options["n_heads"],
            attn_precision=extra_options["attn_precision"],
            transformer_options=extra_options,
        )


@dataclass(frozen=True)
class _Calls:
    """A wrapper of the host's apply_model: beside patches that a node adds for one call, all is as without.

    Guidance by another prediction adds them in the middle of a run, as Perturbed-Attention Guidance does.

    Args:
        patch, replace: of KeptProjections, as they stand in the run's model options.
        plain: of the references, in the place of both.
    """

    patch: Callable
    replace: Callable
    plain: Callable

    def __call__(self, executor, *given, **options):
        # x, t, c_concat, c_crossattn, control, transformer_options: the host hands all over by place
        before, to, after = given[:5], given[5] if len(given) > 5 else {}, given[6:]
        if not to or self._are_alone(to):
            return executor(*given, **options)
        return executor(*before, self._without_mine(to), *after, **options)

    def _without_mine(self, to: dict) -> dict:
        layers = to.get("patches_replace", {}).get("attn1", {})
        layers = {layer: patch for layer, patch in layers.items() if patch is not self.replace}
        mine = to.get("patches", {}).get("attn1_patch", [])
        mine = [self.plain if patch is self.patch else patch for patch in mine]
        return {
            **to,
            "patches": {**to.get("patches", {}), "attn1_patch": mine},
            "patches_replace": {**to.get("patches_replace", {}), "attn1": layers},
        }

    def _are_alone(self, to: dict) -> bool:
        patches, layers = to.get("patches", {}), to.get("patches_replace", {}).get("attn1", {})
        return (
            all(patch is self.patch for patch in patches.get("attn1_patch", []))
            and not patches.get("attn1_output_patch")
            and all(patch is self.replace for patch in layers.values())
        )


def patch_references(model, attention: ReferenceAttention, keep: bool = True) -> None:
    """Let a MODEL read references, and each of its runs decide whether it keeps what it projects of them.

    Args:
        model: a clone, which is patched.
        attention: of the references.
        keep: whether a run may keep anything.
    """

    def prepare(executor, patcher, noise_shape, conds, *arguments, **options):
        # the host gives a run a copy of the model options of its own, before it prepares it
        model_options = options.get("model_options") or next(iter(arguments), None)
        if model_options is None:
            return executor(patcher, noise_shape, conds, *arguments, **options)
        size, asked = 0, list(noise_shape)
        if keep and not reason_against(attention, patcher, model_options, conds):
            size = _size_beside(attention, patcher, noise_shape, conds)
        if size:  # room for what is kept, asked for as the host asks: by a batch of so many latents more
            asked[0] += math.ceil(size / (2 * memory_of_one_more(patcher, noise_shape[1:])))
        prepared = executor(patcher, asked, conds, *arguments, **options)
        if size and not can_keep_now(patcher, noise_shape[1:], noise_shape[0], size):
            logger.info("The device is too full to keep the references' projections: slower, with equal results.")
            size = 0
        _install(attention, model_options, keep=size > 0)
        return prepared

    model.set_model_attn1_patch(attention)

    model.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, _KEY, prepare)


def reason_against(attention: ReferenceAttention, model, model_options: dict, conds: dict[str, list[dict]]) -> str:
    """Why nothing is kept in a run; "" where nothing speaks against it.

    Args:
        attention: of the references.
        model: the MODEL that the run is prepared for.
        model_options: of this run, with the patches of all nodes.
        conds: name -> conditionings, as the host's guider holds them.
    """
    to = model_options.get("transformer_options", {})
    patches = to.get("patches", {})
    others = [patch for patch in patches.get("attn1_patch", []) if patch is not attention]
    if others or len(patches.get("attn1_patch", [])) != 1 or patches.get("attn1_output_patch"):
        return "another node patches the self-attention, as HyperTile and ToMe do"
    if to.get("patches_replace", {}).get("attn1"):
        return "another node replaces the self-attention, as Self-Attention Guidance does"
    every = [cond for some in conds.values() for cond in some or ()]
    if model_options.get("registered_hooks") or any(_has_hooks(cond) for cond in every):
        return "hooks change the weights on the way"
    if model.hook_patches or model.injections:
        return "a node has put something of its own into the layers"
    if "multigpu_clones" in model_options or model_options.get("context_handler") is not None:
        return "the batch is divided"
    touched = [*model.object_patches, *(name for name in model.weight_wrapper_patches if ".attn1." in name)]
    if any(name.startswith("diffusion_model") for name in touched):
        return "a node has replaced a part of the UNet"
    if any(_is_changed(module) for module in _attention_modules(model.model.diffusion_model)):
        return "something hangs on the layers of the self-attention"
    return ""


def _has_hooks(cond: dict) -> bool:
    control = cond.get("control")
    return bool(cond.get("hooks")) or (control is not None and bool(control.get_extra_hooks()))


def _attention_modules(network: torch.nn.Module) -> Iterable[torch.nn.Module]:
    for name, module in network.named_modules():
        if ".attn1" in name:
            yield module


def _is_changed(module: torch.nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


def projections_size(attention: ReferenceAttention, dtype: torch.dtype, rows: int) -> int:
    """Bytes that are kept in a run.

    Args:
        attention: of the references.
        dtype: that the UNet computes in.
        rows: faces times halves of the guidance.
    """
    states = [(attention.driving[route], attention.conditional[route]) for route in attention.routes.values()]
    # x has as many tokens as the driving state
    values = sum((2 * driving.shape[1] + source.shape[1]) * driving.shape[2] for driving, source in states)
    return 2 * rows * values * dtype.itemsize  # keys and values


def _size_beside(attention: ReferenceAttention, model, noise_shape, conds: dict[str, list[dict]]) -> int:
    """Bytes to keep in a run; 0 where memory is too short for it."""
    halves = sum(len(some or ()) for some in conds.values())
    size = projections_size(attention, model.model.get_dtype_inference(), noise_shape[0] * halves)
    states = sum(state.nbytes for some in (attention.driving, attention.conditional) for state in some.values())
    return size if can_keep(model, noise_shape[1:], noise_shape[0], states, size) else 0


def _install(attention: ReferenceAttention, model_options: dict, keep: bool) -> None:
    """Put the patches of a run into its own model options."""
    projections, plain = KeptProjections(attention), _uncompiled(attention)
    patch, replace = _uncompiled(projections.patch), _uncompiled(projections.replace)
    patches = model_options["transformer_options"].get("patches", {}).get("attn1_patch", [])
    patches[:] = [(patch if keep else plain) if one is attention else one for one in patches]
    if keep:
        for layer in attention.routes:
            set_model_options_patch_replace(model_options, replace, "attn1", *layer)
        calls = _Calls(patch, replace, plain)
        add_wrapper_with_key(WrappersMP.APPLY_MODEL, _KEY, calls, model_options, is_model_options=True)


def _uncompiled(patch: Callable) -> Callable[..., Any]:
    """The patch as torch.compile leaves it alone, where that is in use.

    The host's node checks nothing of a compiled graph that came by the transformer options, so a graph of one face
    would go on with the halves, and the size, that its first call had.
    """
    return torch.compiler.disable(patch) if "torch._dynamo" in sys.modules else patch
