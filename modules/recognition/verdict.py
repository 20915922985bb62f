"""Whether a face became a stranger: what two recognisers say of an original and what became of it, and what was kept.

A result is refused where one recogniser takes it for its original, or where nobody can say: one that says "the same" is
enough, and of a face that could be measured before, a result that cannot be is no proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from .reading import Difference, Reading, compare
from .settings import ReaderSettings

STRANGER, SAME_PERSON, NOT_MEASURABLE, FAILED = VERDICTS = "stranger", "same person", "not measurable", "failed"

UNREADABLE = "cannot be measured any more"  # begins the reason of a result that failed, but shows no face either
_DIGITS = 15  # after the point, at most: as many as a number of 64 bits has


class Opinion(NamedTuple):
    """What one recogniser says of two faces.

    Args:
        name: of the recogniser.
        value: how far apart, or how alike, they are.
        threshold: of one person.
        measure: "distance", below which, or "cosine", above which two faces are one person's.
        same: whether it takes them for one person.
    """

    name: str
    value: float
    threshold: float
    measure: str
    same: bool

    @property
    def margin(self) -> float:
        """How far the result is on the strangers' side of the threshold; negative where it is one person's."""
        return self.value - self.threshold if self.measure == "distance" else self.threshold - self.value

    @property
    def words(self) -> str:
        """The figure and the threshold that a stranger has to keep."""
        whose = "dlib's" if self.measure == "distance" else f"{self.name}'"
        limit = "least" if self.measure == "distance" else "most"
        return f"{whose} {self.measure} is {apart(self.value, self.threshold, 3)}, {self.threshold:g} is the {limit}"


def apart(value: float, limit: float, digits: int) -> str:
    """A figure with so many digits after the point, or more where it would else read as the limit that it misses."""
    if value == limit or not math.isfinite(value):
        return f"{value:.{digits}f}"
    while digits < _DIGITS and float(f"{value:.{digits}f}") == float(f"{limit:.{digits}f}"):
        digits += 1
    return f"{value:.{digits}f}"


@dataclass(frozen=True)
class Verification:
    """What the recognisers say of a face and what became of it.

    Args:
        verdict: STRANGER, where both say so; SAME_PERSON, where one says it is the original's; NOT_MEASURABLE, where
            the original cannot be measured, so that nothing can be said; FAILED, where the original can be and the
            result cannot.
        reason: figures and thresholds in words, without the verdict.
        difference: of both faces; None where one of them cannot be measured.
        opinions: of each recogniser; none where there is no difference.
    """

    verdict: str
    reason: str
    difference: Difference | None = None
    opinions: tuple[Opinion, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the result may leave: a stranger, or a face that could not be measured before either."""
        return self.verdict in (STRANGER, NOT_MEASURABLE)

    def to_dict(self) -> dict:
        """What a report holds of it, without descriptors; the schema stands in modules/faces/report.py."""
        found = self.difference
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "recognisers": [
                {
                    **opinion._asdict(),
                    "value": _told(float(apart(opinion.value, opinion.threshold, 3))),
                    "threshold": round(opinion.threshold, 3),
                }
                for opinion in self.opinions
            ],
            "drift": None
            if found is None
            else {
                "pose": _told(found.pose, 1),
                "gaze": _told(found.gaze, 1),
                "expression": _told(found.expression, 3),
                "age": _told(found.age, 1),
                "man": _told(found.man, 3),
            },
        }


def _told(figure: float, digits: int = _DIGITS) -> float | None:
    """A rounded figure as JSON may have it: None where it is no number."""
    return round(figure, digits) if math.isfinite(figure) else None


def drift_words(found: Difference) -> str:
    """What was not kept, in words for people."""
    gaze = "gaze not seen" if math.isnan(found.gaze) else f"gaze {found.gaze:.0f} degrees"
    return (
        f"pose {found.pose:.0f} degrees, {gaze}, expression {found.expression:.2f}, age {found.age:+.0f} years, "
        f"man {found.man:+.2f}"
    )


def opinions(difference: Difference, settings: ReaderSettings = ReaderSettings()) -> tuple[Opinion, ...]:
    """What each recogniser says of two faces that both can be measured.

    Args:
        difference: of the faces.
        settings: the thresholds.
    """
    distance, cosine = difference.dlib, difference.faceres
    # asked so that what is not a number counts as the same
    return (
        Opinion("dlib ResNet", distance, settings.dlib_same, "distance", not distance >= settings.dlib_same),
        Opinion("FaceRes", cosine, settings.faceres_same, "cosine", not cosine <= settings.faceres_same),
    )


def verify(before: Reading, after: Reading, settings: ReaderSettings = ReaderSettings()) -> Verification:
    """What the recognisers say of an original and its result.

    Args:
        before: of the original.
        after: of the result, at the same place.
        settings: the thresholds.
    """
    if not before.measurable:
        return Verification(NOT_MEASURABLE, before.reason)
    if not after.measurable:
        return Verification(FAILED, f"{UNREADABLE}: {after.reason}")
    difference = compare(before, after)
    said = opinions(difference, settings)
    same = [opinion for opinion in said if opinion.same]
    reason = "; ".join(opinion.words for opinion in same or said)
    return Verification(SAME_PERSON if same else STRANGER, reason, difference, said)
