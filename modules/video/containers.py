"""The containers of video files (PyAV): how they are opened, and how clean ones are written, without metadata."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import av.container
import av.error
from av.stream import Disposition, Stream

from ..files import written_whole
from ..output.xmp import DIGITAL_SOURCE_TYPE, mp4_xmp_box, xmp_packet
from .codec_texts import without_names
from .priority import ordinary_priority

Source = str | BytesIO

_MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_MADE_OF_BOXES = ("mp4", "mov")
_LISTS_OF_FILES = {"concat", "hls", "dash", "imf", "sdp", "webm_dash_manifest", "applehttp"}
_FINEST_TICK = Fraction(1, 1_000_000)  # of a file that is written; finer ones overflow in MP4 and in x264
# Of pictures, which are covers where they stand beside a video.
_PICTURE_CODECS = {"mjpeg", "png", "bmp", "gif", "tiff", "webp", "jpeg2000", "jpegls", "targa"}
TIMES_START_ANYWHERE = 0x0200  # AVFMT_TS_DISCONT, of broadcast formats, which also begin anywhere
NO_WINDOW = (
    "The video is a bare stream without times, of which no window can be read: take the whole of it, or put it "
    "into an .mp4 or .mkv file first."
)
# Tell when a picture is decoded, not when it is shown: by no codec more pictures later than this.
_TIMES_OF_DECODING, _MOST_LATER = ("avi", "mxf"), 16
# Where reading goes on after a jump, the first picture gets the time of another one, and few further times are told.
_READ_FROM_THE_START = {("mpeg", "h264"), ("mpeg", "hevc")}
MOST_BEHIND = 64  # packets that a decoder holds back, and more
_KINDS = {"audio": "sound track", "subtitle": "subtitle track", "data": "data track", "attachment": "attachment"}


class CannotHold(ValueError):
    """A container cannot take a stream as it is: another container can, or the stream must be encoded anew."""


@contextlib.contextmanager
def opened(source: Source) -> Iterator[av.container.InputContainer]:
    """Open a video file, given by its path or its bytes, from the start; closed after the block.

    Raises:
        ValueError: it is no video, or cut off; or it only names other files, which would be read in its place whoever
            they belong to.
        FileNotFoundError, PermissionError: it is missing, or not to be read.
    """
    if isinstance(source, BytesIO):
        source.seek(0)
    # titles in another encoding than UTF-8 are no reason to refuse a file
    try:
        file = av.open(source, metadata_errors="replace")
    except (av.error.FileNotFoundError, av.error.PermissionError):
        raise
    # the end inside a list is EOFError, a size that damage made is MemoryError
    except (av.error.FFmpegError, EOFError, MemoryError):
        # no name: that of a folder run's file is one of ours, and stands beside
        raise ValueError(
            "The file is no video, or one whose end is missing, as after a broken copy: copy it anew, or repair it "
            "first."
        ) from None
    with file as container:
        if container.format.name.split(",")[0] in _LISTS_OF_FILES:
            raise ValueError("The file is a list of other files, not a video: choose the files themselves.")
        yield container


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The track of a file that is its video, ready to be decoded: the first, as ComfyUI takes it, that is no cover.

    It is decoded in one thread: where a file is damaged, what several of FFmpeg's threads put in place of the pictures
    differs from time to time, and the pictures that were searched for faces must be those that are written.

    Raises:
        ValueError: there is none.
    """
    shown = [stream for stream in container.streams.video if not _is_cover(stream)]
    tracks = [stream for stream in shown if stream.codec_context is not None]
    if not tracks:
        found = "only a cover picture" if container.streams.video else "no video track"
        found = "a video track whose codec is not known here" if shown else found
        raise ValueError(f"The file has {found}: choose another file, or convert it first.")
    moving = [stream for stream in tracks if _codec(stream) not in _PICTURE_CODECS]
    stream = (moving or tracks)[0]
    if not moving and len(tracks) > 1:
        stream = _longest(container, tracks)
    stream.thread_type, stream.thread_count = "NONE", 1
    return stream


def left_out(container: av.container.InputContainer, kept: Iterable) -> tuple[str, ...]:
    """What a file holds beside the tracks that are kept, in words that tell nothing of what stands in it.

    Args:
        container: the source.
        kept: its streams that the result has.
    """
    kept = {stream.index for stream in kept}
    found: dict[str, int] = {}
    for stream in container.streams:
        if stream.index not in kept:
            kind = _KINDS.get(stream.type, "track of another kind")
            if stream.type == "video":
                is_picture = _is_cover(stream) or _codec(stream) in _PICTURE_CODECS
                kind = "cover picture" if is_picture else "further video track"
            found[kind] = found.get(kind, 0) + 1
    if chapters := len(container.chapters()):
        found["chapter"] = chapters
    return tuple(kind if count == 1 else f"{count} {kind}s" for kind, count in found.items())


