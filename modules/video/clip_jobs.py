"""Whole video files, a few frames in memory at a time, whoever runs the networks. Pure: no ComfyUI here.

What the single nodes do with a clip as one image batch is done here by chunks: two passes, one to find and follow the
faces, one to change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from ..attempts.recognising import crop_recogniser
from ..attempts.studio import Proof
from ..faces.alignment import check_faces, crop_faces
from ..faces.detect.clip_search import ClipSearch
from ..faces.marks import know
from ..faces.outcomes import ANONYMIZED, FOUND, KEPT_BY_USER, REDACTED
from ..faces.paste.cover_and_look import cover_and_look
from ..faces.paste.look import Find, Look
from ..faces.paste.paste_or_redact import replace_faces
from ..faces.report import Report, join_reports, report_faces
from ..faces.report_checks import refuse_originals
from ..faces.settings import DetectSettings, PasteSettings, RedactSettings, TrackSettings
from ..faces.traces import by_image, made_faces, open_faces
from ..faces.track.following import follow_faces
from ..faces.types import Faces
from ..model.engine import Engine
from ..model.settings import PaintSettings
from ..recognition.clip_people import ClipPeople, key_faces
from ..recognition.pairs import Read, identity_judge
from ..recognition.verifying_film import verify_film
from .containers import Source
from .files import Window, probe, read_chunks, read_frames, rewrite
from .people import PeoplePainter

FRAMES_AT_ONCE = 8
_OF_EACH_AT_ONCE = 4  # of two films that are compared
_SHOWN = (ANONYMIZED, KEPT_BY_USER)  # what was painted is to be seen
_LOOK_EVERY = 24  # frames between two in which the detector looks at the result


class Clip(NamedTuple):
    """A video.

    Attributes:
        source: path or bytes of the file.
        window: start and duration in seconds; a duration of 0 reaches to the end.
        earlier: the report of the step that it came of.
    """

    source: Source
    window: Window
    earlier: Report | None = None


@dataclass(frozen=True)
class Machine:
    """What runs the networks that look at frames.

    Args:
        search: of settings and frames a second, gives the search for a clip's faces while a block runs.
        looker: gives what Look.find wants.
        reader: gives what reads faces, for the recognisers.
        check_interrupted: raises where the user has interrupted.
    """

    search: Callable[[DetectSettings, float], AbstractContextManager[ClipSearch]]
    looker: Callable[[], Find]
    reader: Callable[[], Read]
    check_interrupted: Callable[[], None]


@dataclass(frozen=True)
class ClipJobs:
    """What is done to whole videos.

    Args:
        machine: that looks at their frames.
    """

    machine: Machine

    def track(
        self,
        clip: Clip,
        detecting: DetectSettings,
        tracking: TrackSettings,
        progress: Callable[[float, int], None],
        *,
        tell: Callable[[str], None] | None = None,
        watch: Callable[[int, torch.Tensor, int], None] | None = None,
    ) -> Faces:
        """Find all faces of all frames, and follow them over the clip.

        Args:
            clip: what to search.
            detecting: what counts as a face.
            tracking: how faces are followed.
            progress: called with (frames done, all frames) after each frame and, when thorough, with shares of a frame
                between; what it raises passes through.
            tell: called at the end with how many frames were looked at in which way, in words.
            watch: called with (number of the first frame, a few frames, all frames) as they are read.

        Returns:
            The faces as tracks; see track_faces.
        """
        info = probe(clip.source, clip.window)
        count = info.frame_count
        progress(0, count)
        read = 0

        def parts(search: ClipSearch) -> Iterator[tuple[torch.Tensor, Faces]]:
            nonlocal read
            for first, frames in read_chunks(clip.source, FRAMES_AT_ONCE, clip.window):
                advance = partial(_advance, progress, first, count)
                read = first + len(frames)
                if watch is not None:
                    watch(first, frames, count)
                yield frames, know(frames, search.search(frames, advance), FRAMES_AT_ONCE)

        with self.machine.search(detecting, float(info.rate)) as search:
            faces = follow_faces(parts(search), count, tracking)
        if tell is not None:
            tell(search.told())
        # of a damaged file fewer frames can be read than it lists
        return faces if read == count else faces.window(0, read)

    def anonymize(
        self,
        clip: Clip,
        target: Path,
        faces: Faces,
        model: Engine,
        *,
        painting: PaintSettings,
        pasting: PasteSettings,
        identity: str,
        proof: Proof | None = None,
    ) -> tuple[Path, Report]:
        """Write a video with every face painted anew; sound and times of frames stay.

        Progress, previews and interrupt are those of a sampler.

        Args:
            clip: the video.
            target: the new file, an .mp4.
            faces: those to be changed, of this clip.
            model: the engine that paints.
            painting: degree, seed, sampler.
            pasting: how the painted crops are put back.
            identity: one of faces.settings.IDENTITIES.
            proof: what recognisers ask of every painted face; None: nobody looks.

        Returns:
            The file, and the report of all steps.

        Raises:
            ValueError: faces or report of another video, or as PeoplePainter. All else as files.rewrite.
        """
        _check_faces(clip, faces)
        size = model.resolution
        in_chunk = Counter(face.image_index // FRAMES_AT_ONCE for face in faces)
        people = None if proof is None else self._meet(clip, faces)
        if proof is not None and people is not None:  # who else is in the clip is known here alone
            proof = replace(proof, recognise=crop_recogniser(self.machine.reader(), people=people))
        painter = PeoplePainter(
            model,
            painting,
            identity,
            faces,
            crops_at=lambda places: self._crops_at(clip, faces, places, size),
            batches=list(in_chunk.values()),
            proof=proof,
        )

        # a crop is larger than its face in the frame, and more of it may be told there
        judges = () if people is None else (identity_judge(self.machine.reader(), against=people.against),)
        # each crop is painted from its own: none can be at another one's place
        look = Look(seed=painting.seed, degree=painting.degree, every=_LOOK_EVERY, swap=True, judges=judges)
        find = self.machine.looker()

        def change(frames: torch.Tensor, part: Faces, first: int) -> tuple[torch.Tensor, Report]:
            crops, part = crop_faces(frames, part, size)
            painted, part = painter.paint(crops, part)
            changed, _, report = replace_faces(
                frames, painted, part, pasting, look=replace(look, find=find, first=first)
            )
            if people is not None:
                told = zip(part, report.actions_of(part), strict=True)
                shown = (face for face, action in told if action in _SHOWN)
                people.leave([(first + face.image_index, face) for face in shown])
            return changed, report

        path, report = self._rewrite(clip, target, faces, change)
        return path, report if people is None else report.noting(*people.notes())

    def _meet(self, clip: Clip, faces: Faces) -> ClipPeople:
        """The people of a clip, those who are kept too, as some frames of each show them."""
        people, read = ClipPeople(), self.machine.reader()
        keys = key_faces(faces)
        for number, frame in read_frames(clip.source, keys, clip.window):
            self.machine.check_interrupted()
            here = tuple(replace(face, image_index=0) for face in keys[number])
            seen = read(frame[None], Faces(1, faces.height, faces.width, here))
            for face, reading in zip(keys[number], seen, strict=True):
                people.learn(face, reading)
        return people

    def verify(self, before: Clip, after: Clip, faces: Faces, progress: Callable[[int, int], None]) -> Report:
        """What recognisers say of each face of a clip and what became of it, a few frames of both in memory at a time.

        Args:
            before: the original.
            after: what became of it, frame by frame.
            faces: of the original, followed.
            progress: called with (frames done, all frames); what it raises passes through.

        Returns:
            The report, in which every face stands as it was found.

        Raises:
            ValueError: the clips differ in size or number of frames, or faces of another one. All else as files.probe.
        """
        _check_faces(before, faces)
        _check_alike(before, after)

        def chunks() -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
            clips = (read_chunks(clip.source, _OF_EACH_AT_ONCE, clip.window) for clip in (before, after))
            for (first, frames), (_, results) in zip(*clips, strict=True):
                self.machine.check_interrupted()
                check_faces(frames, faces.window(first, first + len(frames)), first)
                if len(frames) != len(results):
                    raise ValueError("One video ended before the other: it was changed meanwhile, or is damaged.")
                yield first, frames, results
                progress(first + len(frames), faces.image_count)

        people = self._meet(before, faces)
        verified = verify_film(chunks(), faces, people, self.machine.reader())
        found = [None if one is None else one.to_dict() for one in verified.verifications]
        return report_faces(faces, FOUND).verified(faces, found, verified.with_covers())

    def redact(
        self,
        clip: Clip,
        target: Path,
        faces: Faces,
        redaction: RedactSettings,
        progress: Callable[[int, int], None],
    ) -> tuple[Path, Report]:
        """Write a video with every face covered; sound and times of frames stay.

        Args:
            clip: the video.
            target: the new file, an .mp4.
            faces: those to be covered, of this clip.
            redaction: how they are covered.
            progress: called with (frames done, all frames); what it raises passes through.

        Returns:
            As anonymize_video.

        Raises:
            ValueError: faces or report of another video, or as redact_faces. All else as files.rewrite.
        """
        _check_faces(clip, faces)

        look, find = Look(REDACTED, every=_LOOK_EVERY), self.machine.looker()

        def change(frames: torch.Tensor, part: Faces, first: int) -> tuple[torch.Tensor, Report]:
            covered, _, report = cover_and_look(
                frames, part, redaction, look=replace(look, find=find, first=first), earlier=clip.earlier
            )
            return covered, report

        return self._rewrite(clip, target, faces, change, progress)

    def _rewrite(
        self,
        clip: Clip,
        target: Path,
        faces: Faces,
        change: Callable[[torch.Tensor, Faces, int], tuple[torch.Tensor, Report]],
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Path, Report]:
        earlier = clip.earlier
        report_faces(faces, FOUND).after(earlier)  # raises for a report of another video
        traces = by_image(earlier.traces) if earlier is not None else {}
        were_open, are_open, were_made = set(), set(), set()
        parts: list[Report] = []

        def change_chunk(frames: torch.Tensor, first: int) -> torch.Tensor:
            self.machine.check_interrupted()
            part = faces.window(first, first + len(frames))
            check_faces(frames, part, first)  # also where none is: another video is known by its first frames
            report = report_faces(part, FOUND)
            before = open_faces(frames, traces, first)
            were_made.update(made_faces(frames, traces, first))
            if len(part):
                frames, report = change(frames, replace(part, fingerprint=None), first)  # it was looked at already
                report = replace(report, fingerprint=part.fingerprint)
            report = report.shifted(first, faces.image_count)
            after = open_faces(frames, traces, first)
            refuse_originals((before & after) - report.changed)  # now, not after hours
            were_open.update(before)
            are_open.update(after)
            parts.append(report)
            return frames

        written = rewrite(
            clip.source, target, change_chunk, chunk=FRAMES_AT_ONCE, window=clip.window, progress=progress
        )
        if written.frames != faces.image_count:
            target.unlink()
            raise ValueError(
                f"The faces belong to {faces.image_count} frames, but {written.frames} could be read this time: the "
                "video was changed meanwhile, or is damaged. Find the faces again."
            )
        report = join_reports(parts, faces.image_count, faces.height, faces.width)
        notes = (f"left out: {', '.join(written.left_out)}",) if written.left_out else ()
        if written.unwatched:
            notes += (
                f"whether this {written.unwatched} video is damaged was not looked at: no strict decoder reads it",
            )
        report = replace(report, incomplete="; ".join(written.problems), notes=(*report.notes, *notes))
        return target, report.after(earlier, were_open, are_open, were_made)

    def _crops_at(self, clip: Clip, faces: Faces, places: list[int], size: int) -> torch.Tensor:
        """Crops of the faces at these places of `faces`, in the order of `places`."""
        wanted: dict[int, list[int]] = {}
        for place in places:
            wanted.setdefault(faces.faces[place].image_index, []).append(place)
        crops: dict[int, torch.Tensor] = {}
        for number, frame in read_frames(clip.source, wanted, clip.window):
            self.machine.check_interrupted()
            for place in wanted[number]:
                alone = Faces(faces.image_count, faces.height, faces.width, (faces.faces[place],))
                crops[place] = crop_faces(frame[None], alone.window(number, number + 1), size)[0]
        return torch.cat([crops[place] for place in places])


def _advance(progress: Callable[[float, int], None], first: int, count: int, done: float) -> None:
    progress(first + done, count)


def _check_alike(before: Clip, after: Clip) -> None:
    infos = [probe(clip.source, clip.window) for clip in (before, after)]
    if infos[0] != infos[1]:  # of a damaged file not every packet gives a frame
        infos = [probe(clip.source, clip.window, decode=True) for clip in (before, after)]
    if infos[0] != infos[1]:
        sizes = [f"{info.frame_count} frames of {info.width}x{info.height} pixels" for info in infos]
        raise ValueError(
            f"The original has {sizes[0]}, the result {sizes[1]}: name a video and what became of it, frame by frame, "
            "neither scaled nor cut."
        )


def _check_faces(clip: Clip, faces: Faces) -> None:
    info = probe(clip.source, clip.window)
    if faces.image_count != info.frame_count:  # of a damaged file not every packet gives a frame
        info = probe(clip.source, clip.window, decode=True)
    if (faces.image_count, faces.height, faces.width) != (info.frame_count, info.height, info.width):
        raise ValueError(
            f"The faces belong to {faces.image_count} frames of {faces.width}x{faces.height} pixels, but the video has "
            f"{info.frame_count} of {info.width}x{info.height}: connect the video they were found in."
        )
