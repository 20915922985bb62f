"""What a run keeps in its output folder: whose it is, with which settings, which shards are done.

OUTPUT/_face_anonymizer/
    settings.json        what makes results what they are; another run with other settings is refused
    claim.json           the run that works here now, with a sign of life every few seconds
    parts/SHARD/         finished chunks of shards that are not whole yet
    done/SHARD.json      the marks: name, bytes and totals of a finished shard

A mark is written when its result has its name, and the parts go after that: a kill loses at most what is in hand.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from ..terminal import shown
from .chunks import Shard
from .places import Place

FOLDER = "_face_anonymizer"
SCHEMA = "face-anonymizer/dataset/1"
_SETTINGS, _CLAIM, _DONE = "settings.json", "claim.json", "done"
BEAT_SECONDS = 15.0  # between two signs of life
STALE_SECONDS = 300.0  # without one, after which a run on another machine counts as dead


class OutputRefused(RuntimeError):
    """The output folder cannot be used; the message gives the reason and what to do instead."""


class OutputUnwritable(RuntimeError):
    """The output folder cannot be written."""


class Claim:
    """The right of one run to an output folder, until it is given back.

    Args:
        output: the folder.
        say: takes a line where a dead run's claim is taken over.

    Raises:
        OutputRefused: another run works there. OSError: it cannot be written.
    """

    def __init__(self, output: Place, say: Callable[[str], None]):
        self._service, self.run = output.below(FOLDER), secrets.token_hex(8)
        self._output, self._started, self._stopped = output, _now(), threading.Event()
        self.lost = False
        for _ in range(3):
            if self._service.create(_CLAIM, self._text()):
                break
            self._step_over_the_dead(say)
        if self._service.local is None:
            time.sleep(1)  # of two that saw none and wrote, the later one has it
        if read_claim(output).get("run") != self.run:
            raise OutputRefused(f"Another run claimed {shown(output)} in the same moment: leave it to that one.")
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._beating.join()
        with contextlib.suppress(OSError, ValueError):
            if read_claim(self._output).get("run") == self.run:
                self._service.remove(_CLAIM)

    def _step_over_the_dead(self, say: Callable[[str], None]) -> None:
        found = read_claim(self._output)
        if not found:
            return  # it went meanwhile
        who = f"process {found.get('pid')} on {shown(found.get('host'))}, since {shown(found.get('since'))}"
        silent = time.time() - float(found.get("beat", 0))
        here = found.get("host") == socket.gethostname()
        if silent < STALE_SECONDS and not (here and not _is_alive(found.get("pid"))):
            raise OutputRefused(
                f"{shown(self._output)} is being filled by another run ({who}; its last sign of life was "
                f"{max(0, silent):.0f} seconds ago). Wait for it, or take another --output. A run that was killed on "
                f"another machine is taken over {STALE_SECONDS:.0f} seconds after its last sign."
            )
        say(f"A run that ended without a word ({who}) is gone on with.")
        self._service.remove(_CLAIM)

    def _text(self) -> bytes:
        me = {"run": self.run, "host": socket.gethostname(), "pid": os.getpid()}
        return json.dumps({**me, "since": self._started, "beat": time.time()}).encode() + b"\n"

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError, ValueError):
                if read_claim(self._output).get("run") != self.run:
                    self.lost = True
                    return
                self._service.write(_CLAIM, self._text())


def read_claim(output: Place) -> dict:
    """The claim on an output folder; empty where there is none. OSError: it cannot be read."""
    service = output.below(FOLDER)
    for _ in range(5):
        try:
            found = json.loads(service.read(_CLAIM) or b"{}")
            if isinstance(found, dict) and found:
                return found
        except FileNotFoundError:
            return {}
        except ValueError:
            pass
        time.sleep(0.1)  # it is being written
    return {"beat": 0}


def open_output(output: Place, settings: Mapping) -> None:
    """Take an output folder that is empty, or was made with these settings.

    Raises:
        OutputRefused: it holds something else. OSError: it cannot be read or written.
    """
    service, wanted = output.below(FOLDER), json.loads(json.dumps(settings))
    if output.kind() == "file":
        raise OutputRefused(f"{shown(output)} is a file: --output is a folder.")
    try:
        data = service.read(_SETTINGS)
    except FileNotFoundError:
        if not output.is_empty():
            raise OutputRefused(
                f"{shown(output)} is not empty, and no output of this command. Nothing in it is touched: take another "
                "--output."
            ) from None
        service.write(_SETTINGS, json.dumps({"schema": SCHEMA, "settings": wanted}, indent=1).encode() + b"\n")
        return
    try:
        found = json.loads(data)
        theirs = found["settings"] if found["schema"] == SCHEMA else None
    except (ValueError, KeyError, TypeError):
        theirs = None
    if not isinstance(theirs, dict):
        raise OutputRefused(f"{shown(service)}/{_SETTINGS} is no file of this version: take another --output.")
    names = sorted(name for name in {*theirs, *wanted} if theirs.get(name) != wanted.get(name))
    if names:
        told = ", ".join(f"{name} {shown(theirs.get(name))} (now {shown(wanted.get(name))})" for name in names)
        raise OutputRefused(
            f"The results in {shown(output)} were made with {told}. They stay as they are: give the same settings, or "
            "take another --output."
        )


def marks_of(output: Place) -> dict[str, dict]:
    """Shard's id -> its mark; one that is not whole counts for nothing."""
    service, found = output.below(FOLDER), {}
    for entry in service.files(_DONE):
        with contextlib.suppress(ValueError):
            mark = json.loads(service.read(f"{_DONE}/{entry.name}"))
            if isinstance(mark, dict) and isinstance(mark.get("result"), str):
                found[entry.name.removesuffix(".json")] = mark
    return found


def mark(output: Place, shard: Shard, size: int, totals: Mapping[str, int]) -> dict:
    """Say that a shard is done, of which the result has its name; the mark. OSError."""
    made = {"name": shard.name, "result": shard.result, "bytes": size, "totals": dict(totals), "date": _now()}
    data = json.dumps(made, indent=1).encode() + b"\n"
    output.below(FOLDER).write(f"{_DONE}/{shard.id}.json", data)
    return made


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
