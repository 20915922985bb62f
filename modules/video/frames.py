"""Frames of video files to RGB pictures, as ComfyUI does it, and pictures to H.264 packets (PyAV)."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av.container
import av.filter
import numpy as np
import torch
from av.video.reformatter import ColorRange, VideoReformatter

from .containers import tick

_RGB, _BT709, _UNSPECIFIED = 0, 1, 2  # AVColorSpace
_CRF = "18"  # of x264: visually lossless


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height in pixels of a frame after its rotation."""
    return (frame.height, frame.width) if _quarter_turns(frame) % 2 else (frame.width, frame.height)


def frame_rate(stream: av.VideoStream) -> Fraction:
    """Frames a second on average, as ComfyUI reads it."""
    return Fraction(stream.average_rate) if stream.average_rate else Fraction(1)


def bit_depth(stream: av.VideoStream) -> int:
    """Bits of the deepest component."""
    return max((component.bits for component in stream.format.components), default=8) if stream.format else 8


class FrameReader:
    """Frames to RGB, bit by bit as comfy_api/latest/_input_impl/video_types.py does it, one at a time.

    Every frame of the file comes here in its order, by picture or by skip: the first one decides the colour format.

    Args:
        time_base: seconds a tick, of the source's stream.
    """

    def __init__(self, time_base: Fraction):
        self._time_base = time_base
        self._format = ""
        self._size: tuple[int, int] | None = None
        self._padding: tuple | None = None

    def picture(self, frame: av.VideoFrame) -> torch.Tensor:
        """The frame as float32 [H, W, 3], 0..1, upright, without alpha. Raises as skip."""
        self.skip(frame)
        if self._format.startswith("gbr") and frame.width % 32:
            pixels = self._padded(frame)
        else:
            pixels = frame.to_ndarray(format=self._format)
        pixels = np.rot90(pixels, k=_quarter_turns(frame), axes=(0, 1))
        picture = torch.from_numpy(np.ascontiguousarray(pixels[..., :3]))
        return picture if picture.is_floating_point() else picture.float() / 255.0

    def skip(self, frame: av.VideoFrame) -> None:
        """Pass a frame whose picture is not needed. Raises ValueError when the size of the frames changes."""
        size = (frame.width, frame.height)
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
    """RGB pictures to H.264 packets that look and are timed like the frames of a source.

    Frame rate, time base, size, pixel aspect, matrix, range, transfer, primaries and bit depth are the source's. 4:2:0,
    but 4:4:4 for odd sizes, which 4:2:0 cannot hold.

    Args:
        output: the container to write to.
        stream: the source's.
        first: the first frame of the source.
    """

    def __init__(self, output: av.container.OutputContainer, stream: av.VideoStream, first: av.VideoFrame):
        rate = frame_rate(stream)
        width, height = upright_size(first)
        self._output = output
        self._stream = output.add_stream("libx264", rate=rate, options={"crf": _CRF})
        self._format = ("yuv444p" if width % 2 or height % 2 else "yuv420p") + ("10le" if bit_depth(stream) > 8 else "")
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, self._format
        context.time_base = tick(stream)
        # With B-frames the durations in MP4 follow the order of decoding: a variable frame rate would be lost.
        context.max_b_frames = 0
        if aspect := stream.sample_aspect_ratio:
            context.sample_aspect_ratio = 1 / aspect if _quarter_turns(first) % 2 else aspect
        full = first.color_range == ColorRange.JPEG or first.format.name.startswith("yuvj")
        # What the source leaves open stays open: players then guess for the copy as they do for the source.
        self._matrix = _BT709 if first.colorspace == _RGB else int(first.colorspace)
        self._range = ColorRange.JPEG if full else ColorRange.MPEG
        context.colorspace = self._matrix
        context.color_range = self._range if full else first.color_range
        context.color_primaries, context.color_trc = stream.color_primaries, stream.color_trc
        self._reformatter = VideoReformatter()
        self._usual_duration = max(1, round(1 / (rate * tick(stream))))
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
        frame.pts = self._increasing(pts)
        frame.time_base = self._stream.codec_context.time_base
        self._durations[frame.pts] = duration or self._usual_duration
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds back."""
        self._mux(self._stream.encode(None))

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, self._usual_duration)
            self._output.mux(packet)

    def _increasing(self, pts: int | None) -> int:
        """Broken files have frames without a time, or with one that goes backward: no container takes these."""
        if self._last_pts is None:
            self._last_pts = pts or 0
        elif pts is None:
            self._last_pts += self._usual_duration
        else:
            self._last_pts = max(pts, self._last_pts + 1)
        return self._last_pts


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counterclockwise, as the display matrix of the file asks for."""
    return round(frame.rotation // 90)


def _format_of(frame: av.VideoFrame) -> str:
    name = frame.format.name
    alpha = name == "pal8" or any(component.is_alpha for component in frame.format.components)
    if name in ("yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "rgba", "pal8"):
        return "rgba" if alpha else "rgb24"
    return "gbrapf32le" if alpha else "gbrpf32le"
