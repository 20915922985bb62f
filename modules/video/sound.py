"""Sound tracks of a video in a new file: decoded and encoded anew, for packets of a file can carry texts beside it.

Exact kinds stay exact. Others become AAC, or Opus in WEBM, of at least as many bits a second as they had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
import av.container
import av.error
from av.codec.context import Flags

from .containers import PacketCopier, Source, copied_stream, is_end, muxer_of, opened, packets

_BITS_A_CHANNEL = 128_000  # a second, at least
_MOST_OPUS_BITS = 256_000  # a channel
_COUNTED_PACKETS = 3000  # where a file does not say how many bits a second of sound has
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_OPUS_RATE = 48000
_PCM = {"u8": "pcm_s16le", "s16": "pcm_s16le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
_MOST_CHANNELS = 8
_MPEG_HEADERS = {"mp3": re.compile(b"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "mp2": re.compile(b"\xff[\xf4\xf5\xfc\xfd]")}
# The speakers that an encoder has for a number of channels, where it does not take those of the source.
_AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "7.1", 8: "7.1"}
_LAYOUTS = _AAC_LAYOUTS | {4: "quad", 7: "6.1"}


class SoundWriter(Protocol):
    """Takes the packets of one track of the source.

    Attributes:
        is_unread: nothing could be heard in what it was given.
    """

    is_unread: bool

    def write(self, packet: av.Packet) -> None: ...

    def finish(self) -> None: ...


class _Copy(PacketCopier):
    is_unread = False

    def finish(self) -> None:
        """Nothing is held back."""


class _Encoded:
    """Decodes a track and encodes it; what players leave out does not come out of a decoder."""

    def __init__(self, output: av.container.OutputContainer, stream: av.AudioStream, track, offset_s: Fraction):
        self._output, self._track, self._offset_s = output, track, offset_s
        self._stream = stream
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple | None = None
        self._next_pts = 0
        # AVI has no times, its sound is one piece; FFmpeg counts them wrongly where a codec's packets are of one size
        self._is_one_piece = stream.container.format.name == "avi"
        self._has_begun = False
        self.is_unread = False

    def write(self, packet: av.Packet) -> None:
        self.is_unread = not self._has_begun
        try:
            frames = self._stream.codec_context.decode(_from_header(packet))
        except av.error.FFmpegError:  # a broken packet is silence, as in players
            if self._is_one_piece:
                self._next_pts += round(
                    (packet.duration or 0) * packet.time_base * self._track.codec_context.sample_rate
                )
            return
        for frame in frames:
            self._encode(frame)

    def finish(self) -> None:
        try:
            rest = self._stream.codec_context.decode(None)
        except av.error.FFmpegError:
            rest = []
        for frame in rest:
            self._encode(frame)
        self._encode(None)
        self._output.mux(self._track.encode(None))

    def _encode(self, frame: av.AudioFrame | None) -> None:
        rate = self._track.codec_context.sample_rate
        for part in self._resampled(frame):
            if part.pts is not None and part.time_base is not None and not (self._is_one_piece and self._has_begun):
                begins = round((part.pts * part.time_base - self._offset_s) * rate)
                # a little before the pictures is where it belongs, farther is a broken time; and no encoder takes
                # tracks that repeat themselves or go backward
                self._next_pts = max(begins, self._next_pts if self._has_begun else -rate)
            part.pts, part.time_base = self._next_pts, Fraction(1, rate)
            self._next_pts += part.samples
            self._has_begun, self.is_unread = True, False
            self._output.mux(self._track.encode(part))

    def _resampled(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        """As the encoder wants it; broadcasts go over to other channels in the middle."""
        kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        parts = []
        if self._resampler is not None and kind != self._kind:
            parts = self._resampler.resample(None)
            self._resampler = None
        if frame is not None:
            if self._resampler is None:
                context = self._track.codec_context
                self._resampler = av.AudioResampler(context.format, context.layout, context.sample_rate)
                self._kind = kind
            parts += self._resampler.resample(frame)
        return parts


class SoundPlan:
    """How each sound track of a source goes into a file: the streams are made here, the writers when the file starts.

    Args:
        output: from clean_output.
        streams: sound tracks of the source.
        target: the output's path, whose suffix names the container.
        bits: index of a track -> bits a second, of sound_bits.
        own: the source is a file of own_files, whose packets are copied where the codec stays.
    """

    def __init__(
        self,
        output: av.container.OutputContainer,
        streams: list[av.AudioStream],
        target: Path,
        bits: Mapping[int, int],
        own: bool,
    ):
        self._output = output
        self.streams = streams
        self._kinds = {}
        for stream in streams:
            codec = _codec_for(stream, muxer_of(target))
            if own and av.Codec(codec, "w").canonical_name == stream.codec_context.codec.canonical_name:
                self._kinds[stream] = (_Copy, copied_stream(output, stream, target))
            else:
                self._kinds[stream] = (_Encoded, _encoder(output, stream, codec, bits.get(stream.index, 0)))

    def start(self, offset_s: Fraction) -> dict[av.AudioStream, SoundWriter]:
        """What takes the packets of each track, from when the file has its header.

        Args:
            offset_s: seconds by which everything begins earlier.
        """
        return {stream: kind(self._output, stream, track, offset_s) for stream, (kind, track) in self._kinds.items()}


def _from_header(packet: av.Packet) -> av.Packet:
    """A packet of MP3 or MP2 from where its frame begins.

    Careless programs write tags of ID3 before it, and what stands behind a frame FFmpeg gives with the next one; its
    decoder takes both for damage.
    """
    header = _MPEG_HEADERS.get(packet.stream.codec_context.codec.canonical_name)
    found = header.search(bytes(packet)) if header else None
    if not found or not found.start():
        return packet
    rest = av.Packet(bytes(packet)[found.start() :])
    rest.stream, rest.time_base = packet.stream, packet.time_base
    rest.pts, rest.dts, rest.duration = packet.pts, packet.dts, packet.duration
    if packet.has_sidedata("skip_samples"):
        rest.set_sidedata(packet.get_sidedata("skip_samples"))
    return rest


def sound_bits(source: Source) -> dict[int, int]:
    """Bits a second of every sound track, by its index: as the file says, else of its first minute."""
    with opened(source) as container:
        streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
        bits = {stream.index: stream.bit_rate or stream.codec_context.bit_rate or 0 for stream in streams}
        silent = [stream for stream in streams if not bits[stream.index]]
        sizes, seconds = dict.fromkeys(bits, 0), dict.fromkeys(bits, Fraction(0))
        for number, packet in enumerate(packets(container, *silent) if silent else ()):
            if number == _COUNTED_PACKETS * len(silent):
                break
            if not is_end(packet) and packet.duration:
                sizes[packet.stream.index] += 8 * packet.size
                seconds[packet.stream.index] += packet.duration * packet.time_base
    return {index: bits[index] or round(sizes[index] / (seconds[index] or 1)) for index in bits}


def _codec_for(stream: av.AudioStream, muxer: str) -> str:
    """The encoder of a track: one without loss for samples that had none, where the container has it."""
    if muxer == "webm":
        return "libopus"
    context = stream.codec_context
    codec, packed = context.codec, (context.format.name if context.format else "").removesuffix("p")
    samples = _PCM.get(packed, "pcm_s24le" if "24" in codec.canonical_name else "pcm_s32le")
    if codec.canonical_name.startswith("pcm_"):
        return samples
    if codec.canonical_name == "alac":
        return "alac"
    if codec.lossless and not codec.lossy and packed in ("u8", "s16", "s32") and stream.channels <= _MOST_CHANNELS:
        return samples if muxer == "mov" else "flac"
    return "aac"


def _encoder(output: av.container.OutputContainer, stream: av.AudioStream, codec: str, bits: int):
    channels, own_layout = min(max(stream.channels, 1), _MOST_CHANNELS), stream.layout.name
    layout, rate = _LAYOUTS[channels], stream.sample_rate or _OPUS_RATE
    if codec == "aac":
        layout = "5.0" if own_layout == "quad" else _AAC_LAYOUTS[channels]
        rate = min(_AAC_RATES, key=lambda usual: abs(usual - rate))
    elif codec == "libopus":
        rate = _OPUS_RATE
    elif own_layout != f"{stream.channels} channels":
        layout = own_layout
    track = cast(av.AudioStream, output.add_stream(codec, rate=rate, layout=layout))
    context = track.codec_context
    if codec in ("aac", "libopus"):
        bits = max(_BITS_A_CHANNEL * track.channels, bits)
        track.bit_rate = min(bits, _MOST_OPUS_BITS * track.channels) if codec == "libopus" else bits
    elif codec in ("flac", "alac"):
        exact = "s16" if stream.format.name.removesuffix("p") in ("u8", "s16") else "s32"
        context.format = exact + ("p" if codec == "alac" else "")
    context.flags |= Flags.bitexact  # or the encoder writes its name into the sound
    return track
