"""Every face of pictures or of a clip, before and after: its verdict, and what is seen of several faces together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch

from ..faces.alignment import check_faces, remember_faces
from ..faces.originals import as_colours
from ..faces.paste.repaint import with_originals
from ..faces.paste.verdicts import Sight
from ..faces.traces import Trace, shows_original
from ..faces.types import Faces
from .earlier import CHANGED_BEFORE, EarlierPeople, Somebody, read_remembered
from .pairs import Pair, Read, against_first, read_pairs
from .pixels import others_originals, own_originals, sights_of
from .reading import NO_FACE, Reading
from .settings import ReaderSettings
from .together import compare_faces, compare_with_clip, verify_tracks
from .verdict import FAILED, SAME_PERSON, Verification

_MOST_COMPARED = 400  # faces that are held together, each with half a megabyte, and compared with each other
_EXCHANGED = "the result shows a clear face: are before and after exchanged?"
_AT_ONCE = 4  # pictures whose faces are read together


@dataclass(frozen=True)
class Told:
    """What a report says of faces before they are looked at.

    Args:
        covered: places of faces that were covered on purpose: one that cannot be measured any more is no failure.
        swapped: places of faces that got another person's on purpose: several may have one.
        earlier: what the reports of earlier steps remember of these pictures: where `before` shows already what became
            of a face, it is still somebody whom no result may show.
        painted: places of faces that `before` shows as an earlier step painted them: what was there at first is their
            original, and the stranger may stay.
    """

    covered: Collection[int] = ()
    swapped: Collection[int] = ()
    earlier: Sequence[Trace] = ()
    painted: Mapping[int, Trace] = field(default_factory=dict)


@dataclass(frozen=True)
class Verified:
    """What the recognisers say of the faces of pictures.

    Args:
        verifications: one a face; None where it is covered, so that nothing shows.
        notes: results that are one person, somebody else of the picture, or not one person over their frames.
    """

    verifications: tuple[Verification | None, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[int, ...]:
        """The places of the faces that did not pass."""
        return tuple(i for i, one in enumerate(self.verifications) if one is not None and not one.passed)

    def with_covers(self) -> tuple[str, ...]:
        """The notes, and of how many faces nothing shows."""
        count = self.verifications.count(None)
        return (*self.notes, *([f"{'1 face is' if count == 1 else f'{count} faces are'} covered"] if count else []))


def verify_faces(
    before: torch.Tensor,
    after: torch.Tensor,
    faces: Faces,
    read: Read,
    settings: ReaderSettings = ReaderSettings(),
    *,
    told: Told = Told(),
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Verify the faces of pictures, or of the frames of a clip.

    Of a person who was followed through a clip each frame is compared with its own original and with the original that
    is nearest to all others, so that no frame passes for another one of the same person; and all results with the one
    among them that is nearest to all others. What recognisers let pass is looked at as Paste Faces looks at it: a face
    that still shows its original, or another one's of these pictures, is no stranger; neither is one that both
    recognisers take for somebody else of its picture.

    Args:
        before: float [B, H, W, C], 0..1, the originals.
        after: float [B, H, W, C], what became of them.
        faces: of the originals.
        read: the reader.
        settings: the thresholds.
        told: what is known of the faces before they are looked at.
        progress: called with (pictures done, all).

    Raises:
        ValueError: the pictures differ in size or number, or are not those of the faces.
    """
    _check(before, after, faces)
    if not len(faces):
        return Verified()
    known: dict[int, Pair] = {}
    look = _Look(len(faces), told.covered, told.swapped)
    bystanders: list[Somebody] = []
    before_that = EarlierPeople([trace for trace in told.earlier if not _is_seen(before, trace)], read, settings)
    unmarked = replace(faces, fingerprint=None)  # it was looked at already
    for start in range(0, faces.image_count, _AT_ONCE):
        stop = min(start + _AT_ONCE, faces.image_count)
        part = unmarked.window(start, stop)
        if len(part):
            places = [i for i, face in enumerate(faces) if start <= face.image_index < stop]
            painted = {row: told.painted[i] for row, i in enumerate(places) if i in told.painted}
            part = with_originals(remember_faces(before[start:stop], part), painted)
            firsts = _firsts_of(read(before[start:stop], part), part, painted, read, settings)
            found = read_pairs(firsts, after[start:stop], part, read, settings)
            # what a face shows is large: a film's are let go with their pictures
            sights = sights_of(before[start:stop], after[start:stop], part, painted)
            for place, pair, sight in zip(places, found, sights, strict=True):
                known[place] = replace(pair, verification=against_first(sight, pair, read, settings))
            look.add(places, sights)
            others = replace(part, faces=part.kept, kept=())
            for face, reading in zip(others, read(before[start:stop], others), strict=True):
                bystanders.append(Somebody(start + face.image_index, "a face that was kept", reading, face.track))
            for image in range(start, stop):
                bystanders += [Somebody(image, CHANGED_BEFORE, reading) for _, reading in before_that.of(image)]
        if progress is not None:
            progress(stop, faces.image_count)
    pairs = [known[i] for i in range(len(faces))]
    shown = [i for i, pair in enumerate(pairs) if i not in told.covered or pair.results]
    verified, notes = verify_tracks(faces, pairs, shown, settings)
    verified = [as_exchanged(one, pair) for one, pair in zip(verified, pairs, strict=True)]
    persons, more = compare_faces(faces, pairs, shown, settings, bystanders=bystanders, swapped=told.swapped)
    elsewhere, others = compare_with_clip(
        faces, pairs, shown, settings, bystanders=bystanders, left_out={*persons, *told.swapped}
    )
    persons, more = elsewhere | persons, (*more, *others)
    originals = look.end()
    said = [refused(one, originals.get(i) or persons.get(i)) if i in shown else None for i, one in enumerate(verified)]
    return Verified(tuple(said), (*notes, *more))


