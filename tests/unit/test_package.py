"""What the registry serves holds together: nothing in it needs what .comfyignore leaves out."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {path.stem: path for path in (ROOT / "scripts").glob("*.py")}


def is_left_out(script: Path) -> bool:
    patterns = [line for line in (ROOT / ".comfyignore").read_text().splitlines() if line.startswith("/scripts/")]
    return any(script.relative_to(ROOT).match(pattern[1:]) for pattern in patterns)


@pytest.mark.parametrize("name", sorted(name for name, path in SCRIPTS.items() if not is_left_out(path)))
def test_a_shipped_script_imports_shipped_scripts_only(name):
    imported = set()
    for node in ast.walk(ast.parse(SCRIPTS[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
    assert not [other for other in imported & SCRIPTS.keys() if is_left_out(SCRIPTS[other])]
