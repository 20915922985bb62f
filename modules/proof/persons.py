"""The faces of a clip summed up, one entry a person: what was done in how many frames, and the worst that was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..recognition.verdict import FAILED, NOT_MEASURABLE, SAME_PERSON, STRANGER
from .figures import number, read_verification, whole
from .rows import PLAIN, state_of

_WORST_FIRST = (SAME_PERSON, FAILED, NOT_MEASURABLE, STRANGER)


def sum_up_persons(faces: Iterable[Mapping]) -> list[dict]:
    """One entry for each person of a clip, in the order in which they come.

    Args:
        faces: of a report, as modules/faces/report.py has them.

    Returns:
        For each: track, first_image, last_image and images (in how many frames), size and score (the largest),
        actions (action -> frames), reasons, verdicts (of the look, word -> frames), covered (the least), verifications
        (verdict -> frames of which recognisers saw what shows), verification (of the frame that is nearest to the
        original), attempts and degree (the largest), number and seed (where all frames have the same one); and states
        (name of a state of rows.py -> frames), where actions and verifications do not tell them.
    """
    people: dict[int | None, list[Mapping]] = {}
    for face in faces:
        people.setdefault(face["track"], []).append(face)
    return [_person(track, frames) for track, frames in people.items()]


def _person(track: int | None, faces: list[Mapping]) -> dict:
    images = [face["image"] for face in faces]
    covered = [float(face["covered"]) for face in faces if face.get("covered") is not None]
    verified = [face["verification"] for face in faces if _is_verified(face)]
    states = Counter(map(state_of, faces))
    return {
        "track": track,
        "first_image": min(images),
        "last_image": max(images),
        "images": len(set(images)),
        "size": max(face["size"] for face in faces),
        "score": max(face["score"] for face in faces),
        "actions": dict(Counter(face["action"] for face in faces)),
        "reasons": _reasons(faces),
        "verdicts": dict(Counter(face["verdict"] for face in faces if face.get("verdict"))),
        "covered": min(covered, default=None),
        "verifications": dict(Counter(one["verdict"] for one in verified)),
        "verification": min(verified, key=_how_good, default=None),
        "attempts": _largest(whole(face.get("attempts")) for face in faces),
        "degree": _largest(number(face.get("degree")) for face in faces),
        "number": _the_one(faces, "number"),
        "seed": _the_one(faces, "seed"),
        **({"states": {state.name: count for state, count in states.items()}} if set(states) - set(PLAIN) else {}),
    }


def _is_verified(face: Mapping) -> bool:
    """Whether recognisers saw what stayed of a face: where it was covered, they may have seen what did not."""
    read = read_verification(face.get("verification"))
    if face["action"] != "redacted" or read is None:
        return read is not None
    return face["verification"].get("of") == "result" and bool(read.measures)


def _how_good(verification: Mapping) -> tuple[int, float]:
    read = read_verification(verification)
    if read is None:
        return (0, 0.0)
    worst = _WORST_FIRST.index(read.verdict) if read.verdict in _WORST_FIRST else 0
    return (worst, read.margin)


def _largest(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)


def _the_one(faces: list[Mapping], name: str):
    """The value that all frames have, or None."""
    values = {face.get(name) for face in faces}
    return values.pop() if len(values) == 1 else None


def _reasons(faces: Iterable[Mapping]) -> list[str]:
    """Why, once for each word: the figures differ from frame to frame."""
    first: dict[str, str] = {}
    for face in faces:
        if face["reason"]:
            first.setdefault(face.get("verdict") or face["reason"], face["reason"])
    return sorted(first.values())
