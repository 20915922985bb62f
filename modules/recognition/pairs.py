"""Originals and what became of them, read at the same places, and the verdict on each pair.

A result that was moved, scaled or turned in its place would be read off its middle, where dlib's descriptor of one
person's own photo goes beyond the threshold. So what looks like a stranger is read once more, upright by its own
landmarks, and has to be one there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakKeyDictionary

import torch

from ..faces.outcomes import box_of
from ..faces.paste.placement import Placement
from ..faces.paste.verdicts import Judge, Sight, Verdict
from ..faces.traces import Trace
from ..faces.types import IBUG_68, Face, Faces
from .earlier import CHANGED_BEFORE, EarlierPeople, at_one_place, read_remembered
from .reading import Read, Reading, compare, too_small
from .settings import ReaderSettings
from .verdict import NOT_MEASURABLE, SAME_PERSON, STRANGER, Opinion, Verification, opinions, verify

Against = Callable[[Face, "Pair"], Verification]  # the verdict of a pair, after more than its own picture was asked


@dataclass(frozen=True)
class Pair:
    """One face before and after.

    Args:
        before: the original.
        after: the result at its place.
        again: the result upright by its own landmarks; None where the first reading told enough.
        verification: what the recognisers say.
    """

    before: Reading
    after: Reading
    again: Reading | None
    verification: Verification

    @property
    def results(self) -> tuple[Reading, ...]:
        """The readings of the result that can be measured."""
        return tuple(reading for reading in (self.after, self.again) if reading is not None and reading.measurable)


def read_pairs(
    befores: Sequence[Reading],
    images: torch.Tensor,
    faces: Faces,
    read: Read,
    settings: ReaderSettings = ReaderSettings(),
) -> list[Pair]:
    """Read the results of faces whose originals were read.

    Args:
        befores: one a face.
        images: float [B, H, W, C], 0..1, the results.
        faces: of these pictures.
        read: the reader.
        settings: the thresholds.

    Returns:
        One pair a face.
    """
    return look_again(befores, read(images, faces), images, faces, read, settings=settings)


def look_again(
    befores: Sequence[Reading],
    afters: Sequence[Reading],
    images: torch.Tensor,
    faces: Faces,
    read: Read,
    *,
    settings: ReaderSettings = ReaderSettings(),
) -> list[Pair]:
    """The verdicts on results that were read once; what looks like a stranger is read again, upright.

    Args:
        befores: the originals, one a face.
        afters: the results, one a face.
        images: float [B, H, W, C], 0..1, the results.
        faces: of these pictures, where `afters` were read.
        read: the reader.
        settings: the thresholds.

    Returns:
        One pair a face.
    """
    said = [verify(before, after, settings) for before, after in zip(befores, afters, strict=True)]
    strangers = [i for i, verification in enumerate(said) if verification.verdict == STRANGER]
    turned = tuple(replace(faces.faces[i], points=afters[i].landmarks, layout=IBUG_68) for i in strangers)
    again = read(images, replace(faces, faces=turned)) if turned else []
    upright: dict[int, Reading] = dict(zip(strangers, again, strict=True))
    for i, reading in upright.items():
        second = verify(befores[i], reading, settings)
        # one that cannot be read upright could be read as it was: that stands
        if not second.passed and reading.measurable:
            said[i] = second
    return [Pair(*both, upright.get(i), said[i]) for i, both in enumerate(zip(befores, afters, strict=True))]


def identity_judge(
    read: Read,
    settings: ReaderSettings = ReaderSettings(),
    *,
    swap: bool = False,
    among: Faces | None = None,
    against: Against | None = None,
    earlier: Sequence[Trace] = (),
) -> Judge:
    """A judge for Look.judges that refuses who is still the same person, and who cannot be measured any more; and
    who is somebody else of the same picture, where both recognisers say so.

    Args:
        read: the reader, for the faces of one picture at a time.
        settings: the thresholds.
        swap: other people's faces are meant to be painted, be they of the same picture.
        among: all faces of the pictures, those that are kept too: also who was not painted, or whose crop was given up,
            is somebody else of the picture. None: those alone that are judged.
        against: is asked of each pair that is left, as ClipPeople.against; also where the original cannot be measured.
        earlier: what the reports of earlier steps remember of these pictures: who was covered or painted by those is
            somebody of the picture, be it with a stranger's face now.
    """
    # the look asks again about the faces that are left, when others were refused: what did not change is known
    befores: WeakKeyDictionary[Placement, Reading] = WeakKeyDictionary()
    known: WeakKeyDictionary[Placement, tuple[torch.Tensor, Verdict]] = WeakKeyDictionary()

    unjudged: dict[int, list[tuple[Face, Reading]]] = {}  # number of a picture -> those of it who are never judged
    before_that = EarlierPeople(earlier, read, settings)

    def people_of(sights: Sequence[Sight]) -> list[tuple[Face, Reading]]:
        """Everybody of the picture of some sights, as it was."""
        image = sights[0].placement.image  # each placement has a view of its own of it
        mine = [(one.face, reading) for one, reading in befores.items() if one.image.data_ptr() == image.data_ptr()]
        index = sights[0].placement.face.image_index
        if among is not None and index not in unjudged:
            judged = {box_of(sight.placement.face) for sight in sights}
            left = [face for face in (*among.faces, *among.kept) if face.image_index == index]
            left = [face for face in left if box_of(face) not in judged and face.size >= settings.min_size]
            found = read(image[None], _alone(left, image)) if left else []
            unjudged[index] = list(zip(left, found, strict=True))
        # where an earlier step changed somebody, the picture shows a cover or a stranger
        changed = before_that.of(index)
        seen = mine + unjudged.get(index, [])
        return [*changed, *(one for one in seen if not any(at_one_place(one[0], face) for face, _ in changed))]

    def is_readable(sight: Sight, neighbours: Sequence[tuple[Face, Reading]]) -> bool:
        own = sight.placement.face
        is_asked = against is not None or any(one.measurable for face, one in neighbours if not _is_own(own, face))
        return befores[sight.placement].measurable or (is_asked and own.size >= settings.min_size)

    def judge(sights: Sequence[Sight]) -> list[Verdict]:
        new = [sight for sight in sights if sight.placement not in known or not _is_as_it_was(sight, known)]
        repaints = [sight for sight in new if sight.placement.repaints]
        new = [sight for sight in new if not sight.placement.repaints]
        unread = [sight.placement for sight in new if sight.placement not in befores]
        if unread:
            faces = _alone([placement.face for placement in unread], unread[0].image)
            befores.update(zip(unread, read(unread[0].image[None], faces), strict=True))
        neighbours = people_of(sights) if (new or repaints) and not swap else []
        for sight in repaints:
            verdict = _judge_repaint(sight, neighbours, read, settings=settings, against=against)
            known[sight.placement] = _shown(sight).clone(), verdict
        hopeless = [sight for sight in new if not is_readable(sight, neighbours)]
        new = [sight for sight in new if is_readable(sight, neighbours)]
        said = [verify(befores[sight.placement], befores[sight.placement], settings) for sight in hopeless]
        if new:
            after = new[0].after
            faces = _alone([sight.placement.face for sight in new], after)
            pairs = read_pairs([befores[sight.placement] for sight in new], after[None], faces, read, settings)
            own = [against_first(sight, pair, read, settings) for sight, pair in zip(new, pairs, strict=True)]
            others = [
                _against_others(sight.placement.face, replace(pair, verification=one), neighbours, settings)
                for sight, pair, one in zip(new, pairs, own, strict=True)
            ]
            said += [
                one if against is None else against(sight.placement.face, replace(pair, verification=one))
                for sight, pair, one in zip(new, pairs, others, strict=True)
            ]
        for sight, verification in zip([*hopeless, *new], said, strict=True):
            known[sight.placement] = _shown(sight).clone(), verdict_of(verification)
        return [known[sight.placement][1] for sight in sights]

    return judge


def against_first(sight: Sight, pair: Pair, read: Read, settings: ReaderSettings) -> Verification:
    """The verdict of a pair that passed also against the picture that the face was cut from, where that was another.

    What a face remembers of it is small: enough to refuse whom it shows, not to fail whom it does not.
    """
    if pair.verification.verdict != STRANGER:
        return pair.verification
    said = (
        verify(reading, result, settings)
        for reading in map(partial(read_remembered, read=read), sight.originals[1:])
        for result in pair.results
    )
    return next((one for one in said if one.verdict == SAME_PERSON), pair.verification)


def _against_others(
    own: Face, pair: Pair, others: Sequence[tuple[Face, Reading]], settings: ReaderSettings
) -> Verification:
    """The verdict of a pair that passed, or cannot be measured, also against the other people of its picture."""
    if pair.verification.verdict not in (STRANGER, NOT_MEASURABLE):
        return pair.verification
    why = _whom_else(own, pair.results, others, settings)
    return replace(pair.verification, verdict=SAME_PERSON, reason=why) if why else pair.verification


def _whom_else(
    own: Face, results: Sequence[Reading], others: Sequence[tuple[Face, Reading]], settings: ReaderSettings
) -> str:
    """Which of the other people of a picture the results of a face show, with the figures, in words; "" for none."""
    for face, reading in others:
        if not _is_own(own, face) and reading.measurable and (words := one_person(results, [reading], settings)):
            name = CHANGED_BEFORE if face.source == CHANGED_BEFORE else "another face of the picture"
            return f"as {name}: {words}"
    return ""


def _is_own(own: Face, other: Face) -> bool:
    """Whether a face of the picture is the very one that is judged. What it was before an earlier step is not: it may
    not come back.
    """
    return other is own or (other.track is not None and other.track == own.track)


def one_person(firsts: Sequence[Reading], seconds: Sequence[Reading], settings: ReaderSettings) -> str:
    """The figures, where both recognisers say that two faces are one person's; else "".

    Args:
        firsts: readings of one face.
        seconds: of the other.
        settings: the thresholds.
    """
    for first in firsts:
        for second in seconds:
            found = opinions(compare(first, second), settings)
            if all(opinion.same for opinion in found):
                return in_words(found)
    return ""


def in_words(found: Sequence[Opinion]) -> str:
    """What recognisers say, in one line."""
    return "; ".join(opinion.words for opinion in found)


def _judge_repaint(
    sight: Sight,
    others: Sequence[tuple[Face, Reading]],
    read: Read,
    *,
    settings: ReaderSettings,
    against: Against | None,
) -> Verdict:
    """The verdict on a second pass: as on a first one, by what the face remembers of its original.

    Nothing is said of one whose original is not known, but that it shows somebody else.
    """
    own, image = sight.placement.face, sight.after[None]
    if own.size < settings.min_size:  # what it remembers is enlarged
        small = Verification(NOT_MEASURABLE, too_small(own.size, settings))
        return verdict_of(small) if sight.originals else Verdict()
    firsts = [read_remembered(first, read) for first in sight.originals]
    if not firsts and not others and against is None:
        return Verdict()
    faces = _alone([own], sight.after)
    after = read(image, faces)
    if firsts:
        (pair,) = look_again(firsts[:1], after, image, faces, read, settings=settings)
        said = (verify(first, result, settings) for first in firsts[1:] for result in pair.results)
        if pair.verification.passed and (same := next((one for one in said if one.verdict == SAME_PERSON), None)):
            pair = replace(pair, verification=same)
    else:
        pair = Pair(after[0], after[0], None, Verification(NOT_MEASURABLE, "its original is not known"))
    found = _against_others(own, pair, others, settings)
    if against is not None:
        found = against(own, replace(pair, verification=found))
    return verdict_of(found) if firsts or not found.passed else Verdict()


def _is_as_it_was(sight: Sight, known: WeakKeyDictionary[Placement, tuple[torch.Tensor, Verdict]]) -> bool:
    return torch.equal(_shown(sight), known[sight.placement][0])


def _shown(sight: Sight) -> torch.Tensor:
    """The part of the finished picture that the crop shows."""
    x0, y0, x1, y1 = sight.placement.square
    return sight.after[y0:y1, x0:x1]


def verdict_of(verification: Verification) -> Verdict:
    """What a paste makes of a verification: a face that did not pass is refused by the verdict's word and figure."""
    found = verification.to_dict()
    if verification.passed:
        return Verdict(verification=found)
    return Verdict(verification.verdict, verification.reason, verification=found)


def _alone(faces: Sequence[Face], image: torch.Tensor) -> Faces:
    """Faces of one picture [H, W, C], as those of a batch of it alone."""
    height, width = image.shape[:2]
    return Faces(1, height, width, tuple(replace(face, image_index=0) for face in faces))
