"""Video files in bounded memory (PyAV): frames in chunks, a file rewritten frame by frame, a copy without metadata."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.container
import av.error
import torch

from .containers import (
    CannotHold,
    Source,
    audio_streams,
    clean_output,
    copied_streams,
    is_end,
    mux_copy,
    muxer_of,
    opened,
    start_output,
    tick,
    video_stream,
)
from .frames import FrameReader, FrameWriter, upright_size

Window = tuple[float, float]  # start and duration in seconds; a duration of 0 reaches to the end
WHOLE: Window = (0.0, 0.0)

# Where every packet is one frame, frames can be counted without decoding them.
_INDEXED_FORMATS = {"mov", "matroska"}
_ONE_FRAME_A_PACKET = {"h264", "hevc", "av1", "mjpeg", "prores"}
_TIMES_START_ANYWHERE = 0x0200  # AVFMT_TS_DISCONT, of broadcast formats


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds inside a window of time.

    Attributes:
        width, height: of the upright frames, in pixels.
        frame_count: as many as read_chunks gives.
    """

    width: int
    height: int
    frame_count: int


def probe(source: Source, window: Window = WHOLE) -> VideoInfo:
    """The size of a video's frames, and how many there are.

    Frames are counted by their packets where each is one frame, else by decoding.

    Args:
        source: path or bytes of the file.
        window: start and duration in seconds; a duration of 0 reaches to the end.

    Raises:
        ValueError: there is no picture in the window.
        FileNotFoundError, av.error.InvalidDataError: the file is missing or no video.
    """
    width, height = upright_size(_first_frame(source, window))
    return VideoInfo(width, height, _frame_count(source, window))


def read_chunks(source: Source, chunk: int, window: Window = WHOLE) -> Iterator[tuple[int, torch.Tensor]]:
    """All frames of a video, a few at a time; one chunk is held in memory.

    Frames, order, rotation and colour conversion are those of ComfyUI's VideoFromFile.get_components, bit by bit; an
    alpha channel is left out.

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
        reader = FrameReader(tick(stream))
        first, pictures = 0, []
        for frame in _frames(container, stream, window):
            pictures.append(reader.picture(frame))
            if len(pictures) == chunk:
                yield first, torch.stack(pictures)
                first, pictures = first + chunk, []
        if pictures:
            yield first, torch.stack(pictures)


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
        reader = FrameReader(tick(stream))
        for number, frame in enumerate(_frames(container, stream, window)):
            if number in wanted:
                yield number, reader.picture(frame)
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
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a video anew with changed frames: H.264 pictures, the source's timestamps and audio packets, no metadata.

    Timestamps of frames and of audio packets are the source's, less the window's start (broadcast files start at 0): a
    variable frame rate stays exact. Matroska rounds to milliseconds and, where sound starts before 0 as AAC in MP4
    does, shifts everything by that. Audio packets are copied byte by byte; a window takes those that begin inside. More
    than 8 bits become 10. Subtitles, chapters, cover pictures, data tracks and further video tracks are left out: they
    may show or tell what was changed.

    Args:
        source: path or bytes of the file.
        target: .mp4, .mov or .mkv, written whole or not at all.
        change: (frames, float32 [n, H, W, 3], 0..1; number of the first) -> frames of the same shape. What it raises
            passes through.
        chunk: the most frames that it is given at a time.
        window: start and duration in seconds; a duration of 0 reaches to the end.
        progress: called with (frames done, all frames) after each chunk; what it raises passes through.

    Raises:
        ValueError: another suffix of `target`, frames of another shape.
        CannotHold: the container takes no such audio; raised before the first frame.
        OSError: as files.written_whole. All else as probe.
    """
    target = Path(target)
    if muxer_of(target) == "webm":
        raise CannotHold("WEBM files hold no H.264: choose a name that ends in .mp4 or .mkv.")
    first = _first_frame(source, window)
    frame_count = probe(source, window).frame_count if progress else 0
    with opened(source) as container, clean_output(target, video_stream(container)) as output:
        stream = video_stream(container)
        reader, writer = FrameReader(tick(stream)), FrameWriter(output, stream, first)
        audio = copied_streams(output, audio_streams(container), target)
        start_output(output, target)
        offset = _offset(container, [stream, *audio], stream, window)
        pictures: list[torch.Tensor] = []
        timings: list[tuple[int | None, int]] = []
        done = 0

        def write_chunk():
            nonlocal done
            before = torch.stack(pictures)
            pictures.clear()
            after = change(before, done)
            if after.shape != before.shape:
                raise ValueError(f"Frames of {list(before.shape)} were changed to {list(after.shape)}: keep the shape.")
            for picture, timing in zip(after, timings, strict=True):
                writer.write(picture, *timing)
            done += len(timings)
            timings.clear()
            if progress:
                progress(done, max(done, frame_count))

        for item in _media(container, stream, tuple(audio), window):
            if isinstance(item, av.Packet):
                mux_copy(output, item, audio[item.stream], offset * tick(stream))
                continue
            pictures.append(reader.picture(item))
            timings.append((None if item.pts is None else item.pts - offset, item.duration))
            if len(pictures) == chunk:
                write_chunk()
        if pictures:
            write_chunk()
        writer.finish()


