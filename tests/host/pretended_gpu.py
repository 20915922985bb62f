"""A graphics card that every machine has: ComfyUI and the pack run on a pretended "cuda:0", without a GPU.

What lies on the card is torch's FakeTensor: shape, dtype and device are right, values do not exist, memory is not
needed. So the published architecture of 866 million parameters goes through the real code, the host's memory management
included, in seconds; a tensor on the wrong device fails by itself. A dispatch mode adds what fake tensors let pass:
dtypes that a card refuses to mix, float64 where there is none, values that are read from the card, memory.

The CPU is real: an operation on real tensors alone is carried out, so noise, seeds, sigmas and pictures have values.
What crosses to the card loses them, unless it is small (a schedule, a matrix) or the block runs in `values()`: there
each tensor on the card has a twin on the CPU on which every operation is carried out too, so that what comes back (a
detector's heatmap) is what a card would have given. Values that were lost and come back are fakes on the CPU.

What it does not show: kernels (whether a card has one, how long it takes), numbers, streams and pinned memory, the
allocator's fragments, dynamic VRAM (patchers are ComfyUI's plain ones here), other GPUs than one.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import comfy.ldm.modules.attention
import comfy.model_management
import comfy.samplers
import comfy.utils
import pytest
import torch
from comfy.cli_args import args as host_args
from remembered_shapes import RememberedShapes
from safetensors import safe_open
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode

GIB = 1 << 30
CONTEXT = GIB // 2  # what a card holds beside tensors: the driver's context, workspaces of convolutions and products
DEVICE = torch.device("cuda:0")
CPU_MEMORY = 64 * GIB  # pretended too, so that no decision of the host depends on the machine of the tests

_SMALL = 1 << 22  # elements; what is no larger keeps its values on the card: schedules, latents before a first step
_PAGE = 512  # bytes; the allocator's unit
_FLOAT8 = {torch.float8_e4m3fn, torch.float8_e5m2}
_aten = torch.ops.aten
# operation -> positions of the arguments that must have one dtype
_ONE_DTYPE = {
    _aten.mm.default: (0, 1),
    _aten.bmm.default: (0, 1),
    _aten.addmm.default: (0, 1, 2),
    _aten.baddbmm.default: (0, 1, 2),
    _aten.convolution.default: (0, 1, 2),
    _aten.cat.default: (0,),
    _aten.native_layer_norm.default: (0, 2, 3),
    _aten.native_group_norm.default: (0, 1, 2),
}
_SCORES = {_aten.bmm.default, _aten.baddbmm.default, _aten._softmax.default, _aten.softmax.int}


class Fault(Exception):
    """What a real card would have refused, or made slow or wrong."""


@dataclass(frozen=True)
class Card:
    """A card and how ComfyUI was started on it.

    gib: its memory. kind: "cuda"; "mps" and "xpu" are the same device, of which the host is told that it is one of
    these, and which has no float64. gpu_only, lowvram: the host's options. full: what does not fit raises torch's
    OutOfMemoryError, as a card does; without it the memory is counted alone.
    """

    gib: float = 8
    kind: str = "cuda"
    gpu_only: bool = False
    lowvram: bool = False
    full: bool = True


class PretendedDevice(TorchDispatchMode):
    """The rules of the card, its values and its memory. live, peak: bytes of tensors on the card, now and at most."""

    def __init__(self, card: Card, mode: FakeTensorMode):
        super().__init__()
        self.card = card
        self._carry_out = RememberedShapes(mode)
        self.total = int(card.gib * GIB)
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref] = {}
        self._lost: set[int] = set()  # storages of which the twins no longer show what is in them
        self._all_values = self._stepping = False

    @property
    def free(self) -> int:
        return max(0, self.total - CONTEXT - self.live)

    def reset_peak(self) -> None:
        self.peak = self.live

    @contextlib.contextmanager
    def values(self) -> Iterator[None]:
        """Everything that crosses to the card in this block keeps its values: for small networks and pictures."""
        before, self._all_values = self._all_values, True
        try:
            yield
        finally:
            self._all_values = before

    @contextlib.contextmanager
    def stepping(self) -> Iterator[None]:
        """In this block nothing may be read from the card: each read would make the CPU wait for it in every step."""
        before, self._stepping = self._stepping, True
        try:
            yield
        finally:
            self._stepping = before

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # asked very often, and answered here in a fraction of the time
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device
        if func is _aten.detach.default and isinstance(args[0], FakeTensor) and not args[0].requires_grad:
            return args[0]
        kwargs = kwargs or {}
        tensors = list(_tensors(args, kwargs))
        fakes = [tensor for tensor in tensors if isinstance(tensor, FakeTensor)]
        if not fakes and not self._makes_fake(func, tensors, kwargs):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        self._check_dtypes(func, args, kwargs)
        if func is _aten._local_scalar_dense.default and self._stepping:
            raise Fault(f"The value of a tensor {_described(tensors[0])} is read: the CPU waits for the card.")
        valued = all(map(self._has_value, fakes)) and (
            self._all_values or all(tensor.numel() <= _SMALL for tensor in tensors)
        )
        if not valued and func._schema.is_mutable:
            self._lose_values(func, args, kwargs)
        real = _on_twins(func, args, kwargs) if valued and tensors else None
        try:
            result = self._carry_out(func, args, kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            if real is None:
                raise
            if not isinstance(real, torch.Tensor):
                return real
            result = torch.empty(real.shape, dtype=real.dtype, device=fakes[0].device)
        if not tensors and _on_card(result) and (self._all_values or result.numel() <= _SMALL):
            real = _on_twins(func, args, kwargs)
        if func in _SCORES and min(result.shape[-2:]) >= 256:
            raise Fault(f"Attention has a matrix of tokens by tokens, {_described(result)}: it is not fused.")
        return self._arrived(result, real)

    def _makes_fake(self, func, tensors: list, kwargs: dict) -> bool:
        """Whether an operation without a fake argument gives one: on the card, or what is filled later, as weights."""
        device = kwargs.get("device")
        if device is not None and torch.device(device).type != "cpu":
            return True
        return func is _aten.empty.memory_format and not self._all_values

    def _has_value(self, tensor: torch.Tensor) -> bool:
        return hasattr(tensor, "pretended_value") and tensor.untyped_storage()._cdata not in self._lost

    def _check_dtypes(self, func, args, kwargs) -> None:
        if func is _aten._to_copy.default and kwargs.get("dtype") in _FLOAT8 and args[0].dtype not in _FLOAT8:
            raise Fault(f"{_described(args[0])} is rounded to 8 bits: weights alone are, when they are loaded.")
        if func in _ONE_DTYPE:
            given = [args[i] for i in _ONE_DTYPE[func] if i < len(args)]
            parts = list(_tensors(given, {}))
            if len({tensor.dtype for tensor in parts}) > 1:
                raise Fault(f"{func} mixes {', '.join(map(_described, parts))}: a card refuses that.")
        if self.card.kind != "cuda":
            self._check_float64(func, list(_tensors(args, {})))
            if func is _aten._adaptive_avg_pool2d.default and _on_card(args[0]):
                uneven = [a for a, b in zip(args[0].shape[-2:], args[1], strict=True) if a % b]
                if uneven and self.card.kind == "mps":
                    raise Fault(f"{func} of {_described(args[0])} to {args[1]}: Apple's GPUs only divide evenly.")

    def _check_float64(self, func, tensors) -> None:
        if any(tensor.dtype == torch.float64 and _on_card(tensor) for tensor in tensors):
            raise Fault(f"{func} makes or takes float64 on the card: {self.card.kind} has none.")

    def _lose_values(self, func, args, kwargs) -> None:
        written = [
            value
            for argument, value in zip(func._schema.arguments, args, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, torch.Tensor)
        ]
        for tensor in written:
            if not isinstance(tensor, FakeTensor):
                raise AssertionError(f"{func} would write what has no values into a real tensor: run it in values().")
            if self._has_value(tensor):
                self._lost.add(tensor.untyped_storage()._cdata)

    def _arrived(self, result, real):
        """Tell memory, dtypes and values of what an operation gave; what is on the CPU and has values is the twin."""
        if isinstance(result, (tuple, list)):
            twins = real if real is not None else [None] * len(result)
            return type(result)(self._arrived(one, twin) for one, twin in zip(result, twins, strict=True))
        if not isinstance(result, torch.Tensor):
            return result if real is None else real
        if not _on_card(result):
            return result if real is None else real
        if self.card.kind != "cuda":
            self._check_float64("An operation", [result])
        if real is not None:
            result.pretended_value = real
        self._count(result)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = -(-storage.nbytes() // _PAGE) * _PAGE
        if self.card.full and self.live + size > self.total - CONTEXT:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory (pretended): {size / GIB:.2f} GiB more than {self.live / GIB:.2f} of "
                f"{(self.total - CONTEXT) / GIB:.2f} GiB."
            )
        self.live += size
        self.peak = max(self.peak, self.live)

        def gone(_ref):
            del self._known[key]
            self._lost.discard(key)
            self.live -= size

        self._known[key] = weakref.ref(storage, gone)


def _tensors(args, kwargs) -> Iterator[torch.Tensor]:
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, torch.Tensor))


def _on_card(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "cpu"


def _described(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} on {tensor.device.type}"


def _on_twins(func, args, kwargs):
    """The operation on the CPU, with the twin of each tensor that has one."""

    def twin(value):
        if isinstance(value, (list, tuple)):
            return type(value)(map(twin, value))
        if isinstance(value, torch.device):
            return torch.device("cpu")
        return getattr(value, "pretended_value", value) if isinstance(value, torch.Tensor) else value

    with unset_fake_temporarily():
        return func(*map(twin, args), **{name: twin(value) for name, value in kwargs.items()})


def _fused_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """scaled_dot_product_attention as a card has it: nothing is made but the result, in the layout of the queries."""
    if len({tensor.dtype for tensor in (query, key, value)}) > 1 or len({t.device for t in (query, key, value)}) > 1:
        raise Fault(f"Attention mixes {', '.join(map(_described, (query, key, value)))}: a card refuses that.")
    if key.shape != value.shape or query.shape[-1] != key.shape[-1] or query.shape[:-2] != key.shape[:-2]:
        raise RuntimeError(f"Attention of {', '.join(map(_described, (query, key, value)))}.")
    return torch.empty_like(query)


def _apply(self: torch.nn.Module, fn, recurse: bool = True) -> torch.nn.Module:
    """torch.nn.Module._apply, with parameters that are made anew: a fake tensor cannot change its device in place."""
    for child in self.children() if recurse else ():
        child._apply(fn)
    for name, parameter in self._parameters.items():
        if parameter is not None and (moved := fn(parameter)) is not parameter:
            self._parameters[name] = torch.nn.Parameter(moved, requires_grad=False)
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = fn(buffer)
    return self


def _sample_in_steps(device: PretendedDevice, sample):
    """comfy.samplers.KSAMPLER.sample, with its steps in `device.stepping()`: what comes before them is the host's."""

    def sample_in_steps(self, *args, **kwargs):
        function = self.sampler_function

        def steps(*args, **kwargs):
            with device.stepping():
                return function(*args, **kwargs)

        self.sampler_function = steps
        try:
            return sample(self, *args, **kwargs)
        finally:
            self.sampler_function = function

    return sample_in_steps


