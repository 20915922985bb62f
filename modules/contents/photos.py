"""JPEG, PNG, WEBP (RIFF) and GIF, part by part: what is neither the picture nor needed to show it."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from .parts import BEHIND, COPY, DEEPEST, KNOWN, Found, Part, is_blank, name_of
from .tiff import walk_tiff

_END = "behind its end"


def walk_photo(data: bytes) -> Iterator[Found] | None:
    """What a photo's file holds beside its picture; None for a format that is not known here."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"RIFF"):
        return walk_riff(data)
    if data.startswith(b"GIF8"):
        return _gif(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return walk_tiff(data, "in its tags", is_file=True)
    return None


# JPEG: marks of two bytes, most with a length and content. ITU-T T.81, annex B; JFIF 1.02; XMP part 3.

_MARK = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # none that stands in coded pixels
_TABLES = {*range(0xC0, 0xD0), *range(0xDA, 0xE0)}
_SOI, _EOI, _SOS, _APP0, _APP1, _APP2, _APP13 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xED
_XMP, _MORE_XMP, _ICC = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0", b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"


def _jpeg(data: bytes) -> Iterator[Found]:
    place, is_coded = 2, False  # coded pixels stand before the next mark
    joined: dict[str, bytearray] = {}  # what is too long for one segment
    while mark := _MARK.search(data, place):
        code, start = data[mark.start() + 1], mark.end()
        if not is_coded:
            yield Part("between its parts", data[place : mark.start()])
        if code in (_SOI, _EOI):
            place = start if code == _EOI else mark.start()
            yield Part(_END, data[place:], BEHIND)
            break
        size = int.from_bytes(data[start : start + 2], "big") if code > 0xBF else 0
        content, place = data[start + 2 : start + max(size, 2)], start + size
        is_coded = code == _SOS
        if code == 0x01 or code in _TABLES:
            continue
        if code == _APP0 and content[:5] in (b"JFIF\0", b"JFXX\0"):
            yield from _jfif(content)
        elif code == _APP1 and content.startswith(_MORE_XMP):
            joined.setdefault("in XMP", bytearray()).extend(content[len(_MORE_XMP) + 40 :])
        elif code == _APP2 and content.startswith(_ICC):
            joined.setdefault("in its profile", bytearray()).extend(content[len(_ICC) + 2 :])
        elif code == _APP13 and content.startswith(_PHOTOSHOP):
            joined.setdefault("in part APP13", bytearray()).extend(content[len(_PHOTOSHOP) :])
        else:
            name = f"APP{code - _APP0}" if 0xE0 <= code <= 0xEF else "COM" if code == 0xFE else f"{code:02X}"
            yield Part(f"in part {name}", content.removeprefix(_XMP))
    for where, content in joined.items():
        yield Part(where, bytes(content))


def _jfif(content: bytes) -> Iterator[Found]:
    """A small copy of RGB behind the header; in an extension as a JPEG, with a table of colours, or of RGB."""
    if content.startswith(b"JFXX") and content[5:6] == b"\x10":
        yield Part("in part APP0", content[6:])
        return
    head = 12 if content.startswith(b"JFIF") else 6
    size, pixels = content[head : head + 2], content[head + 2 :]
    if len(size) == 2 and size[0] * size[1] and not is_blank(pixels[: 3 * size[0] * size[1]]):
        yield COPY
    else:
        yield Part("in part APP0", pixels)


# PNG: parts of a length, a name, content and a check sum.

_PNG_PICTURE = (b"IDAT", b"fdAT")
_PNG_SHORT = {  # with the most bytes that they have
    **{
        b"IHDR": 13,
        b"PLTE": 768,
        b"IEND": 0,
        b"tRNS": 256,
        b"cHRM": 32,
        b"gAMA": 4,
        b"sBIT": 4,
        b"sRGB": 1,
        b"bKGD": 6,
    },
    **{b"hIST": 512, b"pHYs": 9, b"tIME": 7, b"cICP": 4, b"mDCV": 24, b"cLLI": 8, b"acTL": 8, b"fcTL": 26},
}
_LARGEST = 16 << 20  # bytes of a packed text that are unpacked


def _png(data: bytes) -> Iterator[Found]:
    place, coded = 8, []
    while place + 8 <= len(data):
        size, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        content = data[place + 8 : place + 8 + size]
        place += 12 + size
        if name == b"IDAT":
            coded.append(content)
        elif name not in _PNG_PICTURE and not 0 <= len(content) <= _PNG_SHORT.get(name, -1):
            where = f"in part {name_of(name)}"
            if name == b"iCCP":
                title, _, packed = content.partition(b"\0")
                yield Part(where, title)
                where, content = "in its profile", _unpacked(packed[1:])
            elif name in (b"zTXt", b"iTXt", b"tEXt"):
                title, content = _text(name, content)
                yield Part(where, title)
            yield Part(where, content)
        if name == b"IEND":
            break
    yield Part(_END, data[place:], BEHIND)
    yield from _behind_pixels(coded, _rows(data[16:29]))


def _text(name: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Its keyword, of iTXt with what stands beside it, and the text; without a text all is keyword."""
    title, _, rest = content.partition(b"\0")
    if name == b"tEXt":
        return title, rest
    if name == b"zTXt":
        return title, _unpacked(rest[1:])
    *titles, text = rest[2:].split(b"\0", 2)
    return b"\0".join((title, *titles)), _unpacked(text) if rest[:1] == b"\1" else text


def _unpacked(packed: bytes) -> bytes:
    """What was packed, or the bytes as they are where they were not; and what stands behind."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, _LARGEST)
    except zlib.error:
        return packed
    return content + unpacker.unused_data


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of colours
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _rows(head: bytes) -> int:
    """Bytes of the rows of a picture, each behind one for its filter."""
    if len(head) < 13:
        return 0
    width, height, bits, colours, _, _, is_interlaced = struct.unpack(">II5B", head)
    total = 0
    for left, top, across, down in _PASSES if is_interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits * _CHANNELS.get(colours, 4) + 7) // 8)
    return total


def _behind_pixels(coded: list[bytes], rows: int) -> Iterator[Part]:
    """What is packed behind the last row, and what stands behind all that is packed."""
    unpacker, count, more = zlib.decompressobj(), 0, bytearray()
    try:
        for number, piece in enumerate(coded):
            rest = piece
            while rest and not unpacker.eof:
                pixels = unpacker.decompress(rest, _LARGEST)
                count += len(pixels)
                more += pixels[len(pixels) - max(count - rows - len(more), 0) :] if len(more) < _LARGEST else b""
                rest = unpacker.unconsumed_tail
            if unpacker.eof:
                yield Part("behind its pixels", bytes(more), BEHIND)
                yield Part("behind its pixels", unpacker.unused_data + b"".join(coded[number + 1 :]), BEHIND)
                return
    except zlib.error:  # a damaged picture
        return


# RIFF: parts of a name, a length and content, filled to an even length. WEBP and AVI.

_STILL = (b"VP8 ", b"VP8L")  # and its alpha before it: each shown picture has one of them
_WEBP_PICTURE = (*_STILL, b"VP8X", b"ALPH", b"ANIM")
_AVI_PICTURE = (b"avih", b"strh", b"idx1", b"indx", b"vprp", b"dmlh")
_RIFF_INSIDE = {b"ANMF": 16, b"LIST": 4, b"RIFF": 4}  # bytes before the parts inside
_STREAM = re.compile(rb"\d\d[a-z]{2}|ix\d\d")  # of pictures and sound in AVI


def walk_riff(data) -> Iterator[Found]:
    """What a WEBP or AVI holds.

    Args:
        data: of the whole file, to be sliced.
    """
    end = 0
    while data[end : end + 4] == b"RIFF":  # a long AVI is made of several
        size = int.from_bytes(data[end + 4 : end + 8], "little")
        yield from _riff(data, end + 12, min(end + 8 + size, len(data)), data[end + 8 : end + 12] == b"WEBP")
        end += 8 + size + size % 2
    yield Part(_END, data[end:], BEHIND)


def _riff(data, place: int, end: int, is_webp: bool, deep: int = DEEPEST) -> Iterator[Found]:
    has_picture = False
    while place + 8 <= end:
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        start, stop = place + 8, min(place + 8 + size, end)
        if is_webp and has_picture and name in (*_STILL, b"ALPH", b"ANMF"):  # behind the one that is shown
            yield Part(f"in part {name_of(name)}", data[start:stop])
        elif deep and name in _RIFF_INSIDE:
            yield from _riff(data, start + _RIFF_INSIDE[name], stop, is_webp, deep - 1)
        elif name == b"ICCP":
            yield Part("in its profile", data[start:stop])
        elif name not in _WEBP_PICTURE if is_webp else name not in _AVI_PICTURE and not _STREAM.fullmatch(name):
            yield Part(f"in part {name_of(name)}", data[start:stop], *([KNOWN] if name == b"strf" else []))
        has_picture |= name in _STILL
        place = stop + size % 2


# GIF: a header, blocks and pictures, whose contents are pieces of a length each. GIF 89a.


def _gif(data: bytes) -> Iterator[Found]:
    if len(data) < 13:
        return
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while place < len(data) and data[place] in (0x21, 0x2C):
        if data[place] == 0x2C:
            flags = data[place + 9] if place + 9 < len(data) else 0
            start = place + 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            coded, place = _pieces(data, start + 1)
            yield Part("behind its pixels", _behind_codes(coded, data[start] if start < len(data) else 0), BEHIND)
            continue
        kind = data[place + 1 : place + 2]
        if kind == b"\xff" and data[place + 3 : place + 14] == b"XMP DataXMP":  # its text is no pieces
            start = place + 14
            _, place = _pieces(data, start)
            yield Part("in XMP", data[start : max(place - 258, start)])
            continue
        content, place = _pieces(data, place + 2)
        yield Part(f"in part {kind.hex()}", content[11:] if kind == b"\xff" else content)
    yield Part(_END, data[place + 1 :], BEHIND)


def _behind_codes(coded: bytes, bits: int) -> bytes:
    """What stands behind the code of the end; codes get longer as the table grows, which has one more with each."""
    clear, place = 1 << bits, 0
    if not 1 <= bits <= 11:
        return b""
    width, known, is_first = bits + 1, clear + 2, True
    while place + width <= 8 * len(coded):
        at = place >> 3
        code = int.from_bytes(coded[at : at + 3], "little") >> (place & 7) & (1 << width) - 1
        place += width
        if code == clear + 1:
            return coded[(place + 7) // 8 :]
        if code == clear:
            width, known, is_first = bits + 1, clear + 2, True
        elif is_first:
            is_first = False
        elif known < 4096:
            known += 1
            width += known == 1 << width and width < 12
    return b""


def _pieces(data: bytes, place: int) -> tuple[bytes, int]:
    pieces = []
    while place < len(data) and (size := data[place]):
        pieces.append(data[place + 1 : place + 1 + size])
        place += 1 + size
    return b"".join(pieces), place + 1
