"""PNG files part by part: what is read without Pillow, and pictures of 16 bits, which Pillow cannot write in colour.

Names and layouts of the parts ("chunks"): PNG specification, third edition (W3C 2025), section 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> colour type of IHDR
_UP = 2  # the filter of a row that is stored as its difference to the one above
_COMPRESSION = 4


def read_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The parts of a PNG file, from its head on: their names and contents.

    Ends where the file ends or is cut off; check sums are not looked at: is_sound does so.

    Args:
        data: of the whole file, from the signature on.
    """
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        yield name, content
        if name == b"IEND":
            return
        place += 12 + size


def is_sound(data: bytes) -> bool:
    """Whether the check sums of all parts agree that the picture is made of, as far as the file goes.

    Pillow does not look at those of the pixels: one flipped bit gives another picture, and no error.

    Args:
        data: of the whole file, from the signature on.
    """
    place = len(SIGNATURE)
    for name, content in read_chunks(data):
        end = place + 8 + len(content)
        told, place = data[end : end + 4], end + 4
        is_critical = not name[0] & 0x20  # an upper letter, section 5.4
        if is_critical and len(told) == 4 and struct.unpack(">I", told)[0] != zlib.crc32(content, zlib.crc32(name)):
            return False
    return True


def with_chunks_that(keep: Callable[[bytes, bytes], bool], data: bytes) -> bytes:
    """A PNG file with fewer parts.

    Args:
        keep: says of the name and content of a part whether it stays; it stays as it is, with its check sum.
        data: of the whole file.
    """
    kept, place = [data[: len(SIGNATURE)]], len(SIGNATURE)
    for name, content in read_chunks(data):
        end = place + 12 + len(content)
        if keep(name, content):
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def chunk(name: bytes, content: bytes) -> bytes:
    """One part of a PNG file: its size, its name, its content and their check sum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG file with one more part behind its head (IHDR)."""
    head = len(SIGNATURE) + 25
    return data[:head] + chunk(name, content) + data[head:]


def xmp_chunk(packet: bytes) -> bytes:
    """The content of an iTXt part that holds an XMP packet, not compressed."""
    return b"XML:com.adobe.xmp\0\0\0\0\0" + packet


def profile_chunk(profile: bytes) -> bytes:
    """The content of an iCCP part."""
    return b"ICC\0\0" + zlib.compress(profile)


def deep_png(levels: np.ndarray, extra: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """A PNG file of 16 bits a channel.

    Args:
        levels: uint16 [H, W, C]: 1 channel is gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
        extra: name and content of parts between head and picture.

    Returns:
        The bytes of the file.
    """
    height, width, channels = levels.shape
    rows = np.ascontiguousarray(levels, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]  # modulo 256, as PNG has it
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(filtered.data, _COMPRESSION)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(name, content) for name, content in parts)