def _codec(stream: Stream) -> str:
    """The name of a track's codec; nothing where FFmpeg does not know it."""
    return (stream.name or "") if stream.codec_context is not None else ""


def _is_cover(stream: Stream) -> bool:
    unshown = Disposition.attached_pic | Disposition.timed_thumbnails
    return bool(stream.disposition & unshown)


def _longest(container: av.container.InputContainer, tracks: list[av.VideoStream]) -> av.VideoStream:
    """Of tracks that may be covers all, the one of most pictures."""
    count = {stream.index: 0 for stream in tracks}
    for packet in packets(container, *tracks):
        count[packet.stream.index] += bool(packet.size)
    container.seek(0)
    return max(tracks, key=lambda stream: count[stream.index])


def tick(stream: av.VideoStream) -> Fraction:
    """Seconds a tick of the stream's times. Raises ValueError where the file does not say."""
    if not stream.time_base:
        raise ValueError("The video track does not say what its times count in: choose another file.")
    return stream.time_base


def written_tick(stream: av.VideoStream) -> Fraction:
    """Seconds a tick of the stream's times in a file that is written: its own, or the finest that files can have."""
    own = tick(stream)
    return own if own.denominator <= _FINEST_TICK.denominator else _FINEST_TICK


def audio_streams(container: av.container.InputContainer) -> list[av.AudioStream]:
    """The sound tracks that FFmpeg knows; others (spatial audio of phones) have no codec and cannot be copied."""
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


