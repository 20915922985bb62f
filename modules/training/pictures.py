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
    """Read lists of single pictures, one list after the other.

    Args:
        list_files: JSON lines, an object a line, with `image`, a path relative to the list; tools/demo_model of the
            repository, which does not ship, makes such lists of synthetic faces.

    Returns:
        The objects, with `image` as a whole path.

    Raises:
        ValueError: naming a line that is no object or has no `image`, or a list without any.
    """
    lines = []
    for list_file in list_files:
        before = len(lines)
        for origin, entry in read_json_lines(list_file):
            if not isinstance(entry.get("image"), str):
                raise ValueError(f"{origin} has no `image`, the path of a picture relative to the list. Add it.")
            lines.append({**entry, "image": list_file.parent / entry["image"]})
        if len(lines) == before:
            raise ValueError(
                f"{list_file} is empty. Each line is a JSON object with `image`, the path of a picture relative to the "
                "list; the tools in the pack's repository make such lists of synthetic faces."
            )
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
