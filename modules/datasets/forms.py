"""The three forms of a dataset, by their names: how a shard is read, its chunks are kept, and its result is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from . import folders, tables, tars
from .chunks import Chunk, Shard
from .options import FOLDER, WEBDATASET
from .parts import Part
from .work import Work


def read(work: Work, shard: Shard) -> Iterator[Chunk]:
    """The chunks of a shard without those that are finished; the last one is empty and says how many there are.

    Which are finished is what the shard says, not what lies there now: read again after a lost machine, the same come.

    Raises:
        OSError: it cannot be read at all. WrongTable: it has not the column.
    """
    form = {FOLDER: folders, WEBDATASET: tars}.get(shard.form, tables)
    for chunk in form.read(work, shard):
        if chunk.is_end or chunk.number not in shard.done:
            yield chunk


def encode(work: Work, chunk: Chunk) -> bytes:
    """What is kept of a finished chunk until its shard is written."""
    if chunk.shard.form == FOLDER:
        return folders.encode(chunk)
    return tars.encode(chunk) if chunk.shard.form == WEBDATASET else tables.encode(work, chunk)


def join(work: Work, shard: Shard, parts: Iterable[Part]) -> int:
    """Write the result of a shard of all its chunks; its bytes. OSError."""
    form = {FOLDER: folders, WEBDATASET: tars}.get(shard.form, tables)
    return form.join(work, shard, parts)
