"""The pictures that ship with the pack, as nodes have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .sample_files import PICTURES


def read_sample(folder: Path, name: str) -> torch.Tensor:
    """A picture as Load Image gives it.

    Args:
        folder: of the pack.
        name: one of PICTURES.

    Returns:
        float32 [1, H, W, 3], 0..1.

    Raises:
        ValueError: there is no such picture.
        FileNotFoundError: the pack is not whole.
    """
    if name not in PICTURES:
        raise ValueError(f"picture is one of {', '.join(PICTURES)}; got {name!r}.")
    path = folder / PICTURES[name]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: install the node pack again.")
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255
