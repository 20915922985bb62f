"""The one picture of a file: which of several it is, and whether it is whole."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from ..output import png
from .kinds import HEAD_BYTES, PHOTO, heif_kind, kind_by_content

# No others: some of Pillow's readers start programs, or read what is no photo.
_FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM"),
    *("TGA", "QOI", "PCX", "SGI"),
)
_BY_PROGRAMS = ("EPS", "WMF")
_FIRST_IS_THE_PHOTO = ("MPO", "HEIF")  # a phone's depth map, a smaller copy or a second view follow
_REDUCED, _MASK = 1, 4  # bits of the tag NewSubfileType of TIFF
_KINDS_OF_NUMBERS = {1: "whole", 2: "signed whole", 3: "floating point"}  # tag SampleFormat of TIFF
_ALIKE = 12  # levels on average that a smaller copy may differ by
_LARGEST_TEXT = 1 << 20  # bytes of a text part of PNG that Pillow gets to see
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TELLING_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")  # which way is up


class UnreadablePhoto(ValueError):
    """The file is not one whole picture."""


def open_photo(file: Path | BinaryIO) -> Image.Image:
    """The one picture of a file, decoded, as it lies there; of several pages the one that the others are copies of.

    `info` gets two entries more: "notes", what is left out of the file; and "orientation in file", by EXIF, as Pillow
    turns TIFF by itself.

    Raises:
        UnreadablePhoto: it cannot be decoded, or holds several pictures.
    """
    data = file.read_bytes() if isinstance(file, Path) else file.read()
    with _explained():
        try:
            image = open_file(data)
        except UnidentifiedImageError:
            if why := _why_no_tiff(data):
                raise UnreadablePhoto(why) from None
            raise
        orientation = orientation_of(image)
        notes = _choose(image)
        image.load()
        if data.startswith(png.SIGNATURE) and not png.is_sound(data):
            raise UnreadablePhoto(
                "It is damaged: a check sum of its pixels is wrong, so it may show something else than was saved. "
                "Copy it anew, or open it in an editor, look at it, and save it anew."
            )
    image.info = {**image.info, "notes": notes, "orientation in file": orientation}
    return image


def _why_no_tiff(data: bytes) -> str:
    """Which levels a TIFF has that is not read; "" where it is none, or something else is wrong with it."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return ""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a broken directory is told as what it is
            tags.load(file)
        kind, bits, channels = max(tags.get(339, (1,))), max(tags.get(258, (1,))), tags.get(277, 1)
    except Exception:  # of a broken file Pillow raises what it comes upon
        return ""
    if kind not in _KINDS_OF_NUMBERS or not (kind == 3 or bits > 16):
        return ""
    return (
        f"It is a TIFF of {channels} channels of {_KINDS_OF_NUMBERS[kind]} numbers of {bits} bits, which are not read: "
        "save it as TIFF or PNG of 8 or 16 bits."
    )


def open_file(data: bytes, any_format: bool = False) -> Image.Image:
    """The pictures of a file, not decoded yet, by Pillow, which raises what it comes upon.

    Args:
        data: of the whole file.
        any_format: of those too that are not done, but may be loaded by others.

    Raises:
        UnreadablePhoto: the decoder of HEIC or AVIF is missing.
    """
    kind = kind_by_content(data[:HEAD_BYTES])
    if kind == "heif":
        _register_heif()
    elif kind == PHOTO and data[4:8] == b"ftyp" and "AVIF" not in _known_formats():
        raise UnreadablePhoto("It is an AVIF photo, which this Pillow does not read: pip install -U pillow.")
    if data.startswith(png.SIGNATURE):
        data = _without_large_texts(data)
    return Image.open(io.BytesIO(data), formats=_all_formats() if any_format else _known_formats())


def orientation_of(image: Image.Image) -> int:
    """How the picture is turned, 1..8 by EXIF; 1 where nothing is said, or the block is broken."""
    try:
        orientation = image.getexif().get(0x0112, 1)
        return orientation if orientation in range(1, 9) else 1
    except Exception:  # of a broken block Pillow raises what it comes upon
        return 1


def _known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _all_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _BY_PROGRAMS)


