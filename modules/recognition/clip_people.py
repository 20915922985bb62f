"""The people of a clip whose frames come one after the other: remembered by a few readings each, so that no frame of
one passes for another frame's original, nor for somebody else of the clip, and each stays one person.

What together.py sees of a batch whose readings are all at hand is seen here without them: memory does not grow with the
frames, only with the people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..faces.notes import NOT_ONE_PERSON, Doubt, Key
from ..faces.outcomes import box_of
from ..faces.track.tracking import key_frames
from ..faces.types import Face, Faces
from .earlier import CHANGED_BEFORE, EarlierPeople
from .pairs import Pair, one_person
from .reading import Read, Reading, compare
from .settings import ReaderSettings
from .together import most_usual, near_by_dlib, note_on_person
from .verdict import SAME_PERSON, Verification, opinions, verify

if TYPE_CHECKING:
    import torch

    from ..faces.traces import Trace

KEY_FRAMES = 5  # of a person, of which the originals are remembered
_OTHERS = 32  # people a result is compared with, the nearest in time: of hundreds some look like any stranger
_MOST_EARLIER = 64  # faces that earlier steps changed, of which the originals are read
_RESULTS = 8  # of a person, evenly over those that came; so many are waited for before the first one is judged


@dataclass
class _Shown:
    """What the results of one person show, as they come.

    Args:
        sample: readings of some of them, evenly over all.
        step: between two of them.
        waiting: the first ones, which nothing is known yet to compare with.
        seen: how many came that can be measured.
        others: those that are another person.
    """

    sample: list[Reading] = field(default_factory=list)
    step: int = 1
    waiting: list[tuple[Key, Reading]] = field(default_factory=list)
    seen: int = 0
    others: list[Key] = field(default_factory=list)
    usual: Reading | None = None  # the most usual one of the sample

    def add(self, key: Key, reading: Reading, settings: ReaderSettings) -> None:
        """Judge the next result, and keep it where it is its turn."""
        if self.seen < _RESULTS:
            self.waiting.append((key, reading))
        else:
            self._judge(key, reading, settings)
        if self.seen % self.step == 0:
            self.sample.append(reading)
            self.usual = None
        self.seen += 1
        if self.seen == _RESULTS:
            self.settle(settings)
        if len(self.sample) == 2 * _RESULTS:
            self.sample, self.step = self.sample[::2], 2 * self.step

    def settle(self, settings: ReaderSettings) -> None:
        """Judge those that wait."""
        for key, reading in self.waiting:
            self._judge(key, reading, settings)
        self.waiting = []

    def _judge(self, key: Key, reading: Reading, settings: ReaderSettings) -> None:
        if not any(one.same for one in opinions(compare(self.usual_now, reading), settings)):
            self.others.append(key)

    @property
    def usual_now(self) -> Reading:
        """The most usual one of the sample, which is not empty."""
        if self.usual is None:
            self.usual = self.sample[most_usual(self.sample) or 0]
        return self.usual


class ClipPeople:
    """Whom the people of a clip must not show.

    Args:
        settings: the thresholds.
    """

    def __init__(self, settings: ReaderSettings = ReaderSettings()):
        self._settings = settings
        self._originals: dict[int, list[Reading]] = {}
        self._changed: list[Reading] = []  # by earlier steps, in whatever frame
        self._usual: dict[int, Reading] | None = None  # the most usual original of each
        self._frames: dict[int, list[int]] = {}  # of the originals of each
        self._others: dict[int | None, list[Reading]] = {}  # those that each is compared with
        self._new: dict[str, Reading] = {}  # of results that were read just now, by the digests of their crops
        self._shown: dict[int, _Shown] = {}
        self._together: set[tuple[int, int]] = set()  # of whom both leave in one frame
        self._frame: tuple[int, list[int]] = (-1, [])  # the last one, and who was seen in it

    def learn(self, face: Face, original: Reading) -> None:
        """Remember an original, where it can be measured. All are learned before the first question.

        Args:
            face: of which it is, in its frame of the clip; without a track it is nobody's.
            original: its reading.
        """
        if face.track is not None and original.measurable:
            self._originals.setdefault(face.track, []).append(_small(original))
            self._frames.setdefault(face.track, []).append(face.image_index)
            self._usual, self._others = None, {}

    def learn_changed(self, original: Reading) -> None:
        """Remember somebody whom an earlier step changed: whoever that was, no result may show them.

        Args:
            original: a reading that can be measured.
        """
        self._changed.append(_small(original))

    def against(self, face: Face, pair: Pair) -> Verification:
        """The verdict of a pair that passed also against its person in other frames, and the others of the clip.

        One recogniser is enough against the most usual original of the person; against each of its other ones, and the
        most usual ones of the 32 other people who are nearest in time, both have to say so, as there are so many.

        Args:
            face: of the pair; what is too small to be read is not compared.
            pair: the original of this frame, and its result.
        """
        if not pair.verification.passed or not pair.results or face.size < self._settings.min_size:
            return pair.verification
        usual = self._most_usual()
        own = self._originals.get(face.track, []) if face.track is not None else []
        if own and face.track is not None:
            said = (verify(usual[face.track], reading, self._settings) for reading in pair.results)
            if (found := next((one for one in said if one.verdict == SAME_PERSON), None)) is not None:
                return replace(found, reason=f"like its other frames: {found.reason}")
        if words := one_person(pair.results, own, self._settings):
            return replace(pair.verification, verdict=SAME_PERSON, reason=f"like another frame of it: {words}")
        others = self._others_of(face.track)
        near = [others[i] for i in near_by_dlib(pair.results, others, self._settings)]
        if words := one_person(pair.results, near, self._settings):
            return replace(pair.verification, verdict=SAME_PERSON, reason=f"like somebody else of the clip: {words}")
        near = [self._changed[i] for i in near_by_dlib(pair.results, self._changed, self._settings)]
        if words := one_person(pair.results, near, self._settings):
            return replace(pair.verification, verdict=SAME_PERSON, reason=f"like {CHANGED_BEFORE}: {words}")
        return pair.verification

    def saw(self, digest: str, result: Reading) -> None:
        """Remember what was read of a painted crop until `leave`.

        Args:
            digest: of the crop, as crop_digest gives it.
            result: its reading.
        """
        if result.measurable:
            self._new[digest] = _small(result)

    def leave(self, faces: Sequence[tuple[int, Face]]) -> None:
        """Compare results that leave with those of the same person before; all crops that were read are forgotten.

        Args:
            faces: number of the frame, and the face as it was painted, in the order of frames.
        """
        for frame, face in faces:
            result = self._new.get(face.painted.digest) if face.painted is not None else None
            if result is not None:
                self.see(frame, face, result)
        self._new = {}

    def see(self, frame: int, face: Face, result: Reading) -> None:
        """Compare a result that leaves with those of the same person before.

        Args:
            frame: its number, not below that of the one before.
            face: of which it is.
            result: its reading.
        """
        if face.track is None or not result.measurable or face.size < self._settings.min_size:
            return
        shown = self._shown.setdefault(face.track, _Shown())
        shown.add((frame, box_of(face)), _small(result), self._settings)
        if frame != self._frame[0]:
            self._frame = frame, []
        self._together.update((min(face.track, other), max(face.track, other)) for other in self._frame[1])
        self._frame[1].append(face.track)

    def notes(self) -> tuple[Doubt, ...]:
        """What speaks against the results, at the end: who did not stay one person, and which two became one."""
        found = []
        for track, shown in sorted(self._shown.items()):
            shown.settle(self._settings)
            if shown.others:
                what = "is another person than in the frames around"
                found.append(note_on_person(track, what, NOT_ONE_PERSON, shown.others, shown.seen))
        usual = {track: [shown.usual_now] for track, shown in self._shown.items()}
        for first, second in sorted(self._together):
            if figures := one_person(usual.get(first, []), usual.get(second, []), self._settings):
                words = f"the results of persons {first + 1} and {second + 1} are one person: {figures}"
                found.append(Doubt(words, NOT_ONE_PERSON))
        return tuple(found)

    def _others_of(self, track: int | None) -> list[Reading]:
        """The most usual originals of the people whose frames are nearest to a person's."""
        if track not in self._others:
            first, last = (of(self._frames.get(track, [0])) for of in (min, max)) if track is not None else (0, 0)
            usual = {other: reading for other, reading in self._most_usual().items() if other != track}

            def gap(other: int) -> int:
                frames = self._frames[other]
                return max(0, min(frames) - last, first - max(frames))

            self._others[track] = [usual[other] for other in sorted(usual, key=gap)[:_OTHERS]]
        return self._others[track]

    def _most_usual(self) -> dict[int, Reading]:
        if self._usual is None:
            places = {track: most_usual(readings) for track, readings in self._originals.items()}
            self._usual = {track: self._originals[track][i] for track, i in places.items() if i is not None}
        return self._usual


