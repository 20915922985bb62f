"""Write a slim copy that runs scripts/check_gpu.py without network on a machine that has Python and torch, and a GPU.

    python scripts/with_env.py tools/run.py hosts.gpu_bundle --output FOLDER
    (on that machine) python3 FOLDER/run.py
    (with --training) python3 FOLDER/run.py tools/run.py demo_model.on_gpu OUT ...

In the folder: what the check needs of the pack, with the tests that run there and the recordings that they read, or in
their place with --demo the demo model, or with --training what trains and measures that, as all are too much; what it
needs of the ComfyUI that is found here, which is copied and never becomes part of the pack; and, for the packages that
such a machine lacks, copies of the small ones and stand-ins for the others. What a machine has itself comes first.

It must have: torch, torchvision, numpy, Pillow, safetensors, transformers, tokenizers, einops, scipy, psutil, tqdm,
PyYAML, requests, packaging, typing_extensions; for the tests also pytest.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from collections.abc import Iterable
from pathlib import Path

from face_anonymizer.modules.host.location import PACK, find_comfyui

LIMIT = 60 * 2**20
FILES = (
    "__init__.py",
    "LICENSE",
    "NOTICE",
    "pyproject.toml",
    "modules",
    "assets/astronaut.jpg",
    "assets/synthetic_group.jpg",
    "models/centerface.safetensors",
    "models/centerface_int8.safetensors",
    "models/onet.safetensors",
    "scripts",
)
TESTS = (
    "tests/conftest.py",
    *(f"tests/host/{name}.py" for name in ("conftest", "test_parity")),
    "tests/golden.py",
    "tests/fixtures/face_anon/tiny",
    "tests/fixtures/golden",
    "tools/busy.py",  # what tests/host/conftest.py imports
    "tools/pictures",
    "tools/workflows/frontend.py",
)
DEMO = ("models/face_anon/demo",)
# What tools/demo_model/on_gpu.py and scripts/evaluate.py need beside these.
TRAINING = (
    "tools/run.py",
    "tools/busy.py",
    "tools/demo_model",
    "models/synthetic_regressor.safetensors",
    "models/face_anon/demo/face_anon.json",
    "models/face_anon/demo/unet/config.json",
)
LEFT_OUT = ("alignment.safetensors", "full_size_keys.json")  # read by other tests
HOST = (
    *("main.py", "comfyui_version.py", "folder_paths.py", "latent_preview.py", "node_helpers.py", "cuda_malloc.py"),
    *("comfy", "comfy_api", "comfy_execution", "utils", "LICENSE"),
)
# Words and merges of text encoders, of which the method has none; those of a byte or two are asked for at import.
HOST_LARGEST_DATA = 64 * 2**10
# Copied where they are small: as they stand, but for what was compiled for this machine's Python alone.
COPIED = ("comfy_aimdo", "comfy_kitchen", "torchsde", "trampoline")
# Only imported by what is not used; a call of what they hold raises.
STOOD_IN = ("av", "kornia", "playwright", "spandrel", "torchaudio")

RUN = '''"""Run the check of this machine: python3 run.py [--model demo] [--report FILE]. Needs no network.

Or another script of the pack: python3 run.py SCRIPT.py ...
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
added = [str(folder) for folder in sorted((HERE / "site").iterdir()) if importlib.util.find_spec(folder.name) is None]
environment = {**os.environ, "COMFYUI_PATH": str(HERE / "ComfyUI"), "PYTHONDONTWRITEBYTECODE": "1"}
environment["PYTHONPATH"] = os.pathsep.join([*added, *filter(None, [os.environ.get("PYTHONPATH")])])
given = sys.argv[1:] if sys.argv[1:] and sys.argv[1].endswith(".py") else ["scripts/check_gpu.py", *sys.argv[1:]]
command = [sys.executable, str(HERE / "pack" / given[0]), *given[1:]]
sys.exit(subprocess.run(command, env=environment).returncode)
'''

STAND_IN = '''"""In place of a package that this machine lacks: what is imported of it raises when called."""

import importlib.abc
import importlib.machinery
import sys
import types


def _missing(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _Name(name, (), {})


class _Name(type):
    """A class, so that it can be a base, an annotation and asked for with isinstance."""

    def __getattr__(self, name):
        return _missing(name)

    def __call__(self, *_, **__):
        raise RuntimeError(f"{__name__} is not on this machine: this is its stand-in.")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(__name__ + "."):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = _missing
        return module

    def exec_module(self, module):
        pass


__getattr__ = _missing
sys.meta_path.append(_Finder())
'''


def write_bundle(output: Path, host: Path, parts: tuple[str, ...]) -> int:
    """Write everything into `output`, a folder that is not there yet. Returns its size in bytes.

    Args:
        output: the folder.
        host: a ComfyUI.
        parts: of the pack, beside FILES.
    """
    output.mkdir(parents=True)
    for name in (*FILES, *parts):
        _copy(PACK / name, output / "pack" / name)
    for name in HOST:
        if (host / name).exists():  # hosts differ
            _copy(host / name, output / "ComfyUI" / name, HOST_LARGEST_DATA)
    for name in COPIED:
        _copy(_package_folder(name), output / "site" / name / name)
    for name in STOOD_IN:
        folder = output / "site" / name / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    (output / "run.py").write_text(RUN, encoding="utf-8")
    return sum(size for _, size in _sizes(output))


def _copy(source: Path, target: Path, largest_data: int | None = None) -> None:
    """A file, or a folder without caches and without what fits one Python alone; data past `largest_data` stays."""

    def left_out(folder: str, names: list[str]) -> Iterable[str]:
        for name in names:
            path = Path(folder) / name
            data = path.is_file() and path.suffix != ".py"
            if (
                name in ("__pycache__", *LEFT_OUT)
                or ".cpython-" in name
                or path.suffix in (".dll", ".cuh")
                or (data and largest_data is not None and path.stat().st_size > largest_data)
            ):
                yield name

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=lambda folder, names: set(left_out(folder, names)))
    else:
        shutil.copyfile(source, target)


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed here, so it cannot be copied; run this by scripts/with_env.py.")
    return Path(next(iter(spec.submodule_search_locations)))


def _sizes(folder: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="a folder, not there yet")
    parser.add_argument("--demo", action="store_true", help="with the demo model instead of the tests")
    parser.add_argument(
        "--training",
        action="store_true",
        help="with what trains and measures the demo model, instead of the tests; that needs diffusers too",
    )
    args = parser.parse_args(arguments)
    if args.output.exists():
        parser.error(f"{args.output} is there already.")
    parts_of_pack = TRAINING if args.training else DEMO if args.demo else TESTS
    size = write_bundle(args.output, find_comfyui(), parts_of_pack)
    parts = {
        part.name: sum(size for _, size in _sizes(part)) for part in sorted(args.output.iterdir()) if part.is_dir()
    }
    listed = ", ".join(f"{name} {part / 2**20:.1f}" for name, part in parts.items())
    print(f"{args.output}: {size / 2**20:.1f} MiB ({listed}), at most {LIMIT / 2**20:.0f}")
    print(f"python3 {args.output / 'run.py'} --report report.md{' --model demo' if args.demo else ''}")
    return int(size > LIMIT)
