"""What is read from a video file, in the order of the file, and what of it could not be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, cast

import av
import av.container
import av.error
import av.logging
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext

from .coded_ends import CodedEnds
from .containers import TIMES_START_ANYWHERE, Source, go_to, is_end, opened, packets, tick, video_stream
from .frame_times import TimesInTurn, of_their_own, time_of
from .numbered_pictures import CODECS, NumberedPictures
from .shown import Shown
from .structure import read_structure

Window = tuple[float, float]  # start and duration in seconds; a duration of 0 reaches to the end
WHOLE: Window = (0.0, 0.0)

# Where every packet is one frame, frames can be counted without decoding them.
_INDEXED_FORMATS = {"mov", "matroska"}
_ONE_FRAME_A_PACKET = {"h264", "hevc", "av1", "mjpeg", "prores"}
_LISTS_ALL = {"mov"}  # a list of all frames stands in the file, also of those that are missing
# FFmpeg's own decoders of these leave the alpha channel out, and so show what it hides; and they make a picture of
# whatever damage left, where these check that each part of it ends where it should
_STRICT_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass
class Losses:
    """What was read of a video so far.

    Attributes:
        frames: pictures that were read.
        damaged: packets in which FFmpeg found an error, or before which it found none: their pictures, and all that
            build on them, show something else than was filmed.
        first_damaged_s: when the first of them is shown, in seconds.
        late: whether a further track began in the middle of the file.
        unwatched: the codec, where FFmpeg's decoder tells hardly any damage of it and no stricter one could read along.
    """

    frames: int = 0
    damaged: int = 0
    first_damaged_s: float | None = None
    late: bool = False
    unwatched: str = ""

    def note_damage(self, packet: av.Packet) -> None:
        """An error was found in a packet, or before it."""
        self.damaged += 1
        if self.first_damaged_s is None and packet.pts is not None:
            self.first_damaged_s = float(packet.pts * packet.time_base)

    def note_late(self) -> None:
        """A further track began in the middle of the file."""
        self.late = True


class PictureDecoder:
    """Packets of a track to pictures; a broken packet costs its own pictures, as in ComfyUI, not the rest of the file.

    Args:
        stream: of video_stream.
        losses: counted up; None where nobody asks for them, and no second decoder has to look.
        in_the_middle: reading begins between two pictures that need no other: what comes before the first that can be
            shown is no damage.

    Raises:
        ValueError: the track has an alpha channel that this PyAV cannot read.
    """

    def __init__(self, stream: av.VideoStream, losses: Losses | None, in_the_middle: bool = False):
        self._losses = Losses() if losses is None else losses
        self._in_the_middle = in_the_middle
        self._times = TimesInTurn() if stream.container.format.name == "avi" else None
        self._context: VideoCodecContext | None = None
        self._witness: _Witness | CodedEnds | NumberedPictures | None = None
        strict = _strict_decoder(stream)
        if not has_block_alpha(stream):
            if losses is not None:
                self._witness = _Witness(strict) if strict is not None else _witness_of(stream)
                if strict is None and stream.codec_context.name in _STRICT_DECODERS:
                    losses.unwatched = stream.codec_context.name
        elif strict is None:
            raise ValueError(
                f"This {stream.codec_context.name} video has an alpha channel, which the installed PyAV cannot read: "
                "convert the video to one without alpha first."
            )
        else:
            self._context = strict

    def decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """The pictures that come out when a packet goes in; an empty packet ends the track."""
        with _log() as messages:
            failed = False
            try:
                if self._context is None:
                    frames = packet.decode()
                else:
                    frames = self._context.decode(None if is_end(packet) else packet)
            except av.error.FFmpegError as error:
                frames, failed = [], not isinstance(error, EOFError)
        if self._witness is not None:
            failed = self._witness.refuses(packet) or failed
        if self._times:
            self._times.correct(packet, frames)
        losses = self._losses
        losses.frames += len(frames)
        if self._in_the_middle and not any(frame.key_frame for frame in frames):
            return frames
        self._in_the_middle = False
        if failed or _errors(messages) or packet.is_corrupt or any(frame.is_corrupt for frame in frames):
            losses.note_damage(packet)
        return frames

    def fetched(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        """The packets, each as it is found; damage that keeps FFmpeg from finding the next is told by its log alone."""
        while True:
            with _log() as messages:
                packet = next(packets, None)
            if packet is None:
                return
            if _errors(messages) and not self._in_the_middle:
                self._losses.note_damage(packet)
            yield packet


def _errors(messages: list[tuple[int, str, str]]) -> bool:
    return any(severity <= av.logging.ERROR for severity, _, _ in messages)


@contextlib.contextmanager
def _log() -> Iterator[list[tuple[int, str, str]]]:
    """Level, codec and text of what decoders say in a block, whatever others have silenced.

    What a decoder replaces in a broken picture it tells nobody but its log. PyAV leaves out what was said last, though
    of another video.
    """
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    if level is None or level < av.logging.ERROR:
        av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


class _Witness:
    """A second decoder, of which nothing is asked but whether it can read what the first one made pictures of.

    It has no more to say after damage until the next picture that needs no other: what it refuses until then builds on
    what was damaged.

    Args:
        context: of a strict decoder.
    """

    def __init__(self, context: VideoCodecContext):
        self._context = context

    def refuses(self, packet: av.Packet) -> bool:
        """Whether a packet, or one before it that it builds on, is damaged."""
        try:
            if packet.size:  # an empty one would end the track
                self._context.decode(packet)
        except av.error.FFmpegError:
            return True
        return False


def _strict_decoder(stream: av.VideoStream) -> VideoCodecContext | None:
    """The decoder of a track that finds more than FFmpeg's own; None where there is none that can read it."""
    name, form = _STRICT_DECODERS.get(stream.codec_context.name), stream.codec_context.format
    if name is None or (form is not None and any(part.bits > 8 for part in form.components)):  # PyAV's read 8 bits
        return None
    try:
        return cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    except ValueError:  # as of a codec that this PyAV does not know
        return None


