"""CenterFace's filters in integers of 8 bits, for processors: a look takes a third of the time that float32 takes.

They say where to look: what they see is looked at again, in float32, before it is a face. Of a face that this second
look does not find, or gives less, their score counts.

Weights are integers of -63 to 63 (integer_kernels.py), so that no processor cuts off a sum; engines differ in how they
round to a level. They were fitted to what the float32 network computes by tools/convert/centerface_int8.py. The heads,
which make scores, boxes and points of it, stay in float32. How far scores move stands in docs/measured.md ("In
integers").

Source of the arithmetic: Jacob et al., arXiv 1712.05877, section 2; torch.ops.quantized.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from .centerface import TAPS, CenterFace
from .integer_kernels import IntegerFilter, as_levels, exact_engine, pack
from .weights import MODELS, load_weights

WEIGHTS = MODELS / "centerface_int8.safetensors"
# Between the only block that widens nothing and the next one stands neither a residual nor a cut at 0: its projection
# and that block's expansion are one filter.
_FOLDED = "stages.0.0"
_SHAPES = 12  # of pictures that are remembered, the last ones
_RARE = 2  # what comes no more often is not worth the 30 ms

Value = TypeVar("Value")


class Steps(Protocol[Value]):
    """What `walk` does with the values that pass through the network."""

    def filter(self, name: str, value: Value, relu: bool) -> Value:
        """A convolution, by its name in CenterFace, then what it gives in levels; relu: cut off below 0."""
        ...

    def add(self, name: str, one: Value, other: Value) -> Value:
        """The sum of both, in levels."""
        ...

    def merge(self, up: nn.Module, coarse: Value, fine: Value) -> Value:
        """The coarse one doubled by `up` and cut off below 0, and the fine one added: in float32."""
        ...

    def levels(self, name: str, value: Value) -> Value:
        """What came out of merge, in levels."""
        ...


def walk(network: CenterFace, x: Value, steps: Steps[Value]) -> Value:
    """The filters of CenterFace up to its heads, one after the other.

    Args:
        network: gives their order.
        x: a picture, in levels of 255.
        steps: what is done at each.
    """
    y = steps.filter("stem", x, True)
    taps = []
    for i, stage in enumerate(network.stages):
        for j, block in enumerate(cast(nn.Sequential, stage)):
            name = f"stages.{i}.{j}"
            wide = y if block.expand is None else steps.filter(f"{name}.expand", y, True)
            wide = steps.filter(f"{name}.depthwise", wide, True)
            if name == _FOLDED:
                y = wide
                continue
            narrow = steps.filter(f"{name}.project", wide, False)
            y = steps.add(f"{name}.sum", narrow, y) if block.residual else narrow
        if i in TAPS:
            taps.append(y)
    y = steps.filter("top", taps.pop(), True)
    for i, merge in enumerate(network.merges):
        up = cast(nn.Module, merge.up)
        y = steps.merge(up, y, steps.filter(f"merges.{i}.lateral", taps.pop(), True))
    return steps.filter("smooth", steps.levels("merged", y), True)


class _Names:
    """The names that walk calls, in their order: filters, and values between them that no filter gives."""

    def __init__(self) -> None:
        self.filters: list[str] = []
        self.others: list[str] = []

    def filter(self, name: str, value: None, relu: bool) -> None:
        self.filters.append(name)

    def add(self, name: str, one: None, other: None) -> None:
        self.others.append(name)

    def merge(self, up: nn.Module, coarse: None, fine: None) -> None:
        pass

    def levels(self, name: str, value: None) -> None:
        self.others.append(name)


def names(network: CenterFace) -> tuple[list[str], list[str]]:
    """The names of the filters, and of what else is brought to levels: sums and what is merged."""
    called = _Names()
    walk(network, None, called)
    return called.filters, called.others


def folded_filter(network: CenterFace, name: str) -> nn.Conv2d:
    """The filter of that name; for the first expansion the one that it and the projection before it are together."""
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    if name != "stages.1.0.expand":
        return layer
    before = network.get_submodule(f"{_FOLDED}.project")
    assert isinstance(before, nn.Conv2d)
    folded = nn.Conv2d(before.in_channels, layer.out_channels, 1).requires_grad_(False)
    first, second = (each.weight[:, :, 0, 0].double() for each in (before, layer))
    folded.weight.copy_((second @ first)[:, :, None, None])
    assert before.bias is not None and layer.bias is not None and folded.bias is not None
    folded.bias.copy_(second @ before.bias.double() + layer.bias.double())
    return folded


class Weights(nn.Module):
    """What models/centerface_int8.safetensors holds, as buffers.

    Of each filter `weight`, int8 as in CenterFace; `scale`, what 1 of it is worth, one an output channel; `bias`. Of
    every value `step`, what a level is worth, and `zero`, which level is 0.
    """

    def __init__(self, network: CenterFace):
        super().__init__()
        filters, others = names(network)
        for name in filters:
            layer = folded_filter(network, name)
            self._add(name, "weight", torch.empty(layer.weight.shape, dtype=torch.int8))
            for part in ("scale", "bias"):
                self._add(name, part, torch.empty(layer.out_channels))
        for name in (*filters, *others):
            self._add(name, "step", torch.empty(()))
            self._add(name, "zero", torch.empty((), dtype=torch.uint8))

    def _add(self, name: str, part: str, value: torch.Tensor) -> None:
        self.register_buffer(_key(name, part), value)

    def of(self, name: str, part: str) -> torch.Tensor:
        """A part of what belongs to a name."""
        return self.get_buffer(_key(name, part))


def _key(name: str, part: str) -> str:
    return f"{name}.{part}".replace(".", "_")


def load_int8_weights(network: CenterFace, path: str | Path = WEIGHTS) -> Weights:
    """The weights in integers.

    Args:
        network: CenterFace, for their shapes.
        path: a safetensors file made by tools/convert/centerface_int8.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    make = partial(Weights, network)
    return load_weights(make, path, "The face detector's weights in integers", "CenterFace in integers")


