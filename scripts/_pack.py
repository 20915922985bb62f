"""Import the pack as one package, `face_anonymizer`, whatever its folder is called.

The pack's root never goes on sys.path: its `nodes` and `modules` are generic names and would shadow others.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
NAME = "face_anonymizer"


def import_pack(module: str = "") -> ModuleType:
    """The pack, or one of its modules by its dotted path, such as "modules.faces.detection"."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        pack = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = pack
        spec.loader.exec_module(pack)
    return importlib.import_module(f"{NAME}.{module}") if module else sys.modules[NAME]
