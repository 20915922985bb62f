"""Files and folders written whole or not at all, digests of files, and lists of one JSON object a line.

Only the standard library: the commands that run before anything is installed need it too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PART_PREFIX, _PART_SUFFIX = ".face_anonymizer-", ".part"  # of the hidden file that a kill may leave behind
PART_PATTERN = f"{_PART_PREFIX}*{_PART_SUFFIX}"
_WORKING_PREFIX, _LOCK = "face_anonymizer_work_", "in_work"  # of a working folder; of the file in it that is locked

_BLOCK_BYTES = 1 << 22  # of a file that is digested, in memory at a time
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


# Whole or not at all ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A hidden empty file beside `target` to write to; it becomes `target` when the block ends without an error.

    On an error or an interrupt nothing is left; after a kill at most the hidden file, which remove_parts removes. A
    file that is there already is never replaced.

    Args:
        target: a file in a folder that exists.

    Raises:
        OSError: naming file, folder and the next step: FileExistsError, PermissionError, a full disk. Errors of the
            block that are not about space pass as they are.
    """
    target = Path(target)
    part = target.with_name(f"{_PART_PREFIX}{secrets.token_hex(8)}{_PART_SUFFIX}")
    try:
        with _explained(target):
            if target.exists():
                raise FileExistsError(errno.EEXIST, "exists")
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        with _explained(target, _NO_SPACE):
            yield part
        with _explained(target):
            _flush(part)
            _publish(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write `data` to the new file `target`, whole or not at all; raises as written_whole."""
    with written_whole(target) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def replaced_whole(target: Path) -> Iterator[Path]:
    """The name of a hidden file beside `target` to write; it replaces `target` when the block ends without an error.

    Until then `target` stays as it was. The hidden file always has the same name, so that what a kill leaves of a large
    one does not add up. Raises OSError as the system gives it.
    """
    part = target.with_name(f"{_PART_PREFIX}{target.name}{_PART_SUFFIX}")
    try:
        yield part
        _flush(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def replace_whole(target: Path, data: bytes) -> None:
    """Write `data` to `target`, over what is there, whole or not at all; raises as replaced_whole."""
    with replaced_whole(target) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder NAME.part to fill; it replaces `folder` when the block ends without an error.

    Until then `folder` stays as it was, and on an error nothing else is left. A kill between the two renames at the
    end leaves the folder that was there as NAME.old. Raises OSError as the system gives it.
    """
    part, old = (folder.with_name(f"{folder.name}.{ending}") for ending in ("part", "old"))
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _flush(file)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def remove_parts(folders: Iterable[Path]) -> None:
    """Remove the unfinished hidden files that a killed process left in these folders."""
    for folder in folders:
        for part in folder.glob(PART_PATTERN):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for what is in work, in the system's temporary one; it is gone when the block ends.

    After a kill it stays, with the frames of a film in it, until the next one is made: whether its process lives is
    told by a lock, which the system gives back with the process, in whatever container that ran. On Windows, which has
    no such locks, it stays.
    """
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_WORKING_PREFIX) as name, (Path(name) / _LOCK).open("wb") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def _sweep(folder: Path) -> None:
    """Remove the working folders of processes that are dead, and ours."""
    if fcntl is None:
        return
    for stale in folder.glob(f"{_WORKING_PREFIX}*"):
        with contextlib.suppress(OSError):
            if stale.is_symlink() or stale.stat().st_uid != os.getuid():
                continue
            with (stale / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stale, ignore_errors=True)


# Digests ---------------------------------------------------------------------------------------------------------


def sha256_of(*files: Path) -> str:
    """The SHA-256, in hexadecimal, of the bytes of a file, or of several files one after the other."""
    digest = hashlib.sha256()
    for file in files:
        _feed(digest, file)
    return digest.hexdigest()


def sha256_of_folder(folder: Path, suffixes: Sequence[str]) -> str:
    """The SHA-256 over names and contents of all files with these suffixes in a folder and below it."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in suffixes):
        digest.update(file.relative_to(folder).as_posix().encode())
        _feed(digest, file)
    return digest.hexdigest()


def _feed(digest, file: Path) -> None:
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)


# JSON lines ------------------------------------------------------------------------------------------------------


def json_lines(entries: Iterable[Mapping]) -> bytes:
    """One JSON object a line: the form of all lists of pictures, triples and labels, and of the logs."""
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


def append_json_line(file: Path, entry: Mapping) -> None:
    """Add an object to the end of a list, which is made if need be."""
    with file.open("ab") as lines:
        lines.write(json_lines([entry]))


def read_json_lines(file: Path, skip_broken: bool = False) -> Iterator[tuple[str, dict]]:
    """The objects of a list, without blank lines.

    Args:
        file: UTF-8.
        skip_broken: leave out lines that are no object, such as the half of one that a kill leaves in a log.

    Returns:
        For each line its name for messages (file and line), and its object.

    Raises:
        ValueError: naming the first line that is no object, unless such lines are left out.
    """
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            origin = f"{file} line {number}"
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                if skip_broken:
                    continue
                raise ValueError(f"{origin} is no JSON ({error}). Each line is one JSON object.") from error
            if isinstance(entry, dict):
                yield origin, entry
            elif not skip_broken:
                raise ValueError(f"{origin} holds a {type(entry).__name__}, not a JSON object. Correct this line.")


# Within ----------------------------------------------------------------------------------------------------------


def _flush(file: Path) -> None:
    """Wait until the file's bytes are on the disk: only then may it have its name."""
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _publish(part: Path, target: Path) -> None:
    """Give `part` the name `target`, unless something has it."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # A file system without hard links: take the name with an empty file first, then put the whole one in its place.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            os.replace(part, target)
        except BaseException:
            target.unlink()
            raise


@contextlib.contextmanager
def _explained(target: Path, only: tuple[int, ...] | None = None) -> Iterator[None]:
    """Turn OSErrors, or those with an errno in `only`, into ones that name file, folder and the next step."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise OSError(error.errno, _advice(target, error)) from error


def _advice(target: Path, error: OSError) -> str:
    name, folder = target.name, target.parent
    if error.errno in _NO_SPACE:
        return f"No space for {name} in {folder}; nothing was left there. Free some space or choose another folder."
    if error.errno in _READ_ONLY:
        return f"{name} cannot be written into {folder}: it is read-only. Allow writing there or choose another folder."
    if error.errno == errno.EEXIST:
        return f"{name} is in {folder} already and is not replaced. Choose another name."
    if error.errno == errno.ENOENT:
        return f"{name} cannot be written: the folder {folder} does not exist. Make it or choose another folder."
    return f"{name} cannot be written into {folder}: {error.strerror}. Choose another name or folder."
