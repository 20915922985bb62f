"""What operations on torch's FakeTensors give, remembered by the shapes that they were given.

A network asks for the same few hundred operations thousands of times. FakeTensorMode works each out, or looks it up by
a key that takes nearly as long. What they give hangs on shapes, strides, dtypes and devices alone: here these are the
key. What is no plain operation (one that changes its argument's shape, takes values or real tensors) is left to
FakeTensorMode every time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily


class _Unknown(Exception):
    """An argument of which the shape does not say all."""


class _Made(NamedTuple):
    """A tensor that an operation gives. view_of: which of the tensors that it was given shares its memory, if one."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    device: torch.device
    view_of: int | None


_WRITTEN = "it writes into its first argument, whose shape and memory stay, and gives that back"
# Of all modes: what a call gives is the same in each.
_KNOWN: dict[tuple, tuple[_Made, ...] | _Made | str | None] = {}


class RememberedShapes:
    """Carries out operations on fake tensors for a FakeTensorMode, each kind of call once a process."""

    def __init__(self, mode: FakeTensorMode):
        self._mode = mode

    def __call__(self, func, args: tuple, kwargs: dict):
        """func(*args, **kwargs). Raises what that raises, every time."""
        tensors: list[FakeTensor] = []
        try:
            key = (func, _described(args, tensors), _described(tuple(kwargs.items()), tensors))
            made = _KNOWN.get(key, key)
        except (_Unknown, TypeError):  # or what has no hash
            return func(*args, **kwargs)
        if made is key:
            memory = tensors[0].untyped_storage()._cdata if tensors else None
            result = func(*args, **kwargs)
            if func._schema.is_mutable:
                same = tensors and result is tensors[0] is args[0] and _described(args, []) == key[1]
                _KNOWN[key] = _WRITTEN if same and result.untyped_storage()._cdata == memory else None
            else:
                _KNOWN[key] = _description(result, tensors)
            return result
        if made is None:
            return func(*args, **kwargs)
        if made is _WRITTEN:  # into values that do not exist
            return args[0]
        with unset_fake_temporarily():
            if isinstance(made, _Made):
                return self._make(made, tensors)
            return tuple(self._make(one, tensors) for one in made)

    def _make(self, made: _Made, tensors: list[FakeTensor]) -> FakeTensor:
        if made.view_of is None:
            empty = torch.empty_strided(made.shape, made.stride, dtype=made.dtype, device="meta")
        else:
            empty = torch.empty(0, dtype=made.dtype, device="meta")
            empty.set_(tensors[made.view_of].untyped_storage(), made.offset, made.shape, made.stride)
        return FakeTensor(self._mode, empty, made.device)


def _described(values: tuple | list, tensors: list[FakeTensor]) -> tuple:
    """What a result hangs on; `tensors` gets those that are among the values."""
    described = []
    for value in values:
        if isinstance(value, FakeTensor):
            if value.constant is not None or value.requires_grad or type(value) is not FakeTensor:
                raise _Unknown
            tensors.append(value)
            described.append((value.shape, value.stride(), value.storage_offset(), value.dtype, value.fake_device))
        elif isinstance(value, torch.Tensor):
            raise _Unknown
        elif isinstance(value, (list, tuple)):
            described.append((type(value), *_described(value, tensors)))
        else:
            described.append((type(value), value))
    return tuple(described)


def _description(result, tensors: list[FakeTensor]) -> tuple[_Made, ...] | _Made | None:
    """What makes such a result anew; None where that is not known."""
    if type(result) is tuple:
        parts = [_description(one, tensors) for one in result]
        return tuple(part for part in parts if isinstance(part, _Made)) if all(parts) else None
    if type(result) is not FakeTensor or result.constant is not None or result.layout != torch.strided:
        return None
    if any(result is tensor for tensor in tensors):
        return None
    memory = result.untyped_storage()
    shared = [i for i, tensor in enumerate(tensors) if tensor.untyped_storage()._cdata == memory._cdata]
    if not shared:
        with unset_fake_temporarily():
            own = torch.empty_strided(result.shape, result.stride(), dtype=result.dtype, device="meta")
        if result.storage_offset() or own.untyped_storage().nbytes() != memory.nbytes():
            return None
    return _Made(
        tuple(result.shape),
        tuple(result.stride()),
        result.storage_offset(),
        result.dtype,
        result.fake_device,
        shared[0] if shared else None,
    )
