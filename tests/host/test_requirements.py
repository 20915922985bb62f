"""The nodes need no package that ComfyUI does not bring: all others are hidden, and the pack loads."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Most of it is imports of all there is; what the nodes import is read off their files in tests/unit/test_package.py.
pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
BEYOND = {"accelerate", "diffusers", "matplotlib", "playwright", "pytest", "tensorboard"}  # tests/requirements.txt

HIDE = """
import sys
from importlib.machinery import PathFinder

HIDDEN = set({hidden!r})

class Brought(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in HIDDEN else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Brought
sys.path.insert(0, {scripts!r})
"""

LOAD = """
import asyncio, importlib
from pathlib import Path
import _pack
from face_anonymizer.modules.host.process import prepare_host

prepare_host(cpu=True)
import nodes

pack = Path({pack!r})
assert asyncio.run(nodes.load_custom_node(str(pack))), "ComfyUI could not load it"
print(sum(name.startswith("FaceAnon") for name in nodes.NODE_CLASS_MAPPINGS), "nodes")
files = [file for room in ("nodes", "modules") for file in sorted((pack / room).rglob("*.py"))]
files = [file.relative_to(pack).with_suffix("") for file in files]
beyond = ("training", "headless", "diffusers_engine", "datasets")  # these ask for diffusers, and for ray
files = [file for file in files if not set(beyond) & set(file.parts)]
for file in files:
    importlib.import_module(".".join(("face_anonymizer", *file.parts)))
print(len(files), "modules")
for command in ("anonymize", "check_gpu", "evaluate", "get_models", "make_pairs"):
    importlib.import_module(f"face_anonymizer.scripts.{{command}}")
for name in ("diffusers", "accelerate"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        print(name, "is hidden")

import json, runpy
sys.argv[0] = str(pack / "scripts" / "train.py")
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stopped:  # with a text, which Python prints, and the status 1
    print(json.dumps(stopped.code))
"""


def brought(requirements: Path) -> set[str]:
    """The installed packages that a host's requirements ask for, and what these ask for in their turn."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    wanted = [Requirement(line) for line in lines if line]
    found: set[tuple[str, str]] = set()
    while wanted:
        requirement = wanted.pop()
        for extra in ("", *requirement.extras):
            name = canonicalize_name(requirement.name)
            if (name, extra) in found:
                continue
            try:
                asked = map(Requirement, metadata.requires(name) or [])
            except metadata.PackageNotFoundError:  # another platform's
                continue
            found.add((name, extra))
            wanted += [one for one in asked if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


@pytest.fixture(scope="module")
def hidden(comfyui) -> set[str]:
    """Top-level modules of the packages that ComfyUI does not bring."""
    names = brought(comfyui / "requirements.txt") | {"pip", "setuptools"}
    owners = metadata.packages_distributions()
    return {
        module
        for module, packages in owners.items()
        if not names & {canonicalize_name(package) for package in packages}
    }


@pytest.fixture(scope="module")
def done(hidden, tmp_path_factory) -> subprocess.CompletedProcess:
    """All of it in one process: most of its time goes into imports."""
    code = HIDE.format(hidden=sorted(hidden), scripts=str(ROOT / "scripts")) + LOAD.format(pack=str(ROOT))
    arguments = (str(tmp_path_factory.mktemp("training")), "--data", "triples.jsonl")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)


def test_the_pack_loads_with_what_comfyui_brings(hidden, done):
    assert hidden >= BEYOND and not hidden & {"torch", "numpy", "transformers", "av", "safetensors", "scipy", "PIL"}
    assert done.returncode == 0, done.stderr
    *_, nodes, modules, diffusers, accelerate, _ = done.stdout.splitlines()
    assert int(nodes.split()[0]) == 27 and int(modules.split()[0]) > 80
    assert (diffusers, accelerate) == ("diffusers is hidden", "accelerate is hidden")


def test_training_says_what_to_install(done):
    install = f"{sys.executable} -m pip install diffusers accelerate tensorboard transformers"
    said = json.loads(done.stdout.splitlines()[-1])
    # whichever of the two is imported first
    assert said in {f"Training needs {name}: {install}" for name in ("diffusers", "accelerate")}
