"""What CenterFace gave for a picture, remembered by its values: for tests of what comes before and after the network.

Its looks are most of the time of a search for faces, and many tests search the same few pictures. With the same weights
and the same values it gives the same outputs, which tests/unit/test_detection.py holds. Only looks on the CPU are
remembered; whoever tests the network, a device or memory does not use this.
"""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch

_MOST = 256  # looks, the latest; 1 MB each in the middle

_weights: weakref.WeakKeyDictionary[torch.nn.Module, bytes] = weakref.WeakKeyDictionary()
_looks: OrderedDict[tuple, tuple[torch.Tensor, ...]] = OrderedDict()


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Inside, a picture that was seen before is not looked at again."""
    from face_anonymizer.modules.faces.detect.centerface import CenterFace

    look = CenterFace.forward
    CenterFace.forward = remembering(look)
    try:
        yield
    finally:
        CenterFace.forward = look


def remembering(look: Callable) -> Callable:
    """CenterFace.forward that remembers; in_server/sitecustomize.py puts it into the server of the tests."""

    def forward(self: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if type(x) is not torch.Tensor or x.device.type != "cpu" or x.requires_grad:
            return look(self, x)
        if self not in _weights:
            _weights[self] = _digest(self.state_dict().values())
        key = (_weights[self], tuple(x.shape), x.dtype, _digest([x]))
        if key not in _looks:
            _looks[key] = look(self, x)
        _looks.move_to_end(key)
        while len(_looks) > _MOST:
            _looks.popitem(last=False)
        return tuple(output.clone() for output in _looks[key])

    return forward


def forget() -> None:
    """The next look at any picture is a new one."""
    _looks.clear()


def _digest(tensors) -> bytes:
    digest = hashlib.sha1(usedforsecurity=False)
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().numpy())
    return digest.digest()
