"""Datasets on a Ray of two machines, four logical CPUs, with a stand-in that only waits and turns levels round.

With `-s` the figures of docs/datasets.md are printed.
"""

import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_datasets
from small_datasets import (
    Inverting,
    number_of,
    options,
    picture,
    read_parquet,
    read_tar,
    run,
    samples,
    write_parquet,
    write_tar,
)

from face_anonymizer.modules.datasets.ends import Stopped

pytestmark = pytest.mark.long

CPUS = 2  # of each machine
FORMS = ("tars", "tables")


class Waiting(Inverting):
    """Waits before it turns a picture round, and writes down when, in which process, of how many bytes."""

    log: Path
    seconds: float = 0.01

    def __call__(self, chunk):
        started = time.time()
        time.sleep(self.seconds * len(chunk.items))
        chunk = super().__call__(chunk)
        with self.log.open("a") as log:
            for item in chunk.items:
                log.write(f"{chunk.shard.name}/{item.name} {os.getpid()} {started} {time.time()} {own_bytes()}\n")
        return chunk


class Passing(Inverting):
    """In place of finding faces."""

    def __call__(self, chunk):
        return chunk


def own_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # the most so far


def waiting(log: Path, seconds: float = 0.01) -> type:
    return type("Waiting", (Waiting,), {"log": log, "seconds": seconds})


def logged(log: Path) -> list[list[str]]:
    return [line.rsplit(" ", 4) for line in log.read_text().splitlines()] if log.exists() else []


def on(cluster, stage: type, workers: int = 2, gpus: float = 0, on_saved=lambda: None):
    """A runner on a cluster, by which run() does a dataset."""
    from face_anonymizer.modules.datasets import on_ray

    machines = on_ray.Machines(cluster.address, workers, gpus, 1, Passing, stage)

    def saved(told, pictures):
        told.saved(pictures)
        on_saved()

    def runner(work, shards, told):
        hears = SimpleNamespace(saved=lambda pictures: saved(told, pictures), done=told.done)
        with on_ray.cluster(machines, lambda _: None):
            on_ray.run_shards(work, shards, machines, hears)

    return runner


