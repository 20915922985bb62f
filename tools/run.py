"""Run one of the developers' tools: `python scripts/with_env.py tools/run.py benchmarks.paste --help`.

Without a name it lists them. A tool is a module of this folder with a `main()`.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
import _pack  # noqa: F401 - here, so that a process that is spawned knows the pack too

TOOLS = Path(__file__).resolve().parent


def tools() -> dict[str, str]:
    """Name -> the first line of its docstring."""
    found = {}
    for file in sorted(TOOLS.glob("*/*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[f"{file.parent.name}.{file.stem}"] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main() -> int:
    known = tools()
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        width = max(map(len, known))
        print(__doc__, *(f"    {name:{width}}  {line}" for name, line in known.items()), sep="\n", file=sys.stderr)
        return 2
    name = sys.argv[1]
    sys.argv[:2] = [f"tools/run.py {name}"]
    return importlib.import_module(f"face_anonymizer.tools.{name}").main() or 0


if __name__ == "__main__":
    sys.exit(main())
