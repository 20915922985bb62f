"""Import the pack as one package, `face_anonymizer`, whatever its folder is called.

The pack's root never goes on sys.path: its `nodes` and `modules` would shadow ComfyUI's own.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"


def _import_pack():
    spec = importlib.util.spec_from_file_location(
        "face_anonymizer", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules["face_anonymizer"] = pack
    spec.loader.exec_module(pack)


_import_pack()


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES
