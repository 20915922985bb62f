"""The background training of the demo model: what it runs, when it stands still, what it says. With dummy commands."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from face_anonymizer.tools.demo_model import run as runner

fcntl = pytest.importorskip("fcntl")

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = str(ROOT / "scripts")

# Stages of Python code, each done when FOLDER/NAME exists. A process of its own, as a worker takes the lowest priority.
WORK = """
import json, sys
sys.path.append(sys.argv[1])
import _pack
from pathlib import Path
from face_anonymizer.tools.demo_model import run, stages
folder = Path(sys.argv[2])
run.AT_ONCE_SECONDS = float(sys.argv[4])
made = [
    stages.Stage(name, (folder / name).exists, [sys.executable, "-c", code, str(folder)], lambda: "")
    for name, code in json.loads(sys.argv[3]).items()
]
sys.exit(run.Worker(folder, made, lock=folder / "lock", poll=0.05).work())
"""
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], {!r}).touch()"
# Goes on until it is told to end, then writes `checkpoint`.
TRAIN = """
import pathlib, signal, sys, time
folder, told = pathlib.Path(sys.argv[1]), []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
(folder / "ready").touch()
while not told:
    time.sleep(0.01)
(folder / "checkpoint").touch()
"""
HOLD = """
import pathlib, sys, time
sys.path.append(sys.argv[1])
import _pack
from face_anonymizer.tools.busy import busy
with busy(pathlib.Path(sys.argv[2])):
    time.sleep(60)
"""


@pytest.fixture
def work(tmp_path):
    """work(stages) starts a worker on tmp_path."""
    started = []

    def start(stages: dict[str, str], at_once: float = 60) -> subprocess.Popen:
        command = [sys.executable, "-c", WORK, SCRIPTS, str(tmp_path), json.dumps(stages), str(at_once)]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def child_of(folder: Path) -> int:
    """The command may be at work before the worker has written down its number."""
    assert wait_for(lambda: "child" in json.loads((folder / "worker.json").read_text()))
    return json.loads((folder / "worker.json").read_text())["child"]


def state(process: int) -> str:
    """R running, S sleeping, T standing still, and so on; empty for none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def test_a_stage_that_is_done_is_not_run_again(tmp_path, work):
    (tmp_path / "a").touch()
    assert work({"a": WRITE.format("again"), "b": WRITE.format("b"), "c": WRITE.format("c")}).wait(20) == 0
    assert (tmp_path / "b").exists() and (tmp_path / "c").exists() and not (tmp_path / "again").exists()


@pytest.mark.parametrize("code", ["pass", "raise SystemExit(3)"])
def test_a_command_without_its_result_ends_the_work(tmp_path, work, code):
    assert work({"a": code, "b": WRITE.format("b")}).wait(20) == 1
    assert not (tmp_path / "b").exists()
    assert "FAILED: a ended with status" in runner.status(tmp_path, [])


def test_a_command_that_ends_before_its_stage_is_called_again(tmp_path, work):
    code = (
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]); (p / ('a' if (p / 'once').exists() else 'once')).touch()"
    )
    assert work({"a": code}, at_once=0).wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_stands_still_while_the_lock_is_held_and_stops_with_a_checkpoint(tmp_path, work):
    from face_anonymizer.tools.busy import busy

    worker = work({"a": TRAIN})
    assert wait_for((tmp_path / "ready").exists)
    child = child_of(tmp_path)
    with busy(tmp_path / "lock"), busy(tmp_path / "lock"):
        assert wait_for(lambda: state(child) == "T")
        assert wait_for(lambda: "paused for 0 minutes" in runner.status(tmp_path, []))
    assert wait_for(lambda: state(child) in ("R", "S"))
    assert wait_for(lambda: "paused" not in runner.status(tmp_path, []))
    with busy(tmp_path / "lock"):
        assert wait_for(lambda: state(child) == "T")
        assert runner.stop(tmp_path) == 0
    assert worker.wait(20) == 0 and (tmp_path / "checkpoint").exists() and not state(child)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_a_killed_worker_leaves_no_command_behind(tmp_path, work):
    worker = work({"a": TRAIN})
    assert wait_for((tmp_path / "ready").exists)
    child = child_of(tmp_path)
    worker.kill()
    assert wait_for(lambda: not state(child) or state(child) == "Z")


