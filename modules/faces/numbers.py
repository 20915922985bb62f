"""Faces by their numbers, as the preview shows them and as widgets take them: "1, 3-5"."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from .types import Faces

_SEED = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")
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


def as_ranges(numbers: Iterable[int]) -> str:
    """Numbers as parse_numbers takes them, each once, in their order: "1-3, 5"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}-{high}" if high > low else f"{low}" for low, high in runs)


def parse_seeds(text: str, name: str = "face_seeds") -> dict[int, int]:
    """The seeds of single faces that a string such as "3: 7, 5: 12" names: a face's number -> its seed.

    Args:
        text: numbers from 1, each with its seed, 0..2^64 - 1.
        name: of the widget, for the message.

    Raises:
        ValueError: another form, or a face with two seeds.
    """
    parts = text.split(",") if text.strip() else []
    found = [_SEED.fullmatch(part) for part in parts]
    seeds = {int(one[1]): int(one[2]) for one in found if one}
    if len(seeds) < len(parts) or 0 in seeds or any(seed >= 2**64 for seed in seeds.values()):
        raise ValueError(
            f"{name} gives faces seeds of their own by their numbers from 1, each once, such as 3: 7, 5: 12; "
            f"got {text!r}."
        )
    return seeds


def rank(number: int, ranges: list[range], why: str = "it has a seed of its own") -> int:
    """The number, from 1, that a face has among those that ranges name, when they alone go on.

    Args:
        number: of the face.
        ranges: that go on.
        why: it is asked for, for the message.

    Raises:
        ValueError: the ranges do not name it.
    """
    if not any(number in one for one in ranges):
        raise ValueError(f"Face {number} is not among the numbers that change, but {why}.")
    below, counted = 0, 0  # a range may be of any length, and overlap others
    for one in sorted(ranges, key=lambda one: one.start):
        start = max(one.start, counted + 1)
        below += max(min(one.stop, number) - start, 0)
        counted = max(counted, one.stop - 1)
    return below + 1


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
