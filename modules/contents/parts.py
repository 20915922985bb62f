"""A part of a file that is not the picture or the track which it shows, and how such parts are told."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import NamedTuple, Union

COPY = "a small copy (thumbnail)"
OTHER = "a picture that is not shown"
LARGE = 512  # bytes that may be of unknown kind: no picture of a face fits, and texts of programs mostly do
UNKNOWN, KNOWN, BEHIND = "unknown", "known", "behind"
DEEPEST = 32  # parts in parts that are taken apart: what is deeper is of unknown kind; files have up to ten
_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+. "


class Part(NamedTuple):
    """A part of a file.

    Attributes:
        where: it stands, in words, such as "in part caBX".
        content: its bytes.
        kind: UNKNOWN: it is told where it holds a picture, or is long and no text; KNOWN: it may be long, and is told
            where it holds a picture; BEHIND: the file's format ends before it, and it is told where it is long.
    """

    where: str
    content: bytes
    kind: str = UNKNOWN


Found = Union[str, Part]  # words that are said as they are, or a part that is to be looked at  # noqa: UP007


def name_of(code: bytes) -> str:
    """The name of a part, as its format has it, in letters that can be shown."""
    text = code.decode("latin-1").strip()
    return text if text and all(letter in _SAFE for letter in text) else code.hex()


def is_blank(content: bytes) -> bool:
    """Whether there is nothing, or one value alone, as in what only fills."""
    return not content.strip(content[:1])


def merged(used: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches in the order of the file, of which none touches another."""
    stretches: list[tuple[int, int]] = []
    for start, end in sorted(stretch for stretch in used if stretch[0] < stretch[1]):
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = stretches[-1][0], max(stretches[-1][1], end)
        else:
            stretches.append((start, end))
    return stretches


def uncovered(data, start: int, end: int, used: list[tuple[int, int]]) -> bytes:
    """What of a stretch of a file no other part of it uses.

    Args:
        data: of the file, to be sliced.
        start: of the stretch.
        end: of the stretch.
        used: starts and ends of what is used, of all the file, as merged gives them.
    """
    pieces, place = [], start
    # a film of fragments asks once for each, of which it has thousands
    number = bisect.bisect_right(used, start, key=lambda stretch: stretch[1])
    while number < len(used) and used[number][0] < end:
        begin, stop = used[number]
        if begin > place:
            pieces.append(data[place:begin])
        place, number = stop, number + 1
    if place < end:
        pieces.append(data[place:end])
    return b"".join(piece for piece in pieces if not is_blank(piece))
