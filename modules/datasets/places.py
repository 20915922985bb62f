"""A folder or file of any filesystem that pyarrow or fsspec knows: read, list, write whole.

On filesystems with names that can be changed a file is written beside and then named; object stores show an object
when it is whole. What is written over is replaced.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..files import PART_PATTERN

# by the names that pyarrow and fsspec give them: an object is there when all of it is
_OBJECT_STORES = {"s3", "s3a", "gcs", "gs", "abfs", "abfss", "az", "adl", "oss", "oci", "hf"}


class Entry(NamedTuple):
    """A file below a place.

    Args:
        name: relative, with forward slashes.
        size: bytes.
    """

    name: str
    size: int


class Place:
    """A folder, or one file, by its path or address.

    Args:
        where: a path, or an address such as s3://bucket/folder, as pyarrow (else fsspec) reads it.

    Raises:
        OSError, ValueError: when it is first used: no filesystem knows the address.
    """

    def __init__(self, where: str | Path):
        self.where = str(where) if "://" in str(where) else os.path.abspath(where)

    def __reduce__(self):
        return Place, (self.where,)

    def __str__(self) -> str:
        return self.where

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The filesystem, and the path on it."""
        from pyarrow import ArrowInvalid, fs

        if "://" not in self.where:
            return fs.LocalFileSystem(), self.where
        try:
            return fs.FileSystem.from_uri(self.where)
        except (ArrowInvalid, NotImplementedError, ValueError) as error:
            try:
                from fsspec.core import url_to_fs

                found, path = url_to_fs(self.where)
            except (ImportError, ValueError) as missing:
                raise ValueError(
                    f"{self.where}: no filesystem of pyarrow knows this address ({error}), nor one of fsspec "
                    f"({missing}). Install the package that brings it on every machine, or mount it."
                ) from None
            return fs.PyFileSystem(fs.FSSpecHandler(found)), path

    @property
    def local(self) -> Path | None:
        """Its path, where it is on a disk of this machine, or mounted like one."""
        opened, path = self._opened
        return Path(path) if opened.type_name == "local" else None

    @cached_property
    def _is_object_store(self) -> bool:
        opened = self._opened[0]
        kinds = {opened.type_name.rpartition("::")[2]}
        if opened.type_name.startswith("py::"):
            protocol = getattr(opened.handler.fs, "protocol", ())
            kinds |= {protocol} if isinstance(protocol, str) else set(protocol)
        return bool(kinds & _OBJECT_STORES)

    def path(self, name: str = "") -> str:
        """The path on its filesystem, of itself or of something below it."""
        return posixpath.join(self._opened[1], name) if name else self._opened[1]

    def below(self, name: str) -> Place:
        """A place within this one."""
        if self.local is not None:  # in whose names a question mark is a letter
            return Place(self.local / name)
        head, mark, query = self.where.partition("?")
        return Place(f"{head.rstrip('/')}/{name}{mark}{query}")

    @property
    def name(self) -> str:
        """Of the file or folder itself."""
        return posixpath.basename(self.path().replace(os.sep, "/").rstrip("/"))

    @property
    def parent(self) -> Place:
        """The folder above."""
        if self.local is not None:
            return Place(self.local.parent)
        head, mark, query = self.where.partition("?")
        return Place(f"{head.rstrip('/').rpartition('/')[0]}{mark}{query}")

    def kind(self, name: str = "") -> str:
        """ "file", "folder", or "" where nothing is."""
        from pyarrow.fs import FileType

        info = self._opened[0].get_file_info(self.path(name))
        return {FileType.File: "file", FileType.Directory: "folder"}.get(info.type, "")

    def size(self, name: str = "") -> int | None:
        """Bytes of a file; None where there is none."""
        info = self._opened[0].get_file_info(self.path(name))
        return info.size if info.is_file else None

    def files(self, name: str = "", recursive: bool = True) -> list[Entry]:
        """The files below, sorted by name; none where there is no folder. On a disk, links to folders are not followed.

        OSError: a folder cannot be read, so that what lies in it would be left out.
        """
        from pyarrow.fs import FileSelector

        root = self.path(name)
        if self.local is not None:
            return sorted(_walk(Path(root), recursive))
        selector = FileSelector(root, allow_not_found=True, recursive=recursive)
        return sorted(
            Entry(posixpath.relpath(info.path, root), info.size or 0)
            for info in self._opened[0].get_file_info(selector)
            if info.is_file
        )

    def is_empty(self) -> bool:
        """Whether nothing at all lies below."""
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.path(), allow_not_found=True)
        return not self._opened[0].get_file_info(selector)

    def read(self, name: str = "") -> bytes:
        """All of a file. FileNotFoundError, OSError."""
        with self.stream(name) as stream:
            return stream.read()

    def stream(self, name: str = ""):
        """A file, to be read from its beginning, as it lies there."""
        return self._opened[0].open_input_stream(self.path(name), compression=None)

    def file(self, name: str = ""):
        """A file, to be read here and there."""
        return self._opened[0].open_input_file(self.path(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a file below, whole or not at all, over what is there."""
        with self.writing(name) as stream:
            stream.write(data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A stream into a file below, which gets its name when the block ends without an error."""
        opened, path = self._opened[0], self.path(name)
        if not self._is_object_store:
            opened.create_dir(posixpath.dirname(path), recursive=True)
        part = path
        if not self._is_object_store:
            part = posixpath.join(posixpath.dirname(path), PART_PATTERN.replace("*", secrets.token_hex(8)))
        try:
            stream = opened.open_output_stream(part)
            try:
                yield stream
            finally:
                stream.close()
            if self.local is not None:
                with open(part, "rb+") as written:
                    os.fsync(written.fileno())
                os.replace(part, path)
            elif part != path:
                opened.move(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                opened.delete_file(part)
            raise

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file below that is not there yet; whether this call made it.

        Only a disk promises that of two callers one alone hears yes; elsewhere what is there is looked at before.
        """
        if self.local is None:
            if self.kind(name):
                return False
            self.write(name, data)
            return True
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(PART_PATTERN.replace("*", secrets.token_hex(8)))
        try:
            part.write_bytes(data)
            try:
                os.link(part, path)
            except FileExistsError:
                return False
            except OSError:  # a disk without hard links
                try:
                    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
                except FileExistsError:
                    return False
                os.replace(part, path)
            return True
        finally:
            part.unlink(missing_ok=True)

    def remove(self, name: str) -> bool:
        """Remove a file or folder below; whether something was there."""
        kind = self.kind(name)
        with contextlib.suppress(FileNotFoundError):
            if kind == "folder":
                self._opened[0].delete_dir(self.path(name))
            elif kind == "file":
                self._opened[0].delete_file(self.path(name))
        return bool(kind)


def _walk(root: Path, recursive: bool) -> Iterator[Entry]:
    for folder, subfolders, files in os.walk(root, onerror=_unreadable):
        here = Path(folder)
        for name in files:
            path = here / name
            with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                if path.is_file():
                    yield Entry(path.relative_to(root).as_posix(), path.stat().st_size)
                elif path.is_symlink() and not path.exists():  # to nothing: whoever reads it says so
                    yield Entry(path.relative_to(root).as_posix(), 0)
        if not recursive:
            subfolders.clear()


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
