"""A short film of known content, with sound, for the shipped graphs' thumbnails and for tests."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from face_anonymizer.tools.pictures.synthetic_clip import LENGTH, render

RATE = Fraction(30000, 1001)
SAMPLE_RATE = 48000


def write_clip(path: Path, frames: range = range(LENGTH), rate: Fraction = RATE, metadata: dict | None = None) -> None:
    """The synthetic clip's frames as H.264 with a tone in AAC. metadata: of the container."""
    write_video(path, render(frames), rate, metadata)


def write_video(path: Path, frames: torch.Tensor, rate: Fraction = RATE, metadata: dict | None = None) -> None:
    """frames: float [B, H, W, 3], 0..1, H and W even."""
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(metadata or {})
        pictures = container.add_stream("h264", rate=rate)
        pictures.height, pictures.width, pictures.pix_fmt = *frames.shape[1:3], "yuv420p"
        pictures.options = {"crf": "12"}
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        for frame in frames:
            levels = (frame.clamp(0, 1) * 255).round().byte().numpy()
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(levels, format="rgb24")))
        container.mux(pictures.encode(None))
        samples = int(len(frames) / rate * SAMPLE_RATE)
        tone = 0.2 * np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(samples), dtype=np.float32)
        heard = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        heard.sample_rate, heard.pts = SAMPLE_RATE, 0
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))


def first_frame(path: Path) -> Image.Image:
    """The first picture of a video file."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_image()
