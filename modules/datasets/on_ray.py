"""A dataset's shards on Ray: the only module that imports it.

    read (tasks) -> find (actors, a CPU each) -> change (actors, a GPU each) -> save (actors) -> the driver
    the driver: when all chunks of a shard are saved -> write its result (a task) -> the mark

Without GPUs find and change are one actor. So every stage's actors hold one kind of resource at most, tasks hold none,
and none can keep another from running, whatever of the cluster is lost. What is done for every chunk is done by actors:
where all CPUs are taken, Ray ends the process of a task a second after it and starts another for the next, which costs
more than to save a chunk.

Every row of the Ray Data pipeline is one chunk, and every block one row, so that Ray hands on, counts and gives back to
the reader by chunks. Ray does again what a lost machine had; all that is written is written anew under the same name.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources, TaskPoolStrategy

from ..host.location import PACK, pack_version
from ..terminal import shown
from . import ends
from .chunks import Chunk, Shard
from .ends import Saved, Stage, Stopped, Told
from .work import Work

_FINDERS_PER_WORKER = 16  # at most, where CPUs are there; Ray starts as many as have something to do
_WORKERS_PER_READER = 16  # for so many more, one more reader reads
_WORKERS_PER_SAVER = 4  # likewise; to change a picture takes five times as long and more
_CHUNK_BYTES = 48 << 20  # that a chunk on its way is taken to have: eight pictures of two million pixels
_JOINED_AT_ONCE = 4
_OBJECT_STORE = 2 << 30  # bytes, of a Ray that is started here


def finder(work: Work) -> Stage:
    """The stage that finds faces; torch is imported in its process alone."""
    from .stages import Finder

    return Finder(work)


def changer(work: Work) -> Stage:
    """The stage that changes faces, likewise."""
    from .stages import Changer

    return Changer(work)


@dataclass(frozen=True)
class Machines:
    """Where a run goes.

    Args:
        address: of a cluster; None: Ray is started here.
        workers: that change pictures.
        gpus_per_worker: None: one where the cluster has any and faces are painted.
        finders: that look for faces where there are GPUs, at most; None: by the CPUs that are there.
        find, change: the stages, made from the Work in their process; others stand in for them in tests.
    """

    address: str | None = None
    workers: int = 1
    gpus_per_worker: float | None = None
    finders: int | None = None
    find: Callable[[Work], Stage] = finder
    change: Callable[[Work], Stage] = changer


@contextlib.contextmanager
def cluster(machines: Machines, say: Callable[[str], None]) -> Iterator[None]:
    """Ray, started here or joined, until the block ends.

    Raises:
        Stopped: Ray does not start here, there is no cluster at this address, or its machines have not this pack.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="face_anonymizer_") as folder:
        # so that workers of this machine import the pack, whatever its folder is called
        (Path(folder) / "face_anonymizer").symlink_to(PACK, target_is_directory=True)
        paths = f"{folder}{os.pathsep}${{PYTHONPATH}}"  # Ray puts in what it is there
        common: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "runtime_env": {"env_vars": {"PYTHONPATH": paths}},
        }
        was_there = ray.is_initialized()
        try:
            if was_there:
                pass
            elif machines.address is None:
                cpus = max(2, machines.workers, os.cpu_count() or 1)
                ray.init(num_cpus=cpus, object_store_memory=_OBJECT_STORE, include_dashboard=False, **common)
            else:
                _check_reachable(machines.address)
                ray.init(address=machines.address, **common)
        except Exception as error:  # Ray raises bare ones too, as where its processes are slow to start
            if machines.address is None:
                raise Stopped(
                    f"Ray did not start on this machine: {shown(error)} Where others keep it busy, start the command "
                    "again later; or name a cluster with --address."
                ) from error
            raise Stopped(
                f"No Ray cluster at {machines.address} ({error}). Start one with `ray start --head`, or leave out "
                "--address to start Ray here."
            ) from error
        try:
            _check_pack()
            _say_what_is_there(machines, say)
            yield
        finally:
            if not was_there:
                ray.shutdown()