def _witness_of(stream: av.VideoStream) -> CodedEnds | NumberedPictures | None:
    """What looks for damage that FFmpeg's decoder of a track hardly tells, where no other decoder is known."""
    context = stream.codec_context
    if context.name == "hevc":
        return CodedEnds(context.extradata)
    return NumberedPictures() if context.name in CODECS else None


def has_block_alpha(stream: av.VideoStream) -> bool:
    """Whether a WEBM track has an alpha channel beside its packets."""
    return stream.metadata.get("alpha_mode") == "1" or stream.metadata.get("ALPHA_MODE") == "1"


def shown_of(source: Source, container: av.container.InputContainer, stream: av.VideoStream) -> Shown:
    """What lies between the track's stored pictures and those that players show."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    crops = read_structure(source).crops
    place = [s.index for s in container.streams.video if not s.disposition & Disposition.attached_pic].index(
        stream.index
    )
    return Shown(crops[place], aspect) if place < len(crops) else Shown(aspect=aspect)


def ticks(stream: av.VideoStream, window: Window) -> tuple[int, int | None]:
    """Start and end of a window in ticks of the stream, rounded as ComfyUI rounds them; no end: None."""
    start_s, duration_s = window
    end = int((start_s + duration_s) / tick(stream)) if duration_s else None
    return int(start_s / tick(stream)), end


def media(
    container: av.container.InputContainer,
    video: av.VideoStream,
    audio: tuple,
    window: Window,
    losses: Losses | None = None,
) -> Iterator[av.VideoFrame | av.Packet]:
    """Frames of `video` and packets of the `audio` streams inside the window, in the order of the file.

    Args:
        container: the source.
        video: of video_stream.
        audio: further streams.
        window: start and duration in seconds; a duration of 0 reaches to the end.
        losses: counted up, where given.

    Raises:
        ValueError: nothing in the file can be found by its time.
    """
    start, end = ticks(video, window)
    in_the_middle = bool(start) or bool(container.format.flags & TIMES_START_ANYWHERE)
    decoder = PictureDecoder(video, losses, in_the_middle)
    start_s, end_s = start * tick(video), None if end is None else end * tick(video)
    if start:
        go_to(container, video, start)
    open_streams = {video, *audio}
    late = None if losses is None else losses.note_late
    time: int | None = None
    for packet in of_their_own(decoder.fetched(packets(container, video, *audio, late=late)), video):
        if not open_streams:
            return
        if packet.stream not in open_streams:
            continue
        if packet.stream == video:
            for frame in decoder.decode(packet):
                if window != WHOLE:
                    frame.pts = time = time_of(frame, time)
                    if time < start:
                        continue
                if end is not None and time is not None and time >= end:
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


def frames(
    container: av.container.InputContainer, video: av.VideoStream, window: Window, losses: Losses | None = None
) -> Iterator[av.VideoFrame]:
    """Frames of `video` inside the window; as media."""
    return (item for item in media(container, video, (), window, losses) if isinstance(item, av.VideoFrame))


def first_frame(source: Source, window: Window) -> av.VideoFrame:
    """Raises ValueError where there is none."""
    with opened(source) as container:
        stream = video_stream(container)
        frame = next(frames(container, stream, window), None)
        if frame is not None:
            return frame
        if window == WHOLE:
            raise ValueError("The video has no frame that can be read: choose another file.")
        begin = (stream.start_time or 0) * tick(stream)  # of a broadcast it is when that was sent
        end = begin + Fraction(container.duration or 0, av.time_base)
        raise ValueError(
            f"The video has no frame in this window: its times go from {float(begin):.2f} to {float(end):.2f} s. "
            "Choose another start or another file."
        )


def frame_count(source: Source, window: Window, decode: bool = False) -> int:
    """How many frames there are: by their packets where each is one, else, or on request, by decoding them."""
    if not decode:
        with opened(source) as container:
            count = _packet_count(container, window)
        if count is not None:
            return count
    with opened(source) as container:
        return sum(1 for _ in frames(container, video_stream(container), window))


def _packet_count(container: av.container.InputContainer, window: Window) -> int | None:
    """The number of frames by that of their packets; None where a decoder may drop or add some."""
    stream = video_stream(container)
    if not _INDEXED_FORMATS & set(container.format.name.split(",")) or stream.name not in _ONE_FRAME_A_PACKET:
        return None
    start, end = ticks(stream, window)
    first_pts, count = None, 0
    for packet in packets(container, stream):
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


class Claim(NamedTuple):
    """What a file says of itself.

    Attributes:
        frames: how many it has; 0 where it does not say.
        is_cut: it ends before its parts do, as an unfinished download does.
    """

    frames: int
    is_cut: bool


def read_claim(source: Source) -> Claim:
    """How many frames a whole file should have. Of a cut one without a list of them, its length tells it."""
    is_cut = read_structure(source).is_cut
    with opened(source) as container:
        stream = video_stream(container)
        if _LISTS_ALL & set(container.format.name.split(",")):
            listed = sum(not entry.is_discard for entry in getattr(stream, "index_entries", ()))
        elif is_cut and stream.average_rate:
            listed = round(Fraction(container.duration or 0, av.time_base) * stream.average_rate)
        else:
            listed = 0
    return Claim(listed, is_cut)
