"""Train the demo model in the background, at the lowest priority, over days.

    python tools/run.py demo_model.run start     # go on where it was; at once when it runs already
    python tools/run.py demo_model.run status
    python tools/run.py demo_model.run stop      # with a checkpoint

What is trained, and from what: stages.py beside this file. Everything is kept in --folder; `worker.log` there is what
the commands print. It stands still (SIGSTOP) while anybody holds the lock of tools/busy.py: benchmarks, .ci/run and
tests in a host. Linux and macOS.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from face_anonymizer.modules.files import replace_whole
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.busy import LOCK, is_busy
from face_anonymizer.tools.demo_model.stages import Stage, make_stages

POLL_SECONDS = 3
STOP_SECONDS = 180  # for a checkpoint; a command that takes longer is killed
AT_ONCE_SECONDS = 20  # a command that ends sooner, with nothing done, would be called forever


class Failed(RuntimeError):
    """A command ended without its result."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("start", "status", "stop", "work"), help="work: stay in the foreground")
    parser.add_argument("--folder", type=Path, default=Path("~/face_anonymizer_demo"), help="of data and weights")
    options = parser.parse_args()
    folder = options.folder.expanduser().resolve()
    stages = make_stages(folder)
    if options.action == "status":
        print(status(folder, stages))
        return 0
    if options.action == "stop":
        return stop(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if options.action == "start":
        return start(folder)
    return Worker(folder, stages).work()


def start(folder: Path) -> int:
    """Detach a worker, unless one runs."""
    if (running := worker_of(folder)) is not None:
        print(f"It runs already, as process {running}.")
        return 0
    command = [
        sys.executable,
        str(PACK / "tools" / "run.py"),
        "demo_model.run",
        "work",
        "--folder",
        str(folder),
    ]
    with (folder / "worker.log").open("a") as log:
        worker = subprocess.Popen(
            command, cwd=PACK, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    for _ in range(100):
        if worker_of(folder) is not None or worker.poll() is not None:
            break
        time.sleep(0.1)
    if worker_of(folder) is None:
        print(f"The worker ended at once; see {folder / 'worker.log'}.", file=sys.stderr)
        return 1
    print(f"Process {worker.pid} works in {folder}.")
    return 0


def stop(folder: Path) -> int:
    running = worker_of(folder)
    if running is None:
        print("It does not run.")
        return 0
    os.kill(running, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS + 10
    while worker_of(folder) == running and time.monotonic() < end:
        time.sleep(0.2)
    ended = worker_of(folder) != running
    print("Stopped." if ended else f"Process {running} still runs.")
    return int(not ended)


def worker_of(folder: Path) -> int | None:
    """The process that works in a folder: it holds the lock of its pid file, which ends with it."""
    try:
        with (folder / "worker.pid").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int((folder / "worker.pid").read_text() or 0)
    return None


def status(folder: Path, stages: list[Stage]) -> str:
    """Several lines for people."""
    state, running = _read(folder / "worker.json"), worker_of(folder)
    lines = [f"{folder}: " + (f"process {running} works" if running is not None else "nothing works there")]
    if running is None and not state:
        return f"{lines[0]}, and nothing has. `start` begins."
    if running is not None and state.get("paused_since"):
        lines.append(f"paused for {_ago(state['paused_since'])}: {LOCK} is held (by tests or a benchmark)")
    if state.get("failed"):
        lines.append(f"FAILED: {state['failed']}")
    undone = [stage for stage in stages if not stage.is_done()]
    lines.append(f"{len(stages) - len(undone)} of {len(stages)} stages are done")
    for stage in stages:
        trained = not stage.name.startswith("pictures")
        if (undone and stage is undone[0]) or (trained and stage.is_done()):
            lines.append(f"{'done' if stage.is_done() else 'now'}: {stage.name}: {stage.report()}")
    kept = [path for pattern in ("*_training/*.safetensors", "method/checkpoints/*") for path in folder.glob(pattern)]
    if kept:
        newest = max(kept, key=lambda path: path.stat().st_mtime)
        lines.append(f"last checkpoint: {newest.relative_to(folder)}, {_ago(newest.stat().st_mtime)} old")
    return "\n".join(lines)


class Worker:
    """Runs the commands of all stages that are not done, one after the other."""

    def __init__(self, folder: Path, stages: list[Stage], lock: Path = LOCK, poll=POLL_SECONDS):
        self.folder, self.stages, self.lock, self.poll = folder, stages, lock, poll
        self.state: dict = {}
        self.stopping = False

    def work(self) -> int:
        """Returns the exit status: 0 when all is done or it was told to stop."""
        with (self.folder / "worker.pid").open("a+") as pid_file:
            if not _lock(pid_file):
                print("Another process works in this folder.", file=sys.stderr)
                return 1
            pid_file.truncate(0)
            pid_file.write(str(os.getpid()))
            pid_file.flush()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            os.setpriority(os.PRIO_PROCESS, 0, 19)
            self._note()
            try:
                self._run_stages()
            except Failed as failed:
                self._note(failed=str(failed))
                print(failed, file=sys.stderr)
                return 1
            return 0

    def _run_stages(self) -> None:
        for stage in self.stages:
            while not self.stopping and not stage.is_done():
                began = time.monotonic()
                returned = self._run(stage)
                if self.stopping or stage.is_done():
                    break
                if returned or time.monotonic() - began < AT_ONCE_SECONDS:
                    raise Failed(f"{stage.name} ended with status {returned} and is not done; see worker.log")

    def _run(self, stage: Stage) -> int:
        """One command to its end, standing still while the lock is held; returns its exit status."""
        print(f"{time.strftime('%F %T')} {stage.name}: {' '.join(stage.command)}", flush=True)
        # A bar that is written to a file is read rarely; libraries that ask for more threads get one all the same.
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
        environment = {**os.environ, **threads, "TQDM_MININTERVAL": "30", "ACCELERATE_USE_CPU": "true"}
        child = subprocess.Popen(
            stage.command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_together
        )
        self._note(stage=stage.name, child=child.pid)
        paused = False
        try:
            while child.poll() is None and not self.stopping:
                if is_busy(self.lock) != paused:
                    paused = not paused
                    os.killpg(child.pid, signal.SIGSTOP if paused else signal.SIGCONT)
                    self._note(paused_since=time.time() if paused else None)
                time.sleep(self.poll)
        finally:
            _end(child)
            self._note(child=None, paused_since=None)
        return child.returncode

    def _stop(self, *_) -> None:
        self.stopping = True

    def _note(self, **changes) -> None:
        self.state |= changes
        replace_whole(self.folder / "worker.json", json.dumps(self.state).encode())


def _lock(file: TextIO) -> bool:
    """Several tries, as those who only look hold it for a moment too."""
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False


def _die_together() -> None:
    """On Linux a command is killed with its worker; else it would go on beside the next worker's, or stand still."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _end(child: subprocess.Popen) -> None:
    """Ask it to end with a checkpoint, which one that stands still can do when it goes on."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    os.killpg(child.pid, signal.SIGCONT)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _ago(moment: float) -> str:
    minutes = (time.time() - moment) / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
