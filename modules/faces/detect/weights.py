"""Weights that ship with the pack, into their networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.overrides import TorchFunctionMode

MODELS = Path(__file__).resolve().parents[3] / "models"
_REMEDY = "Reinstall the Face Anonymizer pack (its models folder ships with it)."
_Network = TypeVar("_Network", bound=nn.Module)
_Tensors = dict[str, torch.Tensor]


class _Unfilled(TorchFunctionMode):
    """Layers that are made in it keep whatever their memory holds: to draw random numbers would take half of a load."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def load_weights(
    make: Callable[[], _Network],
    path: str | Path,
    what: str,
    name: str,
    *,
    unpack: Callable[[_Tensors], _Tensors] = dict,
) -> _Network:
    """The network with its weights: float32, in eval mode, on the CPU, without gradients.

    Args:
        make: the class; all of the network's tensors are in the file.
        path: a safetensors file with exactly its tensors.
        what: the weights' purpose, to begin an error message with: "The face detector's weights".
        name: the network's, for messages.
        unpack: the network's tensors out of those of the file, where they are stored in another way.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged or holds other tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{what} are missing: {path}. {_REMEDY}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{what} cannot be read: {path} ({error}). {_REMEDY}") from error
    with _Unfilled():
        network = make()
    try:
        network.load_state_dict({key: tensor.float() for key, tensor in unpack(tensors).items()}, strict=True)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{what} are not those of {name}: {path} ({reason}). {_REMEDY}") from error
    return network.eval().requires_grad_(False)
