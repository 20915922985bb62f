"""Webdataset: tars in which the members of one key follow each other and are one sample.

A picture's result takes its place; of the other members those are copied whose suffix is kept. Nothing of a member but
its name goes over: no owner, no time. Beside each result stands KEY.face_anonymizer.json, its row.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..output.formats import EXTENSIONS
from ..photos.kinds import HEAD_BYTES, PHOTO, PHOTO_SUFFIXES, kind_by_content
from .chunks import LARGEST_FILE, Chunk, Item, Shard, in_chunks
from .parts import Part
from .places import Place
from .rows import CUT
from .work import Work

SUFFIXES = (".tar", ".tar.gz", ".tgz")
ROW = "face_anonymizer.json"  # suffix of the member with the row
_CUT_NAME = "face_anonymizer_cut"
_BLOCK = 512  # bytes; a whole tar ends with two of zeros
_PACKED_BYTES = 1 << 16  # that are unpacked at a time
_BROKEN = (tarfile.TarError, zlib.error)
_TOO_LARGE = f"larger than {LARGEST_FILE >> 20} MiB"
_LINK = "a link to another member or file, with nothing in it: write the tar anew with each file in it"


class _Member(NamedTuple):
    """A member of a tar. data: none where it is neither a picture nor kept; why_not: why it cannot be read."""

    name: str
    data: bytes = b""
    why_not: str = ""


def read(work: Work, shard: Shard) -> Iterator[Chunk]:
    """The pictures of a tar; where it is cut, all that is whole, and an item that says so.

    Raises:
        OSError: it cannot be opened.
    """
    yield from in_chunks(shard, _items(work, shard), work.batch)


def encode(chunk: Chunk) -> bytes:
    """A chunk's members, without the end of a tar."""
    file = io.BytesIO()
    for item in chunk.items:
        for name, data in item.members:
            _add(file, name, data)
        if item.encoded is not None:
            _add(file, item.result, item.encoded)
        stem = item.result.removesuffix(posixpath.splitext(item.result)[1]) if item.result else item.name
        _add(file, f"{stem}.{ROW}", json.dumps(item.row).encode() + b"\n")
    return file.getvalue()


def join(work: Work, shard: Shard, parts: Iterable[Part]) -> int:
    """Write the tar of these chunks; its bytes."""
    output = Place(work.output)
    with output.writing(shard.result) as raw:
        packed = gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) if shard.result.lower().endswith("gz") else None
        stream = packed or raw
        for part in parts:
            stream.write(part.data)
        stream.write(bytes(2 * _BLOCK))
        if packed:
            packed.close()
    return output.size(shard.result) or 0


def _add(file: io.BytesIO, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    file.write(info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape"))
    file.write(data)
    file.write(bytes(-len(data) % _BLOCK))


def _items(work: Work, shard: Shard) -> Iterator[Item]:
    extension = EXTENSIONS[work.settings["format"]]
    sample: list[_Member] = []
    key, cut = None, ""
    members = _members(shard, work.keep)
    while True:
        try:
            member = next(members)
        except StopIteration:
            break
        except (*_BROKEN, OSError) as error:
            cut = f"the tar is cut or damaged ({error}): what is whole before that is done, what follows is missing"
            break
        if key is not None and _split(member.name)[0] != key:
            yield from _sample(key, sample, work.keep, extension)
            sample = []
        key = _split(member.name)[0]
        sample.append(member)
    if sample and key is not None:
        yield from _sample(key, sample, work.keep, extension)
    if cut:
        yield Item(_CUT_NAME, error=cut, status=CUT)


def _members(shard: Shard, keep: tuple[str, ...]) -> Iterator[_Member]:
    """The pictures and what is kept, and the names of the others; hidden ones are no sample's, as in webdataset.

    Raises:
        tarfile.TarError, zlib.error, OSError: it is cut, or no tar.
    """
    with Place(shard.where).stream(shard.name) as raw:
        stream = _Watched(_Unpacked(raw) if shard.name.lower().endswith("gz") else raw)
        with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                if member.isdir() or not _split(member.name)[0].rpartition("/")[2]:
                    continue
                wanted = _is_kept(member.name, keep) or _may_be_picture(member.name)
                if not member.isfile():
                    if wanted and (member.issym() or member.islnk()):
                        yield _Member(member.name, why_not=_LINK)
                    continue
                file = tar.extractfile(member)
                head = file.read(HEAD_BYTES) if file and not wanted else b""
                if not wanted and kind_by_content(head) != PHOTO:
                    yield _Member(member.name)
                elif member.size > LARGEST_FILE:
                    yield _Member(member.name, why_not=_TOO_LARGE)
                else:
                    data = head + file.read() if file else b""
                    if len(data) != member.size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield _Member(member.name, data)
        if not stream.tail.endswith(bytes(_BLOCK)):
            raise tarfile.ReadError("it has no end")


def _sample(key: str, members: list[_Member], keep: tuple[str, ...], extension: str) -> Iterator[Item]:
    """The pictures of one sample; what is kept of it goes with the first."""
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:12]
        yield Item(f"face_anonymizer_refused_{digest}", error="a key that leads out of the folder: it was left out")
        return
    kept = [(one.name, one.data) for one in members if _is_kept(one.name, keep) and not one.why_not]
    pictures = [one for one in members if one.why_not or (one.data and not _is_kept(one.name, keep))]
    plain = Counter(f"{posixpath.splitext(one.name)[0]}{extension}" for one in pictures)
    plain.update(name for name, _ in kept)
    items = []
    for name, data, why_not in pictures:
        result = f"{posixpath.splitext(name)[0]}{extension}"
        item = Item(name, data, result if plain[result] == 1 else f"{name}{extension}")
        items.append(item.failed(why_not) if why_not else item)
    if not items:
        items = [Item(key, error="the sample has no picture that is known by its suffix or its first bytes")]
    items[0].members = kept
    yield from items


def _split(name: str) -> tuple[str, str]:
    """The key and the suffix of a member, as webdataset has them: the first dot of the name, not of its folders."""
    folder, base = posixpath.split(name)
    stem, _, suffix = base.partition(".")
    return posixpath.join(folder, stem), suffix


def _is_kept(name: str, keep: tuple[str, ...]) -> bool:
    return _split(name)[1].lower() in {suffix.removeprefix(".").lower() for suffix in keep}  # as webdataset has them


def _may_be_picture(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in PHOTO_SUFFIXES


class _Watched:
    """A stream that remembers its last bytes."""

    def __init__(self, stream):
        self._stream, self.tail = stream, b""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.tail = (self.tail + data)[-_BLOCK:]
        return data


class _Unpacked:
    """What a gzip stream holds, as far as it goes: at the end of a cut one gzip raises, and keeps what it had."""

    def __init__(self, stream):
        self._stream, self._waiting, self._packed = stream, b"", b""
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(self, size: int) -> bytes:
        while len(self._waiting) < size:
            packed = self._packed or self._stream.read(_PACKED_BYTES)
            if not packed:
                break
            if self._unpacker.eof:  # several, one after the other, or filled up with zeros
                if not (packed := packed.lstrip(b"\0")):
                    self._packed = b""
                    continue
                self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self._waiting += self._unpacker.decompress(packed, _PACKED_BYTES)
            self._packed = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data
