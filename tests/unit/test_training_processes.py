"""Two processes that train together: what goes wrong in one ends both with its error, and none waits for ever."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_sets import write_list, write_pictures

from face_anonymizer.modules.training.batches import Order
from face_anonymizer.modules.training.state import newest_checkpoint

SCRIPT = Path(__file__).with_name("training_process.py")
# Seconds without a word of either process; a case takes 15 on two cores that are shared, and faults.py waits less.
STALLED = float(os.environ.get("FACE_ANON_STALLED", 100))
# Case -> what the two processes end with, and the step of the checkpoint that is left.
EXPECTED = {
    "checkpoint on the way": (None, None, 4),
    "last checkpoint": ("CheckpointNotWritten", "CheckpointNotWritten", 2),
    "every checkpoint": ("CheckpointNotWritten", "CheckpointNotWritten", None),
    "model": ("OSError", "OSError", 4),
    "journal": ("OSError", "OSError", None),
    "cached picture": ("UnusablePicture", "UnusablePicture", None),
    "held-out picture": ("UnusablePicture", "UnusablePicture", None),
    "validation": ("MemoryError", "RuntimeError", None),
    "picture read later": ("UnusablePicture", "UnusablePicture", 2),
}


def make_lists(folder):
    """whole.jsonl, and broken.jsonl with a picture that is none; the second process reads it in its third step."""
    lines = write_pictures(folder, 6)
    broken = int(Order(6, 1, 0, rank=1, processes=2)(2)[0])
    (folder / lines[broken]["driving"]).write_bytes(b"no picture")
    write_list(folder / "broken.jsonl", lines)
    write_list(folder / "whole.jsonl", lines[:broken] + lines[broken + 1 :])


def run_both(folder, cases):
    """What each process told of each case, {case: line} a process; those that never ended are missing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    shared |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    told = [folder / f"told {rank}.txt" for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), *cases],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=told[rank].open("w"),
            stderr=(folder / f"errors {rank}.txt").open("w"),
        )
        for rank in range(2)
    ]
    heard, since = 0, time.monotonic()
    while any(process.poll() is None for process in processes):
        if (size := sum(file.stat().st_size for file in told)) != heard:
            heard, since = size, time.monotonic()
        if time.monotonic() - since > STALLED:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    lines = ([json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")] for file in told)
    return [{line["case"]: line for line in of_one} for of_one in lines]


@pytest.mark.long
def test_an_error_of_one_process_ends_both(tmp_path):
    """All cases one after the other by the same two processes: most of the time goes into their start."""
    make_lists(tmp_path)
    told = run_both(tmp_path, EXPECTED)
    assert all(lines.keys() == EXPECTED.keys() for lines in told), f"one waited for the other: {told}"
    ended = {}
    for case in EXPECTED:
        kept = newest_checkpoint(tmp_path / case)
        ended[case] = (*(lines[case]["error"] for lines in told), None if kept is None else int(kept.name))
    assert ended == EXPECTED, told
    assert all(told[0][case]["message"] == told[1][case]["message"] for case in EXPECTED), told
