"""What an encoder may not take from the rest of the machine: its place before everything else.

SVT-AV1, where root runs it, as in most containers, gives the thread that opens it and its own ones the highest priority
of real time, for good: ComfyUI's page and server would wait for whatever that thread does next.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def ordinary_priority() -> Iterator[None]:
    """Threads that became real-time ones while the block ran are ordinary ones after it. Linux; elsewhere nothing."""
    before = _real_time_threads()
    try:
        yield
    finally:
        for thread in _real_time_threads() - before:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time_threads() -> set[int]:
    """Of this process; none where the system does not tell."""
    found: set[int] = set()
    threads: list[int] = []
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            threads = [int(thread) for thread in os.listdir("/proc/self/task")]
        for thread in threads:
            with contextlib.suppress(OSError):  # it has ended, or the C library does not tell, as musl
                if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                    found.add(thread)
    return found
