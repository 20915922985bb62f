"""Damage of HEVC, which FFmpeg's decoder makes pictures of without a word: its slices do not end where their data does.

A slice is one arithmetic code: behind a bit that is wrong each part of it is taken for another, up to the end. What is
left of the code when all blocks of the slice are there, or what is read behind it, tells. The decoder does not tell how
far it has read, but its pictures do: what it read beyond the end changes them, what it never reached does not.

Where a slice is gone, or stops before its end, the decoder shows what its memory held, in a film an older picture. New
memory is all zeros. What looks like that is decoded again where another picture was before: if it differs, nobody
wrote it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator

import av
import av.error
import av.logging
import numpy as np

_PICTURES, _PARAMETERS = range(32), range(32, 35)  # types of units (ITU-T H.265, table 7-1)
_SEQUENCE = 33
_NEED_NO_OTHER = range(16, 24)
_SKIPPED = {8: 0, 9: 1}  # leading pictures, which a decoder leaves out at the start, and the same syntax shown
_IN_HVCC = 21  # byte of the size of lengths in the header that MP4 and Matroska have (ISO/IEC 14496-15)
_LEAST = 48  # bytes of a slice that is looked at: shorter ones are little but their header
_MOST_SLICES = 8  # of a picture that are looked at
_MOST_PARAMETERS = 64
_MOST_BEFORE, _MOST_BYTES = 300, 32 << 20  # pictures since the last that needs no other, to be decoded again
_BEHIND = 64  # bytes
_CHANGED = 8  # last bytes of a slice that are replaced
_TRIES_ALONE, _TRIES = 12, 6  # how often they are, until the picture shows it
_NEVER_WRITTEN = bytes(4)  # of the last plane, where hardly a colour is that low

Unit = tuple[int, bytes]  # how many bytes stand for its length, 0 for a start code; the rest


class CodedEnds:
    """Tells of each packet whether the coded data of its picture end where the picture does.

    A picture is first decoded alone, without those that it refers to: how its code is read does not hang on them. On
    gray in their place little may be seen, so what seems to be left over is looked at again together with them.

    Args:
        header: of the track, as its codec context has it.
    """

    def __init__(self, header: bytes | None):
        self._begin(header)

    def _begin(self, header: bytes | None) -> None:
        self._header = header
        self._has_lengths = bool(header) and len(header) > _IN_HVCC and header[:3] not in (b"\0\0\0", b"\0\0\1")
        self._parameters: list[Unit] = []
        self._before: list[bytes] | None = []  # packets of pictures; None where they are too many, or damaged
        self._other = b""  # a whole picture
        self._waiting: list[Unit] | None = None  # the first one, where it may have gaps

    def refuses(self, packet: av.Packet) -> bool:
        """Whether the picture of a packet is damaged. Packets come in the order of the file."""
        if packet.has_sidedata("new_extradata"):  # of a track that was joined of two
            self._begin(bytes(packet.get_sidedata("new_extradata")))
        data = bytes(packet)
        if not data:
            return False
        units = list(self._units(data))
        self._remember([unit for unit in units if _kind(unit) in _PARAMETERS])
        if any(_is_picture(unit) and _kind(unit) in _NEED_NO_OTHER for unit in units):
            self._before = []
        units = [_ended(unit) if _is_picture(unit) else unit for unit in units]
        waiting, self._waiting = self._waiting, None
        is_damaged = self._is_damaged(units)
        if is_damaged:  # it need not be told once more
            self._waiting = None
        else:
            self._other = _joined(units)
        if waiting is not None:
            is_damaged = self._has_gaps(waiting) or is_damaged
        if self._before is not None:
            self._before.append(data)
            is_much = len(self._before) > _MOST_BEFORE or sum(map(len, self._before)) > _MOST_BYTES
            if is_much or is_damaged:  # what follows builds on what is told already, and each look takes long
                self._before = None
        return is_damaged

    def _is_damaged(self, units: list[Unit]) -> bool:
        numbers = random.Random(len(units))
        shown = self._shown([], units, numbers)
        if shown is None:  # the decoder refuses it, as it tells itself
            return False
        if self._shown([], units, numbers) != shown or self._has_gaps(units, shown):
            return True
        long = [place for place, unit in enumerate(units) if _is_picture(unit) and len(unit[1]) >= _LEAST]
        return any(self._leaves(units, place, shown, numbers) for place in long[:: -(-len(long) // _MOST_SLICES) or 1])

    def _has_gaps(self, units: list[Unit], alone: list[bytes] | None = None) -> bool:
        """Whether a part of the picture is never written. The first of a track waits for another one.

        Args:
            units: of the picture.
            alone: the picture, decoded without others, where that was done.
        """
        numbers = random.Random(len(units))
        alone = alone or self._shown([], units, numbers)
        if alone is None or _NEVER_WRITTEN not in alone[-1]:
            return False
        if not self._other:
            self._waiting = units
            return False
        return self._shown([], units, numbers, self._other) != alone

    def _leaves(self, units: list[Unit], place: int, alone: list[bytes], numbers: random.Random) -> bool:
        """Whether the last bytes of a slice are never read: whatever stands there, the picture stays.

        Args:
            units: of the picture.
            place: of the slice among them.
            alone: the picture, decoded without others.
            numbers: of which the noise is made.
        """
        size, data = units[place]
        if self._before is None:  # nothing could confirm what is seen alone
            return False
        for before, tries in (([], _TRIES_ALONE), (self._before, _TRIES)):
            shown = self._shown(before, units, numbers) if before else alone
            if shown is None:
                return False
            for _ in range(tries):
                changed = size, data[:-_CHANGED] + _noise(_CHANGED, numbers)
                if self._shown(before, [*units[:place], changed, *units[place + 1 :]], numbers) != shown:
                    return False
        return True

    def _shown(
        self, before: list[bytes], units: list[Unit], numbers: random.Random, in_memory: bytes = b""
    ) -> list[bytes] | None:
        """The planes of the picture that a new decoder shows of units, with noise behind the end of each slice.

        Args:
            before: packets that it gets first.
            units: of the picture.
            numbers: of which the noise is made.
            in_memory: a packet whose picture is decoded before all that, into the memory that is then used again.
        """
        noisy = ((size, unit + _noise(_room(size, unit), numbers)) for size, unit in units)
        first, *others = [*before, _joined(noisy)]
        context = av.CodecContext.create("hevc", "r")
        context.extradata = self._header
        # one thread reads on where it is, whatever a slice says of where its rows begin
        context.thread_type, context.thread_count = "NONE", 1
        context.options = {"apply_cropping": "0", "flags": "output_corrupt"}
        shown = None
        with av.logging.Capture():  # what it says of pictures that are missing concerns nobody
            for data in (_joined(self._parameters) + in_memory, None) if in_memory else ():
                with contextlib.suppress(av.error.FFmpegError):
                    context.decode(None if data is None else av.Packet(data))
            context.flush_buffers()
            for number, data in enumerate((_joined(self._parameters) + first, *others, None)):
                packet = None if data is None else av.Packet(data)
                if packet is not None:
                    packet.pts = number
                with contextlib.suppress(av.error.FFmpegError):
                    for frame in context.decode(packet):
                        if frame.pts == len(before):
                            shown = _samples(frame)
        return shown

    def _units(self, data: bytes) -> Iterator[Unit]:
        """The parts that a packet is made of."""
        if self._has_lengths and self._header:
            size, start = (self._header[_IN_HVCC] & 3) + 1, 0
            while start + size < len(data):
                end = start + size + int.from_bytes(data[start : start + size], "big")
                yield size, data[start + size : end]
                start = end
        else:
            for unit in data.split(b"\0\0\1")[1:]:
                yield 0, unit.rstrip(b"\0")

    def _remember(self, parameters: list[Unit]) -> None:
        """What further pictures build on; a packet that begins a sequence brings all anew."""
        if any(_kind(unit) == _SEQUENCE for unit in parameters):
            self._parameters = []
        self._parameters = [*(unit for unit in self._parameters if unit not in parameters), *parameters]
        del self._parameters[:-_MOST_PARAMETERS]


def _joined(units: Iterable[Unit]) -> bytes:
    return b"".join((len(unit).to_bytes(size, "big") if size else b"\0\0\1") + unit for size, unit in units)


def _kind(unit: Unit) -> int:
    return unit[1][0] >> 1 & 63 if len(unit[1]) > 2 else -1


def _is_picture(unit: Unit) -> bool:
    """Whether it is a slice of what is shown: other layers are a second eye, or a depth."""
    return _kind(unit) in _PICTURES and not (unit[1][0] & 1 or unit[1][1] >> 3)


def _room(size: int, unit: bytes) -> int:
    """Bytes of noise behind a unit: behind slices alone, and no more than its length can say."""
    if not _is_picture((size, unit)):
        return 0
    return min(_BEHIND, 256**size - 1 - len(unit)) if size else _BEHIND


def _ended(unit: Unit) -> Unit:
    """A slice without what may stand behind its end, of a type that is always decoded."""
    size, data = unit
    data = data.rstrip(b"\0")
    while data.endswith(b"\0\0\3"):
        data = data[:-3].rstrip(b"\0")
    kind = _kind(unit)
    return size, bytes([_SKIPPED.get(kind, kind) << 1]) + data[1:]


def _noise(count: int, numbers: random.Random) -> bytes:
    """Bytes that never look like the start of a unit."""
    return bytes(numbers.randrange(4, 256) for _ in range(count))


def _samples(frame: av.VideoFrame) -> list[bytes]:
    deep = 2 if any(component.bits > 8 for component in frame.format.components) else 1
    return [
        np.frombuffer(bytes(plane), np.uint8)
        .reshape(-1, plane.line_size)[: plane.height, : plane.width * deep]
        .tobytes()
        for plane in frame.planes
    ]
