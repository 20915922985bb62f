"""Torch's convolutions in integers of 8 bits: which of its engines counts right here, and filters prepared for it.

Source: torch.ops.quantized and torch.backends.quantized. The engines are built into torch, another choice on each
platform: oneDNN and FBGEMM on x86, QNNPACK on ARM.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

LARGEST_WEIGHT = 63  # sums of two products fit into 16 bits, where processors without VNNI cut them off
LEVELS = 255  # the largest value of what passes from filter to filter
_ENGINES = ("onednn", "x86", "fbgemm", "qnnpack")  # the fastest first
_engine_lock = threading.Lock()


class IntegerFilter:
    """A convolution with integer weights.

    Args:
        layer: gives stride, padding and groups.
        weight: int8 of its shape, of at most LARGEST_WEIGHT.
        scale: float32 [O], what 1 of the weight is worth.
        bias: float32 [O].
    """

    def __init__(self, layer: nn.Conv2d, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor):
        self.shape = list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups
        zeros = torch.zeros(len(scale), dtype=torch.long)
        exact = weight.float() * scale[:, None, None, None]
        self.weight = torch.quantize_per_channel(exact, scale.double(), zeros, 0, torch.qint8)
        self.bias = bias


def pack(filters: Mapping[str, IntegerFilter], engine: str) -> dict[str, Any]:
    """The filters as torch.ops.quantized.conv2d takes them.

    Args:
        filters: by their names.
        engine: of torch.backends.quantized.supported_engines. It is chosen for the whole process, so it is put back.
    """
    with _engine_lock:
        before = torch.backends.quantized.engine
        try:
            torch.backends.quantized.engine = engine
            prepack = torch.ops.quantized.conv2d_prepack
            return {name: prepack(each.weight, each.bias, *each.shape) for name, each in filters.items()}
        finally:
            torch.backends.quantized.engine = before


def as_levels(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels as what passes from filter to filter, of 1 a level.

    Args:
        pixels: uint8, or float 0..255, which is rounded.
    """
    if pixels.dtype == torch.uint8:  # in a fifth of the time that the way through float takes
        return torch._make_per_tensor_quantized_tensor(pixels, 1.0, 0)  # pyright: ignore[reportPrivateImportUsage]
    return torch.quantize_per_tensor(pixels, 1.0, 0, torch.quint8)


@functools.cache
def exact_engine() -> str | None:
    """The first engine that adds up the largest numbers without cutting them off; None where there is none."""
    there = torch.backends.quantized.supported_engines
    return next((engine for engine in _ENGINES if engine in there and is_exact(engine)), None)


def is_exact(engine: str, largest: int = LARGEST_WEIGHT) -> bool:
    """Whether the largest sums of a filter of one channel and of one of all channels come out within a level.

    Args:
        engine: as for pack.
        largest: weight.
    """
    channels, side = 144, 8
    levels = torch.full((1, channels, side, side), float(LEVELS))
    levels[:, :, ::2] -= 1
    x = torch.quantize_per_tensor(levels.contiguous(memory_format=torch.channels_last), 1.0, 0, torch.quint8)
    for groups, width, side in ((channels, channels, 3), (1, 24, 1)):
        layer = nn.Conv2d(channels, width, side, 1, side // 2, groups=groups)
        weight = torch.full(layer.weight.shape, largest, dtype=torch.int8)
        weight[::2] = -largest
        scale, bias = torch.full((width,), 1e-3), torch.linspace(-1, 1, width)
        exact = F.conv2d(levels.double(), weight.double() * 1e-3, bias.double(), 1, side // 2, 1, groups)
        step = float(exact.abs().max()) / 100
        try:
            packed = pack({"filter": IntegerFilter(layer, weight, scale, bias)}, engine)["filter"]
            got = torch.ops.quantized.conv2d(x, packed, step, 128).dequantize()
        except (RuntimeError, NotImplementedError, AttributeError):
            return False
        if float((got - exact).abs().max()) > 1.5 * step:
            return False
    return True
