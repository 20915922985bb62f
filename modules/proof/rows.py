"""From the entries of a report to the rows of a proof: what each face's state is, and which need a look, first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from ..faces.outcomes import (
    ANONYMIZED,
    FACE_LEFT,
    KEPT_BY_USER,
    NOT_PASTED,
    REDACTED,
    SOLID,
    STILL_ORIGINAL,
    SWAPPED,
    UNCHANGED,
)
from ..recognition import verdict as verdicts
from ..recognition.recognisers import RECOGNISERS
from .figures import Verified, number, read_verification, whole, words

_SEEDS = 2**64 - 1

BAD, LOOK, GOOD = "bad", "look", "good"  # how a state is judged


class State(NamedTuple):
    """What can be said of a face in the result.

    Args:
        name: as page and table have it.
        judgement: BAD, where the person may be known by it; LOOK, where nobody measured that; GOOD.
        meaning: for readers who are no programmers.
    """

    name: str
    judgement: str
    meaning: str


SAME = State(
    *(verdicts.SAME_PERSON, BAD),
    "At least one recogniser takes the result for the person of the original. Do not publish it as anonymous.",
)
FAILED = State(
    *(verdicts.FAILED, BAD),
    "The original could be measured, the result cannot: nobody knows whom it shows. Do not publish it as anonymous.",
)
LEFT = State(
    *("left as it is", BAD),
    "Nothing was done to this face, because it was not chosen, or what was painted came back broken.",
)
ELSEWHERE = State(
    *("seen elsewhere", BAD),
    "A face that was seen in the result and was not in the list: it is as it was in the original.",
)
OPEN_BY_USER = State(
    *("shown as it was, kept by the user", BAD),
    "The face is in the result as it was in the original, because somebody decided so.",
)
SEEN_THROUGH = State(
    *("covered, but a face is seen", LOOK),
    "Covered by a mosaic or blur, and a face is found on it all the same: others may read in it whose it is. Cover it "
    "by a solid patch, or leave fewer samples.",
)
UNVERIFIED = State("not verified", LOOK, "The face was replaced, but no recogniser has compared it with the original.")
BY_USER = State(
    *(KEPT_BY_USER, LOOK),
    "Somebody decided that this face stays as it came, although it was refused or not looked at.",
)
UNMEASURABLE = State(
    *(verdicts.NOT_MEASURABLE, LOOK),
    "Too small, turned away or covered in the original already: recognisers can say nothing of it, before or after.",
)
BY_ONE = State(
    *("stranger to one recogniser", LOOK),
    "One recogniser takes the result for somebody else than the original; the other was not asked.",
)
COARSE = State(
    *("covered coarsely", GOOD),
    "Covered by a mosaic or blur, of which a few samples are left. No face was found on it where the detector looked.",
)
COVERED = State(
    *("covered", GOOD),
    "The face was covered instead of painted. A solid cover leaves nothing of it to compare.",
)
STRANGER = State(*(verdicts.STRANGER, GOOD), "Every recogniser takes the result for somebody else than the original.")

STATES = (  # the worst first
    *(SAME, FAILED, LEFT, OPEN_BY_USER, ELSEWHERE),
    *(SEEN_THROUGH, UNVERIFIED, BY_USER, UNMEASURABLE, BY_ONE),
    *(COARSE, COVERED, STRANGER),
)
COVERS = (COARSE, COVERED)
PLAIN = (SAME, FAILED, LEFT, UNVERIFIED, UNMEASURABLE, COVERED, STRANGER)  # that action and verdict of a face tell
_OF_VERDICT = {state.name: state for state in (SAME, FAILED, UNMEASURABLE, STRANGER)}
_OF_NAME = {state.name: state for state in STATES}
_LEAST_COVERED = 0.6  # of the oval of a face that the user kept: where less was replaced, the original is to be seen


@dataclass(frozen=True)
class Row:
    """A face of a picture, or a person of a clip, and what became of it.

    Args:
        state: what can be said of it.
        place: where it stands, such as "picture 2" or "frames 5 to 120"; "" in a single picture.
        face: which it is, such as "face 3" or "person 1".
        size: root of the box's area in pixels, of a person the largest.
        action: what was done, with numbers of frames where they differ.
        reason: why, where there is one.
        attempts: how often it was painted, where that is known.
        degree: of anonymization of the painting that is told of: the one that was taken, or the best; None: not known.
        seed: of its noise, where that is known.
        verified: what recognisers said; of a person, of the frame that is nearest to the original.
        counts: verdict -> frames of a person; empty for a face.
        covered: share of the face's oval that was replaced, where it is known.
        is_of_refused: `verified` is of a painting that was refused and covered, and does not show.
    """

    state: State
    place: str
    face: str
    size: float | None
    action: str
    reason: str = ""
    attempts: int | None = None
    degree: float | None = None
    seed: int | None = None
    verified: Verified | None = None
    counts: Mapping[str, int] | None = None
    covered: float | None = None
    is_of_refused: bool = False


def rows_of_faces(faces: Iterable[Mapping], place: str = "") -> list[Row]:
    """A row for each face of a picture.

    Args:
        faces: as modules/faces/report.py has them.
        place: of the picture among others.
    """
    rows, faces = [], list(faces)
    for named, face in zip(_names(whole(face.get("number")) for face in faces), faces, strict=True):
        verified = told_of(face)
        rows.append(
            Row(
                state=state_of(face),
                place=place,
                face=f"face {named}",
                size=_size(face),
                action=words(face.get("action")),
                reason=words(face.get("reason")),
                verified=verified,
                is_of_refused=verified is not None and face.get("action") == REDACTED and not _is_of_result(face),
                **_painting(face),
            )
        )
    return rows


def rows_of_persons(persons: Iterable[Mapping]) -> list[Row]:
    """A row for each person of a clip.

    Args:
        persons: as persons.sum_up_persons has them.
    """
    rows, persons = [], list(persons)
    for named, person in zip(_names(map(_number_of_person, persons)), persons, strict=True):
        actions = _counts(person.get("actions"))
        counts = _counts(person.get("verifications"))
        first, last = whole(person.get("first_image")), whole(person.get("last_image"))
        rows.append(
            Row(
                state=_state_of_person(person, actions, counts),
                place="" if first is None or last is None else f"frames {first + 1} to {last + 1}",
                face=f"person {named}",
                size=number(person.get("size")),
                action=_actions(actions),
                reason="; ".join(words(reason) for reason in _list(person.get("reasons"))),
                verified=read_verification(person.get("verification")),
                counts=counts,
                **_painting(person),
            )
        )
    return rows


def rows_elsewhere(faces: Iterable[Mapping] | int) -> list[Row]:
    """A row for each face that was seen in a result and was not in the list.

    Args:
        faces: as modules/faces/report.py has them, or how many.
    """
    known = [{}] * min(faces, 1000) if isinstance(faces, int) else list(faces)
    return [
        Row(ELSEWHERE, "", f"another face{'' if len(known) == 1 else f' ({index})'}", _size(face), "nothing was done")
        for index, face in enumerate(known, 1)
    ]


def _names(told: Iterable[int | None]) -> list[int]:
    """A number for each, no two alike: the one that is told, and the next free one where that is none, or taken."""
    wanted, named = list(told), []
    free = (other for other in count(1) if other not in wanted)
    for one in wanted:
        named.append(next(free) if not one or one in named else one)
    return named


def _number_of_person(person: Mapping) -> int | None:
    """As the preview has it, also of somebody whom no input can name."""
    told, track = whole(person.get("number")), whole(person.get("track"))
    return told if told or track is None else track + 1


def told_frames(counts: Mapping[str, int]) -> str:
    """Words and in how many frames each of them is, in words."""
    return ", ".join(f"{name}: {count} frame{'' if count == 1 else 's'}" for name, count in counts.items())


def state_of(face: Mapping) -> State:
    """What can be said of a face in the result.

    Args:
        face: an entry of a report.
    """
    action, verified = words(face.get("action")), read_verification(face.get("verification"))
    if action == REDACTED:
        return _state_of_cover(face, verified)
    if action == KEPT_BY_USER:
        return _state_of_kept(face, verified)
    if action not in (ANONYMIZED, SWAPPED):
        return LEFT
    return UNVERIFIED if verified is None else _of_verified(verified)


def told_of(face: Mapping) -> Verified | None:
    """What recognisers said of a face, or of the painting that was refused for it and covered.

    Args:
        face: an entry of a report.
    """
    verified = read_verification(face.get("verification"))
    if verified is None or face.get("action") != REDACTED or _is_of_result(face):
        return verified
    # of a painting that had passed, and was covered later, nothing shows
    return None if _of_verified(verified).judgement != BAD else verified


def _is_of_result(face: Mapping) -> bool:
    """Whether the figures of a covered face are those of what shows in the result, and not of a refused painting."""
    verification = face.get("verification")
    return isinstance(verification, Mapping) and verification.get("of") == "result"


def _state_of_cover(face: Mapping, verified: Verified | None) -> State:
    if verified is not None and _is_of_result(face):
        if _of_verified(verified) is SAME:
            return SAME
        failed = _of_verified(verified) is FAILED and not verified.reason.startswith(verdicts.UNREADABLE)
        if verified.measures or failed:
            return SEEN_THROUGH
    if face.get("verdict") == FACE_LEFT:
        return SEEN_THROUGH
    return COVERED if face.get("cover") in (None, SOLID) else COARSE


def _state_of_kept(face: Mapping, verified: Verified | None) -> State:
    """What can be said of a face that somebody keeps: what was refused may be the original itself."""
    state = BY_USER if verified is None else _of_verified(verified)
    covered, verdict = number(face.get("covered")), face.get("verdict")
    is_open = verdict in (UNCHANGED, STILL_ORIGINAL, *NOT_PASTED) or (covered is not None and covered < _LEAST_COVERED)
    found = OPEN_BY_USER if is_open else BY_USER if state.judgement == GOOD else state
    return min(found, state, key=STATES.index)


def _of_verified(verified: Verified) -> State:
    state = _OF_VERDICT.get(verified.verdict, FAILED)
    if state is not STRANGER:
        return state
    # a page never says more than its figures do
    if not verified.measures or any(measure.same or measure.margin < 0 for measure in verified.measures):
        return SAME
    return STRANGER if len({measure.name for measure in verified.measures}) >= len(RECOGNISERS) else BY_ONE


def _state_of_person(person: Mapping, actions: Mapping[str, int], counts: Mapping[str, int]) -> State:
    """The worst of all frames.

    Args:
        person: of persons.sum_up_persons.
        actions: its action -> frames.
        counts: its verdict -> frames.
    """
    states = {state_of({"action": action}) for action in actions}
    if "states" in person:
        states |= {_OF_NAME.get(name, FAILED) for name in _counts(person["states"])}
    else:  # all of them are plain; or of an earlier version, which kept the words of the look alone
        seen = _counts(person.get("verdicts"))
        states |= {state_of({"action": action, "verdict": word}) for action in actions for word in seen}
    if (verified := read_verification(person.get("verification"))) is not None:
        states.add(_of_verified(verified))
    painted = sum(count for action, count in actions.items() if action in (ANONYMIZED, SWAPPED))
    if counts:
        states |= {_OF_VERDICT.get(verdict, FAILED) for verdict in counts}
        told_unverified = UNVERIFIED.name in _counts(person.get("states"))
        if not told_unverified and sum(counts.values()) >= painted:  # every frame that was painted is verified
            states -= {UNVERIFIED}
    return min(states, key=STATES.index, default=LEFT)


def _painting(entry: Mapping) -> dict[str, Any]:
    return {
        "attempts": whole(entry.get("attempts")),
        "degree": number(entry.get("degree")),
        "seed": whole(entry.get("seed"), _SEEDS),
        "covered": number(entry.get("covered")),
    }


def _size(face: Mapping) -> float | None:
    if (size := number(face.get("size"))) is not None:
        return size
    box = [number(edge) for edge in _list(face.get("box"))]
    if len(box) != 4 or None in box:
        return None
    x0, y0, x1, y1 = (edge or 0.0 for edge in box)
    return max((x1 - x0) * (y1 - y0), 0.0) ** 0.5


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {words(name): count for name, given in value.items() if (count := whole(given))}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _actions(actions: Mapping[str, int]) -> str:
    """One action as it is; of several, each with its frames."""
    return next(iter(actions)) if len(actions) == 1 else told_frames(actions)
