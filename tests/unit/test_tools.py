"""Every command and every tool can be imported, so that a renamed module does not leave one behind unseen."""

import importlib
from pathlib import Path

import pytest

from face_anonymizer.tools import run

ROOT = Path(__file__).resolve().parents[2]
FILES = [*(ROOT / "scripts").glob("[!_]*.py"), *(ROOT / "tools").glob("*/*.py")]
# What a tool asks for beyond the tests' requirements, and says so.
FURTHER = {"dlib", "onnx"}


@pytest.mark.parametrize("file", sorted(FILES), ids=lambda file: str(file.relative_to(ROOT)))
def test_it_can_be_imported(file):
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    try:
        importlib.import_module(f"face_anonymizer.{name}")
    except ModuleNotFoundError as missing:
        if missing.name not in FURTHER:
            raise


def test_the_list_of_tools_names_each_with_what_it_does():
    tools = run.tools()
    assert {"benchmarks.speed", "workflows.make", "demo_model.run", "hosts.prove"} < tools.keys()
    assert not [name for name, line in tools.items() if not line]
