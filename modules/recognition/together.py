"""What is seen of several faces together: a person over the frames of a clip, and the people of one picture."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..faces.notes import ANOTHER_PERSON, NOT_ONE_PERSON, Doubt, Key
from ..faces.outcomes import box_of
from ..faces.types import Faces
from .earlier import Somebody
from .pairs import Pair, in_words, one_person
from .reading import Reading, compare
from .settings import ReaderSettings
from .verdict import SAME_PERSON, Verification, opinions, verify

_CANDIDATES = 64  # frames of a person among which the one is chosen that all others are compared with
_NAMED = 12  # notes of one kind, and frames of a note, that are written out


class _Seen(NamedTuple):
    """Something that was seen in one picture.

    Args:
        face: that shows it.
        other: the one that it is one person with, or that face itself.
        words: the figures.
    """

    face: Key
    other: Key
    words: str


def verify_tracks(
    faces: Faces, pairs: Sequence[Pair], shown: Sequence[int], settings: ReaderSettings = ReaderSettings()
) -> tuple[list[Verification], tuple[str, ...]]:
    """The verifications of all faces, of which those that belong to one person are compared with each other too.

    Args:
        faces: of a clip; those without a track, or with the only face of one, keep their verification.
        pairs: one a face.
        shown: places of the faces that are not covered.
        settings: the thresholds.

    Returns:
        One verification a face, and notes.
    """
    said = [pair.verification for pair in pairs]
    notes = []
    for track, places in _tracks(faces, shown).items():
        frames = [faces.faces[i].image_index for i in places]
        seen = [pairs[i] for i in places]
        found, others = _verify_track(frames, seen, settings)
        for i, verification in zip(places, found, strict=True):
            said[i] = verification
        passes = [frame for frame, one in zip(frames, found, strict=True) if one.verdict == SAME_PERSON]
        for what, where in (("passes for the original", passes), ("is another person than in most frames", others)):
            if where:
                kind = ANOTHER_PERSON if where is passes else NOT_ONE_PERSON
                here = [key for i in places if (key := _key(faces, i))[0] in where]
                notes.append(note_on_person(track, what, kind, here, len(places)))
    return said, tuple(notes)


def note_on_person(track: int, what: str, kind: str, keys: Sequence[Key], count: int) -> Doubt:
    """A note on some frames of a person.

    Args:
        track: of the person.
        what: was seen in them, such as "passes for the original".
        kind: of the doubt.
        keys: the faces in these frames.
        count: frames of the person in all.
    """
    frames = [frame for frame, _ in keys]
    named = ", ".join(str(frame + 1) for frame in frames[:_NAMED]) + (", ..." if frames[_NAMED:] else "")
    words = f"person {track + 1} {what} in {len(frames)} of {count} (frame {named})"
    return Doubt(words, kind, frames, keys)


def _tracks(faces: Faces, shown: Sequence[int]) -> dict[int, list[int]]:
    """Number of a person -> the places of its faces, of those who have several."""
    found: dict[int, list[int]] = {}
    for i in shown:
        track = faces.faces[i].track
        if track is not None:
            found.setdefault(track, []).append(i)
    return {track: places for track, places in found.items() if len(places) > 1}


def _verify_track(
    frames: Sequence[int], pairs: Sequence[Pair], settings: ReaderSettings
) -> tuple[list[Verification], list[int]]:
    """The verification of each frame of a person, and the frames that pass and show another person than most."""
    original = most_usual([pair.before for pair in pairs])
    result = most_usual([pair.after for pair in pairs])
    said, others = [], []
    for frame, pair in zip(frames, pairs, strict=True):
        verification = pair.verification
        if original is not None and verification.passed:
            again = [verify(pairs[original].before, reading, settings) for reading in pair.results]
            for found in (one for one in again if one.verdict == SAME_PERSON):
                verification = replace(found, reason=f"{found.reason} (its original in frame {frames[original] + 1})")
        if result is not None and verification.passed and pair.after.measurable:
            found = opinions(compare(pairs[result].after, pair.after), settings)
            if not any(opinion.same for opinion in found):
                others.append(frame)
                words = f"another person than in frame {frames[result] + 1}: {in_words(found)}"
                reason = "; ".join(filter(None, (verification.reason, words)))
                verification = replace(verification, reason=reason)
        said.append(verification)
    return said, others


def most_usual(readings: Sequence[Reading]) -> int | None:
    """Which of the readings is nearest to all others; None where none can be measured.

    Args:
        readings: of one person.
    """
    places = [i for i, reading in enumerate(readings) if reading.measurable]
    if not places:
        return None
    candidates = places[:: -(-len(places) // _CANDIDATES)]
    descriptors = np.stack([readings[i].dlib for i in places])
    spread = [float(np.linalg.norm(descriptors - readings[i].dlib, axis=1).sum()) for i in candidates]
    return candidates[int(np.argmin(spread))]


def compare_faces(
    faces: Faces,
    pairs: Sequence[Pair],
    shown: Sequence[int],
    settings: ReaderSettings = ReaderSettings(),
    *,
    bystanders: Sequence[Somebody] = (),
    swapped: Collection[int] = (),
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Results of one picture that are another person of it, and notes on these and on such that are one person.

    Both recognisers have to say so: in a picture with many faces there are so many pairs that one alone would find some
    among strangers.

    Args:
        faces: of the pictures.
        pairs: one a face.
        shown: places of the faces that are not covered.
        settings: the thresholds.
        bystanders: who else is, or was, in the pictures, and is none of the faces.
        swapped: places of faces that got another person's on purpose: several may have one.

    Returns:
        Place of a face -> whom it shows, and the figures, in words; and the notes.
    """
    persons: dict[int, str] = {}
    numbers = [offset + 1 for offset in faces.seed_offsets()]
    visible = set(shown)
    alike: dict[str, list[_Seen]] = {}  # what is seen -> where, one a picture
    changed: dict[str, list[_Seen]] = {}
    for image, members in _by_image(faces).items():
        seen = [i for i in members if i in visible]
        for i, j in _couples(seen):
            if not {i, j} <= set(swapped) and (words := one_person(pairs[i].results, pairs[j].results, settings)):
                first, second = sorted((numbers[i], numbers[j]))
                what = f"the results of faces {first} and {second} are one person"
                alike.setdefault(what, []).append(_Seen(_key(faces, j), _key(faces, i), words))
        originals = [(j, f"face {numbers[j]}", pairs[j].before) for j in members]
        originals += [(-1, somebody.name, somebody.reading) for somebody in bystanders if somebody.image == image]
        for i in seen:
            for j, name, original in originals:
                if i != j and original.measurable and (words := one_person(pairs[i].results, [original], settings)):
                    what = f"the result of face {numbers[i]} is the person of {name}"
                    changed.setdefault(what, []).append(_Seen(_key(faces, i), _key(faces, i), words))
                    if i not in swapped:
                        persons.setdefault(i, f"as {name}: {words}")
    count = faces.image_count
    return persons, (*_lines(changed, count, ANOTHER_PERSON), *_lines(alike, count, NOT_ONE_PERSON))


