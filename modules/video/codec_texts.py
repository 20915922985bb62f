"""What encoders write of themselves into packets, and how it is taken out: the names of x264 and of FFmpeg.

For packets of encoders of this machine. What packets of other files carry cannot all be found; they are never copied.
"""

from __future__ import annotations

import re

_START_CODE = re.compile(b"\0\0\0?\1")
_AVC_USER_DATA = b"\x06\x05"  # a unit of SEI whose message is user data; x264 writes its settings so
_AAC_FILL = 6
_AAC_LONG = 15


def without_names(codec: str, packet: bytes, header: bytes = b"") -> bytes:
    """A packet of an encoder without the name and the settings of the program.

    Args:
        codec: FFmpeg's name of it.
        packet: as the encoder made it, or as it lies in a file.
        header: of the stream in a file, which says how the units of H.264 are divided; empty for the encoder's.
    """
    if codec == "h264":
        if header[:1] == b"\1":
            return b"".join(_sized_units(packet))
        units = [unit for unit in _START_CODE.split(packet)[1:] if not unit.startswith(_AVC_USER_DATA)]
        return b"".join(b"\0\0\0\1" + unit for unit in units)
    return _without_fill(packet) if codec == "aac" else packet


def _sized_units(packet: bytes) -> list[bytes]:
    """The units after their lengths, of four bytes as FFmpeg writes them."""
    units, at = [], 0
    while at < len(packet):
        end = at + 4 + int.from_bytes(packet[at : at + 4], "big")
        if not packet.startswith(_AVC_USER_DATA, at + 4):
            units.append(packet[at:end])
        at = end
    return units


def _without_fill(packet: bytes) -> bytes:
    """ISO/IEC 14496-3, 4.4.2.7: without the fill elements in front; FFmpeg's encoder makes one for its name."""
    bits, left = int.from_bytes(packet, "big"), 8 * len(packet)

    def peek(skipped: int, count: int) -> int:
        return bits >> max(left - skipped - count, 0) & (1 << count) - 1

    while left >= 7 and peek(0, 3) == _AAC_FILL:
        count, head = peek(3, 4), 7
        if count == _AAC_LONG:
            count, head = count + peek(7, 8) - 1, 15
        if head + 8 * count > left:
            return packet
        left -= head + 8 * count
    kept = bits & (1 << left) - 1
    return (kept << -left % 8).to_bytes((left + 7) // 8, "big")
