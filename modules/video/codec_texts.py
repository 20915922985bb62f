"""Headers and packets of codecs without what they carry beside picture and sound: texts, pictures, captions, padding.

What is copied into a new file goes through here. A codec that is not listed can hide a text where this module does not
look: its stream is encoded anew.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator

# Codecs whose packets have no room for anything else, or whose room is emptied below.
_PICTURES = {"h264", "hevc", "av1", "vp8", "vp9", "ffv1", "huffyuv", "rawvideo"}
_SOUNDS = {"aac", "mp3", "mp2", "ac3", "eac3", "opus", "vorbis", "flac", "alac"}
_NO_HEADER = {"mp3", "mp2", "ac3", "eac3", "vp8", "vp9", "rawvideo", "huffyuv"}
_PLAIN = "pcm_"  # samples and nothing else
_LONGEST_AAC = 8  # of an AudioSpecificConfig without a program config element, which has a comment
_LONGEST_ALAC = 36


class CannotClean(ValueError):
    """The header is not as its codec's norm says, or the codec is not known here."""


def clean_header(codec: str, header: bytes) -> bytes:
    """The header of a codec (FFmpeg: extradata) with what decoding needs and nothing else.

    Args:
        codec: FFmpeg's name.
        header: as FFmpeg has it; may be empty.

    Raises:
        CannotClean: the stream has to be encoded anew.
    """
    if codec not in _PICTURES | _SOUNDS and not codec.startswith(_PLAIN):
        raise CannotClean(codec)
    if not header or codec in _NO_HEADER or codec.startswith(_PLAIN):
        return b""
    try:
        return _CLEANERS[codec](header)
    except (KeyError, IndexError, struct.error) as error:
        raise CannotClean(codec) from error


def packet_cleaner(codec: str, header: bytes) -> Callable[[bytes], bytes]:
    """What takes the packets of a stream and gives them without texts.

    Args:
        codec: FFmpeg's name.
        header: of the stream, which says how its packets are divided.
    """
    if codec == "av1":
        return _clean_av1
    if codec in ("h264", "hevc"):
        avc = codec == "h264"
        keep = _kept_avc if avc else _kept_hevc
        if header[:1] == b"\x01":
            length = (header[4] if avc else header[21]) % 4 + 1
            return lambda data: b"".join(
                len(unit).to_bytes(length, "big") + unit for unit in keep(_sized(data, length))
            )
        return lambda data: b"".join(b"\0\0\0\1" + unit for unit in keep(_after_start_codes(data)))
    return bytes


# Sound


def _xiph(header: bytes) -> bytes:
    """The three packets of a Vorbis header; the second, of comments and pictures, is rewritten empty."""
    first, _, third = _three_packets(header)
    if not (first[:7] == b"\x01vorbis" and third[:7] == b"\x05vorbis"):
        raise CannotClean("vorbis")
    comment = b"\x03vorbis" + bytes(8) + b"\x01"
    first = first[:30]
    return bytes([2, len(first), len(comment)]) + first + comment + third


def _three_packets(header: bytes) -> list[bytes]:
    if header[:2] == struct.pack(">H", 30):  # each after its length
        parts, at = [], 0
        for _ in range(3):
            (size,) = struct.unpack_from(">H", header, at)
            parts.append(header[at + 2 : at + 2 + size])
            at += 2 + size
        return parts
    if header[0] != 2:
        raise CannotClean("vorbis")
    sizes, at = [], 1
    for _ in range(2):
        size = 0
        while header[at] == 255:
            size, at = size + 255, at + 1
        sizes.append(size + header[at])
        at += 1
    second, third = at + sizes[0], at + sum(sizes)
    return [header[at:second], header[second:third], header[third:]]


def _opus(header: bytes) -> bytes:
    """RFC 7845, 5.1: 19 bytes, and a table of channels where there are more than two."""
    if header[:8] != b"OpusHead":
        raise CannotClean("opus")
    return header[: 19 if header[18] == 0 else 21 + header[9]]


def _flac(header: bytes) -> bytes:
    """The block of the stream's format alone; comments, pictures, cue sheets and applications are others."""
    if header[:4] == b"fLaC":
        if header[4] & 0x7F:
            raise CannotClean("flac")
        header = header[8:]
    return header[:34]


def _short(longest: int) -> Callable[[bytes], bytes]:
    def keep(header: bytes) -> bytes:
        if len(header) > longest:
            raise CannotClean("header")
        return header

    return keep


def _aac(header: bytes) -> bytes:
    if len(header) > _LONGEST_AAC or not int.from_bytes(header[:2], "big") >> 3 & 0xF:
        raise CannotClean("aac")  # channels told by an element that has a comment
    return header


# H.264 and HEVC: units, each with its type. SEI messages 4 and 5 are user data: captions, names of programs, whatever.

_AVC_SEI, _HEVC_SEI = 6, (39, 40)
_AVC_KEPT = {1, 2, 3, 4, 5, _AVC_SEI, 7, 8, 9, 10, 11}
_HEVC_KEPT = {*range(10), *range(16, 22), 32, 33, 34, 35, 36, 37, *_HEVC_SEI}
_USER_DATA = (4, 5)


