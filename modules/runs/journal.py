"""The journal of an output folder: what is done there, with which settings. It makes a folder run survive a kill.

OUTPUT/face_anonymizer_journal.jsonl has one JSON a line. The first line is {"schema": ..., "settings": {...}}, with the
version of the pack among the settings; every other one is a finished file:

    {"source": "sub/a.jpg", "sha256": of the source, "result": "sub/a_anonymized.png", "result_sha256": of the result,
     "seconds": 3.2, ...}

What a server that was named has made has "made_by", too: the versions of its ComfyUI and its pack and the digest of its
model, each "not known" where it does not tell.

A line is on the disk before its result gets its name. So a result without a line is somebody else's file, and a line
without its result is a file that was not finished: it is done again. A last line that was cut off counts for nothing.
The journal is locked while a run has it open; the lock ends with the process. The lock is by hand, as those of filelock
are files of their own, which would lie beside the results.

What stands in a journal is data, never an order: nothing of it is a place outside of the output folder, and a file of
its name is neither cut nor removed before it is known to be one. Only the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from ..files import PART_PATTERN, json_lines
from ..terminal import shown
from .journal_lines import check_line, is_below, read_object

JOURNAL_NAME = "face_anonymizer_journal.jsonl"
SCHEMA = "face-anonymizer/journal/2"
_FIRST_SCHEMA = "face-anonymizer/journal/1"  # of 0.1.0, without the pack's version and the model's digest
_LOCKED_BYTE = 1 << 40  # on Windows, which locks ranges: far behind the end, so that the journal can be read
_CLOSED = -1  # in place of a descriptor


class JournalRefused(RuntimeError):
    """The output folder cannot be gone on with; the message gives the reason and what to do instead."""


class Journal:
    """The journal of an output folder, open and locked; made with the folder if need be.

    Args:
        output: the output folder.
        settings: what makes results what they are, as JSON has it.
        check: called with every line that is read; a ValueError says what is wrong with it.

    Attributes:
        entries: source -> its last line.

    Raises:
        OSError: the folder cannot be written.
        JournalRefused: another run has it, it was made with other settings or by another version, the journal is
            damaged, or what has its name is no journal.
    """

    def __init__(self, output: Path, settings: Mapping, check: Callable[[Mapping], None] = lambda line: None):
        self.output = Path(output)
        self.path = self.output / JOURNAL_NAME
        self.settings = json.loads(json.dumps(settings))
        self.entries: dict[str, dict] = {}
        self._check = check
        self._guard = threading.Lock()
        self.output.mkdir(parents=True, exist_ok=True)
        self._file, self._is_new = _open_locked(self.path)
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
            lines = [dict(entry)] if before else [self._header(), dict(entry)]
            data = json_lines(lines)
            try:
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, before)
                raise
            self.entries[entry["source"]] = lines[-1]

    def place(self, result: str) -> Path:
        """Where a result lies, by its name.

        Raises:
            JournalRefused: that is outside of the output folder, by its name or by a link on the way.
        """
        path = self.output / result
        if not is_below(result) or not path.parent.resolve().is_relative_to(self.output.resolve()):
            raise JournalRefused(
                f"{shown(path)} leads out of {shown(self.output)}, and nothing is written there. Remove the link on "
                "the way, or take another --output."
            )
        return path

    def close(self) -> None:
        """Give the lock back. A journal made here without a line is removed: a refused command binds nobody."""
        if self._file == _CLOSED:
            return
        empty = self._is_new and self._size() == 0
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

    def _header(self) -> dict:
        return {"schema": SCHEMA, "settings": self.settings}

    def _read(self) -> None:
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as file:
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and not json_lines([self._header()]).startswith(data):
            raise self._refuse("no journal of this script")
        if whole:
            self._read_lines(*whole.splitlines())
        if len(whole) < len(data):
            os.ftruncate(self._file, len(whole))  # cut off by a kill; the next line must begin on a new one

    def _read_lines(self, first: bytes, *lines: bytes) -> None:
        try:
            header = read_object(first)
            schema, theirs = header.get("schema"), header.get("settings")
        except ValueError:
            schema, theirs = None, None
        if schema == _FIRST_SCHEMA:
            raise JournalRefused(
                f"The results in {shown(self.output)} were made by version 0.1.0, whose journal does not say with "
                "which version and model. They stay as they are: take another --output for what is left."
            )
        if schema != SCHEMA or not isinstance(theirs, dict):
            raise self._refuse(f"no journal of this version (its schema is {json.dumps(schema)[:80]})")
        owners: dict[str, str] = {}
        for number, line in enumerate(lines, 2):
            try:
                entry = read_object(line)
                check_line(entry)
                self._check(entry)
                if owners.setdefault(entry["result"], entry["source"]) != entry["source"]:
                    raise ValueError(f"result is that of {owners[entry['result']]} too")
            except ValueError as error:
                raise self._refuse(f"damaged in line {number}: {error}") from None
            self.entries[entry["source"]] = entry
        if theirs != self.settings:
            raise JournalRefused(_difference(self.output, theirs, self.settings))

    def _refuse(self, what: str) -> JournalRefused:
        path = shown(self.path)
        return JournalRefused(f"{path} is {shown(what)}. It stays as it is: move it away or take another --output.")


def _open_locked(path: Path) -> tuple[int, bool]:
    """Open and lock a file, made if need be; the descriptor, and whether it was made here.

    Raises:
        OSError: it cannot be opened.
        JournalRefused: another process has the lock, or it is no plain file.
    """
    # Neither through a link nor, in wait for a writer, at the end of a pipe.
    flags = os.O_RDWR | os.O_APPEND
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        if os.path.islink(path):
            raise _no_plain_file(path)
        is_new = True
        try:
            file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            is_new = False
            try:
                file = os.open(path, flags)
            except FileNotFoundError:
                continue  # the run that had it removed it as empty
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                    raise _no_plain_file(path) from None
                raise
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise _no_plain_file(path)
            _lock(file, path)
            if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
                return file, is_new
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the run that had it removed it as empty: make a new one


def _no_plain_file(path: Path) -> JournalRefused:
    return JournalRefused(f"{shown(path)} is a link or no file. Nothing is written there: take another --output.")


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
        message = f"Another run is writing into {shown(path.parent)}. Wait for it, or take another --output."
        raise JournalRefused(message) from None
    except OSError:
        pass  # a file system without locks


def _difference(output: Path, theirs: Mapping, ours: Mapping) -> str:
    differing = sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
    there = ", ".join(f"{key} {theirs.get(key)}" for key in differing)
    here = ", ".join(f"{key} {ours.get(key)}" for key in differing)
    return (
        f"The results in {shown(output)} were made with other settings ({shown(there)}; this command: {shown(here)}), "
        "and one folder has one. Take another --output, or the same settings."
    )
