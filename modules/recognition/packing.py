"""Weights in few bytes: how the networks of this room are stored, so that all of them are under 16 MB together.

A tensor `name` of a network stands in its file as it is, or in one or both of two ways:

- as whole numbers with `name.scale`, float32, one value or one for each row of [rows, ...], and, where they do not
  begin at 0, `name.low`, float32: value = number * scale + low. In 8 bits that is how TensorFlow.js stores weights,
  which are kept so, bit for bit.
- deflated: `name.deflated`, uint8, is zlib's stream of the first bytes of all values, then all second bytes, with
  `name.form`, int32: a number for the kind of value (_KINDS), then the shape.
"""

from __future__ import annotations

import zlib
from math import prod

import numpy as np
import torch

SCALE, LOW, DEFLATED, FORM = ".scale", ".low", ".deflated", ".form"
_KINDS = (torch.uint8, torch.int16, torch.float16, torch.float32)
_SMALL = 4096  # values of a tensor that is not worth deflating


def in_rows(name: str, tensor: torch.Tensor, bits: int) -> dict[str, torch.Tensor]:
    """A tensor as whole numbers, each row with a scale of its own.

    Args:
        name: of the tensor in its network.
        tensor: float [rows, ...].
        bits: of a number with its sign, at most 16.

    Returns:
        The two tensors to store, by name.
    """
    largest = 2 ** (bits - 1) - 1
    rows = tensor.detach().double().flatten(1)
    scale = (rows.abs().amax(1) / largest).float().clamp_min(torch.finfo(torch.float32).tiny)
    numbers = (rows / scale.double()[:, None]).round().clamp(-largest, largest)
    return {name: numbers.to(torch.int16).view(tensor.shape), name + SCALE: scale}


def deflated(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a file, the large ones deflated.

    Args:
        tensors: by name, of the types of _KINDS.
    """
    stored = {}
    for name, tensor in tensors.items():
        if tensor.numel() < _SMALL:
            stored[name] = tensor
            continue
        planes = tensor.contiguous().numpy().reshape(-1).view(np.uint8).reshape(tensor.numel(), -1).T
        # the bytes have no order worth a search: their frequencies are all there is to gain
        press = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
        data = b"".join(press.compress(plane.tobytes()) + press.flush(zlib.Z_FULL_FLUSH) for plane in planes)
        stored[name + DEFLATED] = torch.frombuffer(bytearray(data + press.flush()), dtype=torch.uint8)
        stored[name + FORM] = torch.tensor([_KINDS.index(tensor.dtype), *tensor.shape], dtype=torch.int32)
    return stored


def unpack(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a network out of those of its file.

    Args:
        tensors: as stored, by name.

    Returns:
        By the network's names; whole numbers as float32, the rest as it was.

    Raises:
        KeyError: a tensor misses its form.
        RuntimeError: a tensor does not fit its form.
    """
    whole = {}
    for key, stored in tensors.items():
        if key.endswith(DEFLATED):
            name = key.removesuffix(DEFLATED)
            whole[name] = _inflated(name, stored, tensors[name + FORM].tolist())
        elif not key.endswith(FORM):
            whole[key] = stored
    found = {}
    for name, tensor in whole.items():
        if name + SCALE in whole:
            scale = whole[name + SCALE]
            if len(scale) > 1:
                scale = scale.view(-1, *(1,) * (tensor.ndim - 1))
            found[name] = tensor.float() * scale + whole.get(name + LOW, 0.0)
        elif not name.endswith((SCALE, LOW)):
            found[name] = tensor
    return found


def _inflated(name: str, stored: torch.Tensor, form: list[int]) -> torch.Tensor:
    """A deflated tensor. Never more bytes than its form names are made of it."""
    kind, *shape = form
    if not 0 <= kind < len(_KINDS) or min(shape, default=0) < 0:
        raise RuntimeError(f"{name} has no known form")
    empty = torch.empty(0, dtype=_KINDS[kind])
    size = prod(shape) * empty.element_size()
    try:
        data = zlib.decompressobj().decompress(stored.numpy().tobytes(), size + 1)
    except zlib.error as error:
        raise RuntimeError(f"{name} cannot be inflated: {error}") from None
    if len(data) != size:
        raise RuntimeError(f"{name} does not have the {size} bytes of its form")
    planes = np.frombuffer(data, np.uint8).reshape(empty.element_size(), -1)
    values = np.empty(planes.shape[::-1], np.uint8)
    for number, plane in enumerate(planes):  # in a third of the time of a copy of planes.T
        values[:, number] = plane
    return torch.from_numpy(values.reshape(-1)).view(_KINDS[kind]).view(shape)
