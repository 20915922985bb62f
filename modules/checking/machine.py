"""What the pack runs on here: the card and its peak, versions, and the host's memory mode. Touches the host."""

from __future__ import annotations

import platform
import re
import subprocess
import sys

import comfy.memory_management
import comfy.model_management
import torch
from comfy.ldm.modules import attention

from .verdicts import Checks

# Dense tensor-core TFLOP/s in half precision with sums in float32, as torch computes; from the makers' data sheets.
# GeForce cards do half as many with sums in float32 as with sums in half precision, which is what is often quoted.
# A card's name as torch has it, without the maker, matches whole; laptops' cards of the same number are slower.
PEAKS = {
    r"H200": 989,
    r"H100 80GB HBM3": 989,
    r"H100 PCIe": 756,
    r"A100[- ].*": 312,
    r"A40": 149.7,
    r"A30": 165,
    r"A10": 125,
    r"RTX A6000": 154.8,
    r"L40S": 362,
    r"L40": 181,
    r"L4": 121,
    r"T4": 65,
    r"V100-SXM2-\d+GB": 125,
    r"GeForce RTX 5090": 209.5,
    r"GeForce RTX 4090": 165.2,
    r"GeForce RTX 4080": 97.5,
    r"GeForce RTX 4070 Ti": 80.2,
    r"GeForce RTX 4070": 58.3,
    r"GeForce RTX 3090": 71,
    r"GeForce RTX 3080": 59.5,
    r"GeForce RTX 3070": 40.6,
    r"GeForce RTX 3060 Ti": 32.4,
    r"GeForce RTX 3060": 25.6,
}


def peak_of(name: str) -> float | None:
    """The peak in TFLOP/s of a card by torch's name of it; None for one that is not in the table."""
    name = name.removeprefix("NVIDIA ").removeprefix("Tesla ")
    return next((peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, name)), None)


def device() -> torch.device:
    """The device that the host computes on."""
    return comfy.model_management.get_torch_device()


def describe(checks: Checks) -> None:
    """Add a line each about the device, the versions and how the host uses them."""
    on = device()
    if on.type == "cuda":
        properties = torch.cuda.get_device_properties(on)
        name, memory = properties.name, properties.total_memory
        capability = f", compute capability {properties.major}.{properties.minor}"
    else:
        name, memory = on.type, comfy.model_management.get_total_memory(on)
        capability = f", {platform.machine()}, {torch.get_num_threads()} threads" if on.type == "cpu" else ""
    checks.tell("device", f"{name}, {memory / 2**30:.1f} GiB{capability}")
    checks.tell("driver", driver() if on.type == "cuda" else "none")
    runtime = torch.version.cuda or torch.version.hip
    allocator = f", allocator {torch.cuda.get_allocator_backend()}" if on.type == "cuda" else ""
    checks.tell("torch", f"{torch.__version__}, CUDA or ROCm {runtime or 'none'}{allocator}")
    checks.tell("Python", f"{sys.version.split()[0]} on {platform.system()} {platform.release()}")
    checks.tell("ComfyUI", host_version())
    checks.tell("memory mode", memory_mode())
    kernel = attention.optimized_attention.__name__.removeprefix("attention_")
    tf32 = f"convolutions {_is_on(torch.backends.cudnn.allow_tf32)}, products "
    tf32 += _is_on(bool(torch.backends.cuda.matmul.allow_tf32))
    checks.tell("arithmetic", f"attention {kernel}; TF32 in float32 where the card has it: {tf32}")


def driver() -> str:
    """The version of NVIDIA's driver; "unknown" where its tool does not answer."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 and done.stdout.strip() else "unknown"


def host_version() -> str:
    """The version of ComfyUI; "unknown" where it does not name one."""
    try:
        from comfyui_version import __version__
    except ImportError:
        return "unknown"
    return __version__


def memory_mode() -> str:
    """Dynamic VRAM or not, and what the host keeps free."""
    management = comfy.model_management
    dynamic = getattr(comfy.memory_management, "aimdo_enabled", False)
    reserved = management.extra_reserved_memory() / 2**30
    return f"dynamic VRAM {_is_on(dynamic)}, {management.vram_state.name}, {reserved:.1f} GiB kept free"


def _is_on(flag: bool) -> str:
    return "on" if flag else "off"
