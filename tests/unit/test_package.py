"""What the registry serves holds together: nothing in it imports what .comfyignore leaves out."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = [line for line in (ROOT / ".comfyignore").read_text().splitlines() if line.startswith("/")]
SHIPPED = [
    ROOT / "__init__.py",
    *(file for name in ("nodes", "modules", "scripts") for file in (ROOT / name).rglob("*.py")),
]


def imported(file: Path) -> set[str]:
    """Names of modules, whole: relative ones begin with the pack's own name."""
    names = set()
    package = ["face_anonymizer", *file.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def test_developers_folders_are_left_out():
    assert {"/tools/", "/tests/"} <= set(LEFT_OUT)
    assert not [line for line in LEFT_OUT if line.startswith(("/scripts", "/modules", "/nodes"))]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_ships_imports_what_ships(file):
    foreign = ("face_anonymizer.tools", "face_anonymizer.tests")
    assert not [name for name in imported(file) if name.startswith(foreign)]


@pytest.mark.parametrize("file", sorted((ROOT / "modules").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_arrows_run_one_way(file):
    """Modules know no nodes and no commands; faces know nothing of diffusion, the method nothing of faces in photos."""
    foreign = ["face_anonymizer.nodes", "face_anonymizer.scripts"]
    room = file.relative_to(ROOT / "modules").parts[0]
    if room == "faces":
        foreign += ["face_anonymizer.modules.model", "comfy"]
    if room == "model":
        foreign += ["face_anonymizer.modules.faces"]
    assert not [name for name in imported(file) if any(name == one or name.startswith(f"{one}.") for one in foreign)]