def _register_heif() -> None:
    kind = heif_kind()
    if kind.kind is None:
        raise UnreadablePhoto(f"It is {kind.why}.")
    importlib.import_module("pillow_heif").register_heif_opener()  # which ComfyUI does not bring


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UnreadablePhoto:
        raise
    except Image.DecompressionBombError as error:
        pixels = int(next(iter(re.findall(r"\d+", str(error))), 0))
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UnreadablePhoto(
            f"It has {pixels / 1e6:.0f} megapixels, and {most / 1e6:.0f} at most are read: make it smaller, or cut it "
            "into parts."
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadablePhoto(
            "It cannot be read: it is no photo, damaged at its beginning, or of a rare kind. Open it in an editor and "
            "save it as PNG, TIFF (8 or 16 bits) or JPEG."
        ) from error
    except MemoryError as error:
        raise UnreadablePhoto("It does not fit into memory: make it smaller, or cut it into parts.") from error
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        reason = str(error).rstrip(".")
        raise UnreadablePhoto(f"It cannot be read: {reason}. Copy it anew, or save it anew in an editor.") from error


def _choose(image: Image.Image) -> tuple[str, ...]:
    """Go to the one picture of a file; what is left out."""
    count = getattr(image, "n_frames", 1)
    if image.format == "TIFF":
        return _choose_page(image, count)
    if count == 1:
        return ()
    if image.format in _FIRST_IS_THE_PHOTO:
        return (f"it holds {count} pictures, of which the first was taken",)
    raise UnreadablePhoto(
        f"It is animated, {count} pictures: make a video of it (as with ffmpeg), or save the one that you want."
    )


def _choose_page(image: Image.Image, count: int) -> tuple[str, ...]:
    pages = []
    for i in range(count):
        image.seek(i)
        flags = image.tag_v2.get(254, 0)  # type: ignore[attr-defined]
        if i == 0 and flags & _REDUCED and image.tag_v2.get(330):  # type: ignore[attr-defined]
            raise UnreadablePhoto("Its picture lies behind a small copy, as in a raw file: save it as a plain TIFF.")
        pages.append((image.size, flags if isinstance(flags, int) else 0))
    photo = max(range(count), key=lambda i: (not pages[i][1] & (_REDUCED | _MASK), pages[i][0][0] * pages[i][0][1], -i))
    others = [i for i in range(count) if i != photo and not pages[i][1] & _REDUCED]
    if others:
        image.seek(photo)
        whole = _small(image)
        for i in others:
            image.seek(i)
            if pages[i][1] & _MASK or not _is_copy(image, pages[photo][0], whole):
                raise UnreadablePhoto(f"It holds {count} pictures. Save each as a file of its own, or all as a video.")
    image.seek(photo)
    return (f"it holds {count} pictures, the others copies of the one that was taken",) if count > 1 else ()


def _is_copy(page: Image.Image, size: tuple[int, int], whole: np.ndarray) -> bool:
    scale = page.width / size[0]
    if scale > 0.75 or abs(page.height - size[1] * scale) > 2:
        return False
    return bool(np.abs(whole - _small(page)).mean() < _ALIKE)


def _small(page: Image.Image) -> np.ndarray:
    return np.asarray(page.convert("RGB").resize((32, 32), Image.Resampling.BOX)).astype(float)


def _without_large_texts(data: bytes) -> bytes:
    """A PNG file without profile and texts, which Pillow refuses when they are large; colour.py reads the profile.

    Texts that may say which way is up stay.
    """

    def is_needed(name: bytes, content: bytes) -> bool:
        if name not in _TEXTS:
            return name != b"iCCP"
        keyword, _, rest = content.partition(b"\0")
        return keyword in _TELLING_TEXTS and len(content) <= _LARGEST_TEXT and _unpacked(name, rest) <= _LARGEST_TEXT

    return png.with_chunks_that(is_needed, data)


def _unpacked(name: bytes, rest: bytes) -> int:
    """How long a text is when it is unpacked, counted a little further than the longest."""
    if name == b"tEXt":
        return len(rest)
    packed = rest[1:]
    if name == b"iTXt":
        if rest[:1] == b"\0":
            return len(rest)
        packed = rest[2:].split(b"\0", 2)[-1]
    try:
        return len(zlib.decompressobj().decompress(packed, _LARGEST_TEXT + 1))
    except zlib.error:
        return _LARGEST_TEXT + 1
