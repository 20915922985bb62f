"""What a video's file holds beside the track that is shown: further tracks of pictures, colours under its alpha."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import av.container

from ..contents.boxes import walk_boxes
from ..contents.looking import tell
from ..contents.matroska import walk_matroska
from ..contents.parts import Found, Part
from ..contents.photos import walk_riff
from .containers import left_out, opened, packets, video_stream
from .hidden import read_film

_WALKERS = {"mov": walk_boxes, "matroska": walk_matroska, "avi": walk_riff}  # by FFmpeg's first name of a format
_CUT = "pictures that an edit list cuts off"
_PICTURES = ("video track", "cover picture", "attachment")  # in the words of left_out


def pictures_beside(file: Path) -> tuple[str, ...]:
    """What of a video's file somebody may see who opens it otherwise, in words that tell nothing of it.

    Args:
        file: of the video; it can be read.

    Raises:
        ValueError, av.error.FFmpegError: it cannot be read.
    """
    used, tracks = _tracks(file)
    with opened(str(file)) as container:
        others = left_out(container, [video_stream(container)])
        walk = _walker(container)
    found = [what for what in others if any(kind in what for kind in _PICTURES)]
    with Path(file).open("rb") as open_file, mmap.mmap(open_file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts: Iterator[Found] = iter(())
        if walk == walk_boxes:
            parts = walk_boxes(data, used)
        elif walk is not None:
            parts = walk(data)
        found += tell(itertools.chain(tracks, parts))
    if any(page.tells for page in read_film(str(file))):
        found.append("colours under what is transparent")
    return tuple(found)


def is_walked(file: Path) -> bool:
    """Whether the parts of a video's file are known here: of other formats only the tracks are looked at.

    Args:
        file: of the video.

    Raises:
        ValueError, av.error.FFmpegError: it cannot be read.
    """
    with opened(str(file)) as container:
        return _walker(container) is not None


def _walker(container: av.container.InputContainer) -> Callable[..., Iterator[Found]] | None:
    return _WALKERS.get(container.format.name.split(",")[0])


def _tracks(file: Path) -> tuple[list[tuple[int, int]], list[Found]]:
    """Where in a file the packets of its tracks lie, and what they hold beside shown pictures and sounds."""
    used: list[tuple[int, int]] = []
    found: list[Found] = []
    with opened(str(file)) as container:
        shown, has_begun = video_stream(container).index, False
        for packet in packets(container):
            if not packet.size:
                continue
            if packet.pos is not None and packet.pos >= 0:
                used.append((packet.pos, packet.pos + packet.size))
            if packet.stream.type not in ("video", "audio"):
                found.append(Part("in a track of another kind", bytes(packet)))
            elif packet.stream.index == shown and not has_begun:
                # in the middle FFmpeg also drops single ones of films of fragments whose times are wrong
                has_begun = not packet.is_discard
                found += [_CUT] if packet.is_discard else []
    return used, found
