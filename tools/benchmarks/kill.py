"""Kill folder runs at random moments with kill -9, go on each time, and check what is there: a table.

    python scripts/with_env.py tools/run.py benchmarks.kill [--kills 10] [--seed 0] [--anonymize]

Eleven photos and a clip are redacted, or with --anonymize painted by the demo model. First by a run that nobody
disturbs. Then by runs that start their own ComfyUI and are killed at a random moment, counted in files: at 3.4 three
are finished, and 0.4 of what one takes has passed since. Each goes on where the last was killed, or in a new output
folder where that one has more. After each kill: every input has its bytes; every visible result has
those of the undisturbed run; the killed run's ComfyUI and its temporary folder are gone. At the end one more run
completes each folder. For developers; Linux and macOS.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs.folder_report import REPORT_NAME
from face_anonymizer.modules.runs.journal import JOURNAL_NAME
from face_anonymizer.tools.busy import busy
from face_anonymizer.tools.pictures.sample_clip import write_video

PHOTO = PACK / "assets" / "astronaut.jpg"
PHOTOS, FRAMES = 11, 8


def make_sources(folder: Path) -> None:
    photo = Image.open(PHOTO).convert("RGB").crop((90, 0, 346, 256))
    for number in range(PHOTOS):
        path = folder / ("sub" if number % 2 else "") / f"{number}{'.jpg' if number % 3 else '.png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.rotate(3 * number).save(path)
    frames = np.stack([np.roll(np.asarray(photo), 3 * number, 1) for number in range(FRAMES)])
    write_video(folder / "clip.mp4", torch.from_numpy(frames) / 255)


def hashes(folder: Path) -> dict[str, str]:
    """Every file but the journal and the report: name -> SHA-256."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (JOURNAL_NAME, REPORT_NAME))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def journal_lines(output: Path) -> int:
    """Files that the journal has as finished."""
    journal = output / JOURNAL_NAME
    return max(journal.read_bytes().count(b"\n") - 1, 0) if journal.exists() else 0


class Bench:
    """Sources, a place for ComfyUI's temporary folders, and the command."""

    def __init__(self, folder: Path, task: list[str]):
        self.sources, self.temporary = folder / "photos", folder / "tmp"
        self.temporary.mkdir()
        make_sources(self.sources)
        self._task = task

    def start(self, output: Path) -> subprocess.Popen:
        script = PACK / "scripts" / "anonymize.py"
        command = [sys.executable, script, self.sources, "--output", output, "--thorough", "none", *self._task]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    def finish(self, output: Path) -> tuple[float, float]:
        """Run to the end; the seconds until the first result and until the end."""
        started, first = time.monotonic(), None
        process = self.start(output)
        while process.poll() is None:
            time.sleep(0.05)
            if first is None and journal_lines(output):
                first = time.monotonic() - started
        if process.returncode:
            raise SystemExit(process.communicate()[1].decode())
        return first, time.monotonic() - started

    def seconds_until_gone(self, limit: float = 30) -> float | None:
        """How long ComfyUI and its folder outlive their run; None: longer than `limit`."""
        started = time.monotonic()
        while time.monotonic() - started < limit:
            if not any(self.temporary.glob("face_anonymizer_*")) and not self._processes():
                return time.monotonic() - started
            time.sleep(0.1)
        return None

    def _processes(self) -> list[int]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.temporary) in argument for argument in process.info["cmdline"] or ()):
                found.append(process.pid)
        return found


@busy()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--anonymize", action="store_true", help="with the demo model, 2 steps, instead of --redact")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder, ["--demo", "--steps", "2"] if options.anonymize else ["--redact"])
        inputs = hashes(bench.sources)
        first, duration = bench.finish(folder / "undisturbed")
        expected = hashes(folder / "undisturbed")
        print(f"undisturbed: {len(expected)} results in {duration:.1f} s, the first after {first:.1f} s\n")
        print("kill  moment (files)  results  half  inputs changed  hidden parts  ComfyUI gone after (s)")
        number, output = 0, folder / "out 0"
        kills = 0
        while kills < options.kills:
            moment = moments.uniform(0, len(expected))
            done = journal_lines(output)
            if done > moment:
                number, done = number + 1, 0
                output = folder / f"out {number}"
            wait = (moment % 1) * (first if moment < done + 1 else (duration - first) / len(expected))
            process = bench.start(output)
            while process.poll() is None and journal_lines(output) < int(moment):
                time.sleep(0.01)
            try:
                process.communicate(timeout=wait)
                continue  # it was done before: no kill
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
            kills += 1
            gone = bench.seconds_until_gone()
            found = hashes(output) if output.exists() else {}
            parts = [path for path in found if Path(path).name.startswith(".")]
            visible = {path: sha256 for path, sha256 in found.items() if path not in parts}
            half = sum(expected.get(path) != sha256 for path, sha256 in visible.items())
            changed = sum(inputs.get(path) != sha256 for path, sha256 in hashes(bench.sources).items())
            faults += half + changed + (gone is None)
            cells = (f"{moment:14.2f}", f"{len(visible):7}", f"{half:4}", f"{changed:14}", f"{len(parts):12}")
            print(f"{kills:4}", *cells, f"{'never' if gone is None else f'{gone:.1f}':>23}", sep="  ", flush=True)
        for last in range(number + 1):
            bench.finish(folder / f"out {last}")
            same = hashes(folder / f"out {last}") == expected
            faults += not same
            print(f"output folder {last + 1}: completed; {'equals' if same else 'DIFFERS FROM'} the undisturbed run")
        faults += hashes(bench.sources) != inputs
    return 1 if faults else 0
