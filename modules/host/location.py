"""The ComfyUI that the pack lives in: where it is, and what it can compute on.

Only the standard library, as `with_env.py` needs `find_comfyui` before anything is installed.
"""

import ctypes
import importlib.metadata
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]

_INSTALL_HINT = """\
No ComfyUI found. It is looked for in the folder that COMFYUI_PATH names, around this pack when the pack lies in
ComfyUI's custom_nodes, and in {places}. To install it:

    pip install comfy-cli
    comfy install

or, which does the same, python scripts/with_env.py --install-comfyui; or set COMFYUI_PATH to the folder of an existing
one (the folder with main.py)."""


def pack_version() -> str:
    """The version of this pack, as its pyproject.toml has it, or pip where that was left behind; else "unknown"."""
    try:
        project = (PACK / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        try:
            return importlib.metadata.version("face-anonymizer")
        except importlib.metadata.PackageNotFoundError:
            return "unknown"
    found = re.search(r'^version = "([^"]+)"', project, re.MULTILINE)
    return found[1] if found else "unknown"


class HostMissing(SystemExit):
    """No usable ComfyUI; the message says how to get one. Uncaught, it prints the message and ends with status 1."""


def _is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def _default_places() -> list[Path]:
    """Where `comfy install` puts ComfyUI: ~/comfy on Linux, ~/Documents/comfy on Windows and macOS."""
    home = Path.home()
    return [home / "comfy" / "ComfyUI", home / "Documents" / "comfy" / "ComfyUI"]


def find_comfyui() -> Path:
    """The folder of ComfyUI: COMFYUI_PATH, the one around the pack, comfy-cli's default; else HostMissing."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        folder = Path(named).expanduser().absolute()
        if not _is_comfyui(folder):
            raise HostMissing(f"COMFYUI_PATH is {named}, but that folder is no ComfyUI: it has no main.py and comfy/.")
        return folder
    # Unresolved first: a pack linked into custom_nodes belongs to the ComfyUI that it is linked into.
    for script in (Path(__file__).absolute(), Path(__file__).resolve()):
        custom_nodes = script.parents[3]
        if custom_nodes.name == "custom_nodes" and _is_comfyui(custom_nodes.parent):
            return custom_nodes.parent
    for folder in _default_places():
        if _is_comfyui(folder):
            return folder
    raise HostMissing(_INSTALL_HINT.format(places=" or ".join(str(place) for place in _default_places())))


def has_accelerator(python: str = sys.executable) -> bool:
    """Whether torch, as `python` has it, sees a CUDA/ROCm, Apple or Intel device. Without one ComfyUI needs --cpu."""
    if python == sys.executable and (torch := sys.modules.get("torch")) is not None:
        return _sees_one(torch)
    if python == sys.executable and _is_cpu_alone():
        return False
    code = f"import torch\n\n{inspect.getsource(_sees_one)}\nprint(_sees_one(torch))"
    # In a process of its own, so that the caller neither waits for torch to load nor opens the device.
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        raise HostMissing(f"{python} cannot import torch, so it cannot run ComfyUI:\n{done.stderr.strip()}")
    return done.stdout.split()[-1] == "True"


def _sees_one(torch) -> bool:
    xpu = getattr(torch, "xpu", None)
    return bool(torch.cuda.is_available() or torch.backends.mps.is_available() or (xpu and xpu.is_available()))


def _is_cpu_alone() -> bool:
    """Whether it is plain without torch, whose import takes seconds, that it sees no device. False where it is not."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None or sys.platform == "darwin":
        return False
    built = _built_for(Path(found.origin).with_name("version.py"))
    if built.keys() != {"cuda", "hip", "xpu"} or built["hip"] or built["xpu"]:
        return False
    return not built["cuda"] or not _has_cuda_driver()


def _built_for(version: Path) -> dict[str, bool]:
    """Kinds of devices that torch's version.py names -> whether it was built for them."""
    try:
        text = version.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return {kind: value.strip() != "None" for kind, value in re.findall(r"^(cuda|hip|xpu)\b[^=\n]*=(.*)$", text, re.M)}


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True