def run_shards(work: Work, shards: Sequence[Shard], machines: Machines, told: Told) -> None:
    """Do shards on the cluster that is there.

    Args:
        work: what is done.
        shards: of which none is done; no two write one result.
        machines: how many workers.
        told: hears of what is done.

    Raises:
        Stopped: no further shard can be done; those that are done stay.
    """
    counting = _Counting(work, shards, told)
    try:
        for row in _pipeline(work, shards, machines).iter_rows():
            saved = row["saved"]
            if isinstance(saved, _Halt):
                raise Stopped(saved.why)
            told.saved(saved.pictures)
            counting.add(saved)
        counting.finish()
    except ray.exceptions.RayError as error:
        raise Stopped(_cause_of(error)) from error
    except (OSError, ValueError) as error:
        raise Stopped(f"{type(error).__name__}: {error}") from error


class _Counting:
    """Knows which chunks are there, and has the shards written of which all are."""

    def __init__(self, work: Work, shards: Sequence[Shard], told: Told):
        self._work, self._told = work, told
        self._shards = {shard.id: shard for shard in shards}
        self._there = {shard.id: set(shard.done) for shard in shards}
        self._counts: dict[str, int] = {}
        self._joining: dict[Any, str] = {}
        self._join = ray.remote(num_cpus=0, max_retries=-1)(ends.finish)

    def add(self, saved: Saved) -> None:
        """Count a chunk."""
        if saved.is_end:
            self._counts[saved.shard] = saved.number
        else:
            self._there[saved.shard].add(saved.number)
        count = self._counts.get(saved.shard)
        if count is not None and self._there[saved.shard] >= set(range(count)):
            del self._counts[saved.shard]
            self._joining[self._join.remote(self._work, self._shards[saved.shard], count)] = saved.shard
        self._take(0 if len(self._joining) < _JOINED_AT_ONCE else None)

    def finish(self) -> None:
        """Wait for all that is being written. Stopped: chunks of a shard did not come."""
        while self._joining:
            self._take(None)
        if left := [shard.name for shard in self._shards.values()]:
            raise Stopped(f"Ray ended without all pictures of {', '.join(left[:5])}: the same command goes on.")

    def _take(self, timeout: float | None) -> None:
        while self._joining:
            ready, _ = ray.wait(list(self._joining), num_returns=1, timeout=timeout)
            if not ready:
                return
            marked = ray.get(ready[0])
            self._told.done(self._shards.pop(self._joining.pop(ready[0])), marked)
            timeout = 0


def _pipeline(work: Work, shards: Sequence[Shard], machines: Machines):
    """The Ray Data pipeline; a row {"saved": Saved} of each chunk."""
    gpus, cpus = _gpus(work, machines), int(ray.cluster_resources().get("CPU", 1))
    finders = machines.finders or max(1, min(_FINDERS_PER_WORKER * machines.workers, cpus - 1))
    readers = 1 + machines.workers // _WORKERS_PER_READER
    savers = 1 + machines.workers // _WORKERS_PER_SAVER
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # a block a chunk
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    on_the_way = 2 * (machines.workers + finders + readers) + 4
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=on_the_way * _CHUNK_BYTES)
    with _current(context):
        plans = [{"shard": ray.cloudpickle.dumps(shard)} for shard in shards]
        rows = ray.data.from_items(plans, override_num_blocks=len(shards)).map_batches(
            _read, batch_size=1, fn_args=(work,), compute=TaskPoolStrategy(size=readers), num_cpus=0
        )
        if gpus:  # whose actors hold no CPU
            rows = rows.map_batches(
                _InActor,
                batch_size=1,
                fn_constructor_args=(work, (machines.find,)),
                compute=ActorPoolStrategy(min_size=1, max_size=finders, max_tasks_in_flight_per_actor=2),
                num_cpus=1,
            )
        return rows.map_batches(
            _InActor,
            batch_size=1,
            fn_constructor_args=(work, (machines.change,) if gpus else (machines.find, machines.change)),
            compute=ActorPoolStrategy(size=machines.workers, max_tasks_in_flight_per_actor=2),
            num_cpus=0 if gpus else 1,
            num_gpus=gpus,
        ).map_batches(
            _Saver,
            batch_size=1,
            fn_constructor_args=(work,),
            compute=ActorPoolStrategy(size=savers, max_tasks_in_flight_per_actor=2),
            num_cpus=0,
        )


