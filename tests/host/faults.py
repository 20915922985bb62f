"""Faults that users met and no test saw, put back one by one: a test has to see each.

    python scripts/with_env.py -m pytest tests/host/faults.py

Each fault is a line of the pack as it once was, in a copy of the pack in which the tests that should see it are run.
Faults that do not meet in one test share a copy, as most of the time of such a run goes into imports.
Not part of the suite, as it runs parts of it: `.ci/run` calls it by name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache")
AT_ONCE = 2
STALLED = 40  # seconds without a word after which test_training_processes.py gives two processes up


class Fault(NamedTuple):
    """What was wrong. file: `now` in it is replaced by `before`. tests: pytest's names. said: a pattern of what the
    failing tests print, so that they fail for this reason."""

    file: str
    now: str
    before: str
    tests: tuple[str, ...]
    said: str


FAULTS = {
    "no model loads under dynamic VRAM": Fault(
        "modules/model/loading.py",
        "_shapes(model.diffusion_model)",
        "{name: tensor.shape for name, tensor in model.diffusion_model.state_dict().items()}",
        ("tests/host/test_dynamic_vram.py::test_states_equal_the_plain_mode",),
        r"\d+ are not used",
    ),
    "no model loads in hosts before 0.28": Fault(
        "modules/model/loading.py",
        "set_inference_dtype(weight_dtype, manual_cast)",
        "set_inference_dtype(weight_dtype, manual_cast, device=load_device)",
        ("tests/host/test_nodes.py::test_hosts_before_0_28_tell_the_dtype_alone",),
        "unexpected keyword argument 'device'",
    ),
    "float64 on devices that have none": Fault(
        "modules/faces/detect/refinement.py",
        "looks.cpu().double()",
        "looks.double().cpu()",
        ("tests/host/test_pretended_gpu.py::test_faces_are_found_followed_pasted_and_covered",),
        "float64",
    ),
    "a degree forgotten in one node passes": Fault(
        "modules/model/references.py",
        "if not self.mixed_degrees and not _are_equal(degrees.values()):",
        "if False:",
        ("tests/host/test_bad_input.py::test_a_degree_that_was_forgotten_in_one_place",),
        "DID NOT RAISE",
    ),
    "fp8 weights round the states": Fault(
        "modules/model/attention.py",
        "if isinstance(device_or_dtype, torch.device):",
        "if True:",
        ("tests/host/test_pretended_gpu.py::test_the_whole_way_of_the_smallest_model",),
        "is rounded to 8 bits",
    ),
    "a checkpoint that cannot be written leaves processes waiting": Fault(
        "modules/training/trainer.py",
        """        self._on_main(lambda: save_checkpoint(self.settings.output, self.trained, state, random_states))
""",
        """        try:
            if self.accelerator.is_main_process:
                save_checkpoint(self.settings.output, self.trained, state, random_states)
        finally:
            self.accelerator.wait_for_everyone()
""",
        ("tests/unit/test_training_processes.py",),
        r"one waited for the other: \[",
    ),
    "a preview is cached short": Fault(
        "nodes/reporting.py",
        "    return preview, show_pictures(node, preview)",
        "    return preview[:8], show_pictures(node, preview)",
        ("tests/host/test_face_nodes.py::test_the_preview_is_whole_whatever_is_connected",),
        r"torch.Size\(\[8, 64, 64, 3\]\)",
    ),
    "a constant of the host's estimate is charged to every face": Fault(
        "modules/model/memory.py",
        "required([2, *latent_shape]) - required([1, *latent_shape])",
        "patcher.memory_required([1, *latent_shape])",
        ("tests/host/test_dynamic_vram.py::test_as_many_faces_at_once_as_in_the_plain_mode",),
        r"assert \(\(\d+, \d+\) == \(\d+, \d+\)",
    ),
    "guidance is charged to every face, and half as much again": Fault(
        "modules/model/memory.py",
        "int(_room(model) / (memory_of_one_more(model, latent_shape) + states_of_one))",
        "int(_room(model) / (1.5 * 2 * memory_of_one_more(model, latent_shape)))",
        ("tests/host/test_memory.py::test_no_choice_exceeds_its_card_and_each_uses_it[4]",),
        "chosen >= 0.8",
    ),
    "the whole batch is patched to read a shape": Fault(
        "modules/model/sampling.py",
        "faces = _check(model, references)",
        'faces = apply_references(model, references).latent["samples"].shape[0]',
        ("tests/host/test_nodes.py::test_a_crowd_is_never_patched_all_at_once",),
        r"\[3, 1, 1, 1\]",
    ),
}


COPIES = (
    (
        "a checkpoint that cannot be written leaves processes waiting",
        "no model loads under dynamic VRAM",
        "a preview is cached short",
        "a degree forgotten in one node passes",
    ),
    (
        "float64 on devices that have none",
        "fp8 weights round the states",
        "guidance is charged to every face, and half as much again",
    ),
    (
        "no model loads in hosts before 0.28",
        "a constant of the host's estimate is charged to every face",
        "the whole batch is patched to read a shape",
    ),
)


class Run(NamedTuple):
    """What pytest printed, and each test that failed -> what it said of that."""

    printed: str
    failures: dict[str, str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, comfyui: Path) -> Iterator[dict[str, Future]]:
    """Fault -> pytest's run in a copy that has it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        folders = [tmp_path_factory.mktemp("fault") / "pack" for _ in COPIES]
        running = [
            pool.submit(run_with, [FAULTS[name] for name in names], folder, comfyui)
            for names, folder in zip(COPIES, folders, strict=True)
        ]
        yield {name: run for names, run in zip(COPIES, running, strict=True) for name in names}


def run_with(faults: Sequence[Fault], folder: Path, comfyui: Path) -> Run:
    """pytest on the faults' tests, in a copy of the pack with the faults."""
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    for fault in faults:
        file = folder / fault.file
        source = file.read_text(encoding="utf-8")
        assert source.count(fault.now) == 1, f"{fault.file} has {source.count(fault.now)} times: {fault.now}"
        file.write_text(source.replace(fault.now, fault.before), encoding="utf-8")
    report = folder.parent / "report.xml"
    tests = [test for fault in faults for test in fault.tests]
    options = ("-q", "--long", "-p", "no:cacheprovider", f"--junit-xml={report}")
    command = [sys.executable, "-m", "pytest", *options, *tests]
    environment = {**os.environ, "COMFYUI_PATH": str(comfyui), "CUDA_VISIBLE_DEVICES": ""}
    environment["FACE_ANON_STALLED"] = str(STALLED)
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    printed = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, printed[-4000:]
    failures = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        said = [f"{part.get('message')}\n{part.text}" for part in (*case.iter("failure"), *case.iter("error"))]
        if said:
            failures[f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"] = "\n".join(said)
    return Run(printed, failures)


def test_every_fault_is_in_one_copy():
    assert sorted(name for names in COPIES for name in names) == sorted(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_seen(runs, name):
    run, fault = runs[name].result(), FAULTS[name]
    for test in fault.tests:
        said = "\n".join(text for failed, text in run.failures.items() if failed.startswith(test))
        assert said, f"{test} does not fail:\n{run.printed[-4000:]}"
        assert re.search(fault.said, said), said[-4000:]
