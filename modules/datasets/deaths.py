"""Pictures at which a worker dies: taken one by one the next time, and given up at the third.

Where a process is killed for want of memory, or by a fault of a decoder, nothing is left to catch, and the chunk comes
again for ever. So each process writes down what it is at, in a file in the temporary folder of its machine, without
names. That a whole machine is lost counts for nothing: its file is lost too.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .chunks import Chunk, Item

DIED = "a worker died at it twice, as one does for want of memory: give workers more, or make the picture smaller"
_ENOUGH = 2  # deaths at one picture


class Deaths:
    """What the processes of one stage of a run were at when they died, on this machine.

    Args:
        run: the name of the run.
        stage: whose.
    """

    def __init__(self, run: str, stage: str):
        self._folder = Path(tempfile.gettempdir()) / f"face_anonymizer_{run}"
        self._stage = stage

    def guard(self, chunk: Chunk, do: Callable[[list[Item]], None]) -> None:
        """Do a chunk's pictures: all together, or one by one where a process died at them before.

        Args:
            chunk: whose pictures; those that fail here get their error.
            do: does some of them.
        """
        open_items = [item for item in chunk.items if not item.error]
        if not open_items:
            return
        file = self._folder / f"{self._stage}-{chunk.shard.id}-{chunk.number}.json"
        with self._written(file) as died:
            if died is None:
                do(open_items)
                return
            for number, item in enumerate(chunk.items):
                if item.error:
                    continue
                if died.get(str(number), 0) >= _ENOUGH:
                    item.failed(DIED)
                    continue
                died[str(number)] = died.get(str(number), 0) + 1
                self._write(file, died)
                do([item])
                died[str(number)] -= 1
                self._write(file, died)

    @contextlib.contextmanager
    def _written(self, file: Path) -> Iterator[dict[str, int] | None]:
        """How often a process died at each picture, None where none died; the file stays when this one dies now."""
        died = None
        with contextlib.suppress(OSError, ValueError):
            died = json.loads(file.read_text())
        if died is None:
            self._write(file, {})
        yield died
        with contextlib.suppress(OSError):
            file.unlink()
            self._folder.rmdir()  # when it is empty

    def _write(self, file: Path, died: dict[str, int]) -> None:
        with contextlib.suppress(OSError):  # without a temporary folder there is no guard
            file.parent.mkdir(mode=0o700, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(died))
            part.replace(file)