def compare_with_clip(
    faces: Faces,
    pairs: Sequence[Pair],
    shown: Sequence[int],
    settings: ReaderSettings = ReaderSettings(),
    *,
    bystanders: Sequence[Somebody] = (),
    left_out: Collection[int] = (),
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Results of a clip that are another person of it who is to be seen in other frames: by the original that is most
    usual for that person, be it one who is kept. Both recognisers have to say so.

    Args:
        faces: of a clip; those without a track are not compared.
        pairs: one a face.
        shown: places of the faces that are not covered.
        settings: the thresholds.
        bystanders: who else is, or was, in the frames; those without a track are each one by itself.
        left_out: places of faces that need not be compared.

    Returns:
        As compare_faces.
    """
    tracks: dict[int, list[Reading]] = {}
    for face, pair in zip(faces, pairs, strict=True):
        if face.track is not None and pair.before.measurable:
            tracks.setdefault(face.track, []).append(pair.before)
    for somebody in bystanders:
        if somebody.track is not None and somebody.reading.measurable:
            tracks.setdefault(somebody.track, []).append(somebody.reading)
    people = [(track, readings[most_usual(readings) or 0]) for track, readings in tracks.items()]
    others = [(track, f"person {track + 1}", reading) for track, reading in people]
    others += [(None, one.name, one.reading) for one in bystanders if one.track is None and one.reading.measurable]
    originals = [reading for _, _, reading in others]
    persons: dict[int, str] = {}
    changed: dict[str, list[_Seen]] = {}
    for i in shown:
        own = faces.faces[i].track
        if own is None or i in left_out or not pairs[i].results:
            continue
        for at in near_by_dlib(pairs[i].results, originals, settings):
            track, name, original = others[at]
            if track != own and (words := one_person(pairs[i].results, [original], settings)):
                persons.setdefault(i, f"as {name} in other frames: {words}")
                what = f"the result of person {own + 1} is {name}, who is in other frames"
                changed.setdefault(what, []).append(_Seen(_key(faces, i), _key(faces, i), words))
    return persons, tuple(_lines(changed, faces.image_count, ANOTHER_PERSON))


def near_by_dlib(results: Sequence[Reading], others: Sequence[Reading], settings: ReaderSettings) -> list[int]:
    """Which of many readings dlib does not tell apart from a result: all at once, as a film has hundreds of people.

    Args:
        results: readings of one face.
        others: of other faces.
        settings: the threshold.
    """
    if not others or not results:
        return []
    descriptors = np.stack([reading.dlib for reading in others])
    distances = [np.linalg.norm(descriptors - result.dlib, axis=1) for result in results]
    return np.flatnonzero(~(np.min(distances, axis=0) >= settings.dlib_same)).tolist()


def _by_image(faces: Faces) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, face in enumerate(faces):
        found.setdefault(face.image_index, []).append(i)
    return dict(sorted(found.items()))


def _couples(members: Sequence[int]) -> Iterator[tuple[int, int]]:
    for place, i in enumerate(members):
        for j in members[place + 1 :]:
            yield i, j


def _key(faces: Faces, i: int) -> Key:
    """A face as a report knows it."""
    face = faces.faces[i]
    return face.image_index, box_of(face)


def _lines(seen: dict[str, list[_Seen]], images: int, kind: str) -> list[str]:
    """A note a thing that was seen, of which some at most are written out; all speak against the result."""
    lines = []
    for what, places in list(seen.items())[:_NAMED]:
        first, words = places[0].face[0], places[0].words
        where = f" (picture {first + 1})" if len(places) == 1 else f" ({len(places)} pictures, first {first + 1})"
        lines.append(_doubt(f"{what}{where if images > 1 else ''}: {words}", kind, places))
    more = list(seen.values())[_NAMED:]
    left = [place for places in more for place in places]
    return lines + ([_doubt(f"and {len(more)} more like this", kind, left)] if more else [])


def _doubt(words: str, kind: str, places: Sequence[_Seen]) -> Doubt:
    images = sorted({place.face[0] for place in places})
    return Doubt(words, kind, images, [place.face for place in places], [place.other for place in places])
