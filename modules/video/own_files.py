"""The video files that this process encoded itself: what their packets hold came out of its own encoders.

Of any other file nobody knows what else its packets carry: behind the last slice, in a fill element, in padding.
"""

from __future__ import annotations

import os
from pathlib import Path

from .containers import Source

_seen: dict[str, tuple[int, ...]] = {}


def remember(path: Path) -> None:
    """Note a file that was just encoded from pictures and samples."""
    _seen[os.path.realpath(path)] = _identity(path)


def is_own(source: Source) -> bool:
    """Whether this process encoded the file, and nobody has written to it since."""
    if not isinstance(source, str) or (known := _seen.get(os.path.realpath(source))) is None:
        return False
    try:
        return _identity(source) == known
    except OSError:
        return False


def _identity(path: str | Path) -> tuple[int, ...]:
    told = os.stat(path)
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns
