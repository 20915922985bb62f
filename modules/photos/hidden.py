"""What photos hide under alpha 0, where the pictures that are saved came from them through a graph."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ..faces.fingerprint import correlation, take_fingerprint
from .alpha import CLEAR
from .pages import open_file, orientation_of
from .reading import upright

_log = logging.getLogger("face_anonymizer")
_ALIKE = 0.6  # correlation from which a picture of a batch may be one of a file: its faces, and more, may have changed


class Page(NamedTuple):
    """A picture of a file.

    Args:
        hidden: bool [H, W], upright, what lies under alpha 0, or nearly so.
        cells: uint8 [32, 32], what its colours show without alpha, as Load Image gives them; None where nobody asked.
    """

    hidden: np.ndarray
    cells: np.ndarray | None


def read_pages(file: Path, compared: bool = False) -> list[Page]:
    """The pictures of a file; none where it cannot be read, or has no alpha and is not compared.

    Args:
        file: of the photo.
        compared: read `cells`, too.
    """
    pages: list[Page] = []
    try:
        with open_file(file.read_bytes()) as image:
            for i in range(getattr(image, "n_frames", 1)):
                image.seek(i)
                hidden = np.zeros(image.size[::-1], bool)
                if "transparency" in image.info or {"A", "a"} & set(image.getbands()):
                    hidden = np.asarray(image.convert("RGBA").getchannel("A")) <= int(CLEAR * 255)
                elif i == 0 and image.format != "GIF" and not compared:  # whose first frame may be opaque alone
                    return []
                pages.append(Page(upright(hidden, orientation_of(image)), _cells(image) if compared else None))
    except Exception as error:  # of a broken file Pillow raises what it comes upon
        _log.warning("What the photo hides under alpha 0 could not be read, and may be seen: %s", error)
        return []
    return pages


def _cells(image: Image.Image) -> np.ndarray:
    colours = torch.from_numpy(upright(np.array(image.convert("RGB")), orientation_of(image)))
    return take_fingerprint(colours[None].float() / 255).cells[0]


def hidden_of(number: int, image: torch.Tensor, files: Sequence[Sequence[Page]], joined: bool) -> list[np.ndarray]:
    """What has to be emptied in one picture of a batch: masks of the photos that it may be of, each bool [H, W].

    A batch of several files does not say which picture is whose: it is compared with all of them. One that is like none
    of them may hide what any of them hides.

    Args:
        number: of the picture in its batch.
        image: float [H, W, C], 0..1.
        files: the pages of every file that the batch came from.
        joined: whether pictures of several files may be in one.
    """
    pages = [page for file in files for page in file]
    if len(files) == 1 and pages:
        pages = [pages[number % len(pages)]]
    elif not joined and any(page.hidden.any() for page in pages):
        cells = take_fingerprint(image[None]).cells[0]
        alike = [page for page in pages if page.cells is None or correlation(cells, page.cells) >= _ALIKE]
        pages = alike or pages
    return [page.hidden for page in pages if page.hidden.any()]
