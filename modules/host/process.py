"""For scripts that run the host's models in their own process: `import comfy` works, models are found by name."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from . import memory_mode
from .location import find_comfyui, has_accelerator


def prepare_host(cpu: bool, like_main: bool = False) -> None:
    """Make `import comfy` work in this process, with the arguments of a plain start; no-op where that is done.

    cpu: even where there is a GPU. like_main: on a GPU with dynamic VRAM where a plain start has it; asked for before
    torch is imported.
    """
    if "comfy.model_management" in sys.modules:
        return
    host = find_comfyui()
    sys.path.insert(0, str(host))
    import comfy.options

    # As main.py does: `nodes` of ComfyUI 0.23 to 0.25 puts comfy/ first on the path, where utils.py has that name too.
    import utils  # noqa: F401

    comfy.options.enable_args_parsing(False)  # the command line is ours
    from comfy.cli_args import args

    args.cpu = cpu or not has_accelerator()  # read when comfy.model_management is imported
    if like_main and not args.cpu:
        memory_mode.before_torch()
        memory_mode.after_torch(host)


@contextlib.contextmanager
def quiet_host(cpu: bool) -> Iterator[None]:
    """`import comfy` works in the block, without ComfyUI's progress bars, and without gradients, as its nodes run.

    cpu: even where there is a GPU.
    """
    prepare_host(cpu)
    import comfy.utils
    import torch

    shown, comfy.utils.PROGRESS_BAR_ENABLED = comfy.utils.PROGRESS_BAR_ENABLED, False
    try:
        with torch.inference_mode():
            yield
    finally:
        comfy.utils.PROGRESS_BAR_ENABLED = shown


def find_model(name: str) -> Path:
    """The folder to load: a path, or a name in ComfyUI's or the pack's models/face_anon. ValueError names those."""
    if Path(name).is_dir():
        return Path(name)
    from ..model import checkpoint

    bases = [find_comfyui() / "models" / "face_anon", checkpoint.PACK_MODELS]
    known = checkpoint.find_model_folders(bases)
    if name not in known:
        there = ", ".join(known) or "none"
        raise ValueError(f"{name} is no folder, and no model in {bases[0]} or {bases[1]}; those are: {there}.")
    return known[name]