class IntegerFilters:
    """The filters up to the heads, by torch's kernels for integers.

    oneDNN prepares a filter for the first shape that it sees, and anew each time for all others, which takes as long as
    the filter itself: so a shape that comes again and again gets filters of its own, of 2 MB.

    Args:
        network: CenterFace, in float32: gives order, strides, and what doubles a level of the pyramid.
        weights: from load_int8_weights.
        engine: torch's name for its kernels.
    """

    def __init__(self, network: CenterFace, weights: Weights, engine: str):
        self._network = network
        filters, others = names(network)
        self._filters = {
            name: IntegerFilter(
                folded_filter(network, name), *(weights.of(name, p) for p in ("weight", "scale", "bias"))
            )
            for name in filters
        }
        self._levels = {n: (float(weights.of(n, "step")), int(weights.of(n, "zero"))) for n in (*filters, *others)}
        self._prepare(engine)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads of CenterFace get.

        Args:
            x: [B, 3, H, W], RGB, 0..255, on the CPU: uint8, or float32, which is rounded to whole levels.

        Returns:
            float32 [B, 24, H/4, W/4].
        """
        x = x.contiguous(memory_format=torch.channels_last)
        return _whole(walk(self._network, as_levels(x), self._for(tuple(x.shape))))

    def _for(self, shape: tuple[int, ...]) -> _Kernels:
        seen = self._of_shape.pop(shape, 0)
        if isinstance(seen, int):
            seen = seen + 1 if seen < _RARE else self._prepared()
        self._of_shape[shape] = seen  # as the last one
        if len(self._of_shape) > _SHAPES:
            self._of_shape.popitem(last=False)
        return self._any_shape if isinstance(seen, int) else seen

    def __getstate__(self) -> dict[str, Any]:
        """Without what is prepared: another process may have another engine, and this one may be set to another."""
        return {"_network": self._network, "_filters": self._filters, "_levels": self._levels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare(exact_engine())

    def _prepare(self, engine: str | None) -> None:
        if engine is None:
            raise RuntimeError("torch has no exact kernels for integers here: set CenterFace.integers to None.")
        self._engine = engine
        self._any_shape = self._prepared()
        self._of_shape: OrderedDict[tuple[int, ...], _Kernels | int] = OrderedDict()

    def _prepared(self) -> _Kernels:
        return _Kernels(pack(self._filters, self._engine), self._levels)


class _Kernels:
    """Steps of walk in integers."""

    def __init__(self, packed: dict[str, Any], levels: dict[str, tuple[float, int]]):
        self._packed, self._levels = packed, levels

    def filter(self, name: str, value: torch.Tensor, relu: bool) -> torch.Tensor:
        apply = torch.ops.quantized.conv2d_relu if relu else torch.ops.quantized.conv2d
        return apply(value, self._packed[name], *self._levels[name])

    def add(self, name: str, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized.add(one, other, *self._levels[name])

    def merge(self, up: nn.Module, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        return F.relu_(up(_whole(coarse))).add_(_whole(fine))

    def levels(self, name: str, value: torch.Tensor) -> torch.Tensor:
        return torch.quantize_per_tensor(value, *self._levels[name], torch.quint8)


def integer_filters(network: CenterFace, path: str | Path = WEIGHTS) -> IntegerFilters | None:
    """The filters in integers; None where this torch has no kernels for them that count right.

    Args:
        network: CenterFace, in float32.
        path: as for load_int8_weights.

    Raises:
        FileNotFoundError, ValueError: as load_int8_weights.
    """
    weights = load_int8_weights(network, path)
    engine = exact_engine()
    return None if engine is None else IntegerFilters(network, weights, engine)


def _whole(value: torch.Tensor) -> torch.Tensor:
    return value.dequantize() if value.is_quantized else value
