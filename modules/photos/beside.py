"""What a photo's file holds beside the picture that it shows: further pictures, thumbnails, colours under its alpha."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from PIL import Image

from .hidden import read_pages
from .pages import open_file

_TRIES, _HEAD = 64, 2**20  # starts that are looked at, and bytes from each: where more only look so, one may be
_JPEG = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]")  # begins a picture that is stored as JPEG


def pictures_beside(file: Path) -> tuple[str, ...]:
    """What of a photo's file somebody may see who opens it otherwise, in words that tell nothing of it.

    Args:
        file: of the photo, whatever its name; it can be read.

    Raises:
        Exception: it cannot be read; of a broken file Pillow raises what it comes upon.
    """
    data, found = file.read_bytes(), []
    with open_file(data) as image:
        more = max(getattr(image, "n_frames", 1) - 1, 0)
        # a page of TIFF may be stored as JPEG itself
        has_thumbnail = bool(image.info.get("thumbnails")) or (image.format != "TIFF" and _holds_jpeg(data))
    if more:
        found.append("1 more picture" if more == 1 else f"{more} more pictures")
    elif has_thumbnail:
        found.append("a small copy (thumbnail)")
    if any(page.tells for page in read_pages(file)):
        found.append("colours under what is transparent")
    return tuple(found)


def _holds_jpeg(data: bytes) -> bool:
    """Whether a picture stored as JPEG begins behind the start of a file."""
    for number, start in enumerate(_JPEG.finditer(data, 1)):
        if number == _TRIES:
            return True
        with contextlib.suppress(Exception):  # bytes that only look so: Pillow raises what it comes upon
            Image.open(io.BytesIO(data[start.start() : start.start() + _HEAD]), formats=["JPEG"]).close()
            return True
    return False
