"""Every face of a film, before and after, whose frames come a few at a time; verifying.py has all of them at hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

import torch

from ..faces.notes import ANOTHER_PERSON, Doubt
from ..faces.outcomes import box_of
from ..faces.types import Faces
from .clip_people import ClipPeople
from .pairs import Pair, Read, against_first, read_pairs
from .pixels import one_colour, others_originals, own_originals, sights_of
from .settings import ReaderSettings
from .surroundings import moved_around
from .together import compare_faces, note_on_person
from .verdict import FAILED, SAME_PERSON, Verification
from .verifying import Verified, as_exchanged, refused


def verify_film(
    chunks: Iterable[tuple[int, torch.Tensor, torch.Tensor]],
    faces: Faces,
    people: ClipPeople,
    read: Read,
    settings: ReaderSettings = ReaderSettings(),
) -> Verified:
    """Verify the faces of a film as verify_faces does those of a clip, as far as a few frames at a time allow.

    Each face is compared with the original of its frame, with those that are remembered of its person, and with the
    usual ones of everybody else; its pixels with the originals of the frames around. A face that shows one colour
    alone is covered.

    Args:
        chunks: number of a first frame, some originals from it on, and what became of them: float [n, H, W, C], 0..1.
        faces: of all originals.
        people: who learned the film's originals.
        read: the reader.
        settings: the thresholds.
    """
    places_in: dict[int, list[int]] = {}
    for i, face in enumerate(faces):
        places_in.setdefault(face.image_index, []).append(i)
    unmarked = replace(faces, fingerprint=None)  # it was looked at already
    said: dict[int, Verification | None] = {}
    for first, before, after in chunks:
        stop = first + len(before)
        part = unmarked.window(first, stop)
        places = sorted(i for image in range(first, stop) for i in places_in.get(image, ()))
        pairs = _verify_frames(before, after, part, people, read, settings=settings)
        hidden = [i for i in one_colour(after, part, before) if not pairs[i].results]
        covered = {places[i] for i in set(hidden) - moved_around(before, after, part, hidden).keys()}
        for i, pair in zip(places, pairs, strict=True):
            said[i] = None if i in covered else pair.verification
            if i not in covered and pair.verification.passed:
                people.see(faces.faces[i].image_index, faces.faces[i], pair.after)
    for i in range(len(faces)):
        said.setdefault(i, Verification(FAILED, "its frame could not be read"))
    return Verified(tuple(said[i] for i in range(len(faces))), (*_notes(faces, said), *people.notes()))


def _verify_frames(
    before: torch.Tensor, after: torch.Tensor, faces: Faces, people: ClipPeople, read: Read, *, settings: ReaderSettings
) -> list[Pair]:
    """The pairs of a few frames, with what is said of each in the end."""
    if not len(faces):
        return []

    def image_of(place: int) -> int:
        return faces.faces[place].image_index

    pairs = read_pairs(read(before, faces), after, faces, read, settings)
    sights = sights_of(before, after, faces)
    every = range(len(faces))
    original = others_originals(sights, every)
    for _, group in groupby(sorted(every, key=image_of), key=image_of):
        own = list(group)
        original |= {own[at]: why for at, why in own_originals([sights[i] for i in own]).items()}
    persons, _ = compare_faces(faces, pairs, every, settings)
    told = []
    for i, (face, sight, pair) in enumerate(zip(faces, sights, pairs, strict=True)):
        one = against_first(sight, pair, read, settings)
        one = people.against(face, replace(pair, verification=one))
        told.append(replace(pair, verification=refused(as_exchanged(one, pair), original.get(i) or persons.get(i))))
    return told


def _notes(faces: Faces, said: dict[int, Verification | None]) -> list[Doubt]:
    """A note for each person who passes for the original in some frames."""
    tracks: dict[int, list[int]] = {}
    for i, face in enumerate(faces):
        if face.track is not None:
            tracks.setdefault(face.track, []).append(i)
    found = []
    for track, places in tracks.items():
        keys = [(faces.faces[i].image_index, box_of(faces.faces[i])) for i in places if _is_same(said[i])]
        if keys:
            found.append(note_on_person(track, "passes for the original", ANOTHER_PERSON, keys, len(places)))
    return found


def _is_same(verification: Verification | None) -> bool:
    return verification is not None and verification.verdict == SAME_PERSON
