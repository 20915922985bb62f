"""Run by Python itself in the ComfyUI that the tests share: its looks at pictures are remembered, as in their process.

The pack is loaded there under a name of ComfyUI's, whenever that comes to it: hence a finder, which waits for it.
"""

import importlib.abc
import importlib.machinery
import sys
from pathlib import Path


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        room, _, network = name.rpartition(".modules.")
        if not room or not network.startswith(("faces.detect.", "recognition.")):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader.exec_module = _remembering(spec.loader.exec_module, network)
        return spec


def _remembering(execute, network: str):
    def exec_module(module):
        execute(module)
        sys.path.append(str(Path(__file__).resolve().parents[2]))
        import remembered_looks

        sys.path.pop()
        remembered_looks.remember_in(module, network)

    return exec_module


sys.meta_path.insert(0, _Finder())
