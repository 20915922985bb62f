"""The containers of video files (PyAV): how they are opened, and how clean ones are written, without metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av.container

from ..files import written_whole
from ..output.xmp import DIGITAL_SOURCE_TYPE, mp4_xmp_box, xmp_packet

Source = str | BytesIO

_MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_MADE_OF_BOXES = ("mp4", "mov")
# What FFmpeg takes a number of channels for where a file, an AVI say, does not name them.
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class CannotHold(ValueError):
    """A container cannot take a stream as it is: another container can, or the stream must be encoded anew."""


@contextlib.contextmanager
def opened(source: Source) -> Iterator[av.container.InputContainer]:
    """Open a video file, given by its path or its bytes, from the start; closed after the block."""
    if isinstance(source, BytesIO):
        source.seek(0)
    with av.open(source) as container:
        yield container


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video track, as ComfyUI takes it. Raises ValueError where there is none."""
    if not container.streams.video:
        raise ValueError("The file has no video track: choose another file.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def tick(stream: av.VideoStream) -> Fraction:
    """Seconds a tick of the stream's times. Raises ValueError where the file does not say."""
    if stream.time_base is None:
        raise ValueError("The video track does not say what its times count in: choose another file.")
    return stream.time_base


def audio_streams(container: av.container.InputContainer) -> list[av.AudioStream]:
    """The sound tracks that FFmpeg knows; others (spatial audio of phones) have no codec and cannot be copied."""
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


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
def clean_output(target: Path, video: av.VideoStream, mark: bool = False) -> Iterator[av.container.OutputContainer]:
    """A new file for streams, whole or not at all, without the name of a program and without a date.

    Args:
        target: its path; the suffix names the container.
        video: the source's stream, whose ticks the file counts in.
        mark: say in the file that a trained model made a part of it.

    Raises:
        ValueError: another suffix.
        OSError: as files.written_whole.
    """
    muxer = muxer_of(target)
    has_boxes = muxer in _MADE_OF_BOXES
    options = {"fflags": "+bitexact"}
    if has_boxes:
        # In its own ticks a track that starts late starts exactly then; the usual ones are milliseconds.
        options |= {"movflags": "+faststart", "movie_timescale": str(tick(video).denominator)}
    with written_whole(target) as part:
        with av.open(str(part), "w", format=muxer, container_options=options) as output:
            if mark and not has_boxes:
                output.metadata["DIGITAL_SOURCE_TYPE"] = DIGITAL_SOURCE_TYPE
            yield output
        if mark and has_boxes:
            with open(part, "ab") as file:
                file.write(mp4_xmp_box(xmp_packet()))


def copied_streams(output: av.container.OutputContainer, streams: Iterable, target: Path) -> dict:
    """Make a stream of the output for each of the source's, to take its packets; only the codec is copied.

    Args:
        output: from clean_output.
        streams: the source's.
        target: the output's path, for errors.

    Returns:
        Stream of the source -> stream of the output.

    Raises:
        CannotHold: the container takes no such stream.
    """
    copies = {}
    for stream in streams:
        try:
            copies[stream] = output.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            raise CannotHold(
                f"A {target.suffix} file cannot hold {stream.codec_context.name} {stream.type}: choose a name that "
                "ends in .mkv."
            ) from error
        if stream.type == "audio" and stream.layout.name == f"{stream.channels} channels":
            copies[stream].codec_context.layout = _USUAL_LAYOUTS.get(stream.channels, stream.layout)
    return copies


def start_output(output: av.container.OutputContainer, target: Path) -> None:
    """Write the header, when all streams are there. Some muxers refuse only now: raises CannotHold."""
    try:
        output.start_encoding()
    except ValueError as error:  # of FFmpeg, for an invalid argument
        codecs = ", ".join(stream.codec_context.name for stream in output.streams)
        raise CannotHold(f"A {target.suffix} file cannot hold {codecs}: choose a name that ends in .mkv.") from error


def mux_copy(output: av.container.OutputContainer, packet: av.Packet, stream, offset_s: Fraction) -> None:
    """Write a packet of the source into the output's `stream`, earlier by `offset_s` seconds."""
    offset = round(offset_s / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts - offset
    packet.dts = None if packet.dts is None else packet.dts - offset
    packet.stream = stream
    output.mux(packet)
