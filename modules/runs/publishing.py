"""A result of a folder run, written whole or not at all, with its line of the journal."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from ..files import sha256_of, written_whole
from .jobs import Job
from .journal import Journal

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class RunStopped(RuntimeError):
    """No further job can be done; the message gives the reason. Results that are done stay."""


class Outcome(NamedTuple):
    """What became of a job: its line of the journal, or an error."""

    job: Job
    entry: dict | None
    error: str | None = None


class Made(NamedTuple):
    """What is told of a result.

    Args:
        sha256: of its source.
        summary: of folder_report.summarize.
        notes: what of the source the result does not keep.
        made_by: versions of what made it, where that is another's.
    """

    sha256: str
    summary: Mapping
    notes: tuple[str, ...] = ()
    made_by: Mapping[str, str] | None = None


def publish(journal: Journal, job: Job, started: float, write: Callable[[Path], Made]) -> dict:
    """Write the result of a job; its line of the journal, which is on the disk before the result has its name.

    Args:
        journal: of the output folder.
        job: whose result it is.
        started: by time.monotonic().
        write: writes the result into the file that it is given.

    Raises:
        OSError: as written_whole. All that `write` raises.
    """
    target = journal.place(job.result)
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as part:
        made = write(part)
        entry = {
            "source": job.source.name,
            "sha256": made.sha256,
            "kind": job.source.kind,
            "result": job.result,
            "result_sha256": sha256_of(part),
            "date": datetime.now(timezone.utc).date().isoformat(),
            "seconds": round(time.monotonic() - started, 2),
            **({} if made.made_by is None else {"made_by": dict(made.made_by)}),
            **made.summary,
            **({"notes": [*made.summary.get("notes", ()), *made.notes]} if made.notes else {}),
        }
        journal.append(entry)
    return entry
