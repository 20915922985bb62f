"""Make the pack importable as one package, `face_anonymizer`, whatever its folder is called: `import _pack`, once.

The pack's root never goes on sys.path: its `nodes` and `modules` are generic names and would shadow others.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_NAME = "face_anonymizer"


def _make_importable(root: Path) -> None:
    if _NAME in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(_NAME, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} holds no pack: its __init__.py is missing. Get the whole folder again.")
    sys.modules[_NAME] = pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)


def _root() -> Path:
    """The pack's folder, by the link that the command was called through: a pack that is linked into custom_nodes
    belongs to the ComfyUI that it is linked into, and Python has resolved this file's own name.
    """
    here = Path(__file__).resolve().parents[1]
    called = Path(sys.argv[0]).absolute().parent.parent
    return called if called.resolve() == here else here


def _tell_what_is_missing(kind, error, trace) -> None:
    """In place of a traceback, where a command's Python lacks a package: what brings it."""
    name = getattr(error, "name", None)
    if issubclass(kind, ModuleNotFoundError) and name and not name.startswith(_NAME):
        command = Path(sys.argv[0]).name
        print(
            f"{name} is missing in this Python. What is needed is installed by:\n\n"
            f"    python scripts/with_env.py scripts/{command} ...",
            file=sys.stderr,
        )
    else:
        sys.__excepthook__(kind, error, trace)


_make_importable(_root())
if Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parent:
    sys.excepthook = _tell_what_is_missing