def _avcc(header: bytes) -> bytes:
    """ISO/IEC 14496-15, 5.3.3.1: five bytes, then parameter sets; behind them at most four bytes and further sets."""
    if header[0] != 1:
        return b"".join(b"\0\0\0\1" + unit for unit in _kept_avc(_after_start_codes(header)))
    kept, at = bytearray(header[:5]), 5
    for _ in range(2):
        count = header[at]
        kept.append(count)
        at += 1
        for _ in range(count & 0x1F):
            (size,) = struct.unpack_from(">H", header, at)
            kept += header[at : at + 2 + size]
            at += 2 + size
    if header[1] in (100, 110, 122, 144) and len(header) >= at + 4:
        kept += header[at : at + 3] + b"\0"
    return bytes(kept)


def _hvcc(header: bytes) -> bytes:
    """ISO/IEC 14496-15, 8.3.3.1: 22 bytes, then arrays of units by type; those of SEI messages are left out."""
    if header[0] != 1:
        return b"".join(b"\0\0\0\1" + unit for unit in _kept_hevc(_after_start_codes(header)))
    arrays, at = [], 23
    for _ in range(header[22]):
        kind, count = struct.unpack_from(">BH", header, at)
        begin, at = at, at + 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", header, at)
            at += 2 + size
        if kind & 0x3F in (32, 33, 34):
            arrays.append(header[begin:at])
    return header[:22] + bytes([len(arrays)]) + b"".join(arrays)


def _sized(data: bytes, length: int) -> Iterator[bytes]:
    at = 0
    while at + length < len(data):
        size = int.from_bytes(data[at : at + length], "big")
        yield data[at + length : at + length + size]
        at += length + size


def _after_start_codes(data: bytes) -> Iterator[bytes]:
    begin = data.find(b"\0\0\1")
    while begin >= 0:
        end = data.find(b"\0\0\1", begin + 3)
        unit = data[begin + 3 : end if end >= 0 else None]
        yield unit.rstrip(b"\0") if end >= 0 else unit
        begin = end


def _kept_avc(units: Iterator[bytes]) -> Iterator[bytes]:
    for unit in units:
        kind = unit[0] & 0x1F if unit else 0
        if kind == _AVC_SEI:
            unit = _sei(unit, 1)
        if unit and kind in _AVC_KEPT:
            yield unit


def _kept_hevc(units: Iterator[bytes]) -> Iterator[bytes]:
    for unit in units:
        if len(unit) < 2:
            continue
        kind, layer = unit[0] >> 1 & 0x3F, (unit[0] & 1) << 5 | unit[1] >> 3
        if kind in _HEVC_SEI:
            unit = _sei(unit, 2)
        if unit and kind in _HEVC_KEPT and not layer:  # other layers: a second camera, or what alpha hides
            yield unit


def _sei(unit: bytes, header: int) -> bytes:
    """A unit of SEI messages without user data; empty where nothing else is in it, or where it is broken."""
    data, at, kept = unit[header:].replace(b"\0\0\3", b"\0\0"), 0, bytearray()
    with contextlib.suppress(IndexError):
        while at < len(data) and data[at:] != b"\x80":
            begin, values = at, []
            for _ in range(2):
                value = 0
                while data[at] == 255:
                    value, at = value + 255, at + 1
                values.append(value + data[at])
                at += 1
            kind, size = values
            if at + size > len(data):
                break
            at += size
            if kind not in _USER_DATA:
                kept += data[begin:at]
    return unit[:header] + _escaped(bytes(kept) + b"\x80") if kept else b""


def _escaped(data: bytes) -> bytes:
    """Put a 3 where two zeros would look like the start of a unit."""
    out, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


# AV1: units (OBU); those of metadata, padding and lists of tiles are left out, but for the light levels of HDR.

_AV1_SEQUENCE, _AV1_METADATA, _AV1_DROPPED = 1, 5, (8, 15)
_AV1_LIGHT = (1, 2)


def _av1c(header: bytes) -> bytes:
    return header[:4] + b"".join(unit for kind, unit, _ in _obus(header[4:]) if kind == _AV1_SEQUENCE)


def _clean_av1(data: bytes) -> bytes:
    return b"".join(
        unit
        for kind, unit, content in _obus(data)
        if kind not in _AV1_DROPPED and (kind != _AV1_METADATA or content[:1] in map(bytes, zip(_AV1_LIGHT)))
    )


def _obus(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Type, the whole unit and its content."""
    at = 0
    while at < len(data):
        first = data[at]
        content = at + (2 if first & 4 else 1)
        size = len(data) - content
        if first & 2:
            size, content = _leb128(data, content)
        yield first >> 3 & 0xF, data[at : content + size], data[content : content + size]
        at = content + size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if not byte & 0x80:
            return value, at + i + 1
    raise IndexError("no number")


_CLEANERS: dict[str, Callable[[bytes], bytes]] = {
    "vorbis": _xiph,
    "opus": _opus,
    "flac": _flac,
    "aac": _aac,
    "alac": _short(_LONGEST_ALAC),
    "h264": _avcc,
    "hevc": _hvcc,
    "av1": _av1c,
    "ffv1": bytes,
}
