"""Video files in bounded memory (PyAV): frames in chunks, a file rewritten frame by frame, a copy without metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import torch

from .containers import (
    CannotHold,
    PacketCopier,
    Source,
    audio_streams,
    clean_output,
    copied_stream,
    is_end,
    left_out,
    opened,
    packets,
    start_output,
    tick,
    video_stream,
)
from .frames import FrameReader, FrameWriter, frame_rate
from .own_files import is_own, remember
from .reading import (
    TIMES_START_ANYWHERE,
    WHOLE,
    Losses,
    Window,
    first_frame,
    frame_count,
    frames,
    media,
    read_claim,
    shown_of,
    ticks,
)
from .shown import squeeze_changes, stretch
from .sound import SoundPlan, sound_bits


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds inside a window of time.

    Attributes:
        width, height: of the frames as players show them: upright, in square pixels.
        frame_count: as many as read_chunks gives.
        rate: frames a second, on average.
    """

    width: int
    height: int
    frame_count: int
    rate: Fraction = field(default=Fraction(25), compare=False)


@dataclass(frozen=True)
class Written:
    """What became of a video that was written anew.

    Attributes:
        frames: how many it has.
        expected: how many the source should have had; at least `frames`.
        problems: what of the source could not be read, in words; empty where all of it could.
        left_out: what else the source held, in words that tell nothing of it.
        unwatched: as Losses has it.
    """

    frames: int
    expected: int
    problems: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unwatched: str = ""


def probe(source: Source, window: Window = WHOLE, decode: bool = False) -> VideoInfo:
    """The size of a video's frames, and how many there are.

    Frames are counted by their packets where each is one frame, else by decoding.

    Args:
        source: path or bytes of the file.
        window: start and duration in seconds; a duration of 0 reaches to the end.
        decode: count by decoding in any case: of a damaged file some packets give no frame.

    Raises:
        ValueError: there is no picture in the window, or it has absurd pixels.
            Or it is no video.
        FileNotFoundError: it is missing.
    """
    with opened(source) as container:
        stream = video_stream(container)
        shown, rate = shown_of(source, container, stream), frame_rate(stream)
    width, height = shown.size(first_frame(source, window))
    return VideoInfo(width, height, frame_count(source, window, decode), rate)


def read_chunks(source: Source, chunk: int, window: Window = WHOLE) -> Iterator[tuple[int, torch.Tensor]]:
    """All frames of a video, a few at a time; one chunk is held in memory.

    Frames, order, rotation and colour conversion are those of ComfyUI's VideoFromFile.get_components, bit by bit.
    Beyond that they are cut, mirrored and stretched to square pixels where players do so, and what an alpha channel
    hides is black.

    Args:
        source: path or bytes of the file.
        chunk: the most frames at a time.
        window: start and duration in seconds; a duration of 0 reaches to the end.

    Yields:
        (number of the first frame, from 0 in the window; frames, float32 [n, H, W, 3], 0..1, upright).

    Raises:
        ValueError: the size of the frames changes.
    """
    with opened(source) as container:
        stream = video_stream(container)
        shown = shown_of(source, container, stream)
        reader, size = FrameReader(tick(stream), shown), None
        first, pictures = 0, []
        for frame in frames(container, stream, window):
            size = size or shown.size(frame)
            pictures.append(reader.picture(frame))
            if len(pictures) == chunk:
                yield first, stretch(torch.stack(pictures), size)
                first, pictures = first + chunk, []
        if pictures and size:
            yield first, stretch(torch.stack(pictures), size)


