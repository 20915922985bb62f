"""What travels through the stages: a shard is what is written whole or not at all, a chunk a few pictures of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..faces.types import Faces

LARGEST_FILE = 1 << 29  # bytes of a picture that is read at all
_CHUNK_BYTES = 8 << 20  # of encoded pictures in a chunk; one picture may be larger


class File(NamedTuple):
    """A photo of a folder.

    Args:
        name: relative, with forward slashes.
        size: bytes.
        result: the name of its result.
    """

    name: str
    size: int
    result: str


@dataclass(frozen=True)
class Shard:
    """What is done, marked and written as one: a tar, a parquet file, or some photos of a folder.

    Args:
        id: hexadecimal, of its name, size and settings.
        name: of its file below `where`, or of its first photo.
        form: one of options.FORMS.
        where: the address of the folder.
        result: the name of what is written of it: a tar or parquet file, or a folder's table of rows.
        files: of a folder.
        done: numbers of chunks that an earlier run has made.
    """

    id: str
    name: str
    form: str
    where: str
    result: str
    files: tuple[File, ...] = ()
    done: frozenset[int] = frozenset()


class Made(NamedTuple):
    """A changed picture, not encoded yet.

    Args:
        pixels: uint8 or uint16 [H, W, C].
        profile: ICC, or none.
        cicp: see modules/photos/colour.py.
        is_generated: what was read says that a trained model made a part of it.
    """

    pixels: np.ndarray
    profile: bytes | None
    cicp: Any
    is_generated: bool = False


@dataclass
class Item:
    """A picture, or a row that says why there is none.

    Args:
        name: a key or relative name, as the rows have it.
        data: encoded, as it was read; None later on.
        result: the name of its result in a tar or folder.
        error: why there is no result; "" while there may be one.
        status: "cut" for the row that says that its shard is cut, else "".
        members: (name, bytes) of a tar, to be copied.
        faces: that were found.
        made: what became of it.
        encoded: its result.
        row: figures and words of the report, flat (rows.py).
    """

    name: str
    data: bytes | None = None
    result: str = ""
    error: str = ""
    status: str = ""
    members: list[tuple[str, bytes]] = field(default_factory=list)
    faces: Faces | None = None
    made: Made | None = None
    encoded: bytes | None = None
    row: dict = field(default_factory=dict)

    def failed(self, error: str) -> Item:
        """This item, of which nothing comes but a row."""
        self.error, self.data, self.made, self.faces, self.encoded = error, None, None, None, None
        return self


@dataclass
class Chunk:
    """Some pictures of a shard, in their order.

    Args:
        shard: whose.
        number: of the chunk in the shard, from 0; the last, which is empty, says how many there are.
        items: its pictures.
        is_end: whether it only says that all chunks before it are all.
        kept: of parquet, what goes along (tables.Kept).
    """

    shard: Shard
    number: int
    items: list[Item]
    is_end: bool = False
    kept: Any = None


def in_chunks(shard: Shard, items: Iterable[Item], batch: int) -> Iterator[Chunk]:
    """Pictures by chunks of at most `batch`, or fewer large ones; always the same for the same pictures."""
    waiting, number, size = [], 0, 0
    for item in items:
        bytes_of = len(item.data or b"")
        if waiting and (len(waiting) == batch or size + bytes_of > _CHUNK_BYTES):
            yield Chunk(shard, number, waiting)
            waiting, number, size = [], number + 1, 0
        waiting.append(item)
        size += bytes_of
    if waiting:
        yield Chunk(shard, number, waiting)
        number += 1
    yield Chunk(shard, number, [], is_end=True)
