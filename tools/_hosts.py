"""Released ComfyUI hosts out of a clone's history, each with an environment of its own pins.

Only the standard library. Nothing here is shipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_VERSION_FILE = "comfyui_version.py"
_LINK, _SUBMODULE = "120000", "160000"


class Release(NamedTuple):
    """A version of ComfyUI, the commit that gave it its number, and that commit's date (yyyy-mm-dd)."""

    version: str
    commit: str
    date: str


def _git(clone: Path, *arguments: str) -> str:
    # Not lazily from the network, where the clone is a partial one: what is missing is told.
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}
    done = subprocess.run(["git", "-C", clone, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"git {arguments[0]} failed in {clone}: {done.stderr.strip()}")
    return done.stdout


def read_releases(clone: Path) -> dict[str, Release]:
    """Version -> release, newest first. Where several commits touch the file of one version, the first of them."""
    found: dict[str, Release] = {}
    for line in _git(clone, "log", "--format=%H %cs", "--diff-filter=AM", "--", _VERSION_FILE).splitlines():
        commit, date = line.split()
        number = re.search(r'__version__\s*=\s*"([^"]+)"', _git(clone, "show", f"{commit}:{_VERSION_FILE}"))
        if number:
            found[number[1]] = Release(number[1], commit, date)
    return found


def read_pins(requirements: str) -> dict[str, str]:
    """Package -> version, of the lines that name exactly one version."""
    pins = (
        re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*==\s*([^\s;#,]+)\s*(?:[;#]|$)", line)
        for line in requirements.splitlines()
    )
    return {pin[1]: pin[2] for pin in pins if pin}


def write_checkout(clone: Path, commit: str, folder: Path) -> list[str]:
    """The files of a commit in a new folder, which appears when it is whole; the names of those that git has lost.

    A checkout or an archive stops at the first object that is missing; snapshots of large repositories miss some.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    entries = [entry.split("\t", 1) for entry in _git(clone, "ls-tree", "-r", "-z", commit).split("\0") if entry]
    files = [(*entry.split(), name) for entry, name in entries if not entry.startswith(_SUBMODULE)]
    lost = []
    with subprocess.Popen(
        ["git", "-C", clone, "cat-file", "--batch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "GIT_NO_LAZY_FETCH": "1"},
    ) as git:
        for mode, _, blob, name in files:
            git.stdin.write(f"{blob}\n".encode())
            git.stdin.flush()
            answer = git.stdout.readline().split()
            if answer[-1] == b"missing":
                lost.append(name)
                continue
            content = git.stdout.read(int(answer[2]))
            git.stdout.read(1)  # the line's end after it
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if mode == _LINK:
                path.unlink(missing_ok=True)
                path.symlink_to(os.fsdecode(content))
            else:
                path.write_bytes(content)
        git.stdin.close()
    partial.rename(folder)
    return lost


def make_environment(folder: Path, requirements: list[Path]) -> Path:
    """An environment that has what `requirements` ask for; its interpreter.

    What this interpreter's environment has already is shared with it (torch above all): only pins that differ are
    installed, and they come first on its path.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, symlinks=os.name != "nt")
    own = sysconfig.get_path("purelib", vars={"base": str(folder)}, scheme="venv" if os.name != "nt" else "nt_venv")
    shared = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    Path(own, "shared.pth").write_text("".join(f"{path}\n" for path in dict.fromkeys(shared)), encoding="utf-8")
    named = [argument for file in requirements for argument in ("-r", str(file))]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *named]
    if subprocess.run(pip, stdout=sys.stderr).returncode != 0:
        raise SystemExit(f"The packages of {folder.parent.name} cannot be installed; pip says above why.")
    return python


def installed(python: Path, packages: Mapping[str, str]) -> dict[str, str]:
    """Package -> the version that `python` imports, of those packages."""
    code = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, done.stdout.split(), strict=True))
