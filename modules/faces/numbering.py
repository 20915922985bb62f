"""The faces and persons of several steps under the numbers of the last one, so that no two of a report have one name.

Each step counts from 1 what it got: chosen faces are counted anew, and who is followed anew in a clip, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from .notes import Doubt, Key
from .outcomes import Entry

_EARLIER = " (counted as in an earlier step)"
_NAMES = re.compile(r"\b(faces?|persons?) \d")  # in the words of notes and of recognisers' reasons


class Met(NamedTuple):
    """A face of the last step.

    Args:
        entry: that step's.
        earlier: what was known of the face before; None: nothing.
    """

    entry: Entry
    earlier: Entry | None


def numbered(latest: Mapping[Key, Entry], met: Mapping[Key, Met]) -> list[Entry]:
    """The entries of a report, with the numbers of faces and tracks of persons as the last step counts them.

    A person of whom that step saw some frames is one person in all. Of whom it saw none, the track is another one where
    it would be somebody else's, and of faces the number is not known any more.

    Args:
        latest: what became of each face.
        met: the faces of the last step.
    """
    moved = _tracks(latest, met)
    taken = {one.entry.number for one in met.values() if one.entry.track is None}
    return [_numbered(entry, met.get(key), moved, taken) for key, entry in latest.items()]


def renamed(before: Iterable[Entry], after: Iterable[Entry], met: Mapping[Key, Met]) -> set[Key]:
    """The faces of an earlier report that the report of all steps has under another number, or under none.

    Args:
        before: entries of the earlier report.
        after: of the report of all steps.
        met: the faces of the last step.
    """
    now = {(entry.image, entry.box): (entry.number, entry.track) for entry in after}
    anew = {(one.earlier.image, one.earlier.box): key for key, one in met.items() if one.earlier is not None}
    keys = {(entry.image, entry.box): (entry.number, entry.track) for entry in before}
    return {key for key, known in keys.items() if now.get(anew.get(key, key)) != known}


def counted_before(notes: Iterable[str], faces: Collection[Key]) -> list[str]:
    """Notes of an earlier step, of which those that name faces by numbers that they have no more say so.

    Args:
        notes: of the earlier step.
        faces: of renamed.
    """

    def is_stale(note: str) -> bool:
        own = {*note.faces, *note.others} if isinstance(note, Doubt) else set()
        return bool(faces) and _NAMES.search(note) is not None and (not own or not own.isdisjoint(faces))

    return [_as_earlier(note) if is_stale(note) else note for note in notes]


def with_earlier_reasons(
    entries: Iterable[Entry], before: Iterable[Entry], faces: Collection[Key]
) -> tuple[Entry, ...]:
    """Entries whose verdict of an earlier step names other faces by numbers, where numbers are others now.

    Args:
        entries: of the report of all steps.
        before: of the earlier report.
        faces: of renamed.
    """
    known = {id(entry.verification) for entry in before if entry.verification is not None}

    def told(entry: Entry) -> Entry:
        said = entry.verification
        if said is None or not faces or id(said) not in known or not _NAMES.search(said["reason"]):
            return entry
        return replace(entry, verification=said | {"reason": _as_earlier(said["reason"])})

    return tuple(map(told, entries))


def _as_earlier(words: str) -> str:
    if words.endswith(_EARLIER):
        return words
    said = f"{words}{_EARLIER}"
    return Doubt(said, words.kind, words.images, words.faces, words.others) if isinstance(words, Doubt) else said


def _numbered(entry: Entry, met: Met | None, moved: Mapping[int, int], taken: set[int | None]) -> Entry:
    known = entry if met is None or met.earlier is None else met.earlier
    track = None if known.track is None else moved.get(known.track, known.track)
    number = entry.number if met is None else met.entry.number
    if met is not None and met.entry.track is not None:
        track = met.entry.track
    if track is not None:
        return replace(entry, track=track, number=None if entry.number is None and number is None else track + 1)
    if number is None and entry.number not in taken:
        number = entry.number
    return replace(entry, number=None if met is None and number in taken else number)


def _tracks(latest: Mapping[Key, Entry], met: Mapping[Key, Met]) -> dict[int, int]:
    """Track of a person in earlier steps -> the one by which the last step knows that person."""
    seen: dict[int, Counter[int]] = {}
    for entry, earlier in met.values():
        if earlier is not None and earlier.track is not None and entry.track is not None:
            seen.setdefault(earlier.track, Counter())[entry.track] += 1
    moved = {track: found.most_common(1)[0][0] for track, found in seen.items()}
    taken = {one.entry.track for one in met.values()}
    known = {one.earlier.track for one in met.values() if one.earlier is not None}
    known |= {entry.track for key, entry in latest.items() if key not in met}
    left = sorted({track for track in known if track is not None} - moved.keys())
    free = (track for track in count() if track not in taken and track not in left)
    return moved | {track: next(free) if track in taken else track for track in left}
