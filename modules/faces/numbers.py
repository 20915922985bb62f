"""Faces by their numbers, as the preview shows them and as widgets take them: "1, 3-5"."""

from __future__ import annotations

import math
import re

from .types import Faces

_NUMBERS = re.compile(r"\s*\d+\s*(-\s*\d+\s*)?(,\s*\d+\s*(-\s*\d+\s*)?)*")


def parse_numbers(text: str, name: str = "indices") -> list[range]:
    """The ranges of numbers that a string such as "1,3-5" names; none for an empty one.

    Args:
        text: numbers from 1, commas, ranges from low to high.
        name: of the widget, for the message.

    Raises:
        ValueError: another form.
    """
    if not text.strip():
        return []
    ranges = []
    if _NUMBERS.fullmatch(text):
        for part in text.split(","):
            first, _, last = part.partition("-")
            ranges.append(range(int(first), int(last or first) + 1))
    if not ranges or any(len(numbers) == 0 or numbers.start == 0 for numbers in ranges):
        raise ValueError(
            f"{name} are the numbers of faces from 1, with commas and ranges from low to high, such as 1,3-5; "
            f"got {text!r}."
        )
    return ranges


def percent(share: float) -> str:
    """A share 0..1 with one decimal, never rounded up: what falls short of a limit does not read like it."""
    return f"{math.floor(share * 1000 + 1e-6) / 10:.1f}%"


def note_on_numbers(faces: Faces, text: str, name: str) -> tuple[str, ...]:
    """What to say of numbers that no face of a step has: a line, or none.

    Args:
        faces: of all of the step.
        text, name: as parse_numbers takes them.
    """
    known = {offset + 1 for offset in faces.seed_offsets()}
    nobody = [str(numbers.start) for numbers in parse_numbers(text, name) if not known & set(_bounded(numbers, known))]
    if not nobody:
        return ()
    many = f"the numbers are {min(known)} to {max(known)}" if known else "there is none"
    return (f"{name} names no face by {', '.join(nobody)}: {many}",)


def _bounded(numbers: range, known: set[int]) -> range:
    """Those that may be in a set: a range may be of any length."""
    return range(numbers.start, min(numbers.stop, max(known, default=0) + 1))


def named_faces(faces: Faces, text: str, name: str) -> frozenset[int]:
    """The places in `faces` of the faces that a string names: by their place in the batch from 1, or their track's
    number + 1.

    Args:
        faces: of the step.
        text: as parse_numbers takes it.
        name: of the widget, for the message.
    """
    ranges = parse_numbers(text, name)
    if not ranges:
        return frozenset()
    numbers = (offset + 1 for offset in faces.seed_offsets())
    return frozenset(place for place, number in enumerate(numbers) if any(number in named for named in ranges))