class _Look:
    """What the pixels say of the faces that should be strangers, a few pictures at a time.

    Args:
        count: faces in all. Of many each is compared with the originals of its own few pictures alone.
        covered, swapped: as of Told.
    """

    def __init__(self, count: int, covered: Collection[int], swapped: Collection[int]):
        self._keeps_all, self._covered, self._swapped = count <= _MOST_COMPARED, covered, swapped
        self._found: dict[int, str] = {}
        self._left: list[tuple[int, Sight]] = []

    def add(self, places: Sequence[int], sights: Sequence[Sight]) -> None:
        """Look at the faces of some pictures, at these places among all."""
        members = list(zip(places, sights, strict=True))
        open_ = [member for member in members if member[0] not in self._covered]
        for _, group in groupby(sorted(open_, key=_image_of), key=_image_of):
            own = list(group)
            for i, why in own_originals([sight for _, sight in own]).items():
                self._found[own[i][0]] = why
        self._left += members
        if not self._keeps_all:
            self._compare()

    def end(self) -> dict[int, str]:
        """Place of a face that shows an original -> the figure and its threshold in words."""
        self._compare()
        return self._found

    def _compare(self) -> None:
        places = [i for i, _ in self._left]
        judged = [at for at, i in enumerate(places) if i not in self._covered and i not in self._swapped]
        for at, why in others_originals([sight for _, sight in self._left], judged).items():
            self._found.setdefault(places[at], why)
        self._left = []


def _firsts_of(
    befores: Sequence[Reading], faces: Faces, painted: Collection[int], read: Read, settings: ReaderSettings
) -> list[Reading]:
    """The readings of originals, of which those that an earlier step painted over are read off what is remembered.

    What is remembered of a face that is too small to be read is enlarged, and no more than that.
    """
    firsts = list(befores)
    for row in painted:
        face = faces.faces[row]
        if face.original is not None and face.size >= settings.min_size:
            firsts[row] = read_remembered(as_colours(face.original), read)
    return firsts


def _is_seen(before: torch.Tensor, trace: Trace) -> bool:
    """Whether the originals still show a face as it was before the step that changed it."""
    return trace.image >= len(before) or shows_original(before[trace.image], trace)


def _image_of(member: tuple[int, Sight]) -> int:
    return member[1].placement.face.image_index


def as_exchanged(verification: Verification, pair: Pair) -> Verification:
    """The verification, failed where a face is plain in the result and the original has none: the two are exchanged,
    most likely.

    Args:
        verification: of the pair, so far.
        pair: its readings.
    """
    if not (pair.after.measurable and pair.before.reason.startswith(NO_FACE)):
        return verification
    return replace(verification, verdict=FAILED, reason=f"{verification.reason}; {_EXCHANGED}")


def refused(verification: Verification, why: str | None) -> Verification:
    """The verification, refused where it passed and something else was seen.

    Args:
        verification: so far.
        why: the figure and its threshold in words; None: nothing was seen.
    """
    if why is None or not verification.passed:
        return verification
    return replace(verification, verdict=SAME_PERSON, reason=why)


def _check(before: torch.Tensor, after: torch.Tensor, faces: Faces) -> None:
    if before.shape[:3] != after.shape[:3]:
        sizes = [f"{len(images)} images of {images.shape[2]}x{images.shape[1]} pixels" for images in (before, after)]
        raise ValueError(
            f"before is {sizes[0]}, after {sizes[1]}: connect the very pictures in which the faces were found, and "
            "what became of these, neither scaled nor cropped."
        )
    for name, images in (("before", before), ("after", after)):
        try:
            check_faces(images, faces)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
