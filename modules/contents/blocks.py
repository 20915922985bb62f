"""Blocks that several formats hold, told by their content: EXIF and other TIFF, Photoshop's, IPTC's, profiles."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .parts import COPY, KNOWN, LARGE, UNKNOWN, Found, Part, is_blank
from .tiff import HEADS, walk_tiff

_PHOTOSHOP, _RESOURCE = b"Photoshop 3.0\0", b"8BIM"
_SMALL_COPIES = (1033, 1036)  # of Photoshop's resources
_JPEG = 1  # the format of such a copy
_HEADER = 28  # bytes before its picture


def open_block(part: Part) -> Iterator[Found] | None:
    """What is in a part, where it is such a block; None for all else."""
    content = part.content.removeprefix(b"Exif\0\0")
    if content.startswith(HEADS):
        return walk_tiff(content, part.where)
    content = content.removeprefix(_PHOTOSHOP)
    if content.startswith(_RESOURCE):
        return _resources(content, part.where)
    if content[:1] == b"\x1c" and content[1:2] < b"\x0a" and len(content) > 5:
        return _iptc(content, part.where)
    if part.kind == UNKNOWN and content[36:40] == b"acsp":
        return _profile(content, part.where)
    return None


def _resources(content: bytes, where: str) -> Iterator[Found]:
    place = 0
    while content[place : place + 4] == _RESOURCE and place + 12 <= len(content):
        (number,) = struct.unpack_from(">H", content, place + 4)
        name = 1 + content[place + 6]
        place += 6 + name + name % 2
        size = int.from_bytes(content[place : place + 4], "big")
        value = content[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
        if number not in _SMALL_COPIES or len(value) < _HEADER:
            yield Part(where, value)
        elif value[:4] == struct.pack(">I", _JPEG):
            yield Part(where, value[_HEADER:])
        elif not is_blank(value[_HEADER:]):
            yield COPY
    yield Part(where, content[place:])


def _iptc(content: bytes, where: str) -> Iterator[Found]:
    """IPTC's records: a mark, two numbers, a length, and a value each."""
    place = 0
    while content[place : place + 1] == b"\x1c" and place + 5 <= len(content):
        size, place = int.from_bytes(content[place + 3 : place + 5], "big"), place + 5
        if size & 0x8000:  # the length of the length
            digits = size & 0x7FFF
            size, place = int.from_bytes(content[place : place + digits], "big"), place + digits
        yield Part(where, content[place : place + size])
        place += size
    yield Part(where, content[place:])


def _profile(content: bytes, where: str) -> Iterator[Found]:
    size = int.from_bytes(content[:4], "big")
    yield Part(where, content[:size], KNOWN)
    if len(content) - size > LARGE:
        yield Part(where, content[size:])