def copy_clean(source: Source, target: Path, mark: bool = False) -> None:
    """Copy the first video track and all audio tracks, packet by packet, without any metadata.

    Left out: title, place, dates, names of tracks and programs, prompt and workflow, cover pictures, subtitles,
    chapters, data tracks. What stands inside the packets themselves stays.

    Args:
        source: path or bytes of the file.
        target: .mp4, .mov, .mkv or .webm, written whole or not at all.
        mark: say in the file that a trained model made a part of it, by an XMP packet (.mp4, .mov) or by a tag
            DIGITAL_SOURCE_TYPE, which no standard names (.mkv, .webm).

    Raises:
        CannotHold: the container takes no such picture or audio. All else as rewrite.
    """
    target = Path(target)
    with opened(source) as container, clean_output(target, video_stream(container), mark) as output:
        stream = video_stream(container)
        copies = copied_streams(output, [stream, *audio_streams(container)], target)
        start_output(output, target)
        for packet in container.demux(*copies):
            if not is_end(packet):
                mux_copy(output, packet, copies[packet.stream], Fraction(0))


def _ticks(stream: av.VideoStream, window: Window) -> tuple[int, int | None]:
    """Start and end of a window in ticks of the stream, rounded as ComfyUI rounds them; no end: None."""
    start_s, duration_s = window
    end = int((start_s + duration_s) / tick(stream)) if duration_s else None
    return int(start_s / tick(stream)), end


def _media(
    container: av.container.InputContainer, video: av.VideoStream, audio: tuple, window: Window
) -> Iterator[av.VideoFrame | av.Packet]:
    """Frames of `video` and packets of the `audio` streams inside the window, in the order of the file."""
    start, end = _ticks(video, window)
    start_s, end_s = start * tick(video), None if end is None else end * tick(video)
    if start:
        container.seek(start, stream=video)
    open_streams = {video, *audio}
    for packet in container.demux(video, *audio):
        if not open_streams:
            return
        if packet.stream not in open_streams:
            continue
        if packet.stream == video:
            for frame in _decoded(packet):
                if frame.pts is not None and frame.pts < start:
                    continue
                if end is not None and frame.pts is not None and frame.pts >= end:
                    open_streams.discard(video)
                    break
                yield frame
        elif not is_end(packet):
            begins = packet.dts if packet.pts is None else packet.pts
            begins_s = start_s if begins is None else begins * packet.time_base  # broken files have some without a time
            if end_s is not None and begins_s >= end_s:
                open_streams.discard(packet.stream)
            elif begins_s >= start_s or not start:
                yield packet


def _frames(container: av.container.InputContainer, video: av.VideoStream, window: Window) -> Iterator[av.VideoFrame]:
    """Frames of `video` inside the window."""
    return (item for item in _media(container, video, (), window) if isinstance(item, av.VideoFrame))


def _decoded(packet: av.Packet) -> list[av.VideoFrame]:
    """A broken packet costs its own frames, as in ComfyUI, not the rest of the file."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return []


def _first_frame(source: Source, window: Window) -> av.VideoFrame:
    with opened(source) as container:
        frame = next(_frames(container, video_stream(container), window), None)
    if frame is None:
        raise ValueError("The video has no frame in this window: choose an earlier start or another file.")
    return frame


def _frame_count(source: Source, window: Window) -> int:
    with opened(source) as container:
        count = _packet_count(container, window)
    if count is not None:
        return count
    with opened(source) as container:
        return sum(1 for _ in _frames(container, video_stream(container), window))


def _packet_count(container: av.container.InputContainer, window: Window) -> int | None:
    """The number of frames by that of their packets; None where a decoder may drop or add some."""
    stream = video_stream(container)
    if not _INDEXED_FORMATS & set(container.format.name.split(",")) or stream.name not in _ONE_FRAME_A_PACKET:
        return None
    start, end = _ticks(stream, window)
    first_pts, count = None, 0
    for packet in container.demux(stream):
        if is_end(packet):
            continue
        if packet.pts is None or packet.is_corrupt:
            return None
        if first_pts is None:
            if not packet.is_keyframe:
                return None
            first_pts = packet.pts
        if packet.pts < first_pts:  # refers to frames before the first: decoders differ
            return None
        count += not packet.is_discard and packet.pts >= start and (end is None or packet.pts < end)
    return count


def _offset(container: av.container.InputContainer, streams: list, video: av.VideoStream, window: Window) -> int:
    """The time that becomes 0, in ticks of `video`."""
    start, _ = _ticks(video, window)
    if not start and container.format.flags & _TIMES_START_ANYWHERE:
        starts_s = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
        return round(min(starts_s, default=Fraction(0)) / tick(video))
    return start
