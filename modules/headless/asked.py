"""What a program asks of an Anonymizer, checked: which model, which degree and seed."""

from __future__ import annotations

import contextlib
import operator
from pathlib import Path

from ..host.location import HostMissing, find_comfyui
from ..model import checkpoint
from ..model.settings import PaintSettings


def find_model(model: str | Path) -> Path:
    """The folder of a model.

    Args:
        model: its path, or its name in models/face_anon of the pack or of a ComfyUI that is here.

    Raises:
        FileNotFoundError: there is no such model; the message says which there are.
    """
    if (Path(model) / checkpoint.UNET / "config.json").is_file():
        return Path(model)
    bases = [checkpoint.PACK_MODELS]
    with contextlib.suppress(HostMissing):
        bases.append(find_comfyui() / "models" / "face_anon")  # where the download goes if one is there
    known = checkpoint.find_model_folders(bases)
    if str(model) in known:
        return known[str(model)]
    raise FileNotFoundError(
        f"There is no model {model}: no folder with {checkpoint.UNET}/config.json in it, and none of that name in "
        f"{' or '.join(map(str, bases))}; there is: {', '.join(known) or 'none'}. `{checkpoint.GET_MODELS}` gets the "
        "published weights."
    )


def painting_of(degree: float, seed: int) -> PaintSettings:
    """The settings with this degree and seed.

    Args:
        degree: 0..2.
        seed: a whole number, of Python or numpy.

    Raises:
        ValueError: one of them is something else.
    """
    try:
        in_range = 0 <= float(degree) <= 2
    except (TypeError, ValueError):
        raise ValueError(f"degree is a number from 0 to 2, got {degree!r}; 1.25 is the paper's.") from None
    if not in_range:
        raise ValueError(f"degree is 0 to 2, got {degree:g}; 1.25 is the paper's anonymization.")
    try:
        return PaintSettings(float(degree), operator.index(seed))
    except TypeError:
        raise ValueError(f"seed is a whole number, got {seed!r}.") from None
