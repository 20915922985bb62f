"""One of two processes that train together while something goes wrong: test_training_processes.py starts both.

    training_process.py FOLDER CASE...

Prints one JSON line a case: the error that the training ended with. FOLDER holds the lists whole.jsonl and
broken.jsonl; the environment is that of torchrun.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "unit")]

import _pack  # noqa: E402, F401
import pytest  # noqa: E402
from training_sets import settings_for, train  # noqa: E402

from face_anonymizer.modules.training import trainer, validation  # noqa: E402
from face_anonymizer.modules.training.state import CheckpointNotWritten  # noqa: E402

RANK = int(os.environ["RANK"])


def no_room(steps):
    """save_checkpoint, with a full disk at these steps."""
    save = trainer.save_checkpoint

    def save_checkpoint(output, trained, state, random_states):
        if state["step"] in steps:
            raise CheckpointNotWritten(f"no room for step {state['step']}")
        return save(output, trained, state, random_states)

    return save_checkpoint


def failing(error):
    def fail(*_given, **_more):
        raise error

    return fail


# Case -> settings beside those of every case; and what fails: module, name, what stands in its place.
CASES = {
    "checkpoint on the way": ({}, (trainer, "save_checkpoint", no_room([2]))),
    "last checkpoint": ({}, (trainer, "save_checkpoint", no_room([4]))),
    "every checkpoint": ({"checkpoint_every": 1}, (trainer, "save_checkpoint", no_room([1, 2, 3, 4]))),
    "model": ({}, (trainer, "export_model", failing(OSError("no room")))),
    "journal": ({}, (trainer.TrainingLog, "_cut", failing(OSError("read-only")))),
    "cached picture": ({"data": "broken"}, None),
    "held-out picture": ({"validation_data": "broken"}, None),
    "validation": (
        {"validation_data": "whole", "validate_every": 2},
        (validation, "validation_loss", failing(MemoryError("no memory"))),
    ),
    "picture read later": ({"data": "broken", "cache": False, "batch": 1, "checkpoint_every": 100}, None),
}


def run(folder: Path, case: str) -> dict:
    options, fault = CASES[case]
    lists = {"data": "whole", **options}
    lists = {name: (folder / f"{lists[name]}.jsonl",) for name in ("data", "validation_data") if name in lists}
    output, own = folder / case, folder / f"rank {RANK}"
    own.mkdir(exist_ok=True)
    defaults = {"output": output, "steps": 4, "checkpoint_every": 2}
    settings = replace(settings_for(own, folder), **defaults | options | lists)
    if case == "journal" and RANK == 0:
        output.mkdir()
        (output / "log.jsonl").touch()
    with pytest.MonkeyPatch.context() as patched:
        if fault is not None:
            patched.setattr(*fault)
        try:
            train(settings)
        except Exception as error:
            return {"case": case, "error": type(error).__name__, "message": str(error)}
    return {"case": case, "error": None, "message": ""}


if __name__ == "__main__":
    for name in sys.argv[2:]:
        print(json.dumps(run(Path(sys.argv[1]), name)), flush=True)
