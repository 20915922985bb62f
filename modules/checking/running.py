"""All checks of a machine, in their order. Touches the host: its models run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from . import costs, finding, machine, parity, published, random_model, suite
from .verdicts import Checks


class Wanted(NamedTuple):
    """What is checked.

    Args:
        model: the folder of a model to check besides, or None.
        tiny: measure the costs of the tiny model, and write none of full size; nothing is repeated to be timed.
        tests: run the pack's tests too.
        steps: of the face whose costs are measured.
    """

    model: Path | None = None
    tiny: bool = False
    tests: bool = True
    steps: int = 25


def run_checks(
    checks: Checks, wanted: Wanted, pack: Path, record_on_cpu: Callable[[Path, Path], None], say: Callable[[str], None]
) -> None:
    """Run all checks in their order; what breaks is a verdict too.

    Args:
        checks: gets the verdicts.
        wanted: what is checked.
        pack: the folder of this pack.
        record_on_cpu: of (model folder, file); writes what parity.record gives in a process that computes on the CPU.
        say: takes lines of progress.
    """
    with checks.part("machine"):
        machine.describe(checks)
    if wanted.tests:
        with checks.part("tests"):
            suite.check_tests(checks, pack)
    with tempfile.TemporaryDirectory(prefix="face_anonymizer_check_") as folder, torch.inference_mode():
        tiny, full, recorded = (Path(folder) / name for name in ("tiny", "full", "cpu.safetensors"))
        tiny.mkdir()
        random_model.write_random_model(tiny, random_model.TINY, torch.float32, 0, say)
        with checks.part("parity"):
            record_on_cpu(tiny, recorded)
            parity.check_parity(checks, tiny, load_file(recorded))
        with checks.part("costs"):
            if not wanted.tiny:
                full.mkdir()
                random_model.write_random_model(full, random_model.FULL_SIZE, torch.float16, 0, say)
            costs.check_costs(checks, tiny if wanted.tiny else full, wanted.steps, not wanted.tiny, say)
        with checks.part("finding faces"):
            finding.check_finding(checks, pack / "assets", 0 if wanted.tiny else finding.REPEATS)
        if wanted.model:
            published.check_published(checks, wanted.model, pack / "assets")
