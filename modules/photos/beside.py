"""What a photo's file holds beside the picture that it shows: further pictures, thumbnails, colours under its alpha."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..contents.boxes import walk_boxes
from ..contents.looking import tell
from ..contents.parts import BEHIND, COPY, KNOWN, Found, Part
from ..contents.photos import walk_photo
from .hidden import Page, read_pages
from .pages import open_file

_BITS = {"BGR": 24, "RGB": 24, "BGRX": 32, "BGRA": 32, "XBGR": 32, "L": 8, "P": 8, "LA": 16, "1": 1, "1;I": 1}
_FOOTER, _EXTENSION = b"TRUEVISION-XFILE.\0", 521  # of TGA, and the bytes that it may have at its end with all else
_BLOCK = 16  # pixels of a block of WEBP, within which what is seen reaches into what is not
_LOW, _BLURRED, _LEVELS = 30, 1.5, 4  # a low quality; how much more may be there than it makes; and levels beside


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
        if more:
            found.append("1 more picture" if more == 1 else f"{more} more pictures")
        if image.info.get("thumbnails"):
            found.append(COPY)
        found += tell(_parts(data, image))
        is_blurred = image.format == "WEBP" and b"VP8 " in data  # not b"VP8L"
    if any(page.tells and not (is_blurred and _is_only_blurred(page)) for page in read_pages(file)):
        found.append("colours under what is transparent")
    return tuple(dict.fromkeys(found))


def _parts(data: bytes, image: Image.Image) -> Iterator[Found]:
    if data[4:8] in (b"ftyp", b"jP  "):
        return walk_boxes(data)
    return walk_photo(data) or _plain(data, image)


def _plain(data: bytes, image: Image.Image) -> Iterator[Found]:
    """Of a format without parts: what stands around the pixels, where they lie as Pillow reads them."""
    tiles = getattr(image, "tile", ())
    if len(tiles) == 1 and tiles[0][0] == "raw":
        _, box, start, how = tiles[0]
        form, stride, *_ = how if isinstance(how, tuple) else (how, 0)
        if stride or form in _BITS:
            end = start + (stride or (box[2] * _BITS[form] + 7) // 8) * box[3]
            rest = data[end:]
            if rest.endswith(_FOOTER):
                rest = rest[:-_EXTENSION]
            colours = _colours(data[:start], image.format)
            yield Part("before its pixels", data[: colours.start] + data[colours.stop : start])
            yield Part("behind its end", rest, BEHIND)
            return
    yield Part("in it", data[1:], KNOWN)


def _colours(head: bytes, format: str | None) -> slice:
    """Where in what stands before the pixels of BMP or TGA the table of their colours is: up to 256 of them."""
    start = count = width = 0
    if format in ("BMP", "DIB") and len(head) >= 26:
        begin = 14 if format == "BMP" else 0
        (size,) = struct.unpack_from("<I", head, begin)
        is_old = size == 12  # of OS/2: colours of three bytes, as many as there may be
        (bits,) = struct.unpack_from("<H", head, begin + (10 if is_old else 14))
        (named,) = struct.unpack_from("<I", head, begin + 32) if size >= 40 and len(head) >= begin + 40 else (0,)
        start, width = begin + size, 3 if is_old else 4
        count = min(named or 256, 1 << min(bits, 8)) if bits <= 8 else 0
    elif format == "TGA" and len(head) >= 18 and head[1]:
        start, count, width = 18 + head[0], min(struct.unpack_from("<H", head, 5)[0], 256), (head[7] + 7) // 8
    return slice(min(start, len(head)), min(start + count * min(width, 4), len(head)))


def _is_only_blurred(page: Page) -> bool:
    """Whether what stands under alpha 0 is no more than what the format makes there of one colour beside a picture."""
    if page.colours is None:
        return False
    emptied = page.colours.copy()
    emptied[page.hidden] = plain = np.median(page.colours[page.hidden], axis=0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(emptied).save(file, "WEBP", quality=_LOW)
    made = np.asarray(Image.open(file).convert("RGB"))
    found, usual = (_by_block(picture, plain, page.hidden) for picture in (page.colours, made))
    return bool((found - _BLURRED * usual <= _LEVELS).all())


def _by_block(picture: np.ndarray, plain: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Mean difference from one colour of what each block hides; 0 where that is less than a row of it."""
    height, width = (-(-side // _BLOCK) for side in hidden.shape)
    off = np.abs(picture.astype(np.int16) - plain).max(-1) * hidden
    totals = []
    for values in (off, hidden):
        whole = np.zeros((height * _BLOCK, width * _BLOCK), np.float32)
        whole[: hidden.shape[0], : hidden.shape[1]] = values
        totals.append(whole.reshape(height, _BLOCK, width, _BLOCK).sum((1, 3)))
    return np.where(totals[1] >= _BLOCK, totals[0] / np.maximum(totals[1], 1), 0)