def _load_torch_file(path, safe_load=False, device=None, return_metadata=False):
    """comfy.utils.load_torch_file of a file of which only the header is needed; the tensors are fakes."""
    dtypes = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    with safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        tensors = {name: torch.empty(part.get_shape(), dtype=dtypes[part.get_dtype()]) for name, part in slices.items()}
    return (tensors, None) if return_metadata else tensors


@contextlib.contextmanager
def pretended(card: Card) -> Iterator[PretendedDevice]:
    """Inside, ComfyUI runs on the pretended card, and its files of weights are read as headers; then all is as before.

    Models that were loaded before are not seen, those that are loaded inside are forgotten.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    device = PretendedDevice(card, mode)
    with (
        pytest.MonkeyPatch.context() as patch,
        torch.inference_mode(False),
        torch.no_grad(),
        mode,
        device,
    ):
        _patch_host(patch, card, device)
        _patch_torch(patch, card, device)
        try:
            yield device
        finally:
            comfy.model_management.current_loaded_models.clear()


def _patch_host(patch: pytest.MonkeyPatch, card: Card, device: PretendedDevice) -> None:
    host, states = comfy.model_management, comfy.model_management.VRAMState
    state = states.HIGH_VRAM if card.gpu_only else states.LOW_VRAM if card.lowvram else states.NORMAL_VRAM

    def total(dev=None, torch_total_too=False):
        size = CPU_MEMORY if dev is not None and dev.type == "cpu" else device.total
        return (size, size) if torch_total_too else size

    def free(dev=None, torch_free_too=False):
        size = CPU_MEMORY if dev is not None and dev.type == "cpu" else device.free
        return (size, 0) if torch_free_too else size

    for name, value in {
        "cpu_state": host.CPUState.GPU,
        "vram_state": state,
        "set_vram_to": state,
        "lowvram_available": True,
        "current_loaded_models": [],
        "get_torch_device": lambda: DEVICE,
        "get_total_memory": total,
        "get_free_memory": free,
        "is_intel_xpu": lambda: card.kind == "xpu",
        "is_device_mps": lambda dev: card.kind == "mps" and getattr(dev, "type", None) == "cuda",
        "is_nvidia": lambda: card.kind == "cuda",
        "is_amd": lambda: False,
        "mac_version": lambda: (15, 0) if card.kind == "mps" else None,
        "soft_empty_cache": lambda force=False: None,
        "synchronize": lambda: None,
        "MIN_WEIGHT_MEMORY_RATIO": 0.0 if card.kind == "cuda" else 0.4,
        "ENABLE_PYTORCH_ATTENTION": True,
        "XFORMERS_IS_AVAILABLE": False,
        "NUM_STREAMS": 0,
        "MAX_PINNED_MEMORY": -1,
        "LORA_COMPUTE_DTYPES": {},
    }.items():
        patch.setattr(host, name, value)
    for name, value in {"cpu": False, "gpu_only": card.gpu_only, "lowvram": card.lowvram}.items():
        patch.setattr(host_args, name, value)
    attention = comfy.ldm.modules.attention
    for name in ("optimized_attention", "optimized_attention_masked"):
        patch.setattr(attention, name, attention.attention_pytorch)
    patch.setattr(comfy.utils, "load_torch_file", _load_torch_file)
    patch.setattr(comfy.samplers.KSAMPLER, "sample", _sample_in_steps(device, comfy.samplers.KSAMPLER.sample))


def _patch_torch(patch: pytest.MonkeyPatch, card: Card, device: PretendedDevice) -> None:
    properties = SimpleNamespace(
        name="pretended", major=8, minor=6, total_memory=device.total, has_fp16=True, has_fp64=False
    )
    for module in (torch.cuda, torch.xpu):
        for name, value in {
            "is_available": lambda: False,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "set_device": lambda dev: None,
            "synchronize": lambda dev=None: None,
            "get_device_properties": lambda dev=None: properties,
            "is_bf16_supported": lambda including_emulation=True: True,
        }.items():
            patch.setattr(module, name, value)
    # in inference mode operations come undivided (`to`, `conv2d`), and fake tensors are not made for that
    patch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad())
    patch.setattr(torch.nn.functional, "scaled_dot_product_attention", _fused_attention)
    patch.setattr(torch.nn.Module, "_apply", _apply)
