"""All pictures of a list in memory, for the small networks that are trained on single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..files import read_json_lines
from ..synthetic.parameters import Parameters
from ..synthetic.tables import ATTRIBUTES, IDENTITY


def read_lines(*list_files: Path) -> list[dict]:
    """The objects of lists, one list after the other, with `image` as a whole path; in a list it is relative to it.

    Raises ValueError that names a line which is no object, or a list without any.
    """
    lines = []
    for list_file in list_files:
        before = len(lines)
        lines += [{**entry, "image": list_file.parent / entry["image"]} for _, entry in read_json_lines(list_file)]
        if len(lines) == before:
            raise ValueError(f"{list_file} is empty. tools/demo_model/make_synthetic_faces.py writes such lists.")
    return lines


def read_pictures(lines: Sequence[dict]) -> torch.Tensor:
    """The pictures that `image` of each line of read_lines names: uint8 [N, 3, S, S].

    Raises ValueError that names a picture which is missing, unreadable, or of another size than the first.
    """

    def read(line: dict) -> np.ndarray:
        try:
            return np.array(Image.open(line["image"]).convert("RGB"))
        except OSError as error:
            raise ValueError(f"{line['image']}, which a list names, cannot be read: {error}") from None

    height, width, channels = read(lines[0]).shape
    pictures = torch.empty((len(lines), channels, height, width), dtype=torch.uint8)
    with ThreadPoolExecutor() as pool:
        for i, picture in enumerate(pool.map(read, lines)):
            if picture.shape != (height, width, channels):
                raise ValueError(
                    f"{lines[i]['image']} is {picture.shape[1]}x{picture.shape[0]}, the first ({lines[0]['image']}) is "
                    f"{width}x{height}. Make all pictures at one size."
                )
            pictures[i] = torch.from_numpy(picture).movedim(-1, 0)
    return pictures


def read_truth(lines: Sequence[dict]) -> torch.Tensor:
    """Normalised values, identity before attributes, of a list of synthetic faces: float32 [N, 101]."""
    parts = []
    for table, key in ((IDENTITY, "identity"), (ATTRIBUTES, "attributes")):
        natural = torch.tensor([[line[key][parameter.name] for parameter in table] for line in lines])
        parts.append(Parameters.from_natural(table, natural).values)
    return torch.cat(parts, 1)
