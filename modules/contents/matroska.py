"""Matroska and WEBM: elements of an id, a length and content, both numbers of one to eight bytes. RFC 9559."""

from __future__ import annotations

from collections.abc import Iterator

from .parts import BEHIND, DEEPEST, KNOWN, Found, Part

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_INSIDE = {  # ids of elements that hold others
    *(_SEGMENT, _CLUSTER, 0x1A45DFA3, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0xA0, 0x1254C367, 0x7373, 0x67C8),
    *(0x63C0, 0x1C53BB6B, 0xBB, 0xB7, 0x114D9B74, 0x4DBB, 0x55B0, 0x55D0, 0x7670, 0x1941A469, 0x61A7, 0x1043A770),
    *(0x45B9, 0xB6, 0x80, 0x8F, 0x6D80, 0x6240, 0x5034, 0x5035, 0x75A1, 0xA6, 0x6944, 0x41E4),
}
_BLOCKS = (0xA3, 0xA1)
_TRACK_NUMBER, _ALPHA_MODE, _ADDED = 0xD7, 0x53C0, 0xA5
_CODES = 0x63A2  # of a codec, may be long
_NUMBERS = 8  # bytes of the longest number, and of floating ones


def walk_matroska(data) -> Iterator[Found]:
    """What a file holds beside the pictures and sounds of its tracks.

    Args:
        data: of the whole file, to be sliced.
    """
    state: dict[str, set[int]] = {"tracks": set(), "alpha": set()}
    end = yield from _walk(data, 0, len(data), state)
    yield Part("behind its end", data[end:], BEHIND)


def _walk(data, place: int, end: int, state: dict, deep: int = DEEPEST):
    heads, is_top = 0, deep == DEEPEST
    while place < end:
        element, start = _number(data, place, True)
        size, start = _number(data, start, False)
        if element is None or start > end:
            break
        stop = end if size is None else start + size
        if stop > end or (is_top and element not in _INSIDE and element != 0xEC):
            break
        heads += is_top and element == _SEGMENT
        if heads > 1:  # another film
            break
        if element in _INSIDE and deep:
            yield from _inside(data, start, stop, state, deep - 1)
        elif element in _BLOCKS:
            track, _ = _number(data, start, False)
            if track not in state["tracks"]:
                yield Part("of no track", data[start:stop])
        elif element == _TRACK_NUMBER:
            state["tracks"].add(int.from_bytes(data[start:stop], "big"))
        elif element == _ALPHA_MODE:
            state["alpha"].add(int.from_bytes(data[start:stop], "big"))
        elif stop - start > _NUMBERS and not (element == _ADDED and 1 in state["alpha"]):
            yield Part(f"in element {element:X}", data[start:stop], *([KNOWN] if element == _CODES else []))
        place = stop
    return place


def _inside(data, start: int, end: int, state: dict, deep: int) -> Iterator[Found]:
    place = yield from _walk(data, start, end, state, deep)
    yield Part("between its parts", data[place:end])


def _number(data, place: int, keep_length: bool) -> tuple[int | None, int]:
    """A number and where it ends; None where it is none, or stands for an unknown length."""
    first = data[place : place + 1]
    length = 9 - first[0].bit_length() if first else 9
    if length > 8:
        return None, place + 1
    value = int.from_bytes(data[place : place + length], "big")
    mask = (1 << 7 * length) - 1
    if keep_length:
        return value, place + length
    return (None if value & mask == mask else value & mask), place + length
