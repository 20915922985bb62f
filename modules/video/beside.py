"""What a video's file holds beside the track that is shown: further tracks of pictures, colours under its alpha."""

from __future__ import annotations

from pathlib import Path

from .containers import left_out, opened, video_stream
from .hidden import read_film

_PICTURES = ("video track", "cover picture", "attachment")  # in the words of left_out


def pictures_beside(file: Path) -> tuple[str, ...]:
    """What of a video's file somebody may see who opens it otherwise, in words that tell nothing of it.

    Args:
        file: of the video; it can be read.

    Raises:
        ValueError, av.error.FFmpegError: it cannot be read.
    """
    with opened(str(file)) as container:
        others = left_out(container, [video_stream(container)])
    found = [what for what in others if any(kind in what for kind in _PICTURES)]
    if any(page.tells for page in read_film(str(file))):
        found.append("colours under what is transparent")
    return tuple(found)
