"""The journal of an output folder: what is done there, with which settings. It makes a folder run survive a kill.

OUTPUT/face_anonymizer_journal.jsonl has one JSON a line. The first line is {"schema": ..., "settings": {...}}; every
other one is a finished file:

    {"source": "sub/a.jpg", "sha256": of the source, "result": "sub/a_anonymized.png", "result_sha256": of the result,
     "seconds": 3.2, ...}

A line is on the disk before its result gets its name. So a result without a line is somebody else's file, and a line
without its result is a file that was not finished: it is done again. A last line that was cut off counts for nothing.
The journal is locked while a run has it open; the lock ends with the process. The lock is by hand, as those of filelock
are files of their own, which would lie beside the results. Only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from ..files import PART_PATTERN, json_lines

JOURNAL_NAME = "face_anonymizer_journal.jsonl"
SCHEMA = "face-anonymizer/journal/1"
_LOCKED_BYTE = 1 << 40  # on Windows, which locks ranges: far behind the end, so that the journal can be read
_CLOSED = -1  # in place of a descriptor


class JournalRefused(RuntimeError):
    """The output folder cannot be gone on with; the message gives the reason and what to do instead."""


class Journal:
    """The journal of an output folder, open and locked; made with the folder if need be.

    Args:
        output: the output folder.
        settings: what makes results what they are, as JSON has it.

    Attributes:
        entries: source -> its last line.

    Raises:
        OSError: the folder cannot be written.
        JournalRefused: another run has it, it was made with other settings, or the journal is damaged.
    """

    def __init__(self, output: Path, settings: Mapping):
        self.output = Path(output)
        self.path = self.output / JOURNAL_NAME
        self.settings = json.loads(json.dumps(settings))
        self.entries: dict[str, dict] = {}
        self._guard = threading.Lock()
        self.output.mkdir(parents=True, exist_ok=True)
        self._file = _open_locked(self.path)
        try:
            self._prove_writable()
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def append(self, entry: Mapping) -> None:
        """Add the line of a finished file and wait until it is on the disk. On an OSError nothing is added."""
        with self._guard:
            before = self._size()
            lines = [dict(entry)] if before else [{"schema": SCHEMA, "settings": self.settings}, dict(entry)]
            data = json_lines(lines)
            try:
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, before)
                raise
            self.entries[entry["source"]] = lines[-1]

    def close(self) -> None:
        """Give the lock back. A journal without a line is removed, so that a refused command binds nobody."""
        if self._file == _CLOSED:
            return
        empty = self._size() == 0
        if empty and os.name != "nt":
            self.path.unlink(missing_ok=True)  # while it is still ours
        os.close(self._file)
        self._file = _CLOSED
        if empty:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _prove_writable(self) -> None:
        """A journal that is there already may be writable in a folder that is not."""
        probe = self.output / PART_PATTERN.replace("*", f"probe-{os.getpid()}")
        probe.touch()
        probe.unlink()

    def _read(self) -> None:
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as file:
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.ftruncate(self._file, len(whole))  # cut off by a kill; the next line must begin on a new one
        try:
            header, *entries = [json.loads(line) for line in whole.splitlines()] or [None]
            if header is None:
                return
            theirs = header["settings"]
            if header["schema"] != SCHEMA:
                raise ValueError(f"its schema is {header['schema']}")
            self.entries = {entry["source"]: entry for entry in entries if entry["result"] and entry["sha256"]}
        except (ValueError, KeyError, TypeError) as error:
            raise JournalRefused(f"{self.path} is damaged ({error}). Take another --output.") from None
        if theirs != self.settings:
            raise JournalRefused(_difference(self.output, theirs, self.settings))


def _open_locked(path: Path) -> int:
    """Open and lock a file, made if need be. JournalRefused when another process has the lock."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _lock(file, path)
            if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the run that had it removed it as empty: make a new one


def _lock(file: int, path: Path) -> None:
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        message = f"Another run is writing into {path.parent}. Wait for it, or take another --output."
        raise JournalRefused(message) from None
    except OSError:
        pass  # a file system without locks


def _difference(output: Path, theirs: Mapping, ours: Mapping) -> str:
    differing = sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
    there = ", ".join(f"{key} {theirs.get(key)}" for key in differing)
    here = ", ".join(f"{key} {ours.get(key)}" for key in differing)
    return (
        f"The results in {output} were made with other settings ({there}; this command: {here}), and one folder has "
        "one. Take another --output, or the same settings."
    )
