"""ComfyUI's dynamic VRAM in a script's process: on where a plain `python main.py` has it on, as most users start it.

It lies in main.py, which cannot be imported without starting the server: what it calls is called here, in its order.
"""

from __future__ import annotations

import sys
from pathlib import Path


def before_torch() -> None:
    """What main.py does before torch is imported: the allocator is chosen, comfy-aimdo hooks the driver."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already: its allocator and comfy-aimdo come before it.")
    import cuda_malloc  # noqa: F401 - reads the arguments and sets torch's allocator in the environment
    from comfy.cli_args import args

    if not _is_wanted():
        return
    from comfy_aimdo import control

    headroom = None if args.reserve_vram is None else int(args.reserve_vram * 1024**3)
    pressure = not getattr(args, "disable_nvml_pressure", False)
    # comfy-aimdo 0.4.11 and newer, 0.4.10, 0.4.9
    for options in ({"simple_vram_headroom": headroom, "nvml_pressure": pressure}, {"simple_vram_headroom": headroom}):
        try:
            control.init(**options)
            return
        except TypeError:
            continue
    control.init()


def after_torch(host: Path) -> bool:
    """What main.py does once the device is known; whether dynamic VRAM is on now. host: ComfyUI's folder."""
    if not _is_wanted():
        return False
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher
    from comfy_aimdo import control

    if not _is_supported(host) or comfy.model_management.torch_version_numeric < (2, 8):
        return False
    devices = comfy.model_management.get_all_torch_devices()
    from comfy.cli_args import args

    try:
        is_on = control.init_devices((device.index, int(args.vram_headroom * 1024**3)) for device in devices)
    except TypeError:  # comfy-aimdo 0.4.9
        is_on = control.init_devices(device.index for device in devices)
    if is_on:
        control.set_log_warning()
        comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
        comfy.memory_management.aimdo_enabled = True
    return bool(is_on)


def _is_wanted() -> bool:
    from comfy import cli_args

    return hasattr(cli_args, "enables_dynamic_vram") and cli_args.enables_dynamic_vram()


def _is_supported(host: Path) -> bool:
    """Whether this host's main.py takes this device: NVIDIA's, in newer ones AMD's, in older ones not under WSL."""
    import comfy.model_management as management

    text = (host / "main.py").read_text(encoding="utf-8")
    if management.is_nvidia():
        return not ("is_wsl()" in text and management.is_wsl())
    return "is_amd()" in text and management.is_amd() and management.rocm_version >= (7, 14)
