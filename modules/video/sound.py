"""Sound tracks of a video in a new file: packets as they are where that tells nothing else, encoded anew where not."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
import av.container
import av.error
from av.codec.context import Flags

from .containers import CannotHold, PacketCopier, copied_stream, muxer_of

# A codec's own lead-in is shorter (2112 samples of AAC), what an editor cut off is longer.
_LONGEST_LEAD_IN_S = 0.1
_ENCODERS = {"webm": "libopus"}
_USUAL_ENCODER = "aac"
_BITS_A_CHANNEL = 96_000
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_MOST_CHANNELS = 8


class SoundWriter(Protocol):
    """Takes the packets of one track of the source."""

    def write(self, packet: av.Packet) -> None: ...

    def finish(self) -> None: ...


class _Copy(PacketCopier):
    def finish(self) -> None:
        """Nothing is held back."""


class _Encoded:
    """Decodes a track and encodes it; what players leave out does not come out of a decoder."""

    def __init__(self, output: av.container.OutputContainer, stream: av.AudioStream, track, offset_s: Fraction):
        self._output, self._track, self._offset_s = output, track, offset_s
        self._stream = stream
        self._resampler = av.AudioResampler(
            track.codec_context.format, track.codec_context.layout, track.codec_context.sample_rate
        )
        self._next_pts = 0
        # AVI has no times, its sound is one piece; FFmpeg counts them wrongly where a codec's packets are of one size
        self._is_one_piece = stream.container.format.name == "avi"
        self._has_begun = False

    def write(self, packet: av.Packet) -> None:
        try:
            frames = packet.decode()
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
        for part in self._resampler.resample(frame):
            if part.pts is not None and part.time_base is not None and not (self._is_one_piece and self._has_begun):
                begins = round((part.pts * part.time_base - self._offset_s) * rate)
                # tracks that repeat themselves or go backward: no encoder takes these
                self._next_pts = max(begins, self._next_pts)
            part.pts, part.time_base = self._next_pts, Fraction(1, rate)
            self._next_pts += part.samples
            self._has_begun = True
            self._output.mux(self._track.encode(part))


class SoundPlan:
    """How each sound track of a source goes into a file: the streams are made here, the writers when the file starts.

    Args:
        output: from clean_output.
        streams: sound tracks of the source.
        target: the output's path, for errors.
        hidden_s: index of a track -> seconds that players leave out.
        encode: encode what the container cannot hold.

    Raises:
        CannotHold: the container does not take a track, and `encode` is False.
    """

    def __init__(
        self,
        output: av.container.OutputContainer,
        streams: list[av.AudioStream],
        target: Path,
        hidden_s: Mapping[int, float],
        encode: bool = True,
    ):
        self._output = output
        self.streams = streams
        self._kinds = {}
        for stream in streams:
            if hidden_s.get(stream.index, 0.0) > _LONGEST_LEAD_IN_S:
                self._kinds[stream] = (_Encoded, _encoder(output, stream, target))
                continue
            try:
                self._kinds[stream] = (_Copy, copied_stream(output, stream, target))
            except CannotHold:
                if not encode:
                    raise
                self._kinds[stream] = (_Encoded, _encoder(output, stream, target))

    def start(self, offset_s: Fraction) -> dict[av.AudioStream, SoundWriter]:
        """What takes the packets of each track, from when the file has its header.

        Args:
            offset_s: seconds by which everything begins earlier.
        """
        return {stream: kind(self._output, stream, track, offset_s) for stream, (kind, track) in self._kinds.items()}


def _encoder(output: av.container.OutputContainer, stream: av.AudioStream, target: Path):
    codec = _ENCODERS.get(muxer_of(target), _USUAL_ENCODER)
    rate = 48000 if codec == "libopus" else min(_AAC_RATES, key=lambda usual: abs(usual - stream.sample_rate))
    channels = min(max(stream.channels, 1), _MOST_CHANNELS)
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, "stereo")
    track = cast(av.AudioStream, output.add_stream(codec, rate=rate, layout=layout))
    track.bit_rate = _BITS_A_CHANNEL * track.channels
    track.codec_context.flags |= Flags.bitexact  # or the encoder writes its name into the sound
    return track
