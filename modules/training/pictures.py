"""All pictures of a list in memory, for the small networks that are trained on single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..synthetic.parameters import Parameters
from ..synthetic.tables import ATTRIBUTES, IDENTITY
from .json_lines import read_json_lines


def read_lines(list_file: Path) -> list[dict]:
    """The objects of a list; ValueError names a line that is none, or a list without any."""
    lines = [entry for _, entry in read_json_lines(list_file)]
    if not lines:
        raise ValueError(f"{list_file} is empty. scripts/make_synthetic_faces.py writes such lists.")
    return lines


def read_pictures(list_file: Path, lines: Sequence[dict]) -> torch.Tensor:
    """The pictures that `image` of each line names, relative to the list: uint8 [N, 3, S, S].

    Raises ValueError that names a picture which is missing, unreadable, or of another size than the first.
    """

    def read(line: dict) -> np.ndarray:
        path = list_file.parent / line["image"]
        try:
            return np.asarray(Image.open(path).convert("RGB"))
        except OSError as error:
            raise ValueError(f"{path}, named in {list_file}, cannot be read: {error}") from None

    first = read(lines[0])
    pictures = torch.empty((len(lines), *first.shape), dtype=torch.uint8)
    with ThreadPoolExecutor() as pool:
        for i, picture in enumerate(pool.map(read, lines)):
            if picture.shape != first.shape:
                raise ValueError(
                    f"{list_file.parent / lines[i]['image']} is {picture.shape[1]}x{picture.shape[0]}, the first of "
                    f"{list_file} is {first.shape[1]}x{first.shape[0]}. Make all pictures at one size."
                )
            pictures[i] = torch.from_numpy(picture.copy())
    return pictures.permute(0, 3, 1, 2).contiguous()


def read_truth(lines: Sequence[dict]) -> torch.Tensor:
    """Normalised values, identity before attributes, of a list of synthetic faces: float32 [N, 101]."""
    parts = []
    for table, key in ((IDENTITY, "identity"), (ATTRIBUTES, "attributes")):
        natural = torch.tensor([[line[key][parameter.name] for parameter in table] for line in lines])
        parts.append(Parameters.from_natural(table, natural).values)
    return torch.cat(parts, 1)
