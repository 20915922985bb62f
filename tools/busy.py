"""Hold back what trains in the background (tools/demo_model/run.py) while something is measured or tested.

`@busy()` before a function, or `with busy():`, holds a shared lock on one file of the machine; any number of holders
may have it at once, and the kernel takes it back from one that dies. Only the standard library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing trains in the background
    fcntl = None

LOCK = Path(tempfile.gettempdir()) / "face_anonymizer_busy.lock"


@contextmanager
def busy(lock: Path = LOCK) -> Iterator[None]:
    """Nothing happens where the file cannot be opened, say because it is another user's: no measurement fails by it."""
    held = None
    if fcntl is not None:
        with suppress(OSError):
            held = lock.open("a")
            fcntl.flock(held, fcntl.LOCK_SH)
    try:
        yield
    finally:
        if held is not None:
            held.close()


def is_busy(lock: Path = LOCK) -> bool:
    """Whether anybody holds the lock."""
    if fcntl is None or not lock.exists():
        return False
    try:
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back as the file is closed
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
