"""What became of one face: the actions, their reason, and the entry that a report has of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .types import Face, Painted

FOUND, ANONYMIZED, SWAPPED, REDACTED, BROKEN, KEPT, KEPT_BY_USER = ACTIONS = (
    *("found", "anonymized", "swapped", "redacted", "broken"),
    *("kept", "kept by the user"),
)
CHANGED = (ANONYMIZED, SWAPPED, REDACTED, BROKEN)
NOT_SELECTED = "not selected"
# Words of a look at a result (paste/verdicts.py) by which a reader of a report knows what a face shows.
UNCHANGED, STILL_ORIGINAL, FACE_LEFT = "unchanged", "still the original", "a face is found on it"
NOT_PASTED = ("not finite", "too small", "broken")  # of crops that never stand in a picture
OVAL_TOO, AS_SEEN = "covered by the oval too", "covered as the detector sees it"  # of steps that cover
SOLID = "solid"  # the cover that leaves nothing of a face; the others leave a few samples
_PASSED = ("stranger", "not measurable")  # verdicts of recognition/verdict.py with which a painting may leave


class Outcome(NamedTuple):
    """What became of a face.

    Args:
        action: one of ACTIONS.
        reason: why, with figure and threshold.
        verdict: the word of what was seen on the result, where it was refused.
        covered: share of the face's oval that was replaced, 0..1.
        verification: what recognisers say of the result, as the schema has it.
        cover: how a face that was covered was: solid, mosaic or blur.
    """

    action: str
    reason: str = ""
    verdict: str = ""
    covered: float | None = None
    verification: dict | None = None
    cover: str = ""


@dataclass(frozen=True)
class Entry:
    """One face and what became of it.

    Args:
        image: number of the picture, from 0.
        box: x0 y0 x1 y1 in pixels, edges.
        score: of the detector, 0..1.
        source: what found it.
        track: number of the person in a clip, from 0, or None.
        action: one of ACTIONS.
        seed: of its noise, where it is known.
        reason: why, where the action needs a reason.
        number: as the preview and the inputs of its step name it, from 1, among the faces that were chosen before.
        verdict: what was seen on the result, where that was refused.
        covered: share of the face's oval that was replaced, 0..1.
        verification: what recognisers say of it, as the schema has it; None where none was asked.
        attempts: how often it was painted, where that is known.
        degree: of anonymization of the painting that is told of: the one that was taken, or the best; None: not known.
        cover: how it was covered, solid, mosaic or blur; "" where it was not, or that is not known.
    """

    image: int
    box: tuple[float, float, float, float]
    score: float
    source: str
    track: int | None
    action: str
    seed: int | None = None
    reason: str = ""
    number: int | None = None
    verdict: str = ""
    covered: float | None = None
    verification: dict | None = None
    attempts: int | None = None
    degree: float | None = None
    cover: str = ""

    @property
    def size(self) -> float:
        """Root of the box's area, in pixels."""
        x0, y0, x1, y1 = self.box
        return float(np.sqrt((x1 - x0) * (y1 - y0)))

    def to_dict(self) -> dict:
        """The face as the JSON has it; the schema stands in report.py."""
        return {
            "image": self.image,
            "box": list(self.box),
            "size": round(self.size, 1),
            "score": self.score,
            "source": self.source,
            "track": self.track,
            "action": self.action,
            "seed": self.seed,
            "reason": self.reason,
            "number": self.number,
            "verdict": self.verdict,
            "covered": self.covered,
            "verification": self.verification,
            "attempts": self.attempts,
            "degree": self.degree,
            **({"cover": self.cover} if self.cover else {}),
        }


def entry_of(face: Face, outcome: Outcome, seed: int | None, number: int | None) -> Entry:
    covered = None if outcome.covered is None else round(outcome.covered, 3)
    return Entry(
        *(face.image_index, box_of(face), round(float(face.score), 3), face.source, face.track),
        *(outcome.action, seed, outcome.reason, number, outcome.verdict, covered),
        verification=outcome.verification,
        cover=outcome.cover,
    )


def box_of(face: Face) -> tuple[float, float, float, float]:
    """A face's box as a report has it: by it, and its picture, a face is known."""
    x0, y0, x1, y1 = (round(float(edge), 1) for edge in face.box)
    return x0, y0, x1, y1


def with_painting(entry: Entry, painted: Painted | None) -> Entry:
    """An entry with what the face itself knows of its painting: each face may have a seed and a degree of its own.

    Of a painting that is not in the picture it tells only where that was refused: why, after how many attempts.
    """
    if painted is None:
        return entry
    is_seen = entry.action in (ANONYMIZED, SWAPPED, BROKEN) or (entry.action == KEPT_BY_USER and painted.kept)
    if not is_seen and not (painted.refused and entry.action in (REDACTED, KEPT, KEPT_BY_USER)):
        return entry
    return replace(
        entry,
        seed=painted.seed if is_seen else None,
        verification=painted.verification if entry.verification is None else entry.verification,
        attempts=painted.attempts,
        degree=painted.degree,
    )


def with_story(entry: Entry, earlier: Entry | None) -> Entry:
    """A face that was covered with what is known of the painting that was refused for it before.

    Of a painting that had passed nothing is told, nor where this step painted anew: what it covered, or refused, is not
    what recognisers saw.
    """
    covers_alone = entry.verdict in ("", OVAL_TOO, AS_SEEN, FACE_LEFT)
    if earlier is None or entry.action != REDACTED or entry.verification is not None or not covers_alone:
        return entry
    said = earlier.verification or {}
    if said.get("verdict") in _PASSED or said.get("of") == "result":
        return entry
    return replace(entry, verification=earlier.verification, attempts=earlier.attempts, degree=earlier.degree)


def tells_more(entry: Entry, earlier: Entry) -> bool:
    """Whether of two steps that left a face as it was the later one gives a reason of its own."""
    return earlier.action not in CHANGED and entry.reason not in ("", NOT_SELECTED)


def count_in_words(entries: Iterable[Entry], action: str) -> str:
    """How many faces had an outcome, for people; of a clip, how many persons in how many frames.

    Args:
        entries: of a report.
        action: one of ACTIONS that some of them had.
    """
    mine = [entry for entry in entries if entry.action == action]
    persons = {entry.track for entry in mine}
    if None in persons:
        return f"{counted(len(mine), 'face')} {action}"
    return f"{counted(len(persons), 'person')} {action} in {counted(len({entry.image for entry in mine}), 'frame')}"


def counted(count: int, name: str) -> str:
    """A number with its noun, such as \"1 face\" or \"2 faces\"."""
    return f"1 {name}" if count == 1 else f"{count} {name}s"
