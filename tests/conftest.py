"""Import the pack as one package, `face_anonymizer`, whatever its folder is called.

The pack's root never goes on sys.path: its `nodes` and `modules` would shadow ComfyUI's own.
"""

import importlib.util
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"


# Ignored where the tests were started in a shell's background or under nohup, and then by all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _make_importable() -> None:
    """As `import _pack` does in a command; known by that name, so that commands can be imported too."""
    spec = importlib.util.spec_from_file_location("_pack", ROOT / "scripts" / "_pack.py")
    sys.modules["_pack"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_make_importable()


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES
