"""What the frames of a video hide under its alpha, as ComfyUI gives them: colours without it."""

from __future__ import annotations

import numpy as np

from ..photos.alpha import CLEAR
from ..photos.hidden import Page
from .containers import opened, packets, video_stream
from .reading import PictureDecoder, has_block_alpha

_KEPT = 8  # frames whose colours are kept


def read_film(source: str, compared: bool = False) -> list[Page]:
    """A few frames of a video, each with what any of its frames hides.

    Args:
        source: path of the file.
        compared: read a few of one without alpha, too.

    Returns:
        None of them where it has no alpha and is not compared.

    Raises:
        ValueError: its alpha cannot be read.
        av.error.FFmpegError: it cannot be read.
    """
    kept: list[np.ndarray] = []
    hidden: np.ndarray | None = None
    number, step = 0, 1
    with opened(source) as container:
        stream = video_stream(container)
        decoder = PictureDecoder(stream, None)
        has_alpha = has_block_alpha(stream)
        for packet in packets(container, stream):
            for frame in decoder.decode(packet):
                has_alpha = has_alpha or any(part.is_alpha for part in frame.format.components)
                if not has_alpha and not compared:
                    return []
                if not has_alpha and len(kept) >= _KEPT:
                    break
                picture = frame.to_ndarray(format="rgba")
                picture = np.rot90(picture, round((getattr(frame, "rotation", 0) or 0) / 90) % 4)
                clear = picture[..., 3] <= int(CLEAR * 255)
                if hidden is not None and hidden.shape != clear.shape:
                    raise ValueError("the size of its frames changes")
                hidden = clear if hidden is None else hidden | clear
                if number % step == 0:
                    kept.append(np.ascontiguousarray(picture[..., :3]))
                    if len(kept) > _KEPT:
                        kept, step = kept[::2], 2 * step
                number += 1
    return [] if hidden is None else [Page(hidden, colours) for colours in kept]