def packets(
    container: av.container.InputContainer, *streams: Stream, late: Callable[[], None] | None = None
) -> Iterator[av.Packet]:
    """Packets of tracks in the order of the file, and empty ones at its end.

    Args:
        container: the source.
        streams: of it.
        late: called where a further track began in the middle of the file, of which nothing is known.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:  # of PyAV at the end of the file, where it ends a track that it has not seen begin
        yield from container.demux(*streams)
        if late is not None:
            late()


def go_to(container: av.container.InputContainer, stream: av.VideoStream, place: int) -> None:
    """Read on from a picture that needs no other, at a time or before it, or from the start of the file.

    FFmpeg finds one where the file has an index. In broadcast formats it goes to any packet, and of what is shown until
    the next such picture none could be decoded. H.264 in .mpg is read from its start.

    Args:
        container: the source.
        stream: of video_stream.
        place: the time, in ticks of the stream.

    Raises:
        ValueError: nothing in the file can be found by its time.
    """
    try:
        container.seek(place, stream=stream)
    except av.error.FFmpegError:
        raise ValueError(NO_WINDOW) from None
    step = second = round(1 / tick(stream))
    earliest = stream.start_time or 0
    if (container.format.name, stream.codec_context.name) in _READ_FROM_THE_START:
        container.seek(earliest - second, stream=stream)  # the first picture is decoded before it is shown
        return
    if container.format.flags & TIMES_START_ANYWHERE:
        earliest -= second  # the first picture is decoded some time before it is shown
    begin, asked = place, place
    if container.format.name in _TIMES_OF_DECODING:
        asked -= _MOST_LATER
    while begin > earliest and not _can_show(container, stream, asked):
        begin, step = max(begin - step, earliest), 2 * step
        container.seek(begin, stream=stream)
    container.seek(begin, stream=stream)


def _can_show(container: av.container.InputContainer, stream: av.VideoStream, place: int) -> bool:
    """Whether the first picture that comes of what is read next is shown at a time or before it.

    Pictures may need others though the file says that they need none, as where parts of pictures are refreshed in turn.
    Of broadcasts, in which reading begins anywhere, the first that needs no other has to be as early, too.
    """
    starts_anywhere, behind = bool(container.format.flags & TIMES_START_ANYWHERE), 0
    is_sure = not starts_anywhere
    for packet in packets(container, stream):
        if not is_sure and packet.is_keyframe and packet.pts is not None:
            if packet.pts > place:
                return False
            is_sure = True
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []
        if is_sure and frames:
            time = frames[0].pts
            return not starts_anywhere if time is None else time <= place
        is_late = packet.dts is not None and packet.dts > place
        behind += is_late
        if is_end(packet) or (is_late and not is_sure) or behind > MOST_BEHIND:
            return False
    return False


def is_end(packet: av.Packet) -> bool:
    """Whether this is the empty packet that PyAV gives for each stream at the end of a file."""
    return packet.pts is None and packet.dts is None and not packet.size


def muxer_of(target: Path) -> str:
    """FFmpeg's name of the container that a file's suffix stands for. Raises ValueError for another suffix."""
    muxer = _MUXERS.get(target.suffix.lower())
    if muxer is None:
        raise ValueError(f"{target.name} should end in one of {', '.join(_MUXERS)}.")
    return muxer


@contextlib.contextmanager
def clean_output(
    target: Path, video: av.VideoStream, mark: bool = False, check: Callable[[Path], None] | None = None
) -> Iterator[av.container.OutputContainer]:
    """A new file for streams, whole or not at all, without the name of a program and without a date.

    Args:
        target: its path; the suffix names the container.
        video: the source's stream, whose ticks the file counts in.
        mark: say in the file that a trained model made a part of it.
        check: called with the path of the file when all of it is written, before it gets its name; what it raises
            passes through, and no file is left.

    Raises:
        ValueError: another suffix.
        OSError: as files.written_whole.
    """
    muxer = muxer_of(target)
    has_boxes = muxer in _MADE_OF_BOXES
    options = {"fflags": "+bitexact"}
    if has_boxes:
        # In its own ticks a track that starts late starts exactly then; the usual ones are milliseconds.
        options |= {"movflags": "+faststart", "movie_timescale": str(written_tick(video).denominator)}
    with written_whole(target) as part:
        with (
            _explained(os.fspath(part)),
            av.open(str(part), "w", format=muxer, container_options=options) as output,
        ):
            if mark and not has_boxes:
                output.metadata["DIGITAL_SOURCE_TYPE"] = DIGITAL_SOURCE_TYPE
            yield output
        if mark and has_boxes:
            with open(part, "ab") as file:
                file.write(mp4_xmp_box(xmp_packet()))
        if check:
            check(Path(part))


@contextlib.contextmanager
def _explained(part: str) -> Iterator[None]:
    """Errors of FFmpeg about what it is given to write, in words; they name a hidden file that nobody knows."""
    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) or error.filename != part:
            raise
        raise ValueError(
            f"The new video cannot be written (FFmpeg: {error.strerror}): the times or the sound of the source may be "
            "broken. Convert it first (ffmpeg -i SOURCE -fps_mode cfr NEW.mp4)."
        ) from error


def copied_stream(output: av.container.OutputContainer, stream, target: Path):
    """Make a stream of the output for one of a file of own_files, to take its packets.

    Args:
        output: from clean_output.
        stream: the source's.
        target: the output's path, for errors.

    Returns:
        The stream of the output.

    Raises:
        CannotHold: the container takes no such stream.
    """
    try:
        return output.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        raise CannotHold(
            f"A {target.suffix} file cannot hold {stream.codec_context.name} {stream.type}: choose a name that "
            "ends in .mkv."
        ) from error


def start_output(output: av.container.OutputContainer, target: Path) -> None:
    """Write the header, when all streams are there. Some muxers refuse only now: raises CannotHold."""
    try:
        with ordinary_priority():  # it opens the encoders
            output.start_encoding()
    except ValueError as error:  # of FFmpeg, for an invalid argument
        codecs = ", ".join(stream.codec_context.name for stream in output.streams)
        raise CannotHold(f"A {target.suffix} file cannot hold {codecs}: choose a name that ends in .mkv.") from error


class PacketCopier:
    """Writes packets of a file of own_files into a stream of the output, without the names of encoders.

    Args:
        output: from clean_output, started.
        stream: the source's.
        copy: the output's, of copied_stream.
        offset_s: seconds by which everything begins earlier.
    """

    def __init__(self, output: av.container.OutputContainer, stream, copy, offset_s: Fraction):
        self._output, self._copy, self._offset_s = output, copy, offset_s
        self._codec = stream.codec_context.codec.canonical_name
        self._header = stream.codec_context.extradata or b""

    def write(self, packet: av.Packet) -> None:
        """Write a packet."""
        new = av.Packet(without_names(self._codec, bytes(packet), self._header))
        offset = round(self._offset_s / packet.time_base)
        new.time_base, new.duration, new.is_keyframe = packet.time_base, packet.duration, packet.is_keyframe
        new.pts = None if packet.pts is None else packet.pts - offset
        new.dts = None if packet.dts is None else packet.dts - offset
        if packet.has_sidedata("skip_samples"):  # of sound: how much of it is silence that the codec needs
            new.set_sidedata(packet.get_sidedata("skip_samples"))
        new.stream = self._copy
        self._output.mux(new)