@pytest.fixture(scope="module")
def cluster():
    """One machine, to which tests add another, and this process as its driver."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = at_last(lambda: Cluster(initialize_head=True, head_node_args=machine()))
    for module in (small_datasets, sys.modules[__name__]):
        ray.cloudpickle.register_pickle_by_value(module)
    yield made
    ray.shutdown()
    made.shutdown()


def at_last(start):
    """Ray gives a machine 30 seconds to start, which on a busy one is not always enough."""
    for left in (2, 1, 0):
        try:
            return start()
        except Exception:
            if not left:
                raise


def machine() -> dict:
    """With a GPU by name, for the stages that ask for one."""
    return {"num_cpus": CPUS, "num_gpus": 1, "object_store_memory": 150 << 20, "include_dashboard": False}


def dataset(folder: Path, form: str, count: int = 250) -> Path:
    """Five tars, or two tables."""
    folder.mkdir()
    if form == "tars":
        for first in range(0, count, 50):
            write_tar(folder / f"{first}.tar", samples(first, 50))
    else:
        for first in range(0, count, 125):
            write_parquet(folder / f"{first}.parquet", [picture(first + number) for number in range(125)])
    return folder


def pictures_in(output: Path) -> list[int]:
    tables = [data for path in output.glob("*.parquet") for data in read_parquet(path)["image"]]
    tars = [data for path in output.glob("*.tar") for name, data in read_tar(path).items() if name.endswith(".png")]
    return sorted(map(number_of, (*tables, *tars)))


@pytest.mark.parametrize("form", FORMS)
def test_a_machine_that_is_lost_loses_nothing(tmp_path, cluster, form):
    second, saved, driver = at_last(lambda: cluster.add_node(**machine())), [], []

    def lose_it():
        saved.append(None)
        driver.append(own_bytes())
        if len(saved) == 6:
            assert {int(line[1]) for line in logged(tmp_path / "log")}, "in the middle"
            cluster.remove_node(second, allow_graceful=False)

    source = dataset(tmp_path / "in", form)
    asked = options(source, tmp_path / "out", batch=8)
    status, said = run(asked, on(cluster, waiting(tmp_path / "log", 0.05), on_saved=lose_it))
    assert status == 0, said
    assert len(saved) > 30 and pictures_in(tmp_path / "out") == list(range(250)), "each exactly once"
    lines = logged(tmp_path / "log")
    by_process = {
        process: [int(line[4]) for line in lines if line[1] == process] for process in {li[1] for li in lines}
    }
    grown = {process: max(sizes) - sizes[len(sizes) // 4] for process, sizes in by_process.items()}
    grown["driver"] = max(driver) - driver[len(driver) // 4]
    print(form, "grown by MB after the first quarter:", {name: round(size / 2**20, 1) for name, size in grown.items()})
    print("pictures done twice, as their machine was lost:", len(lines) - 250)
    assert len(lines) - 250 <= 6 * 8 and max(grown.values()) < 24 << 20


def test_a_driver_that_is_killed_goes_on(tmp_path, cluster):
    source, output, log = dataset(tmp_path / "in", "tars"), tmp_path / "out", tmp_path / "log"
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parent)]!r}; import conftest
import ray, pathlib, types, small_datasets, test_datasets_on_ray as tests
[ray.cloudpickle.register_pickle_by_value(module) for module in (small_datasets, tests)]
at = types.SimpleNamespace(address={cluster.address!r})
asked = tests.options(pathlib.Path({str(source)!r}), pathlib.Path({str(output)!r}), batch=8)
tests.run(asked, tests.on(at, tests.waiting(pathlib.Path({str(log)!r}), 0.05)))
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until, marks = time.time() + 180, output / "_face_anonymizer" / "done"
    while len(list(marks.glob("*.json"))) < 2 and driver.poll() is None and time.time() < until:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    done = {path.name for path in output.glob("*.tar")}
    assert 2 <= len(done) < 5, driver.stdout.read().decode()[-2000:]
    # Its workers die a moment after it: a further mark may be half written then, or still follow.
    marked = len(list(marks.glob("*.json")))
    status, said = run(options(source, output, batch=8), on(cluster, waiting(log, 0.01)))
    assert status == 0 and "A run that ended without a word" in said
    assert marked <= int(re.search(r"\((\d+) are done already\)", said)[1]) < 5
    assert pictures_in(output) == list(range(250))
    times = Counter(line[0] for line in logged(log))
    twice = [name for name, count in times.items() if count > 1]
    print("killed after", len(done), "of 5 shards; pictures that were in hand:", len(twice))
    assert len(times) == 250 and max(times.values()) <= 2 and not [name for name in twice if name.split("/")[0] in done]
    before = len(logged(log))
    assert run(options(source, output, batch=8), on(cluster, waiting(log)))[0] == 0
    assert len(logged(log)) == before, "nothing is left to do"


def test_two_workers_work_at_the_same_time(tmp_path, cluster):
    """How much more they do is printed, on a machine with nothing beside it for docs/datasets.md."""
    source, rates = dataset(tmp_path / "in", "tars", 50), {}
    for workers in (1, 2):
        log = tmp_path / f"log {workers}"
        asked = options(source, tmp_path / f"out {workers}", batch=1)
        assert run(asked, on(cluster, waiting(log, 0.3), workers, 0.5))[0] == 0
        lines = logged(log)
        began = {process: min(float(li[2]) for li in lines if li[1] == process) for process in {li[1] for li in lines}}
        assert len(began) == workers
        # from when all are there to when the first has nothing left
        ends = [max(float(li[3]) for li in lines if li[1] == process) for process in began]
        start, end = max(began.values()), min(ends)
        assert end > start
        rates[workers] = sum(start <= float(li[2]) and float(li[3]) <= end for li in lines) / (end - start)
    print({workers: f"{rate:.2f} pictures a second" for workers, rate in rates.items()}, rates[2] / rates[1])


def test_what_stops_a_run_is_said_in_its_own_words(tmp_path, cluster):
    class Failing(Inverting):
        def __call__(self, chunk):
            raise Stopped("The machine there has no model in /models: put it there.")

    source = dataset(tmp_path / "in", "tars", 50)
    status, said = run(options(source, tmp_path / "out"), on(cluster, Failing))
    assert status == 1 and "Stopped: The machine there has no model in /models: put it there.\n" in said
    status, said = run(options(source, tmp_path / "out2"), on(SimpleNamespace(address="127.0.0.1:1"), Failing))
    assert status == 1 and "No Ray cluster at 127.0.0.1:1 ([Errno 111] Connection refused). Start one" in said


def test_a_ray_that_does_not_start_is_said(tmp_path, monkeypatch):
    import ray

    from face_anonymizer.modules.datasets.on_ray import Machines, cluster

    def init(**_):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(Stopped, match=r"Ray did not start on this machine: The current node timed out .*--address"):
        cluster(Machines(), print).__enter__()
