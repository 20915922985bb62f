"""The environment that the commands run in: which interpreter, what is installed there, a ComfyUI on request.

Only the standard library, as it runs before all else.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .location import PACK, HostMissing, find_comfyui
from .requirements import missing, named_in, of_extra

VENV = PACK / ".venv"
CONSTRAINTS = PACK / "tests" / "constraints.txt"
TEST_REQUIREMENTS = PACK / "tests" / "requirements.txt"
REQUIRE_HOST = "FACE_ANON_REQUIRE_HOST"  # set to 1, a missing ComfyUI is an error, in the tests too
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class Needs(NamedTuple):
    """What a command needs installed.

    Args:
        packages: by their requirements, such as "diffusers>=0.25.0".
        what: in words.
    """

    packages: tuple[str, ...]
    what: str


def find_host() -> Path | None:
    """The folder of ComfyUI; None where there is none and none is asked for.

    Raises:
        HostMissing: COMFYUI_PATH names none, or FACE_ANON_REQUIRE_HOST asks for one.
    """
    try:
        return find_comfyui()
    except HostMissing:
        if os.environ.get("COMFYUI_PATH") or os.environ.get(REQUIRE_HOST, "0") not in ("", "0"):
            raise
        return None


def needs_of(host: Path | None, for_developers: bool) -> Needs:
    """ComfyUI's requirements, or those of diffusers' networks without it; and the tests', in a pack that has tests.

    Args:
        host: the folder of ComfyUI; None without one.
        for_developers: the command is one of pytest's, or a tool.
    """
    packages, what = [], "painting without ComfyUI"
    if host is None:
        packages += of_extra("headless")
    else:
        what = "ComfyUI"
        if (host / "requirements.txt").is_file():
            packages += named_in(host / "requirements.txt")
    if for_developers and TEST_REQUIREMENTS.is_file():
        packages, what = packages + named_in(TEST_REQUIREMENTS), f"{what}, and the pack's tests,"
    return Needs(tuple(packages), what)


def choose_python(command: Sequence[str], torch_index: str | None = None) -> Path:
    """The interpreter for a command: the named one, this one where it has what is needed, or that of `.venv`.

    Args:
        command: what the interpreter gets.
        torch_index: where torch is installed from, by its address; None for the default index.

    Raises:
        HostMissing: see find_host.
        SystemExit: an installation failed; it says why.
    """
    host = find_host()
    named = os.environ.get("FACE_ANON_PYTHON")
    if named:
        return Path(named).expanduser()
    for_developers = command[0] == "-m" or Path(command[0]).resolve() == PACK / "tools" / "run.py"
    needs = needs_of(host, for_developers)
    return make_venv(needs, torch_index) if missing(needs.packages) else Path(sys.executable)


def make_venv(needs: Needs, torch_index: str | None = None) -> Path:
    """The interpreter of `.venv`, which is made when missing, and gets what it has not yet.

    Raises:
        SystemExit: that failed; it says why.
    """
    python = venv_python()
    constraints = CONSTRAINTS.read_text(encoding="utf-8") if CONSTRAINTS.is_file() else ""
    digest = hashlib.sha256("\n".join((*sorted(needs.packages), constraints)).encode()).hexdigest()
    stamp = VENV / "requirements.sha256"
    done = stamp.read_text().split() if stamp.is_file() else []
    if python.exists() and digest in done:
        return python
    _say(f"Installing what {needs.what} needs into {VENV}, once. {_size(needs, torch_index)}")
    if not _has_pip(python):  # a sound one is kept, so that an interrupted installation goes on where it was
        done = []
        try:
            venv.create(VENV, clear=True, with_pip=True, symlinks=os.name != "nt")
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"Cannot make {VENV} ({error}). On Debian and Ubuntu: apt install python3-venv") from None
    limits = ["-c", str(CONSTRAINTS)] if constraints else []
    if torch_index:
        _pip(python, "--index-url", torch_index, *limits, "torch", "torchvision")
    _pip(python, *limits, *needs.packages)
    stamp.write_text("\n".join([*done, digest]))
    return python


def install_comfyui() -> None:
    """Install a ComfyUI where comfy-cli puts it, unless one is there.

    Raises:
        SystemExit: that failed; it says why.
    """
    try:
        _say(f"ComfyUI is there: {find_comfyui()}")
        return
    except HostMissing:
        pass
    python = make_venv(Needs(("comfy-cli",), "comfy-cli, which installs ComfyUI,"))
    _say("Installing ComfyUI by comfy-cli: it clones a repository and installs gigabytes.")
    if subprocess.run([python, "-m", "comfy_cli", "--skip-prompt", "install", _accelerator()]).returncode != 0:
        raise SystemExit("comfy-cli says above what failed. By hand: pip install comfy-cli, comfy install")
    find_comfyui()


def _accelerator() -> str:
    """The option of `comfy install` for this machine."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "--m-series"
    return "--nvidia" if shutil.which("nvidia-smi") else "--cpu"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _size(needs: Needs, torch_index: str | None) -> str:
    if not any(package.startswith("torch") for package in needs.packages):
        return ""
    if torch_index:
        return f"torch comes from {torch_index}."
    if sys.platform == "linux" and not os.environ.get("PIP_FIND_LINKS"):
        return (
            "torch for Linux brings CUDA: 3 GB to download, 5 GB on the disk. Without an NVIDIA GPU a quarter of that "
            f"is enough: python scripts/with_env.py --torch-index {CPU_INDEX} ..."
        )
    return "That is one or two gigabytes."


def venv_python() -> Path:
    """The interpreter of `.venv`, whether it is there or not."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _has_pip(python: Path) -> bool:
    """Whether an interpreter stands there, starts and has pip."""
    return python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise SystemExit("The installation failed; pip says above why. The same command goes on from there.")
