"""Levels of more than 8 bits: read as the file has them, and stretched into 8 bits for looking alone."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

_DARK, _LIGHT = 0.001, 0.999  # shares of the pixels that are darker and not lighter
_MOST_LINES = 1000  # of a picture, about, that are looked at to find its range
_FLAT = 1 / 8  # of the range: levels that fill less are stretched to their own range
_PPM_HEAD = 4096  # bytes of a PPM in which its sizes and levels stand, comments and all
_DEEP_COLOUR = ("rgb48", "rgba64", "ya16", "gbrp16", "gbrap16")  # formats of FFmpeg that hold the file's own levels


@dataclass(frozen=True)
class Range:
    """The levels that black and white are looked at as."""

    black: float
    white: float

    def seen(self, levels: np.ndarray) -> np.ndarray:
        """uint8 levels of uint16 ones, cut off outside."""
        scaled = (np.arange(65536) - self.black) * (255 / (self.white - self.black))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)[levels]

    def deep(self, seen: np.ndarray) -> np.ndarray:
        """uint16 levels of those that were looked at."""
        levels = self.black + np.arange(256) * ((self.white - self.black) / 255)
        return np.rint(np.clip(levels, 0, 65535)).astype(np.uint16)[seen]


ALL_LEVELS = Range(0, 65535)


def look_range(levels: np.ndarray) -> Range:
    """The range that shows what is in a picture, by some of its rows and columns where it is large.

    The least number of bits that holds its lightest levels, as in pictures of 10 or 12 bits in files of 16; what is
    flat even so, as pictures of heat are, is stretched to its own darkest and lightest. Single pixels do not count.

    Args:
        levels: uint16 [H, W, C].
    """
    steps = tuple(slice(None, None, max(1, size // _MOST_LINES)) for size in levels.shape[:2])
    dark, light = np.quantile(levels[steps], (_DARK, _LIGHT))
    bits = 8
    while light > 2**bits - 1:
        bits += 1
    black, white = 0.0, float(2**bits - 1)
    if light - dark < _FLAT * (white - black):
        black, white = (float(dark), float(light)) if light > dark else (float(dark) - 1, float(light) + 1)
    return Range(black, white)


def sixteen_bits(levels: np.ndarray) -> tuple[np.ndarray, str]:
    """Gray levels of any type as uint16, exactly where they are whole numbers that fit, and a note where not.

    Args:
        levels: [H, W] of integers or floats; what is no number counts as the least.
    """
    if levels.dtype.kind == "f":
        finite = np.isfinite(levels)
        levels = np.where(finite, levels, levels[finite].min() if finite.any() else 0).astype(np.float64)
    low, high = float(levels.min()), float(levels.max())
    if low >= 0 and high <= 65535 and levels.dtype.kind != "f":
        return levels.astype(np.uint16), ""
    if levels.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scaled = (levels.astype(np.float64) - low) * (65535 / (high - low) if high > low else 0)
    return np.rint(scaled).astype(np.uint16), f"its values from {low:g} to {high:g} became 16 bits"


def bits_of(image: Image.Image, data: bytes) -> int:
    """How many bits a channel has in the file, as far as its format is known here; else 8.

    Args:
        image: opened from the data by Pillow.
        data: of the whole file.
    """
    try:
        if image.format == "PNG":
            return data[24]
        if image.format == "TIFF":
            bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
            return max(bits) if isinstance(bits, tuple) else int(bits)
        if image.format == "JPEG2000":
            return (data[data.index(b"\xff\x51") + 40] & 0x7F) + 1
        if image.format in ("AVIF", "HEIF"):
            return _bits_of_boxes(data[: 1 << 20])
        if image.format == "PPM":
            words = re.sub(rb"#[^\r\n]*", b"", data[:_PPM_HEAD]).split()  # a comment may stand anywhere, as of GIMP
            return max(8, int(words[3]).bit_length()) if words[0] in (b"P5", b"P6") else 8
        if image.format == "SGI":
            return 8 * data[3]
    except (IndexError, ValueError, struct.error, AttributeError):
        pass
    return 8


def _bits_of_boxes(data: bytes) -> int:
    """As bits_of, of AVIF and HEIC: by the box of its pixels, which not every writer makes, or that of its codec."""
    if (place := data.find(b"pixi")) >= 0:
        count = data[place + 8]
        return max(data[place + 9 : place + 9 + count])
    if (place := data.find(b"av1C")) >= 0:  # AV1 Codec ISO Media File Format Binding, 2.3.3
        is_high, is_twelve = data[place + 6] & 0x40, data[place + 6] & 0x20
        return 12 if is_high and is_twelve else 10 if is_high else 8
    if (place := data.find(b"hvcC")) >= 0:  # ISO/IEC 14496-15, 8.3.3.1
        return 8 + (data[place + 4 + 17] & 7)
    return 8


def colour_of_16_bits(data: bytes) -> np.ndarray | None:
    """The colours of a file of more than 8 bits a channel, by FFmpeg, as Pillow reads the upper 8 bits alone.

    Returns:
        uint16 [H, W, 3], or 4 with alpha, not turned; None where FFmpeg has them in another form.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(io.BytesIO(data)) as container:
            frame = next(container.decode(video=0))
        name = frame.format.name
        if not name.startswith(_DEEP_COLOUR):
            return None
        return frame.to_ndarray(format="rgba64le" if name.startswith(("rgba", "ya", "gbra")) else "rgb48le")
    except (FFmpegError, StopIteration, ValueError, IndexError):
        return None
