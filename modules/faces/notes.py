"""Notes of a report that speak against its result: texts as all notes are, so that they travel as those do, with a kind
by which a reader knows them without reading words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ANOTHER_PERSON = "another person"  # a result shows somebody else of the picture, or a frame shows the original
NOT_ONE_PERSON = "not one person"  # results are one person that were several, or several that were one
NOT_COMPARED = "not compared"  # what was saved is not what the report speaks of, as far as can be told
ORIGINAL_LATER = "original later"  # after the last look the original went into the picture once more
PARTS_KEPT = "parts kept"  # parts of the original stay in every face
_WORDS = 400  # characters of what is read back


class Doubt(str):
    """A note that speaks against a result.

    Args:
        words: of the note.
        kind: one of the above.
        images: numbers of the pictures that it is about, from 0; none where it is about all, or that is not known.
    """

    kind: str
    images: tuple[int, ...]

    def __new__(cls, words: str, kind: str = "", images: Iterable[int] = ()) -> Doubt:
        made = super().__new__(cls, words)
        made.kind, made.images = kind, tuple(images)
        return made

    def to_dict(self) -> dict:
        """As the JSON has it."""
        return {"kind": self.kind, "images": list(self.images), "words": str(self)}


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
