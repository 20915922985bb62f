"""What FFmpeg's Python layer does not tell of a file's container: what players cut off, and whether the file is whole.

Only the standard library; a file is walked by the sizes of its parts, no picture or sound is read.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, NamedTuple


class Crop(NamedTuple):
    """Pixels of a stored picture that players do not show, at each edge."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


UNCUT = Crop()


@dataclass(frozen=True)
class Structure:
    """What stands in the container.

    Attributes:
        crops: of each video track, in the order of the file; empty where the container cannot say.
        is_cut: the file ends before its parts do, as an unfinished download does.
    """

    crops: tuple[Crop, ...] = ()
    is_cut: bool = False


def read_structure(source: str | BytesIO) -> Structure:
    """Walk a file; one that is neither MP4, MOV, Matroska, WEBM nor AVI says nothing.

    Args:
        source: path or bytes of the file.
    """
    if isinstance(source, BytesIO):
        return _structure(BytesIO(source.getbuffer()))
    with open(source, "rb") as file:
        return _structure(file)


def _structure(file: BinaryIO) -> Structure:
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(12)
    with contextlib.suppress(struct.error, IndexError, ValueError, ZeroDivisionError):
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(file, size)
        if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
            return Structure(is_cut=struct.unpack("<I", start[4:8])[0] + 8 > size + 1)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot"):
            return _mp4(file, size)
    return Structure()


# MP4 and MOV: boxes of a size, a name and their content.

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_DEEPEST = 10  # boxes in boxes that FFmpeg reads
_SAMPLE_ENTRY = 86  # bytes before the boxes inside one of pictures: its own header of 8 is the first


def _mp4(file: BinaryIO, size: int) -> Structure:
    tracks: list[Crop] = []
    is_cut = False
    for name, start, end in _boxes(file, 0, size):
        is_cut |= end > size
        if name == b"moov" and end <= size:
            for track in (part for part in _boxes(file, start, end) if part[0] == b"trak"):
                crop = _mp4_track(file, *track[1:])
                if crop is not None:
                    tracks.append(crop)
    return Structure(tuple(tracks), is_cut)


def _mp4_track(file: BinaryIO, start: int, end: int) -> Crop | None:
    """The crop of a track; None where it is not one of pictures."""
    handler, crop = b"", UNCUT
    for name, begin, stop in _nested(file, start, end):
        if name == b"hdlr" and not handler:
            handler = _bytes_at(file, begin + 8, 4)
        if name == b"stsd":
            entry_size, _ = struct.unpack(">I4s", _bytes_at(file, begin + 8, 8))
            width, height = struct.unpack(">HH", _bytes_at(file, begin + 8 + 32, 4))
            for inner, at, _ in _boxes(file, begin + 8 + _SAMPLE_ENTRY, min(stop, begin + 8 + entry_size)):
                if inner == b"clap":
                    crop = _clean_aperture(struct.unpack(">IIIIiIiI", _bytes_at(file, at, 32)), width, height)
    return crop if handler == b"vide" else None


def _clean_aperture(values: tuple[int, ...], width: int, height: int) -> Crop:
    """ISO/IEC 14496-12, 12.1.4: a size and the distance of its centre from that of the picture, as fractions."""
    shown_width, shown_height, right_of, below = (values[i] / values[i + 1] for i in (0, 2, 4, 6))
    left = round((width - shown_width) / 2 + right_of)
    top = round((height - shown_height) / 2 + below)
    return Crop(top, height - top - round(shown_height), left, width - left - round(shown_width))


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and end of each box; the end may lie behind that of a file which was cut."""
    while start + 8 <= end:
        size, name = struct.unpack(">I4s", _bytes_at(file, start, 8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", _bytes_at(file, start + 8, 8))[0], 16
        stop = end if size == 0 else start + size
        if size and size < header:
            return
        yield name, start + header, stop
        start = stop


def _nested(file: BinaryIO, start: int, end: int, deep: int = _DEEPEST) -> Iterator[tuple[bytes, int, int]]:
    for name, begin, stop in _boxes(file, start, end):
        yield name, begin, stop
        if name in _PARENTS and stop <= end and deep:
            yield from _nested(file, begin, stop, deep - 1)


# Matroska and WEBM: elements of an id, a size and their content; both are numbers of one to eight bytes.

_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_TYPE, _CROPS = 0x83, {0x54BB: "top", 0x54AA: "bottom", 0x54CC: "left", 0x54DD: "right"}
_IS_VIDEO = 1


def _matroska(file: BinaryIO, size: int) -> Structure:
    crops, is_cut = [], False
    for element, start, end in _elements(file, 0, size):
        if element != _SEGMENT:
            continue
        is_cut = end is not None and end > size
        for part, at, stop in _elements(file, start, min(size, end or size)):
            if stop is None:  # of a live stream: its clusters follow, behind the tracks
                break
            if part == _TRACKS:
                tracks = (track for track in _elements(file, at, stop) if track[0] == _TRACK)
                found = [_matroska_track(file, begin, ends or stop) for _, begin, ends in tracks]
                crops += [crop for crop in found if crop is not None]
                break
    return Structure(tuple(crops), is_cut)


def _matroska_track(file: BinaryIO, start: int, end: int) -> Crop | None:
    kind, crop = 0, UNCUT
    for element, at, stop in _elements(file, start, end):
        if element == _TYPE:
            kind = int.from_bytes(_bytes_at(file, at, (stop or end) - at), "big")
        if element == _VIDEO:
            for inner, begin, ends in _elements(file, at, stop or end):
                if inner in _CROPS and ends is not None:
                    value = int.from_bytes(_bytes_at(file, begin, min(8, ends - begin)), "big")
                    crop = crop._replace(**{_CROPS[inner]: value})
    return crop if kind == _IS_VIDEO else None


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Id, start of the content and end of each element; the end of one of unknown size is None, and ends the walk."""
    while start + 2 <= end:
        element, start = _number(file, start, keep_length=True)
        size, content = _number(file, start)
        if size is None:
            yield element or 0, content, None
            return
        yield element or 0, content, content + size
        start = content + size


def _number(file: BinaryIO, at: int, keep_length: bool = False) -> tuple[int | None, int]:
    """A number of EBML and where it ends; None where all its bits are set, which stands for an unknown size."""
    first = _bytes_at(file, at, 1)[0]
    length = 9 - first.bit_length()
    if length > 8:
        raise ValueError("no number of EBML")
    data = _bytes_at(file, at, length)
    value = int.from_bytes(data, "big")
    if keep_length:
        return value, at + length
    mask = (1 << 7 * length) - 1
    return (None if value & mask == mask else value & mask), at + length


def _bytes_at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    data = file.read(count)
    if len(data) < count:
        raise ValueError("the file ends here")
    return data