@contextlib.contextmanager
def _current(context: DataContext) -> Iterator[None]:
    before = DataContext.get_current()
    DataContext._set_current(context)
    try:
        yield
    finally:
        DataContext._set_current(before)


@dataclass(frozen=True)
class _Halt:
    """In place of a chunk: why the run cannot go on. As a value, since Ray wraps what is raised, and tries again."""

    why: str


def _read(batch: dict, work: Work) -> Iterator[dict]:
    for shard in batch["shard"]:
        try:
            for chunk in ends.read(work, ray.cloudpickle.loads(shard)):
                yield _row("chunk", chunk)
        except Exception as error:
            yield _row("chunk", _Halt(_in_words(error)))


class _InActor:
    """A stage, or two, in a process of its own, which keeps its networks."""

    def __init__(self, work: Work, stages: Sequence[Callable[[Work], Stage]]):
        self._work, self._makers = work, stages
        self._stages: list[Stage] | None = None

    def __call__(self, batch: dict) -> dict:
        (chunk,) = batch["chunk"]
        if isinstance(chunk, _Halt) or chunk.is_end:
            return _row("chunk", chunk)
        try:
            if self._stages is None:
                self._stages = [make(self._work) for make in self._makers]
            for stage in self._stages:
                chunk = stage(chunk)
        except Exception as error:
            return _row("chunk", _Halt(_in_words(error)))
        return _row("chunk", chunk)


class _Saver:
    """ends.save, in a process that stays."""

    def __init__(self, work: Work):
        self._work = work

    def __call__(self, batch: dict) -> dict:
        (chunk,) = batch["chunk"]
        try:
            return _row("saved", chunk if isinstance(chunk, _Halt) else ends.save(self._work, chunk))
        except Exception as error:
            return _row("saved", _Halt(_in_words(error)))


def _in_words(error: BaseException) -> str:
    return str(error) if isinstance(error, Stopped) else f"{type(error).__name__}: {error}"


def _row(name: str, value: Chunk | Saved | _Halt) -> dict:
    cell = np.empty(1, dtype=object)
    cell[0] = value
    return {name: cell}


def _gpus(work: Work, machines: Machines) -> float:
    if machines.gpus_per_worker is not None:
        return machines.gpus_per_worker
    return float(work.model is not None and ray.cluster_resources().get("GPU", 0) >= 1)


def _say_what_is_there(machines: Machines, say: Callable[[str], None]) -> None:
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0), there.get("GPU", 0)
    say(f"Ray has {cpus:g} CPUs and {gpus:g} GPUs on {len(ray.nodes())} machines.")
    wanted = machines.workers * (machines.gpus_per_worker or 0)
    if wanted > gpus:
        say(f"{machines.workers} workers want {wanted:g} GPUs: those without one wait until the cluster has more.")
    elif not wanted and machines.workers > max(cpus, gpus):
        say(f"{machines.workers} workers want a GPU or CPU each: those without one wait until the cluster has more.")


def _check_reachable(address: str) -> None:
    """That somebody listens there: Ray itself would try for minutes. OSError, ValueError."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if address != "auto":
        socket.create_connection((host, int(port)), timeout=20).close()


def _check_pack() -> None:
    """That workers import this version of the pack."""

    def theirs() -> str:
        return importlib.import_module("face_anonymizer.modules.host.location").pack_version()

    theirs.__module__ = "__main__"  # so that it goes there by value, as the pack may not be there
    try:
        found = ray.get(ray.remote(num_cpus=0.1)(theirs).remote())
    except ray.exceptions.RayError as error:
        raise Stopped(
            f"The machines of the cluster cannot import face_anonymizer ({_cause_of(error)}): install it on each, with "
            "pip install 'face-anonymizer[headless,dataset]' in their image."
        ) from error
    if found != pack_version():
        raise Stopped(f"The machines have face-anonymizer {found}, this one {pack_version()}: install the same on all.")


def _cause_of(error: BaseException) -> str:
    """What was raised in a task, in its own words."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return _in_words(cause)
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"
