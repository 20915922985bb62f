"""Import the pack as one package, `face_anonymizer`, whatever its folder is called.

The pack's root never goes on sys.path: its `nodes` and `modules` would shadow ComfyUI's own.
"""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"


def _import_pack() -> None:
    spec = importlib.util.spec_from_file_location("_pack", ROOT / "scripts" / "_pack.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.import_pack()


_import_pack()


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES
