"""What a step of the published architecture costs, counted on torch's meta device. Touches the host: runs its UNet."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from face_anonymizer.modules.checking.random_model import FULL_SIZE
from face_anonymizer.modules.model.attention import ReferenceAttention
from face_anonymizer.modules.model.states import DRIVING, SOURCE, ReferenceStates
from face_anonymizer.modules.model.unet_layout import UNetLayout, read_unet_layout
from face_anonymizer.tools.benchmarks.shortcuts import DEEP, POOLED, EverySecondStep, pooled_attention

# All of a face but its steps, TFLOP: VAE, image encoder and ReferenceNets. docs/measured.md: 61.0 of a face of 25
# guided steps of 2.187, as tools/benchmarks/speed.py counts them.
REST_OF_A_FACE = 6.3
_LATENT = 64  # side in latent pixels, of a face of 512


class HalfStep(NamedTuple):
    """TFLOP of one half of the guidance in one step of one face.

    Args:
        first: the references' keys and values are projected, too, as in a run's first step.
        later: they are kept.
        fine: of the finest level alone, as a shortcut takes it; else as `later`.
    """

    first: float
    later: float
    fine: float


@functools.cache
def count_half_step(shortcut: str = "") -> HalfStep:
    """Count them on the published architecture, with the host's own UNet and torch's attention.

    Args:
        shortcut: one of shortcuts.SHORTCUTS, or "" for none.
    """
    from comfy.patcher_extension import WrappersMP

    from face_anonymizer.modules.model.projections import KeptProjections

    layout, network, inputs, run = _published()
    routes = layout.routes("block_first")
    states = {}

    def record(x, context, value, extra_options):
        states[(*extra_options["block"], extra_options["block_index"])] = x
        return x, context, value

    network(**inputs, transformer_options={**run, "patches": {"attn1_patch": [record]}})
    wanted = {layer: states[layer] for layer in {*routes.values()}}
    both = [ReferenceStates(role, wanted, {}, routes, (_LATENT, _LATENT)) for role in (SOURCE, DRIVING)]
    kept = KeptProjections((pooled_attention() if shortcut == POOLED else ReferenceAttention)(*both))
    options = {
        **run,
        "patches": {"attn1_patch": [kept.patch]},
        "patches_replace": {"attn1": dict.fromkeys(routes, kept.replace)},
    }
    if shortcut == DEEP:
        options["wrappers"] = {WrappersMP.DIFFUSION_MODEL: {"shortcut": [EverySecondStep()]}}
    counted = []
    for noise in (9.0, 7.0, 5.0) if shortcut == DEEP else (9.0, 7.0):
        with FlopCounterMode(display=False) as counter:
            network(**inputs, transformer_options={**options, "sigmas": torch.tensor([noise])})
        counted.append(counter.get_total_flops() / 1e12)
    first, second, *third = counted  # with DEEP the second is of the finest level alone
    return HalfStep(first, *third or [second], second)


@functools.cache
def count_reference() -> float:
    """TFLOP of a ReferenceNet on one image."""
    _, network, inputs, run = _published()
    with FlopCounterMode(display=False) as counter:
        network(**inputs | {"context": inputs["context"][:, :1]}, transformer_options=run)
    return counter.get_total_flops() / 1e12


def _published() -> tuple[UNetLayout, torch.nn.Module, dict[str, torch.Tensor], dict]:
    """The published UNet, whose ReferenceNets are of the same architecture; its inputs for a face; options of a run."""
    # here, so that this can be imported without ComfyUI
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    layout = read_unet_layout(FULL_SIZE.unet, "the published config.json")
    network = UNetModel(
        **layout.host_config, dtype=torch.float32, device="meta", operations=comfy.ops.disable_weight_init
    )
    inputs = {
        "x": torch.empty(1, layout.in_channels, _LATENT, _LATENT, device="meta"),
        "timesteps": torch.empty(1, device="meta"),
        "context": torch.empty(1, 2, layout.context_dim, device="meta"),
    }
    run = {"cond_or_uncond": [0], "optimized_attention_override": lambda _, *given, **more: _attend(*given, **more)}
    return layout, network, inputs, run


def _attend(q, k, v, heads, **options):
    """torch's attention, without what a meta tensor cannot be asked."""
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(q, k, v, heads)
