"""The host's models in the process of a script: ComfyUI made importable, and its model folders found."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from _pack import import_pack
from host import find_comfyui, has_accelerator


def find_model(name: str) -> Path:
    """The folder to load: a path, or a name in ComfyUI's or the pack's models/face_anon. ValueError names those."""
    if Path(name).is_dir():
        return Path(name)
    base, checkpoint = find_comfyui() / "models" / "face_anon", import_pack("modules.checkpoint")
    known = checkpoint.find_model_folders([base, checkpoint.PACK_MODELS])
    if name not in known:
        raise ValueError(f"{name} is no folder, and no model in {base}; those are: {', '.join(known) or 'none'}.")
    return known[name]


@contextlib.contextmanager
def host(cpu: bool, started: bool = True) -> Iterator[None]:
    """`import comfy` works inside, without ComfyUI's progress bars, and without gradients, as its nodes run.

    cpu: even where there is a GPU. started: False does nothing, for what turns out to need no model.
    """
    if not started:
        yield
        return
    if "comfy.model_management" not in sys.modules:
        sys.path.insert(0, str(find_comfyui()))
        import comfy.options

        comfy.options.enable_args_parsing(False)  # the command line is ours
        from comfy.cli_args import args

        args.cpu = cpu or not has_accelerator()  # read when comfy.model_management is imported
    import comfy.utils

    shown, comfy.utils.PROGRESS_BAR_ENABLED = comfy.utils.PROGRESS_BAR_ENABLED, False
    try:
        with torch.inference_mode():
            yield
    finally:
        comfy.utils.PROGRESS_BAR_ENABLED = shown


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
