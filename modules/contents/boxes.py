"""Files made of boxes: MP4 and MOV, HEIC and AVIF, JPEG 2000. ISO/IEC 14496-12, 23008-12 and 15444-1, QuickTime."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from .parts import BEHIND, COPY, DEEPEST, KNOWN, OTHER, Found, Part, merged, name_of, uncovered

_INSIDE = {  # bytes before the boxes inside
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"gmhd", b"mvex", b"moof"), 0),
    **dict.fromkeys((b"traf", b"mfra", b"tref", b"tapt", b"udta", b"ilst", b"iprp", b"ipco", b"jp2h"), 0),
    b"meta": 4,
}
# Of lists: where the number of entries stands, and how many bytes each has.
_LISTS = {b"stts": (4, 8), b"stss": (4, 4), b"stsc": (4, 12), b"stco": (4, 4), b"co64": (4, 8), b"ctts": (4, 8)}
_NUMBERS = {  # and other boxes of numbers
    *(b"ftyp", b"styp", b"mvhd", b"tkhd", b"elst", b"mdhd", b"vmhd", b"smhd", b"nmhd", b"gmin", b"dref", b"stsz"),
    *(b"stz2", b"cslg", b"sgpd", b"sbgp", b"sdtp", b"subs", b"saio", b"saiz", b"trex", b"mehd", b"mfhd", b"tfhd"),
    *(b"tfdt", b"trun", b"tfra", b"mfro", b"sidx", b"ssix", b"prft", b"clef", b"prof", b"enof", b"ipma", b"iloc"),
    *(b"iinf", b"iref", b"pitm", b"mdat", b"idat", b"jp2c", b"pclr", b"cmap"),
}
_CODES = {b"stsd", b"colr", b"av1C", b"hvcC", b"avcC"}  # of codecs and colours: may be long
_BEHIND_NUMBERS = {b"uuid": 16, b"data": 8, b"mean": 4, b"name": 4, b"hdlr": 24, b"keys": 8, b"xml ": 0}
_ALPHA = (b"alpha", b"hevc:2015:auxid:1")


class Box(NamedTuple):
    """A box: its name, and where its content starts and ends."""

    name: bytes
    start: int
    end: int


def walk_boxes(data, used: list[tuple[int, int]] | None = None) -> Iterator[Found]:
    """What a file of boxes holds beside what it shows.

    Args:
        data: of the whole file, to be sliced.
        used: starts and ends of the pictures and sounds in it; None where its own index of pictures tells.
    """
    stretches, top, end = [], [], 0
    for box in _boxes(data, 0, len(data)):
        if box.end > len(data):
            break
        top.append(box)
        end = box.end
    for box in top:
        if box.name == b"mdat":
            stretches.append(box)
        else:
            yield from _walk(data, box)
    if used is None:
        used = []
        if any(box.name == b"moov" for box in top):  # a film beside the photo, or a photo that moves
            yield OTHER
            stretches = []
        for box in (box for box in top if box.name == b"meta"):
            yield from _items(data, box, used)
    used = merged(used)
    unused = b"".join(uncovered(data, box.start, box.end, used) for box in stretches)
    yield Part("that nothing in it refers to", unused)
    yield Part("behind its end", data[end:], BEHIND)


def _boxes(data, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        size, name, header = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        stop = start + size if size else end
        if stop < start + header:
            return
        yield Box(name, start + header, stop)
        start = stop


def _walk(data, box: Box, parent: bytes = b"", deep: int = DEEPEST) -> Iterator[Found]:
    name, start, end = box
    where = f"in box {name_of(name)}"
    if deep and (name in _INSIDE or parent == b"ilst"):
        place = start + _INSIDE.get(name, 0)
        if name == b"meta" and data[start + 4 : start + 8] == b"hdlr":  # QuickTime's has no version
            place = start
        for inner in _boxes(data, place, end):
            if inner.end > end:
                break
            yield from _walk(data, inner, name, deep - 1)
            place = inner.end
        yield Part(where, data[place:end])
    elif name in _LISTS:
        at, width = _LISTS[name]
        count = int.from_bytes(data[start + at : start + at + 4], "big")
        yield Part(where, data[min(start + at + 4 + width * count, end) : end])
    elif name not in _NUMBERS:
        kind = [KNOWN] if name in _CODES else []
        yield Part(where, data[min(start + _BEHIND_NUMBERS.get(name, 0), end) : end], *kind)


# The index of pictures in HEIC and AVIF: items with a type, stretches of the file, and what they are to each other.

_PICTURES = (b"av01", b"hvc1", b"avc1", b"jpeg", b"j2k1", b"grid", b"iovl", b"iden", b"tmap", b"unci", b"vvc1")


def _items(data, meta: Box, used: list[tuple[int, int]]) -> Iterator[Found]:
    inside = {box.name: box for box in _boxes(data, meta.start + 4, meta.end)}
    try:
        types = _types(data, inside[b"iinf"]) if b"iinf" in inside else {}
        idat = inside.get(b"idat")
        stretches = _stretches(data, inside[b"iloc"], idat.start if idat else 0) if b"iloc" in inside else {}
        links = _links(data, inside[b"iref"]) if b"iref" in inside else []
        pitm = data[inside[b"pitm"].start : inside[b"pitm"].end] if b"pitm" in inside else b""
    except (struct.error, IndexError):
        return
    shown = {int.from_bytes(pitm[4:], "big")}
    for _ in types:  # what a shown picture is made of, and what is its alpha
        more = {to for kind, of, to in links if kind == b"dimg" and of in shown}
        more |= {of for kind, of, to in links if kind == b"auxl" and to in shown}
        if more <= shown:
            break
        shown |= more
    copies = {of for kind, of, _ in links if kind == b"thmb"}
    for item, kind in types.items():
        places = stretches.get(item, [])
        if sum(min(end, len(data)) - start for start, end in places) > len(data):  # some are named many times
            yield OTHER
            continue
        used += places
        content = b"".join(data[start:end] for start, end in places)
        if kind in _PICTURES:
            if item not in shown and content:
                yield COPY if item in copies else OTHER
        else:
            skipped = 4 if kind == b"Exif" else 0
            yield Part(f"in item {name_of(kind)}", content[skipped:])
    if idat:
        yield Part("in box idat", uncovered(data, idat.start, idat.end, merged(used)))
    for box in _boxes(data, *inside[b"iprp"][1:]) if b"iprp" in inside else ():
        for each in _boxes(data, box.start, box.end) if box.name == b"ipco" else ():
            if each.name == b"auxC" and not any(name in data[each.start : each.end] for name in _ALPHA):
                yield OTHER


def _types(data, box: Box) -> dict[int, bytes]:
    start = box.start + (6 if data[box.start] == 0 else 8)
    types = {}
    for entry in _boxes(data, start, box.end):
        version, at = data[entry.start], entry.start + 4
        width = 2 if version < 3 else 4
        if version >= 2:
            types[int.from_bytes(data[at : at + width], "big")] = data[at + width + 2 : at + width + 6]
    return types


def _links(data, box: Box) -> list[tuple[bytes, int, int]]:
    """Kind, from and to of each reference."""
    width, links = (2 if data[box.start] == 0 else 4), []
    for entry in _boxes(data, box.start + 4, box.end):
        values = data[entry.start : entry.end]
        of, at = int.from_bytes(values[:width], "big"), width + 2
        links += [(entry.name, of, int.from_bytes(values[i : i + width], "big")) for i in range(at, len(values), width)]
    return links


def _stretches(data, box: Box, idat: int) -> dict[int, list[tuple[int, int]]]:
    version, place = data[box.start], box.start + 4

    def number(width: int) -> int:
        nonlocal place
        place += width
        return int.from_bytes(data[place - width : place], "big")

    sizes = number(2)
    offset, length, base, index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    found: dict[int, list[tuple[int, int]]] = {}
    for _ in range(number(2 if version < 2 else 4)):
        if place > box.end:
            return found
        item = number(2 if version < 2 else 4)
        way = number(2) & 15 if version else 0
        number(2)
        start = number(base) + (idat if way == 1 else 0)
        found[item] = []
        for _ in range(number(2)):
            if place > box.end:
                return found
            number(index if version else 0)
            begin = start + number(offset)
            size = number(length)
            found[item].append((begin, begin + (size or len(data) - begin)))
    return found
