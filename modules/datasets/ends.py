"""The two ends of the stages: a shard's chunks are read, and finished ones are saved. No torch and no Ray here."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..output.encoding import encode_picture
from . import forms, state
from .chunks import Chunk, Made, Shard
from .parts import Part, Parts
from .places import Place
from .rows import added, row_of_failed, totals_of
from .work import Work


class Stopped(RuntimeError):
    """No further picture can be done here; the message gives the reason and the next step."""


class Stage(Protocol):
    """Takes chunks one after the other and gives them back, further on; made once in its process."""

    def __call__(self, chunk: Chunk) -> Chunk: ...


class Told(Protocol):
    """Hears of what is done."""

    def saved(self, pictures: int) -> None:
        """Of a chunk that is saved: how many pictures it has."""

    def done(self, shard: Shard, mark: dict) -> None:
        """Of a shard that is whole, with its mark."""


@dataclass(frozen=True)
class Saved:  # no tuple, which Arrow would take for a list
    """What the driver hears of a chunk.

    Args:
        shard: the shard's id.
        number: of the chunk; of the empty one at the end: how many there are.
        is_end: whether it is that one.
        pictures: how many.
    """

    shard: str
    number: int
    is_end: bool
    pictures: int


def read(work: Work, shard: Shard) -> Iterator[Chunk]:
    """The chunks of a shard that are not finished, as forms.read; where it cannot be read, one that says so."""
    check_output(work)
    try:
        yield from forms.read(work, shard)
    except (OSError, ValueError) as error:
        raise Stopped(f"{shard.name} cannot be read: {error}") from error


def save(work: Work, chunk: Chunk) -> Saved:
    """Encode a chunk's pictures and keep it with its rows until its shard is whole.

    Raises:
        OSError: it cannot be written.
    """
    if not chunk.is_end:
        for item in chunk.items:
            if item.made is not None:
                try:
                    item.encoded = _encoded(item.made, work.settings)
                except (OSError, ValueError, MemoryError) as error:
                    item.failed(f"its result cannot be encoded: {error}")
            item.made = item.data = None
            if item.error:
                item.row = row_of_failed(item.error, item.status)
        part = Part(totals_of(item.row for item in chunk.items), forms.encode(work, chunk))
        Parts(Place(work.output).below(state.FOLDER), chunk.shard.id).write(chunk.number, part)
    return Saved(chunk.shard.id, chunk.number, chunk.is_end, len(chunk.items))


def finish(work: Work, shard: Shard, count: int) -> dict:
    """Write the result of a shard of all its chunks, and mark it.

    Args:
        work: what is done.
        shard: whose chunks are all saved.
        count: of them.

    Returns:
        The mark.

    Raises:
        OSError: it cannot be written. Stopped: as check_output.
    """
    check_output(work)
    output = Place(work.output)
    parts, totals = Parts(output.below(state.FOLDER), shard.id), []

    def counted() -> Iterator[Part]:
        for part in parts.read_all(count):
            totals.append(part.totals)
            yield part

    size = forms.join(work, shard, counted())
    marked = state.mark(output, shard, size, added(totals))
    parts.remove()
    return marked


def check_output(work: Work) -> None:
    """Whether this machine sees the output folder, and this run still has it.

    Raises:
        Stopped: it does not.
    """
    claimed = state.read_claim(Place(work.output))
    if claimed.get("run") == work.run or claimed == {"beat": 0}:
        return
    if claimed:
        raise Stopped(f"Another run has claimed {work.output} meanwhile; this one ends.")
    raise Stopped(
        f"The machine {socket.gethostname()} does not see {work.output}, where the run keeps its state: a cluster "
        "needs a folder that all machines share under one path, or an address such as s3://bucket/folder."
    )


def _encoded(made: Made, settings: Mapping) -> bytes:
    return encode_picture(
        made.pixels,
        settings["format"],
        settings["quality"],
        profile=made.profile,
        mark=settings["task"] != "redact" or made.is_generated,
        cicp=made.cicp,
    )
