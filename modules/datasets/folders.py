"""Folders of photos: each photo's result has its name, with the suffix of its format, in the folder that it had.

The rows are lines of JSON, a file a shard, with the names of sources and results.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator

from ..files import json_lines
from .chunks import LARGEST_FILE, Chunk, Item, Shard, in_chunks
from .parts import Part
from .places import Place
from .work import Work

ROWS = "face_anonymizer_rows"  # the folder of them
_ROWS_MEMBER = "rows"


def read(work: Work, shard: Shard) -> Iterator[Chunk]:
    """The photos of a shard."""
    yield from in_chunks(shard, _items(shard), work.batch)


def encode(chunk: Chunk) -> bytes:
    """A chunk's results and rows, as a tar, as many files would be slow to find again."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        rows = [
            {"name": item.name, "result": item.result if item.encoded is not None else None, **item.row}
            for item in chunk.items
        ]
        for name, data in ((_ROWS_MEMBER, json_lines(rows)), *((i.result, i.encoded) for i in chunk.items)):
            if data is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def join(work: Work, shard: Shard, parts: Iterable[Part]) -> int:
    """Write the results of these chunks, then their rows; the bytes of the rows."""
    output, rows = Place(work.output), []
    for part in parts:
        with tarfile.open(fileobj=io.BytesIO(part.data)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                data = file.read() if file else b""
                if member.name == _ROWS_MEMBER:
                    rows.append(data)
                else:
                    output.write(member.name, data)
    lines = b"".join(rows)
    output.write(shard.result, lines)
    return len(lines)


def names_in(rows: bytes) -> dict[str, str]:
    """The sources that a file of rows is about, each with its result, or "" where there is none."""
    entries = map(json.loads, rows.splitlines())
    return {entry["name"]: entry["result"] or "" for entry in entries}


def _items(shard: Shard) -> Iterator[Item]:
    folder = Place(shard.where)
    for file in shard.files:
        item = Item(file.name, result=file.result)
        if file.size > LARGEST_FILE:
            yield item.failed(f"larger than {LARGEST_FILE >> 20} MiB")
            continue
        try:
            item.data = folder.read(file.name)
        except OSError as error:
            item.failed(f"it cannot be read: {error}")
        yield item
