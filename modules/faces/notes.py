"""Notes of a report that speak against its result: texts as all notes are, so that they travel as those do, with a kind
by which a reader knows them without reading words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

ANOTHER_PERSON = "another person"  # a result shows somebody else of the picture, or a frame shows the original
NOT_ONE_PERSON = "not one person"  # results are one person that were several, or several that were one
NOT_COMPARED = "not compared"  # what was saved is not what the report speaks of, as far as can be told
NOT_AT_PLACE = "not at its place"  # where faces were found the picture shows something else
ORIGINAL_LATER = "original later"  # after the last look the original went into the picture once more
PARTS_KEPT = "parts kept"  # parts of the original stay in every face
DRAWN_FACES = "drawn faces"  # recognisers of photographs were asked about faces that a demonstration model drew
Key = tuple[int, tuple[float, float, float, float]]  # number of the picture, and box: as in traces.py
_WORDS = 400  # characters of what is read back


class Doubt(str):
    """A note that speaks against a result.

    Args:
        words: of the note.
        kind: one of the above.
        images: numbers of the pictures that it is about, from 0; none where it is about all, or that is not known.
        faces: that show it, as report.py knows them; once a later step has changed them all, it is a note like others.
        others: for each of `faces` the one that it is one person with: that one may be changed in its place.
    """

    kind: str
    images: tuple[int, ...]
    faces: tuple[Key, ...]
    others: tuple[Key, ...]

    def __new__(
        cls,
        words: str,
        kind: str = "",
        images: Iterable[int] = (),
        faces: Iterable[Key] = (),
        others: Iterable[Key] = (),
    ) -> Doubt:
        made = super().__new__(cls, words)
        made.kind, made.images, made.faces, made.others = kind, tuple(images), tuple(faces), tuple(others)
        return made

    def to_dict(self) -> dict:
        """As the JSON has it."""
        return {"kind": self.kind, "images": list(self.images), "words": str(self)}


def moved(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes of a part of a clip as those of a part of the whole, in which pictures have other numbers."""
    return tuple(Doubt(note, note.kind) if isinstance(note, Doubt) else note for note in notes)


def settled(notes: Iterable[str], changed: Collection[Key]) -> list[str]:
    """The notes of an earlier step, of which those whose faces a later one changed speak against nothing any more.

    Args:
        notes: of the earlier step.
        changed: faces that the later step changed.
    """

    def is_settled(note: Doubt) -> bool:
        others = note.others or note.faces
        return bool(note.faces) and all({face, other} & known for face, other in zip(note.faces, others, strict=True))

    known = set(changed)
    return [str(note) if isinstance(note, Doubt) and is_settled(note) else note for note in notes]


def joined(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes, each text once in the order in which they came first; as a doubt where one of the same words is one."""
    found: dict[str, str] = {}
    for note in notes:
        before = found.get(note)
        if isinstance(before, Doubt) and isinstance(note, Doubt):
            found[note] = _both(before, note)
        elif not isinstance(before, Doubt):
            found[note] = note
    return tuple(found.values())


def _both(one: Doubt, other: Doubt) -> Doubt:
    images = sorted({*one.images, *other.images}) if one.images and other.images else ()
    if not one.faces or not other.faces:  # about more than faces that can be named: no later step settles it
        return Doubt(one, other.kind, images)
    partner = {key: it for note in (one, other) for key, it in zip(note.faces, note.others or note.faces, strict=True)}
    return Doubt(one, other.kind, images, partner.keys(), partner.values())


def read_doubts(value: Any) -> tuple[Doubt, ...]:
    """What a report's JSON says against its result; what is none is left out.

    Args:
        value: `doubts` of modules/faces/report.py, which anybody may have edited.
    """
    found = []
    for one in value if isinstance(value, list) else ():
        if isinstance(one, Mapping) and isinstance(words := one.get("words"), str):
            images = one.get("images")
            numbers = [i for i in images if type(i) is int and i >= 0] if isinstance(images, list) else []
            found.append(Doubt(words[:_WORDS], str(one.get("kind", "")), numbers))
    return tuple(found)
