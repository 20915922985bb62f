"""What a video's file holds beside the track that is shown: further tracks of pictures, colours under its alpha."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from ..contents.boxes import walk_boxes
from ..contents.looking import tell
from ..contents.matroska import walk_matroska
from ..contents.parts import Found
from ..contents.photos import walk_riff
from .containers import left_out, opened, packets, video_stream
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
    with Path(file).open("rb") as open_file, mmap.mmap(open_file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found += tell(_parts(file, data))
    if any(page.tells for page in read_film(str(file))):
        found.append("colours under what is transparent")
    return tuple(found)


def _parts(file: Path, data: mmap.mmap) -> Iterator[Found]:
    if data[:4] == b"\x1aE\xdf\xa3":
        return walk_matroska(data)
    if data[:4] == b"RIFF":
        return walk_riff(data)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot"):
        return walk_boxes(data, _used(file))
    return iter(())


def _used(file: Path) -> list[tuple[int, int]]:
    """Where in a file the pictures and sounds of its tracks lie."""
    with opened(str(file)) as container:
        return [
            (packet.pos, packet.pos + packet.size)
            for packet in packets(container)
            if packet.size and packet.pos is not None and packet.pos >= 0
        ]