def test_one_worker_a_folder(tmp_path, work, capfd):
    worker = work({"a": TRAIN})
    assert wait_for((tmp_path / "ready").exists)
    assert runner.worker_of(tmp_path) == worker.pid
    assert runner.start(tmp_path) == 0
    assert f"runs already, as process {worker.pid}" in capfd.readouterr().out
    assert work({"a": TRAIN}).wait(20) == 1
    assert f"process {worker.pid} works" in runner.status(tmp_path, [])


def test_the_lock_of_a_killed_holder_is_given_back(tmp_path):
    lock = tmp_path / "lock"
    assert not runner.is_busy(lock)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, SCRIPTS, str(lock)])
    assert wait_for(lambda: runner.is_busy(lock))
    holder.kill()
    holder.wait()
    assert not runner.is_busy(lock)


def test_status_of_an_empty_folder_and_of_one_with_figures(tmp_path):
    stages = runner.make_stages(tmp_path / "none")
    assert "nothing works there, and nothing has" in runner.status(tmp_path / "none", stages)
    assert runner.stop(tmp_path / "none") == 0 and not (tmp_path / "none").exists()

    (tmp_path / "worker.json").write_text('{"child": null}')
    kept = tmp_path / "method" / "checkpoints" / "9"
    kept.mkdir(parents=True)
    (tmp_path / "method" / "log.jsonl").write_text(
        '{"step": 5, "validation_loss": 0.25}\n{"step": 9, "loss": 0.5}\n{"st'
    )
    os.utime(kept, (time.time() - 600,) * 2)
    text = runner.status(tmp_path, [stage for stage in runner.make_stages(tmp_path) if stage.name == "method"])
    assert "now: method: step 9, validation_loss 0.25, loss 0.5" in text
    assert "last checkpoint: method/checkpoints/9, 10 minutes old" in text


def test_nobody_of_the_evaluation_is_trained_on_and_the_method_sees_others_than_the_encoders(tmp_path):
    from face_anonymizer.modules.evaluation.synthetic_set import TEST_SEED
    from face_anonymizer.tools.demo_model.rendered import SIDE
    from face_anonymizer.tools.demo_model.stages import CHUNK, METHOD_CHUNKS, PACK

    rendering = [s.command for s in runner.make_stages(tmp_path) if s.name.startswith("pictures")]
    seeds = [int(word.partition("=")[2]) for command in rendering for word in command if word.startswith("--seed=")]
    assert len(seeds) == len(rendering) and TEST_SEED not in seeds
    pictures = json.loads((PACK / "docs" / "training" / "demo_encoders.json").read_text())[0]
    assert pictures["stage"] == "pictures" and pictures["count"] // SIDE**2 <= CHUNK * METHOD_CHUNKS.start


def test_the_method_goes_on_with_the_encoders_that_its_weights_know(tmp_path):
    from face_anonymizer.modules.model import checkpoint
    from face_anonymizer.tools.demo_model.stages import SHIPPED

    method = runner.make_stages(tmp_path)[-1].command
    assert method[method.index("--model") + 1] == str(SHIPPED)
    assert "--vae" not in method and "--image-encoder" not in method
    for name in (*checkpoint.NETWORKS, checkpoint.VAE, checkpoint.IMAGE_ENCODER):
        assert checkpoint.weight_files(SHIPPED / name), name


def test_a_signal_of_the_terminal_stops_too(tmp_path, work):
    worker = work({"a": TRAIN})
    assert wait_for((tmp_path / "ready").exists)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(20) == 0 and (tmp_path / "checkpoint").exists()