def key_faces(faces: Faces) -> dict[int, list[Face]]:
    """The faces by which the people of a clip are remembered, those who are kept too: number of a frame -> faces."""
    found: dict[int, list[Face]] = {}
    for some in (faces.faces, faces.kept):
        keys = key_frames(replace(faces, faces=some, kept=()), KEY_FRAMES)
        for place in chain.from_iterable(keys.values()):
            found.setdefault(some[place].image_index, []).append(some[place])
    return found


def meet(
    images: torch.Tensor,
    faces: Faces,
    read: Read,
    *,
    settings: ReaderSettings = ReaderSettings(),
    earlier: Sequence[Trace] = (),
) -> ClipPeople:
    """The people of a clip whose frames are all at hand.

    Args:
        images: float [B, H, W, C], 0..1, the originals.
        faces: of these, followed.
        read: the reader.
        settings: the thresholds.
        earlier: what the reports of earlier steps remember of these frames; of many, some all along the clip.
    """
    people = ClipPeople(settings)
    remembered = [trace for trace in earlier if trace.original is not None]
    before = EarlierPeople(remembered[:: -(-len(remembered) // _MOST_EARLIER) or 1], read, settings)
    for image in {trace.image for trace in remembered}:
        for _, reading in before.of(image):
            people.learn_changed(reading)
    for number, members in key_faces(faces).items():
        here = tuple(replace(face, image_index=0) for face in members)
        seen = read(images[number : number + 1], Faces(1, faces.height, faces.width, here))
        for face, reading in zip(members, seen, strict=True):
            people.learn(face, reading)
    return people


def _small(reading: Reading) -> Reading:
    """What of a reading two people are told apart by, in half the memory."""
    dlib, faceres = reading.dlib.astype(np.float32), reading.faceres.astype(np.float32)
    return replace(reading, dlib=dlib, faceres=faceres, landmarks=np.zeros((0, 2)))
