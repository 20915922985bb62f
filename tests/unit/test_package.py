"""What the registry serves holds together: it imports what ships, and what ComfyUI brings."""

import ast
import functools
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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
# the only rooms of modules/ that ask for more
BEYOND = ("training", "evaluation", "diffusers_engine", "headless", "datasets")


def each(files: Iterable[Path], fault: Callable[[Path], Any]) -> dict[str, Any]:
    """File -> what is wrong with it, where something is: one test asks all files, of which there are hundreds."""
    return {str(file.relative_to(ROOT)): found for file in files if (found := fault(file))}


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


def test_what_ships_imports_what_ships():
    assert len(SHIPPED) > 200
    foreign = ("face_anonymizer.tools", "face_anonymizer.tests")
    assert each(SHIPPED, lambda file: [name for name in imported(file) if name.startswith(foreign)]) == {}


def against_the_arrows(file: Path) -> list[str]:
    """What a module may not import."""
    foreign = ["face_anonymizer.nodes", "face_anonymizer.scripts"]
    room = file.relative_to(ROOT / "modules").parts[0]
    if room == "faces":
        foreign += ["face_anonymizer.modules.model", "comfy"]
    if room == "model":
        foreign += ["face_anonymizer.modules.faces"]
    return [name for name in imported(file) if any(name == one or name.startswith(f"{one}.") for one in foreign)]


def test_arrows_run_one_way():
    """Modules know no nodes and no commands; faces know nothing of diffusion, the method nothing of faces in photos."""
    assert each(sorted((ROOT / "modules").rglob("*.py")), against_the_arrows) == {}


def test_nothing_is_installed_into_the_users_comfyui():
    """By these two lists ComfyUI-Manager and the registry install what a pack asks for."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines and not [line for line in lines if line.partition("#")[0].strip()]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[0]
    assert re.findall(r"^dependencies = (.*)$", project, re.MULTILINE) == ["[]"]


def test_the_nodes_need_what_comfyui_brings():
    """Inside of functions too; tests/host/test_requirements.py loads the pack with everything else hidden."""
    files = [file for file in ROOMS if not set(BEYOND) & set(file.relative_to(ROOT).parts)]
    assert each(files, lambda file: {name.partition(".")[0] for name in imported(file)} - KNOWN) == {}


def test_the_nodes_know_nothing_of_the_engine_without_comfyui():
    """Neither at once nor by what they import."""
    rooms = ("training", "headless", "datasets", "model.diffusers_engine")
    beyond = {f"face_anonymizer.modules.{room}" for room in rooms}
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


def test_ray_is_one_modules_affair():
    """What only reads, plans and writes is tested, and refuses, without it."""
    files = [file for file in SHIPPED if any(name.partition(".")[0] == "ray" for name in imported(file))]
    assert files == [ROOT / "modules" / "datasets" / "on_ray.py"]


def test_pip_takes_every_room_along():
    listed = re.findall(r'"(face_anonymizer[\w.]*)",', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = [file.parent.relative_to(ROOT).parts for file in (ROOT / "modules").rglob("__init__.py")]
    assert listed == sorted(".".join(("face_anonymizer", *parts)) for parts in [(), *rooms, ("scripts",)])


def does_not_say_so(file: Path) -> bool:
    """Whether a module touches the host, and its first line is silent about it."""
    touches = {name.partition(".")[0] for name in imported(file)} & {*HOST.split(), "comfy_extras", "nodes"}
    docstring = ast.get_docstring(tree_of(file)) or ""
    first = docstring.partition("\n\n")[0]
    says = re.search("ComfyUI|[Hh]ost", first) and not re.search("[Nn]o ComfyUI|without ComfyUI", first)
    return bool(touches and not says)


def test_a_module_that_touches_the_host_says_so():
    assert each(sorted((ROOT / "modules").rglob("*.py")), does_not_say_so) == {}


def long_functions(file: Path) -> list[str]:
    """Those of more than five parameters by position or eight in all; an execute has its inputs."""
    long = []
    for node in ast.walk(tree_of(file)):
        if not isinstance(node, ast.FunctionDef) or (node.name == "execute" and file.parent.name == "nodes"):
            continue
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        positional = len(names) - (names[:1] in (["self"], ["cls"]))
        if positional > 5 or positional + len(node.args.kwonlyargs) > 8:
            long.append(f"{node.name}, line {node.lineno}")
    return long


def test_functions_take_few_parameters():
    """What travels together is a dataclass."""
    assert each(SHIPPED, long_functions) == {}


def test_every_command_is_arguments_and_one_call():
    lengths = {
        file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in (ROOT / "scripts").glob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > 120}
