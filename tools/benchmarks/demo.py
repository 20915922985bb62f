"""Time what a new user waits for: scripts/anonymize.py on a group picture with the demo model, from start to end.

    python scripts/with_env.py tools/run.py benchmarks.demo [--runs 3] [--cores 2]

Prints seconds of the whole process (median, and each), seconds of the processors, which other work on the machine does
not stretch, the faces that were painted, and the size of the model. On Linux it keeps to --cores, with as many threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.runs.folder_report import REPORT_NAME
from face_anonymizer.tools.busy import busy

GROUP = PACK / "assets" / "synthetic_group.jpg"
DEMO = checkpoint.PACK_MODELS / checkpoint.DEMO


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # the processes that are started inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    os.environ.setdefault("OMP_NUM_THREADS", str(options.cores))
    seconds, processor, faces = zip(*(run_once() for _ in range(options.runs)), strict=True)
    each = ", ".join(f"{second:.1f}" for second in seconds)
    print(f"{GROUP.name}, {options.cores} cores: median {statistics.median(seconds):.1f} s of {each}; {faces[0]}")
    print(f"of the processors: median {statistics.median(processor):.1f} s")
    size = sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file())
    print(f"{DEMO}: {size / 1e6:.1f} MB")


def run_once() -> tuple[float, float, str]:
    """Seconds of one process, those of the processors in it, and what became of the faces."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(PACK / "scripts" / "anonymize.py"), str(GROUP), "--output", folder]
        start, before = time.perf_counter(), os.times()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds, after = time.perf_counter() - start, os.times()
        if done.returncode:
            raise SystemExit(done.stderr)
        actions = json.loads((Path(folder) / REPORT_NAME).read_text(encoding="utf-8"))["totals"]["actions"]
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, processor, ", ".join(f"{count} faces {action}" for action, count in actions.items())
