"""When pictures are shown, where a file does not say it or says something else."""

from __future__ import annotations

from collections.abc import Iterator

import av

from .containers import MOST_BEHIND, NO_WINDOW


def time_of(frame: av.VideoFrame, before: int | None) -> int:
    """When a picture is shown, in ticks; where the file does not say, as of most in .mpg, behind the one before it.

    Args:
        frame: the picture.
        before: when the one before it is shown; None where nobody knows.

    Raises:
        ValueError: nobody knows.
    """
    if frame.pts is not None:
        return frame.pts
    if before is None or not frame.duration:
        raise ValueError(NO_WINDOW)
    return before + frame.duration


def of_their_own(packets: Iterator[av.Packet], video: av.VideoStream) -> Iterator[av.Packet]:
    """Packets whose times are their own.

    In .mpg and .vob, which tell few, a picture that ends in a piece of the file has the times of the one that begins
    there, too: of two with the same ones they are the later's.

    Args:
        packets: of a file.
        video: whose times are meant.
    """
    if video.container.format.name != "mpeg":
        yield from packets
        return
    held = None
    for packet in packets:
        if packet.stream != video:
            yield packet
            continue
        if held is not None:
            if packet.dts is not None and held.dts == packet.dts:
                held.pts = held.dts = None
            yield held
        held = packet
    if held is not None:
        yield held


class TimesInTurn:
    """Times of pictures in AVI, which tells when each is decoded, not when it is shown.

    Where FFmpeg does not know the codec's order it hands the times of decoding on, all as late as the first: of
    pictures that refer to later ones these go forward and back. Pictures leave the decoder in the order in which they
    are shown, as many packets late as those do that refer to none, which are decoded when their turn is. Where damage
    swallows some, the next one of these tells.
    """

    def __init__(self):
        self._decoded: dict[int, int] = {}  # of packets that were decoded last: when each is shown, and decoded
        self._delay: int | None = None
        self._is_known = False
        self._next = 0

    def correct(self, packet: av.Packet, frames: list[av.VideoFrame]) -> None:
        """Set the times of the pictures that came out when the packet went in."""
        if packet.pts is not None and packet.dts is not None:
            self._decoded[packet.pts] = packet.dts
            if len(self._decoded) > MOST_BEHIND:
                del self._decoded[next(iter(self._decoded))]
        for frame in frames:
            decoded = self._decoded.get(frame.pts) if frame.pts is not None else None
            if self._delay is None:
                self._is_known = len({pts - dts for pts, dts in self._decoded.items()}) > 1
                self._next = (frame.dts or 0) if decoded is None else decoded
            if self._is_known:
                self._delay = 0
                return
            if frame.dts is not None:
                if self._delay is None or (frame.key_frame and decoded is not None):
                    late = 0 if decoded is None else frame.dts - decoded
                    self._delay = late if self._delay is None else min(self._delay, late)
                self._next = max(self._next, frame.dts - self._delay)
            frame.pts = self._next
            self._next += 1
