"""A graphics card of the kind that lacks float64, on every machine: tensors that say they are on it, but hold values.

    with pretended_device() as put:
        images = put(images)  # on the card from here on; put(module) moves a module's weights, in place

Operations are carried out on the CPU, so that code which makes no difference between devices gives the CPU's results,
bit for bit. What is refused is what an Apple GPU refuses (torch can only call the device "cuda" where it was not built
for "mps"):

- float64, in any operation: Metal has none, and some of Intel's cards have none either;
- adaptive pooling between sides neither of which divides the other;
- grid_sample by the cubic filter, or beyond a border;
- tensors of both devices in one operation, but for single numbers, and for indices, as on every card;
- a conversion to numpy before .cpu().

It does not show which other operations a card lacks, nor how its kernels round.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CPU, CARD = torch.device("cpu"), torch.device("cuda:0")
_aten = torch.ops.aten
_COPIES = {_aten.copy_, _aten._to_copy}
_CUBIC, _BORDER = 2, 1  # of grid_sampler_2d
_INDEXING = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}  # (tensor, indices[, values])


class OnCard(torch.Tensor):
    """A tensor that says it is on the card. values: what it holds, on the CPU."""

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> OnCard:
        with torch.inference_mode(False):  # a tensor that was made outside may have its views inside
            return torch.Tensor._make_wrapper_subclass(
                cls, values.shape, values.stride(), values.storage_offset(), dtype=values.dtype, device=CARD
            )

    def __init__(self, values: torch.Tensor):
        self.values = values

    def __repr__(self) -> str:
        return f"OnCard({self.values!r})"

    def tolist(self) -> list:  # torch refuses it to subclasses
        return self.values.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function} of a tensor on the card, outside of pretended_device().")


class _Pretending(TorchDispatchMode):
    """Carries operations out on the CPU and puts their results where the real ones would be."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if torch.is_inference_mode_enabled():  # where torch takes operations no further apart by itself
            with self:
                results = function.decompose(*args, **kwargs)
            if results is not NotImplemented:
                return results
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnCard)]
        wanted = kwargs.get("device")
        to_card = bool(given) if wanted is None else torch.device(wanted).type == CARD.type
        if given:
            _refuse_mixture(function, args)
            _refuse_kernels(function, args)
        if wanted is not None:
            kwargs["device"] = CPU
        owners = {id(tensor.values): tensor for tensor in given}
        args, kwargs = tree_map_only(OnCard, lambda tensor: tensor.values, (args, kwargs))
        results = function(*args, **kwargs)
        if not to_card or (function.overloadpacket is _aten.copy_ and id(args[0]) not in owners):
            return results

        def put(result: torch.Tensor) -> torch.Tensor:
            if result.dtype == torch.float64:
                raise TypeError(f"{function}: the card has no float64. Bring the tensor to the CPU first.")
            return owners[id(result)] if id(result) in owners else OnCard(result)  # changed in place, or new

        return tree_map_only(torch.Tensor, put, results)


def _refuse_mixture(function, args: tuple) -> None:
    packet = function.overloadpacket
    if packet in _COPIES:
        return
    checked = (args[0], *args[2:]) if packet in _INDEXING else args
    tensors = [leaf for leaf in tree_leaves(checked) if isinstance(leaf, torch.Tensor)]
    if any(tensor.ndim and not isinstance(tensor, OnCard) for tensor in tensors):
        raise RuntimeError(f"{function}: expected all tensors on one device, found the card and the CPU.")


def _refuse_kernels(function, args: tuple) -> None:
    if function.overloadpacket is _aten._adaptive_avg_pool2d:
        sides, cells = args[0].shape[-2:], args[1]
        if any(side % cell and cell % side for side, cell in zip(sides, cells, strict=True)):
            raise NotImplementedError(f"Adaptive pooling of {tuple(sides)} to {cells}: sizes must be divisible.")
    if function.overloadpacket is _aten.grid_sampler_2d:
        mode, padding = args[2:4]
        if mode == _CUBIC or padding == _BORDER:
            raise RuntimeError("grid_sample: the cubic filter and the padding by the border are not supported.")


@contextlib.contextmanager
def pretended_device() -> Iterator[Callable]:
    """Within the block the card exists. What comes puts a tensor, or the weights of a module, on it."""

    def put(what):
        if not isinstance(what, torch.nn.Module):
            return what.to(CARD)
        for module in what.modules():
            for name, value in module.named_parameters(recurse=False):
                module._parameters[name] = torch.nn.Parameter(put(value.detach()), requires_grad=False)
            for name, value in module.named_buffers(recurse=False):
                module._buffers[name] = put(value)
        return what

    with pytest.MonkeyPatch.context() as patched, contextlib.ExitStack() as stack:
        torch._C._ensureCUDADeviceGuardSet()
        patched.setattr(torch.cuda, "_lazy_init", lambda: None)
        # torch.tensor(..., device=CARD) makes its tensor on the CPU and moves it then, as FakeTensorMode has it
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        stack.enter_context(_Pretending())
        yield put
