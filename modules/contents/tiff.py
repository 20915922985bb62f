"""TIFF, as a file and as the block that EXIF is: directories of values, some of which are pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .parts import COPY, DEEPEST, KNOWN, Found, Part, is_blank, merged, uncovered

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_BELOW = (0x014A, 0x8769, 0x8825, 0xA005)  # tags of directories below one
_PIXELS = ((0x0111, 0x0117), (0x0144, 0x0145))  # starts and lengths of strips, and of tiles
_JPEG = (0x0201, 0x0202)  # start and length of a picture that is a JPEG itself
_TABLES = (0x0140, 0x012D, 0x015B, 0x0207, 0x0208, 0x0209)  # of colours and of codes, which may be long
_MOST = 4096  # directories, and parts of one picture that are read one by one


class _Entry(NamedTuple):
    tag: int
    kind: int
    count: int
    start: int  # of the value
    size: int


@dataclass
class _Block:
    """A TIFF as it is walked."""

    data: bytes
    where: str
    used: list[tuple[int, int]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    read_bytes: int = 0

    def __post_init__(self) -> None:
        self.order = "<" if self.data[:1] == b"I" else ">"
        self.is_big = b"+" in self.data[:4]

    def read(self, form: str, place: int) -> int:
        return struct.unpack_from(self.order + form, self.data, place)[0]

    def entries(self, place: int) -> tuple[list[_Entry], int]:
        """Those of a directory, and where the next one is."""
        count, width, head = (self.read("Q", place), 20, 8) if self.is_big else (self.read("H", place), 12, 2)
        offset, inside = ("Q", 8) if self.is_big else ("I", 4)
        entries, at = [], place + head
        for at in range(place + head, min(place + head + width * count, len(self.data) - width + 1), width):
            tag, kind, number = self.read("H", at), self.read("H", at + 2), self.read(offset, at + 4)
            size = _SIZES.get(kind, 1) * number
            value = at + width - inside
            entries.append(_Entry(tag, kind, number, value if size <= inside else self.read(offset, value), size))
        end = place + head + width * count
        self.used.append((place, end + inside))
        following = self.read(offset, end) if end + inside <= len(self.data) else 0
        return entries, following

    def numbers(self, entry: _Entry | None) -> tuple[int, ...]:
        if entry is None or entry.kind not in _NUMBERS or entry.start + entry.size > len(self.data):
            return ()
        return struct.unpack_from(f"{self.order}{entry.count}{_NUMBERS[entry.kind]}", self.data, entry.start)


def walk_tiff(data: bytes, where: str, is_file: bool = False) -> Iterator[Found]:
    """What a TIFF holds; of a file beside the pages that follow each other, which others count.

    Args:
        data: of the whole block or file.
        where: it stands.
        is_file: it is one.
    """
    block = _Block(data, where)
    block.used.append((0, 16 if block.is_big else 8))
    try:
        start = block.read("Q", 8) if block.is_big else block.read("I", 4)
        yield from _walk(block, start, is_file)
    except (struct.error, OverflowError, MemoryError):  # it is broken here
        pass
    yield Part("that nothing in it refers to", uncovered(data, 0, len(data), merged(block.used)))


def _walk(block: _Block, start: int, is_shown: bool, deep: int = DEEPEST) -> Iterator[Found]:
    while start and start not in block.seen and len(block.seen) < _MOST:
        block.seen.add(start)
        entries, start = block.entries(start)
        known = {entry.tag: entry for entry in entries}
        yield from _pixels(block, known, is_shown)
        for entry in entries:
            content = block.data[entry.start : entry.start + entry.size]
            block.used.append((entry.start, entry.start + len(content)))
            block.read_bytes += len(content)
            if block.read_bytes > 2 * len(block.data):  # the same bytes are named many times
                yield Part(block.where, block.data)
                return
            if entry.tag in _BELOW:
                for below in block.numbers(entry)[:_MOST] if deep else ():  # what is below, nothing refers to
                    yield from _walk(block, below, False, deep - 1)
            elif entry.tag not in (*_JPEG, *(tag for pair in _PIXELS for tag in pair)):
                yield Part(block.where, content, *([KNOWN] if entry.tag in _TABLES else []))


def _pixels(block: _Block, known: dict[int, _Entry], is_shown: bool) -> Iterator[Found]:
    for starts, sizes in (_JPEG, *_PIXELS):
        places, lengths = block.numbers(known.get(starts)), block.numbers(known.get(sizes))
        stretches = list(zip(places, lengths, strict=False))
        block.used += [(place, place + length) for place, length in stretches]
        if is_shown or not stretches:
            continue
        if sum(min(length, len(block.data)) for _, length in stretches) > len(block.data):  # named many times
            yield COPY
            continue
        pixels = b"".join(block.data[place : place + length] for place, length in stretches[:_MOST])
        compression = block.numbers(known.get(0x0103))[:1]
        if starts == _JPEG[0] or compression in ((6,), (7,)):
            yield Part(block.where, pixels)
        elif not is_blank(pixels):
            yield COPY
