"""Frames of video files to RGB pictures, as ComfyUI does it, and pictures to packets (PyAV)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction

import av
import av.container
import av.error
import av.filter
import numpy as np
import torch
from av.codec.context import Flags
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorRange, VideoReformatter

from .codec_texts import without_names
from .containers import tick, written_tick
from .shown import Orientation, Shown, orientation_of, side_data

_RGB, _BT709, _UNSPECIFIED = 0, 1, 2  # AVColorSpace
_X264 = {"crf": "18"}  # visually lossless
_VP9 = {"crf": "18", "cpu-used": "4", "row-mt": "1"}
_AV1 = {"crf": "18", "preset": "8"}
_TOP_FIRST, _BOTTOM_FIRST = (2, 4), (3, 5)  # AVFieldOrder: as coded, as displayed
_HIGHEST_RATE = 1000


def frame_rate(stream: av.VideoStream) -> Fraction:
    """Frames a second on average, as ComfyUI reads it."""
    rate = Fraction(stream.average_rate) if stream.average_rate else Fraction(1)
    return rate if 0 < rate <= _HIGHEST_RATE else Fraction(25)  # files that do not know write anything


def bit_depth(stream: av.VideoStream) -> int:
    """Bits of the deepest component."""
    return max((component.bits for component in stream.format.components), default=8) if stream.format else 8


class FrameReader:
    """Frames to RGB, bit by bit as comfy_api/latest/_input_impl/video_types.py does it, one at a time.

    Unlike there, they are cut and mirrored too where the file asks players for it, and what an alpha channel hides is
    black. Every frame of the file comes here in its order, by picture or by skip: the first one decides the colour
    format.

    Args:
        time_base: seconds a tick, of the source's stream.
        shown: how players show the frames.
    """

    def __init__(self, time_base: Fraction, shown: Shown):
        self._time_base = time_base
        self._shown = shown
        self._format = ""
        self._size: tuple[int, int] | None = None
        self._padding: tuple | None = None

    def picture(self, frame: av.VideoFrame) -> torch.Tensor:
        """The frame as float32 [H, W, 3], 0..1, upright, in pixels of the file, without alpha.

        Raises ValueError as skip, and where there are only a few pixels.
        """
        self.skip(frame)
        if self._format.startswith("gbr") and frame.width % 32:
            pixels = self._padded(frame)
        else:
            pixels = frame.to_ndarray(format=self._format)
        pixels = self._shown.upright(pixels, orientation_of(frame))
        picture = torch.from_numpy(np.ascontiguousarray(pixels))
        picture = picture if picture.is_floating_point() else picture.float() / 255.0
        return picture if picture.shape[-1] == 3 else picture[..., :3] * picture[..., 3:].clamp(0, 1)

    def skip(self, frame: av.VideoFrame) -> None:
        """Pass a frame whose picture is not needed. Raises ValueError when the size of the frames changes."""
        size = self._shown.stored_size(frame)
        if self._size is None:
            self._format, self._size = _format_of(frame), size
        if size != self._size:
            raise ValueError(
                f"The frames change from {self._size[0]}x{self._size[1]} to {size[0]}x{size[1]} pixels: cut the video "
                "there and take the parts one by one."
            )

    def _padded(self, frame: av.VideoFrame) -> np.ndarray:
        """Where the width is no multiple of 32 a plain conversion differs from run to run: pad, then cut."""
        if self._padding is None:
            right, below = -frame.width % 32, -frame.height % 32
            if right > frame.width or below > frame.height:  # as much as fillborders takes
                raise ValueError(
                    f"The frames are {frame.width}x{frame.height} pixels, too few for any face: choose a video of "
                    "16x16 pixels or more."
                )
            graph = av.filter.Graph()
            entrance = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=self._time_base
            )
            pad = graph.add("pad", f"{frame.width + right}:{frame.height + below}:0:0")
            fill = graph.add("fillborders", f"left=0:right={right}:top=0:bottom={below}:mode=smear")
            exit_ = graph.add("buffersink")
            entrance.link_to(pad)
            pad.link_to(fill)
            fill.link_to(exit_)
            graph.configure()
            self._padding = (graph, entrance, exit_)
        _, entrance, exit_ = self._padding
        entrance.push(frame)
        return exit_.pull().to_ndarray(format=self._format)[: frame.height, : frame.width]


class FrameWriter:
    """RGB pictures to packets (H.264; in WEBM VP9, or AV1 of 10 bits) that look and are timed like a source's frames.

    Frame rate, time base, size, pixel aspect, matrix, range, transfer, primaries and bit depth are the source's. 4:2:0,
    but 4:4:4 for odd sizes, which 4:2:0 cannot hold. In H.264 interlaced frames stay interlaced, and HDR keeps its
    light levels.

    Args:
        output: the container to write to.
        stream: the source's.
        first: the first frame of the source.
        shown: how players show the frames.
    """

    def __init__(
        self, output: av.container.OutputContainer, stream: av.VideoStream, first: av.VideoFrame, shown: Shown
    ):
        rate = frame_rate(stream)
        orientation = orientation_of(first)
        width, height = shown.stored_size(first)
        self._output = output
        is_h264, is_deep = output.format.name != "webm", bit_depth(stream) > 8
        self._codec = "h264" if is_h264 else ""
        self._fields = _fields_of(stream, first, orientation, shown) if is_h264 else ""
        self._field_graph: tuple | None = None
        parameters = [f"{self._fields}=1"] if self._fields else []
        parameters = ":".join([*parameters, *_light_levels(first)])
        if is_h264:
            encoder, options = "libx264", _X264 | ({"x264-params": parameters} if parameters else {})
        else:  # many a libvpx has 8 bits alone
            encoder, options = ("libsvtav1", _AV1) if is_deep else ("libvpx-vp9", _VP9)
        self._stream = output.add_stream(encoder, rate=rate, options=options)
        self._format = ("yuv444p" if width % 2 or height % 2 else "yuv420p") + ("10le" if is_deep else "")
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, self._format
        context.time_base = written_tick(stream)
        self._scale = tick(stream) / written_tick(stream)
        # With B-frames the durations in MP4 follow the order of decoding: a variable frame rate would be lost.
        context.max_b_frames = 0
        if stream.sample_aspect_ratio:
            context.sample_aspect_ratio = shown.upright_aspect(orientation)
        if self._fields:
            context.flags |= Flags.interlaced_dct
        full = first.color_range == ColorRange.JPEG or first.format.name.startswith("yuvj")
        # What the source leaves open stays open: players then guess for the copy as they do for the source.
        self._matrix = _BT709 if first.colorspace == _RGB else int(first.colorspace)
        self._range = ColorRange.JPEG if full else ColorRange.MPEG
        context.colorspace = self._matrix
        context.color_range = self._range if full else first.color_range
        context.color_primaries, context.color_trc = stream.color_primaries, stream.color_trc
        self._reformatter = VideoReformatter()
        self._usual_duration = max(1, round(1 / (rate * written_tick(stream))))
        self._last_pts: int | None = None
        self._durations: dict[int | None, int] = {}

    def write(self, picture: torch.Tensor, pts: int | None, duration: int) -> None:
        """Encode the next picture.

        Args:
            picture: float [H, W, 3], 0..1, of the upright size.
            pts: when it is shown, in ticks of the source's stream; None where that is unknown.
            duration: how long, in the same ticks; 0 where that is unknown.
        """
        levels = picture.float().mul(65535).add_(0.5).clamp_(0, 65535).cpu().numpy().astype(np.uint16)
        frame = av.VideoFrame.from_ndarray(levels, format="rgb48le")
        frame.colorspace = self._matrix
        matrix = None if self._matrix == _UNSPECIFIED else self._matrix
        frame = self._reformatter.reformat(
            frame, format=self._format, dst_colorspace=matrix, dst_color_range=self._range
        )
        frame.pts = self._increasing(None if pts is None else round(pts * self._scale))
        frame.time_base = self._stream.codec_context.time_base
        if self._fields:
            frame = self._interlaced(frame)
        self._durations[frame.pts] = round(duration * self._scale) or self._usual_duration
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds back."""
        self._mux(self._stream.encode(None))

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            new = av.Packet(without_names(self._codec, bytes(packet)))
            new.stream, new.time_base = self._stream, packet.time_base
            new.pts, new.dts, new.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
            new.duration = self._durations.pop(packet.pts, self._usual_duration)
            try:
                self._output.mux(new)
            except av.error.ArgumentError as error:
                seconds = float((packet.pts or 0) * packet.time_base)
                raise ValueError(
                    f"The times of this video jump to {seconds:.6g} s, which no file can hold: convert it first "
                    "(ffmpeg -i SOURCE -fps_mode cfr NEW.mp4)."
                ) from error

    def _interlaced(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame, said to be made of two fields."""
        if self._field_graph is None:
            graph = av.filter.Graph()
            entrance = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            mark, exit_ = graph.add("setfield", self._fields), graph.add("buffersink")
            entrance.link_to(mark)
            mark.link_to(exit_)
            graph.configure()
            self._field_graph = (graph, entrance, exit_)
        _, entrance, exit_ = self._field_graph
        entrance.push(frame)
        return exit_.pull()

    def _increasing(self, pts: int | None) -> int:
        """Broken files have frames without a time, or with one that goes backward: no container takes these."""
        if self._last_pts is None:
            self._last_pts = pts or 0
        elif pts is None:
            self._last_pts += self._usual_duration
        else:
            self._last_pts = max(pts, self._last_pts + 1)
        return self._last_pts


def _fields_of(stream: av.VideoStream, first: av.VideoFrame, orientation: Orientation, shown: Shown) -> str:
    """FFmpeg's word for which field is shown first; empty for progressive frames, and where fields became columns."""
    order = getattr(stream.codec_context, "field_order", 0)
    top, bottom = order in _TOP_FIRST, order in _BOTTOM_FIRST
    if not (top or bottom or first.interlaced_frame) or orientation.transposed:
        return ""
    if orientation.upside_down and not shown.stored_size(first)[1] % 2:
        top = not top
    if shown.crop.top % 2:
        top = not top
    return "tff" if top else "bff"


def _light_levels(first: av.VideoFrame) -> list[str]:
    """x264's words for the light levels of HDR (SMPTE ST 2086 and CTA-861.3), where a frame has them."""
    words = []
    try:
        mastering = side_data(first, Type.MASTERING_DISPLAY_METADATA)
        light = side_data(first, Type.CONTENT_LIGHT_LEVEL)
    except ValueError:  # beside something that PyAV does not know
        return []
    if mastering is not None and len(mastering) >= 88:
        numbers = struct.unpack("=22i", mastering[:88])
        if all(numbers[1:20:2]) and all(numbers[20:]):
            r, g, b, white = (
                [round(50000 * numbers[i] / numbers[i + 1]) for i in (start, start + 2)] for start in (0, 4, 8, 12)
            )
            low, high = (round(10000 * numbers[i] / numbers[i + 1]) for i in (16, 18))
            points = "".join(f"{n}({x},{y})" for n, (x, y) in zip(("G", "B", "R", "WP"), (g, b, r, white), strict=True))
            words.append(f"mastering-display={points}L({high},{low})")
    if light is not None and len(light) >= 8:
        words.append("cll={},{}".format(*struct.unpack("=2I", light[:8])))
    return words


def _format_of(frame: av.VideoFrame) -> str:
    name = frame.format.name
    alpha = name == "pal8" or any(component.is_alpha for component in frame.format.components)
    if name in ("yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "rgba", "pal8"):
        return "rgba" if alpha else "rgb24"
    return "gbrapf32le" if alpha else "gbrpf32le"
