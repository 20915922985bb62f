"""The finished chunks of a shard, until all are there: a line of JSON, and behind it what the form makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from .places import Place

_FOLDER = "parts"
_SUFFIX = ".part"


class Part(NamedTuple):
    """A finished chunk.

    Args:
        totals: of its rows, as rows.totals_of.
        data: of the shard's form.
    """

    totals: dict[str, int]
    data: bytes


class Parts:
    """The finished chunks of one shard.

    Args:
        service: the folder of the output that the run keeps its own files in.
        shard: the shard's id.
    """

    def __init__(self, service: Place, shard: str):
        self._service, self._shard = service, shard

    def write(self, number: int, part: Part) -> None:
        """Write a chunk, whole, over an equal one. OSError."""
        head = json.dumps({"totals": part.totals}).encode() + b"\n"
        self._service.write(self._name(number), head + part.data)

    def read(self, number: int) -> Part:
        """A chunk. OSError, ValueError."""
        head, _, data = self._service.read(self._name(number)).partition(b"\n")
        return Part(json.loads(head)["totals"], data)

    def read_all(self, count: int) -> Iterator[Part]:
        """The first so many, in their order. OSError, ValueError."""
        return map(self.read, range(count))

    def remove(self) -> None:
        """Remove them all."""
        self._service.remove(f"{_FOLDER}/{self._shard}")

    def _name(self, number: int) -> str:
        return f"{_FOLDER}/{self._shard}/{number:08}{_SUFFIX}"


def numbers_of(service: Place) -> dict[str, frozenset[int]]:
    """Shard's id -> numbers of the chunks that are finished."""
    found: dict[str, set[int]] = {}
    for entry in service.files(_FOLDER):
        shard, _, name = entry.name.partition("/")
        number = name.removesuffix(_SUFFIX)
        found.setdefault(shard, set())
        if name.endswith(_SUFFIX) and number.isdecimal():
            found[shard].add(int(number))
    return {shard: frozenset(numbers) for shard, numbers in found.items()}
