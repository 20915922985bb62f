"""What the networks that find and read faces gave for a picture, remembered by its values: for tests around them.

Their looks are most of the time of many tests, which search and read the same few pictures. With the same weights and
the same values a network gives the same outputs, which tests/unit/test_detection.py holds. Only looks on the CPU are
remembered; whoever tests a network, a device or memory does not use this.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import ModuleType

import torch

_MOST = 256  # looks of each network, the latest; CenterFace's have 1 MB each in the middle, the others' some KB

# where the networks stand in modules/ -> their names
NETWORKS = {
    "faces.detect.centerface": ("CenterFace",),
    "faces.detect.onet": ("ONet",),
    "recognition.dlib_resnet": ("DlibResNet",),
    "recognition.faceres": ("FaceRes",),
    "recognition.face_api": ("LandmarkNet", "ExpressionNet", "AgeGenderNet"),
    "recognition.iris": ("IrisNet",),
}

_weights: weakref.WeakKeyDictionary[torch.nn.Module, bytes] = weakref.WeakKeyDictionary()
_looks: dict[str, OrderedDict] = {}  # network -> its looks


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Inside, a picture that was seen before is not looked at again."""
    forwards = {}
    for name in NETWORKS:
        forwards |= remember_in(importlib.import_module(f"face_anonymizer.modules.{name}"), name)
    try:
        yield
    finally:
        for network, forward in forwards.items():
            network.forward = forward


def remember_in(module: ModuleType, name: str) -> dict[type[torch.nn.Module], Callable]:
    """Have the networks of a module remember, where it has some; in_server/sitecustomize.py does so in the server.

    Args:
        module: as it is loaded, under whatever name.
        name: its place in modules/, as in NETWORKS.

    Returns:
        Their own forward.
    """
    forwards = {}
    for network in (getattr(module, one) for one in NETWORKS.get(name, ())):
        forwards[network] = network.forward
        network.forward = _remembering(network.forward, _looks.setdefault(network.__name__, OrderedDict()))
    return forwards


def _remembering(look: Callable, looks: OrderedDict) -> Callable:
    """A forward that remembers its looks."""

    def forward(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if type(x) is not torch.Tensor or x.device.type != "cpu" or x.requires_grad:
            return look(self, x)
        if self not in _weights:
            # a sample of each tensor, by which any other training shows: networks are loaded for each run of a node
            _weights[self] = _digest(one.flatten()[:: 1 + one.numel() // 512] for one in self.state_dict().values())
        key = (_weights[self], tuple(x.shape), x.dtype, _digest([x]))
        if key not in looks:
            looks[key] = look(self, x)
        looks.move_to_end(key)
        found = looks[key]
        while len(looks) > _MOST:
            looks.popitem(last=False)
        return found.clone() if isinstance(found, torch.Tensor) else tuple(output.clone() for output in found)

    return forward


def forget() -> None:
    """The next look at any picture is a new one."""
    for looks in _looks.values():
        looks.clear()


def _digest(tensors) -> bytes:
    digest = hashlib.sha1(usedforsecurity=False)
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().numpy())
    return digest.digest()
