"""Numbers and words as they are read out of a report, which anybody may have edited: what is none is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..recognition.verdict import FAILED, SAME_PERSON, Opinion

_MOST = 1e9  # of a figure that a page shows
_WORDS = 400  # characters of a text


class Verified(NamedTuple):
    """What recognisers said of a face: what a page and a table may hold of a report's `verification`, and no more.

    Args:
        verdict: one of modules/recognition/verdict.py.
        reason: figures and thresholds in words.
        measures: one a recogniser; none where nothing could be measured.
        drift: name -> figure, of what was not kept; without those that are not known.
    """

    verdict: str
    reason: str
    measures: tuple[Opinion, ...]
    drift: Mapping[str, float]

    @property
    def margin(self) -> float:
        """The least of all recognisers; minus infinity where nothing was measured."""
        return min((measure.margin for measure in self.measures), default=-math.inf)


DRIFTS = ("pose", "gaze", "expression", "age", "man")


def number(value: Any) -> float | None:
    """A finite number of a size that can be shown; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) <= _MOST else None


def whole(value: Any, most: int = int(_MOST)) -> int | None:
    """A whole number from 0 to `most`; None for anything else."""
    return value if type(value) is int and 0 <= value <= most else None


def words(value: Any) -> str:
    """A text of a bearable length; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _WORDS else f"{value[:_WORDS]} ..."


def read_verification(value: Any) -> Verified | None:
    """What a report's entry says of its verification.

    Args:
        value: `verification` of an entry, as modules/faces/report.py has it.

    Returns:
        What can be told of it; None where there is none, or it is not understood: the face then counts as not verified.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("verdict"), str):
        return None
    said = value.get("recognisers")
    measures = [_read_measure(one) for one in said] if isinstance(said, list | tuple) else []
    verdict = value["verdict"]
    if None in measures or len(measures) > 8:
        if verdict not in (SAME_PERSON, FAILED):
            return None
        measures = []  # what was refused stays refused, whatever its figures are
    drift = value.get("drift")
    drift = drift if isinstance(drift, Mapping) else {}
    figures = {name: figure for name in DRIFTS if (figure := number(drift.get(name))) is not None}
    return Verified(words(verdict), words(value.get("reason")), tuple(filter(None, measures)), figures)


def _read_measure(value: Any) -> Opinion | None:
    if not isinstance(value, Mapping):
        return None
    figure, threshold = number(value.get("value")), number(value.get("threshold"))
    name, measure, same = value.get("name"), value.get("measure"), value.get("same")
    if figure is None or threshold is None or not isinstance(name, str) or not isinstance(same, bool):
        return None
    return Opinion(words(name), figure, threshold, measure, same) if measure in ("distance", "cosine") else None
