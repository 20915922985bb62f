"""The tests of tests/host that make sense on a user's machine, in a process of their own. Pure: no ComfyUI here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import torch

from .verdicts import Checks

# With the device hidden: their bounds are those of float32 on a CPU. They hold the CPU to the official code's
# recordings with this torch and this ComfyUI; parity.py holds the device to the CPU.
# Each with the packages that it alone needs; where one is missing, the others run.
TESTS = {"test_parity.py": (), "test_layouts.py": ("diffusers",), "test_nodes.py": ()}
NEEDED = ("pytest", "playwright", "av")  # by all of them or by their conftest.py
HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
LIMIT = 240  # seconds for all of them


def check_tests(checks: Checks, pack: Path) -> None:
    """One verdict on the tests, where the pack has them and what they need is there."""
    folder = pack / "tests" / "host"
    missing = _missing(NEEDED)
    if not folder.is_dir():
        return checks.tell("tests", "not part of this copy of the pack")
    if missing:
        return checks.tell("tests", f"not run, as these packages are missing: {', '.join(missing)}")
    if torch.backends.mps.is_available():
        return checks.tell("tests", "not run: this device cannot be hidden from them")
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-x", "-p", "no:cacheprovider"]
    files = [name for name in TESTS if (folder / name).is_file()]
    names = [name for name in files if not _missing(TESTS[name])]
    command += [str(folder / name) for name in names]
    try:
        done = subprocess.run(
            command, cwd=pack, env={**os.environ, **HIDDEN}, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return checks.check("tests", False, f"{', '.join(names)} took more than {LIMIT} s")
    lines = (
        [line for line in done.stdout.splitlines() if line.strip()] or done.stderr.splitlines()[-1:] or ["no output"]
    )
    failures = [line.removeprefix("FAILED ") for line in lines if line.startswith("FAILED ")]
    left_out = [f"not {name}, which needs {', '.join(_missing(TESTS[name]))}" for name in files if name not in names]
    found = "; ".join([lines[-1].strip("= "), *failures, *left_out])
    return checks.check(f"tests on the CPU: {', '.join(names)}", done.returncode == 0, found)


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]
