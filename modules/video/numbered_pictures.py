"""Pictures of MPEG-1 and MPEG-2 that are gone, which FFmpeg leaves out without a word."""

from __future__ import annotations

import av

CODECS = {"mpeg1video", "mpeg2video"}
# start codes of ISO/IEC 13818-2, 6.2.1
_PICTURE, _GROUP, _SEQUENCE_END = b"\0\0\1\0", b"\0\0\1\xb8", b"\0\0\1\xb7"
_NEEDS_NO_OTHER, _NO_OTHER_NEEDS_IT = 1, 3  # kinds of pictures (6.3.9)
_MOST = 1000  # numbers begin again at 1024


class NumberedPictures:
    """Tells of each packet whether pictures are missing in it, or before it.

    Each packet holds a picture, but for the last, which may hold the end of the sequence alone. Pictures of a group are
    numbered as they are shown: one that has no number between two others is gone, and where a number comes again, so is
    the start of a group. The first that is stored need not be the first shown: those before it are what editors cut
    away. What is gone at the end of a group does not show. Where a track is cut off, those are missing that are stored
    behind the last picture that others refer to, and shown before it.
    """

    def __init__(self):
        self._numbers: list[int] | None = None  # of this group, as stored; None before the first one begins
        self._needed: list[int] = []  # of these, the last two that others refer to

    def refuses(self, packet: av.Packet) -> bool:
        """Whether pictures are missing. Packets come in the order of the file."""
        data = bytes(packet)
        head, *pictures = data.split(_PICTURE)
        is_lost = bool(data) and not pictures and not data.startswith(_SEQUENCE_END)
        if _GROUP in head or not data:
            is_lost = self._has_gap(is_end=not data) or is_lost
            self._numbers, self._needed = [], []
        elif is_lost:  # it is told, and not once more where the group ends
            self._numbers = None
        for picture in pictures:
            if self._numbers is None or len(picture) < 2:
                continue
            number, kind = picture[0] << 2 | picture[1] >> 6, picture[1] >> 3 & 7  # ten bits, three bits (6.2.3)
            if len(self._numbers) > 1 and (kind == _NEEDS_NO_OTHER or len(self._numbers) >= _MOST):
                self._numbers = None  # some makers begin to count anew there
                continue
            if number in self._numbers[:-1]:  # the two fields of a picture have one
                is_lost, self._numbers, self._needed = True, [], []
            self._numbers.append(number)
            if kind != _NO_OTHER_NEEDS_IT and number not in self._needed[-1:]:
                self._needed = [*self._needed[-1:], number]
        return is_lost

    def _has_gap(self, is_end: bool) -> bool:
        first = self._numbers[0] if self._numbers else 0
        last = self._needed[0] if is_end and len(self._needed) > 1 else max(self._numbers or (0,))
        shown = {number for number in self._numbers or () if first <= number <= last}
        return bool(shown) and len(shown) <= max(shown) - first < _MOST
