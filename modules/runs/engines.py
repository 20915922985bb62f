"""What paints in a folder run: a ComfyUI, or diffusers' networks in this process. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ..host import requirements
from ..host.location import PACK, HostMissing, find_comfyui

AUTO, COMFYUI, DIFFUSERS = ENGINES = ("auto", "comfyui", "diffusers")
# what diffusers' networks need; as in the extra of pyproject.toml, which an installed package has not
_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow", "scipy", "av", "tqdm")
_NEXT = "pip install '{where}[headless]' brings what is needed without ComfyUI"


class EngineMissing(RuntimeError):
    """What is asked for cannot run here; the message says what is missing and the next step."""


class Chosen(NamedTuple):
    """An engine.

    Args:
        name: COMFYUI or DIFFUSERS.
        why: a line for the user, where there was a choice; else "".
    """

    name: str
    why: str = ""


def choose_engine(asked: str, servers: Sequence[str] = ()) -> Chosen:
    """The engine of a run. By itself it is a ComfyUI wherever one is there that this Python can start.

    Args:
        asked: one of ENGINES.
        servers: addresses of running ComfyUIs.

    Raises:
        EngineMissing: packages are missing, or the part of the pack that ComfyUI loads.
        HostMissing: a ComfyUI is asked for, by the engine or by COMFYUI_PATH, and there is none.
    """
    if servers:
        return Chosen(COMFYUI)
    if asked == DIFFUSERS:
        return _diffusers("")
    if asked == AUTO and not os.environ.get("COMFYUI_PATH"):
        try:
            why_not = _why_not_comfyui()
        except HostMissing:
            why_not = "there is no ComfyUI here"
        if why_not:
            return _diffusers(f"Engine: diffusers, as {why_not}.")
        return Chosen(COMFYUI)
    if why_not := _why_not_comfyui():
        raise EngineMissing(f"ComfyUI cannot be started: {why_not}. Or: --engine diffusers")
    return Chosen(COMFYUI)


def _why_not_comfyui() -> str:
    """Why this Python cannot run the ComfyUI that is there; "" where it can. HostMissing where none is there."""
    if not (PACK / "nodes").is_dir():
        return f"the nodes are not in {PACK}, as pip installs it; they come with the repository, in custom_nodes"
    host = find_comfyui()
    asked = host / "requirements.txt"
    lacks = requirements.missing(requirements.named_in(asked)) if asked.is_file() else []
    if lacks:
        return f"this Python lacks {', '.join(lacks[:4])} of {asked}; scripts/with_env.py installs them"
    return ""


def name_missing(package: str = "") -> str:
    """Which packages of those that diffusers' networks need are missing, and what brings them; "" where none is.

    Args:
        package: one that is missing, for where all of those are there.
    """
    lacks = requirements.missing(_PACKAGES) or [package] * bool(package)
    if not lacks:
        return ""
    where = str(PACK) if (PACK / "pyproject.toml").is_file() else "face-anonymizer"
    return f"{', '.join(lacks)} {'is' if len(lacks) == 1 else 'are'} missing: {_NEXT.format(where=where)}."


def _diffusers(why: str) -> Chosen:
    if lacks := name_missing():
        raise EngineMissing(f"{why} {lacks}".strip())
    return Chosen(DIFFUSERS, why)
