"""What the registry serves holds together: it imports what ships, and what ComfyUI brings."""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = [line for line in (ROOT / ".comfyignore").read_text().splitlines() if line.startswith("/")]
SHIPPED = [
    ROOT / "__init__.py",
    *(file for name in ("nodes", "modules", "scripts") for file in (ROOT / name).rglob("*.py")),
]
# What the nodes may import: what ComfyUI's requirements name since 0.23.0 (filelock and huggingface_hub by torch and
# transformers), and ComfyUI itself.
BROUGHT = (
    "PIL aiohttp av einops filelock huggingface_hub kornia numpy psutil pydantic safetensors scipy torch torchvision"
)
BROUGHT += " tqdm transformers"
HOST = (
    "comfy comfy_aimdo comfy_api comfy_execution comfyui_version cuda_malloc folder_paths latent_preview server utils"
)
KNOWN = {*sys.stdlib_module_names, "face_anonymizer", *BROUGHT.split(), *HOST.split()}
ROOMS = [file for name in ("nodes", "modules") for file in sorted((ROOT / name).rglob("*.py"))]
BEYOND = ("training", "evaluation", "diffusers_engine", "headless")  # the only rooms of modules/ that ask for more


# Each file is asked about by several tests.
@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imported(file: Path) -> set[str]:
    """Names of modules, whole: relative ones begin with the pack's own name."""
    names = set()
    package = ["face_anonymizer", *file.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree_of(file)):
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


def test_nothing_is_installed_into_the_users_comfyui():
    """By these two lists ComfyUI-Manager and the registry install what a pack asks for."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines and not [line for line in lines if line.partition("#")[0].strip()]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[0]
    assert re.findall(r"^dependencies = (.*)$", project, re.MULTILINE) == ["[]"]


@pytest.mark.parametrize(
    "file",
    [file for file in ROOMS if not set(BEYOND) & set(file.relative_to(ROOT).parts)],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_the_nodes_need_what_comfyui_brings(file):
    """Inside of functions too; tests/host/test_requirements.py loads the pack with everything else hidden."""
    assert not {name.partition(".")[0] for name in imported(file)} - KNOWN


def test_the_nodes_know_nothing_of_the_engine_without_comfyui():
    """Neither at once nor by what they import."""
    beyond = {f"face_anonymizer.modules.{room}" for room in ("training", "headless", "model.diffusers_engine")}
    seen, waiting = set(), sorted((ROOT / "nodes").rglob("*.py"))
    while waiting:
        file = waiting.pop()
        for name in imported(file) - seen:
            seen.add(name)
            path = ROOT.joinpath(*name.split(".")[1:])
            found = (path.with_suffix(".py"), path / "__init__.py") if name.startswith("face_anonymizer.") else ()
            waiting += [one for one in found if one.is_file()]
    assert "face_anonymizer.modules.model.comfy_engine" in seen
    assert not [name for name in seen if any(name == room or name.startswith(f"{room}.") for room in beyond)]


def test_pip_takes_every_room_along():
    listed = re.findall(r'"(face_anonymizer[\w.]*)",', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = [file.parent.relative_to(ROOT).parts for file in (ROOT / "modules").rglob("__init__.py")]
    assert listed == sorted(".".join(("face_anonymizer", *parts)) for parts in [(), *rooms])


@pytest.mark.parametrize("file", sorted((ROOT / "modules").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_that_touches_the_host_says_so(file):
    touches = {name.partition(".")[0] for name in imported(file)} & {*HOST.split(), "comfy_extras", "nodes"}
    docstring = ast.get_docstring(tree_of(file)) or ""
    first = docstring.partition("\n\n")[0]
    says = re.search("ComfyUI|[Hh]ost", first) and not re.search("[Nn]o ComfyUI|without ComfyUI", first)
    assert not touches or says


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_take_few_parameters(file):
    """At most five by position and eight in all; what travels together is a dataclass. An execute has its inputs."""
    long = []
    for node in ast.walk(tree_of(file)):
        if not isinstance(node, ast.FunctionDef) or (node.name == "execute" and file.parent.name == "nodes"):
            continue
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        positional = len(names) - (names[:1] in (["self"], ["cls"]))
        if positional > 5 or positional + len(node.args.kwonlyargs) > 8:
            long.append(f"{node.name}, line {node.lineno}")
    assert not long


def test_every_command_is_arguments_and_one_call():
    lengths = {
        file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in (ROOT / "scripts").glob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > 120}