def read_frames(source: Source, numbers: Collection[int], window: Window = WHOLE) -> Iterator[tuple[int, torch.Tensor]]:
    """A few frames of a video, as read_chunks gives them; nothing is decoded after the last of them.

    Args:
        source: path or bytes of the file.
        numbers: which frames, from 0 in the window, in any order.
        window: start and duration in seconds; a duration of 0 reaches to the end.

    Yields:
        (number of the frame, float32 [H, W, 3], 0..1, upright), ascending. Frames after the end are left out.

    Raises:
        ValueError: the size of the frames changes.
    """
    wanted, last = set(numbers), max(numbers, default=-1)
    if last < 0:
        return
    with opened(source) as container:
        stream = video_stream(container)
        shown = shown_of(source, container, stream)
        reader = FrameReader(tick(stream), shown)
        for number, frame in enumerate(frames(container, stream, window)):
            if number in wanted:
                yield number, stretch(reader.picture(frame)[None], shown.size(frame))[0]
            else:
                reader.skip(frame)
            if number == last:
                return


def rewrite(
    source: Source,
    target: Path,
    change: Callable[[torch.Tensor, int], torch.Tensor],
    *,
    chunk: int = 8,
    window: Window = WHOLE,
    mark: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write a video anew with changed frames: pictures of H.264, in WEBM of VP9, and sound, without metadata.

    Timestamps of frames are the source's, less the window's start (broadcast files start at 0): a variable frame rate
    stays exact. Matroska and WEBM round to milliseconds. Sound is decoded and encoded anew, see sound.py, but for that
    of own_files; a window takes the packets that begin inside. What players leave out of it (cut off by an editor) is
    gone. More than 8 bits become 10. Subtitles, chapters, cover pictures, data tracks and further video tracks are left
    out: they may show or tell what was changed.

    Args:
        source: path or bytes of the file.
        target: .mp4, .mov, .mkv or .webm, written whole or not at all.
        change: (frames, float32 [n, H, W, 3], 0..1; number of the first) -> frames of the same shape. What it raises
            passes through.
        chunk: the most frames that it is given at a time.
        window: start and duration in seconds; a duration of 0 reaches to the end.
        mark: say in the file that a trained model made a part of it, by an XMP packet (.mp4, .mov) or by a tag
            DIGITAL_SOURCE_TYPE, which no standard names (.mkv, .webm).
        progress: called with (frames done, all frames) after each chunk; what it raises passes through.

    Returns:
        What was written, and what of the source was not.

    Raises:
        CannotHold: the container takes no such pictures; raised before the first frame.
        ValueError: another suffix of `target`, frames of another shape, times that no file can hold.
        OSError: as files.written_whole. All else as probe.
    """
    target = Path(target)
    first = first_frame(source, window)
    count = probe(source, window).frame_count if progress else 0
    bits = sound_bits(source)
    losses, done = Losses(), 0

    def check(part: Path) -> None:
        found = _count_frames(part)
        if found != done:
            raise ValueError(
                f"{target.name} should have {done} frames, but {found} can be read of it: the times of the source may "
                "be broken. Convert it first (ffmpeg -i SOURCE -c:v libx264 NEW.mp4)."
            )

    with opened(source) as container, clean_output(target, video_stream(container), mark, check) as output:
        stream = video_stream(container)
        shown = shown_of(source, container, stream)
        size = shown.size(first)
        reader, writer = FrameReader(tick(stream), shown), FrameWriter(output, stream, first, shown)
        plan = SoundPlan(output, audio_streams(container), target, bits, is_own(source))
        start_output(output, target)
        offset = _offset(container, [stream, *plan.streams], stream, window)
        sound = plan.start(offset * tick(stream))
        pictures: list[torch.Tensor] = []
        timings: list[tuple[int | None, int]] = []

        def write_chunk():
            nonlocal done
            stored = torch.stack(pictures)
            before = stretch(stored, size)
            pictures.clear()
            after = change(before, done)
            if after.shape != before.shape:
                raise ValueError(f"Frames of {list(before.shape)} were changed to {list(after.shape)}: keep the shape.")
            for picture, timing in zip(squeeze_changes(stored, before, after), timings, strict=True):
                writer.write(picture, *timing)
            done += len(timings)
            timings.clear()
            if progress:
                progress(done, max(done, count))

        for item in media(container, stream, tuple(sound), window, losses):
            if isinstance(item, av.Packet):
                sound[item.stream].write(item)
                continue
            pictures.append(reader.picture(item))
            timings.append((None if item.pts is None else item.pts - offset, item.duration))
            if len(pictures) == chunk:
                write_chunk()
        if pictures:
            write_chunk()
        writer.finish()
        for track in sound.values():
            track.finish()
        others = left_out(container, [stream, *sound])
        unread = sum(track.is_unread for track in sound.values())
    remember(target)
    written = _written(source, window, losses, done, others)
    if unread:
        problem = "a sound track" if unread == 1 else f"{unread} sound tracks"
        written = replace(written, problems=(*written.problems, f"{problem} that cannot be read"))
    return written


def copy_clean(
    source: Source,
    target: Path,
    mark: bool = False,
    *,
    window: Window = WHOLE,
    check: Callable[[], None] | None = None,
) -> None:
    """Save a video without any metadata.

    Packets of a file of own_files are copied, where the container takes them; in Matroska, where AAC does not begin
    before 0 as in MP4, all of it is later by that. All else is decoded and encoded anew, as
    by rewrite: packets of other files can carry texts behind their pictures and sound, and no parser finds them all.

    Args:
        source: path or bytes of the file.
        target: .mp4, .mov, .mkv or .webm, written whole or not at all.
        mark: as of rewrite.
        window: start and duration in seconds; a duration of 0 reaches to the end.
        check: called after every few frames that are encoded; what it raises passes through.

    Raises:
        ValueError, OSError: as rewrite.
    """
    target = Path(target)
    if window == WHOLE and is_own(source):
        with contextlib.suppress(CannotHold):
            return _copy(source, target, mark)

    def unchanged(frames: torch.Tensor, _first: int) -> torch.Tensor:
        if check:
            check()
        return frames

    rewrite(source, target, unchanged, window=window, mark=mark)


def _copy(source: Source, target: Path, mark: bool) -> None:
    with opened(source) as container, clean_output(target, video_stream(container), mark) as output:
        stream = video_stream(container)
        copy = copied_stream(output, stream, target)
        plan = SoundPlan(output, audio_streams(container), target, {}, own=True)
        start_output(output, target)
        writers = {stream: PacketCopier(output, stream, copy, Fraction(0)), **plan.start(Fraction(0))}
        for packet in packets(container, *writers):
            if not is_end(packet):
                writers[packet.stream].write(packet)
        for track in plan.streams:
            writers[track].finish()


def _offset(container: av.container.InputContainer, streams: list, video: av.VideoStream, window: Window) -> int:
    """The time that becomes 0, in ticks of `video`."""
    start, _ = ticks(video, window)
    if not start and container.format.flags & TIMES_START_ANYWHERE:
        starts_s = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
        return round(min(starts_s, default=Fraction(0)) / tick(video))
    return start


def _count_frames(path: Path) -> int:
    """By decoding: what another program will find in a file that was just written."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def _written(source: Source, window: Window, losses: Losses, done: int, others: tuple[str, ...]) -> Written:
    """What is to be said of a file that was read to the end of a window."""
    problems, expected = [], done
    if window == WHOLE:
        claim = read_claim(source)
        expected = max(done, claim.frames)
        if claim.is_cut:
            problems.append("the file is cut off")
        if expected > done:
            problems.append(f"{done} of {expected} frames")
    if losses.damaged:
        at = "" if losses.first_damaged_s is None else f", the first at {losses.first_damaged_s:.2f} s"
        problems.append(f"damaged at {losses.damaged} {'place' if losses.damaged == 1 else 'places'}{at}")
    if losses.late:
        others += ("a track that begins in the middle of the file",)
    return Written(done, expected, tuple(problems), others, losses.unwatched)
