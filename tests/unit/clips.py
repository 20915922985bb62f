"""Clips with known frames, times and sound, made by PyAV, and what a clip holds."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SECRET = "IMG_8841_Karin"  # stands in every text that a source carries
NTSC = Fraction(30000, 1001)


def picture(number: int, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]: smooth waves that move from frame to frame."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin((x + 3 * number) / 20), np.sin(y / 15), np.cos((x + y + number) / 25)], -1)
    return (128 + 90 * waves).astype(np.uint8)


_made: dict[tuple, bytes] = {}


def make_clip(path: Path, *how, **options) -> str:
    """A clip as `_write_clip` writes it, encoded once in a process for each suffix and each set of options."""
    made = (path.suffix, repr((how, options)))
    if made not in _made:
        _write_clip(path, *how, **options)
        _made[made] = path.read_bytes()
    path.write_bytes(_made[made])
    return str(path)


def _write_clip(
    path: Path,
    frames: int = 23,
    size: tuple[int, int] = (160, 96),
    rate: Fraction = NTSC,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: tuple[str, ...] = ("aac",),
    times: list[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    aspect: Fraction = Fraction(1),
    colours: tuple[int, int, int, int] | None = None,
    options: dict | None = None,
) -> None:
    """A clip with metadata that tell SECRET. times: of the frames, in ticks of time_base; each lasts to the next.

    colours: AVColorSpace, AVColorRange, AVColorPrimaries and AVColorTransferCharacteristic.
    """
    times, time_base = (list(range(frames)), 1 / rate) if times is None else (times, time_base)
    with av.open(str(path), "w") as output:
        for key in ("title", "comment", "artist", "location"):
            output.metadata[key] = SECRET
        video = output.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pixels
        video.codec_context.time_base = time_base
        video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        if colours:
            context = video.codec_context
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = colours
        tracks = [output.add_stream(name, rate=48000, layout="stereo") for name in sound]
        for stream in (video, *tracks):
            stream.metadata["title"] = SECRET
        lasting = dict(zip(times, np.diff([*times, times[-1] + 1]).tolist(), strict=True))
        for number, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            kwargs = {"dst_colorspace": colours[0], "dst_color_range": colours[1]} if colours else {}
            frame = frame.reformat(format=pixels, **kwargs)
            frame.pts, frame.time_base = pts, time_base
            for packet in video.encode(frame):
                packet.duration = lasting.get(packet.pts, 1)
                output.mux(packet)
        for packet in video.encode(None):
            packet.duration = lasting.get(packet.pts, 1)
            output.mux(packet)
        for pitch, track in enumerate(tracks, 1):
            _add_sound(output, track, float((times[-1] + 1) * time_base), pitch)


def _add_sound(output, track, seconds: float, pitch: int) -> None:
    for start in range(0, int(seconds * 48000), 1024):
        wave = 0.3 * np.sin(np.arange(start, start + 1024) * pitch / 30)
        if track.codec_context.format.name == "s16":
            samples, kind = (np.repeat(wave, 2)[None] * 32767).astype(np.int16), "s16"
        else:
            samples, kind = np.stack([wave, wave]).astype(np.float32), "fltp"
        frame = av.AudioFrame.from_ndarray(samples, format=kind, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        output.mux(track.encode(frame))
    output.mux(track.encode(None))


@dataclass
class Clip:
    """What a file holds; times in seconds, exactly."""

    times: list[Fraction]
    durations: list[Fraction]
    rotations: set[int]
    pixels: str
    colours: tuple
    aspect: Fraction | None
    duration: int | None
    sound: list[list[tuple[Fraction, bytes]]]
    streams: list[str]
    texts: str


def read_clip(path: str | Path) -> Clip:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = [
            (frame.pts * frame.time_base, frame.duration * frame.time_base, frame.rotation)
            for frame in container.decode(video)
        ]
        texts = [dict(container.metadata), *(dict(stream.metadata) for stream in container.streams)]
        colours = (video.colorspace, video.color_range, video.color_primaries, video.color_trc)
        tracks = range(len(container.streams.audio))
        held = Clip(
            [time for time, _, _ in frames],
            [duration for _, duration, _ in frames],
            {rotation for _, _, rotation in frames},
            video.pix_fmt,
            tuple(map(int, colours)),
            video.sample_aspect_ratio,
            container.duration,
            [],
            [stream.type for stream in container.streams],
            str(texts),
        )
    for track in tracks:
        with av.open(str(path)) as container:
            packets = container.demux(audio=track)
            held.sound.append([(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.size])
    return held
