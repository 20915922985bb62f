"""The host's models in the process of a script: ComfyUI made importable, and its model folders found."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch

from ..host.process import prepare_host


@contextlib.contextmanager
def host(cpu: bool, started: bool = True) -> Iterator[None]:
    """`import comfy` works inside, without ComfyUI's progress bars, and without gradients, as its nodes run.

    cpu: even where there is a GPU. started: False does nothing, for what turns out to need no model.
    """
    if not started:
        yield
        return
    prepare_host(cpu)
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
