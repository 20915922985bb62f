"""ComfyUI's dynamic VRAM on a machine without a GPU: what an NVIDIA card has by default since 0.30.

The host's own code runs: ModelPatcherDynamic, layers without weights until their state dict is loaded, weights mapped
from the file, the way of comfy/ops.py by which a layer gets its weights when it runs. Three things make that possible:

- The load device is "cpu:0", which counts as a card: torch takes it for the CPU, but it is not equal to "cpu".
- Tensors that come back from it say "cpu" again, so layers ask for their weights on "cpu:0" explicitly.
- What needs comfy-aimdo's driver is one small stand-in: mapped files, buffers of host memory, and virtual memory of the
  device (VBAR), which gives each layer a place that is resident from its first use on, or never (`resident=False`, a
  card that is full).

Not covered: streams and prefetching, pinned memory, the driver's own bookkeeping and its reading of files, eviction in
the middle of a run, quantised layouts, and that tensors on the CPU and on "the card" may be mixed without an error. For
the last see pretended_gpu.py.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.memory_management
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy_aimdo.host_buffer
import comfy_aimdo.model_mmap
import comfy_aimdo.model_vbar
import comfy_aimdo.torch
import pytest
import torch

DEVICE = torch.device("cpu", 0)


@contextmanager
def dynamic_vram(resident: bool = True) -> Iterator[None]:
    """Everything that is loaded within uses dynamic VRAM, as after main.py on a card.

    resident: whether a layer's weights stay on the device after their first use.
    """
    comfy.model_management.unload_all_models()
    with pytest.MonkeyPatch.context() as patch:
        _pretend_device(patch)
        _pretend_driver(patch, resident)
        # as main.py does
        patch.setattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcherDynamic)
        patch.setattr(comfy.memory_management, "aimdo_enabled", True)
        try:
            yield
        finally:
            comfy.model_management.unload_all_models()


def _pretend_device(patch: pytest.MonkeyPatch) -> None:
    management = comfy.model_management
    for name in ("get_torch_device", "text_encoder_device", "vae_device"):
        patch.setattr(management, name, lambda: DEVICE)
    patch.setattr(management, "is_device_cpu", lambda device: device == torch.device("cpu"))
    patch.setattr(management, "vram_state", management.VRAMState.NORMAL_VRAM)
    patch.setattr(comfy.ops.args, "disable_pinned_memory", True)
    plain_cast = comfy.ops.cast_bias_weight

    def cast_bias_weight(layer, input=None, dtype=None, device=None, **options):
        if hasattr(layer, "_v"):
            device = DEVICE
        return plain_cast(layer, input, dtype, device, **options)

    patch.setattr(comfy.ops, "cast_bias_weight", cast_bias_weight)


def _pretend_driver(patch: pytest.MonkeyPatch, resident: bool) -> None:
    vbar = comfy_aimdo.model_vbar
    patch.setattr(comfy_aimdo.model_mmap, "ModelMMAP", _Mapped)
    patch.setattr(comfy_aimdo.host_buffer, "HostBuffer", _HostBuffer)
    patch.setattr(vbar, "ModelVBAR", _Vbar)
    patch.setattr(vbar, "vbar_fault", lambda place: place[0].fault(place) if resident else None)
    patch.setattr(vbar, "vbar_unpin", lambda place: None)
    patch.setattr(vbar, "vbar_signature_compare", lambda one, other: one is not None and one == other)
    patch.setattr(vbar, "vbars_analyze", lambda device=None: 0)
    patch.setattr(comfy_aimdo.torch, "aimdo_to_tensor", lambda place, device: place[0].memory(place))


class _Vbar:
    """Virtual memory of the device: places of which each has memory from its first use until it is freed."""

    _signatures = itertools.count()

    def __init__(self, size, device):
        self._offset = 0
        self._memory: dict[int, torch.Tensor] = {}
        self._signature: dict[int, int] = {}

    def alloc(self, size: int) -> tuple[_Vbar, int, int]:
        place = (self, self._offset, size)
        self._offset += size
        return place

    def fault(self, place) -> int:
        """The signature of a place: the same as long as its memory is."""
        _, offset, size = place
        if offset not in self._memory:
            self._memory[offset] = torch.empty(size, dtype=torch.uint8)
            self._signature[offset] = next(self._signatures)
        return self._signature[offset]

    def memory(self, place) -> torch.Tensor:
        return self._memory[place[1]]

    def prioritize(self) -> None:
        pass

    def loaded_size(self) -> int:
        return sum(memory.nbytes for memory in self._memory.values())

    def free_memory(self, size) -> int:
        freed = self.loaded_size()
        self._memory.clear()
        return freed


class _HostBuffer:
    """Memory for pinning, which is switched off here: only its size is asked for."""

    def __init__(self, size, prewarm=0, max_grow_size=0):
        self.size = size

    def truncate(self, size, do_unregister=True) -> None:
        self.size = size


class _Mapped:
    """A file in memory, read when it is touched; writing changes the copy of this process alone."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def get(self) -> int:
        return self._address

    def get_file_handle(self) -> int:
        return os.open(os.devnull, os.O_RDONLY)  # the driver's own reading is not used on the CPU

    def bounce(self) -> bool:
        return True
