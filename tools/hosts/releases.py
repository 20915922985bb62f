"""Released ComfyUI hosts out of a clone's history, each with an environment of its own pins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_VERSION_FILE = "comfyui_version.py"
_GIT_ENVIRONMENT = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}  # what a partial clone lacks is told, not fetched


class Release(NamedTuple):
    """A version of ComfyUI, the commit that gave it its number, and that commit's date (yyyy-mm-dd)."""

    version: str
    commit: str
    date: str


def read_releases(clone: Path) -> dict[str, Release]:
    """Version -> release, newest first. Of several commits that touch the file of one version, the first."""
    found: dict[str, Release] = {}
    for line in _git(clone, "log", "--format=%H %cs", "--diff-filter=AM", "--", _VERSION_FILE).splitlines():
        commit, date = line.split()
        number = re.search(r'__version__\s*=\s*"([^"]+)"', _git(clone, "show", f"{commit}:{_VERSION_FILE}"))
        if number:
            found[number[1]] = Release(number[1], commit, date)
    return found


def read_pins(requirements: str) -> dict[str, str]:
    """Package -> version, of the lines that name exactly one version."""
    return dict(re.findall(r"^\s*([A-Za-z0-9][\w.-]*)\s*==\s*([\w.+!-]+)\s*(?:[;#].*)?$", requirements, re.MULTILINE))


def write_checkout(clone: Path, commit: str, folder: Path) -> list[str]:
    """The files of a commit in a new folder, which appears when it is whole; the names of those that git has lost.

    A checkout and an archive stop at the first object that is missing, and snapshots of large repositories miss some.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    entries = _git(clone, "ls-tree", "-r", "-z", commit).split("\0")[:-1]
    lost = []
    batch = ["git", "-C", clone, "cat-file", "--batch"]
    with subprocess.Popen(batch, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_GIT_ENVIRONMENT) as git:
        for entry in entries:
            about, name = entry.split("\t", 1)
            digest = about.split()[2]
            git.stdin.write(f"{digest}\n".encode())
            git.stdin.flush()
            answer = git.stdout.readline().split()
            if answer[-1] == b"missing":
                lost.append(name)
                continue
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(git.stdout.read(int(answer[2])))
            git.stdout.read(1)  # the line's end after it
        git.stdin.close()
    partial.rename(folder)
    return lost


def make_environment(folder: Path, requirements: Sequence[Path]) -> Path:
    """An environment that has what `requirements` ask for; its interpreter.

    What this interpreter's environment has already is shared with it (torch above all): only pins that differ are
    installed, and they come first on its path.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, symlinks=os.name != "nt")
    own = ask(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    shared = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    Path(own.strip(), "shared.pth").write_text("\n".join(shared), encoding="utf-8")
    install(python, requirements)
    return python


def install(python: Path, requirements: Sequence[Path]) -> None:
    """Into the environment of an interpreter; SystemExit where pip cannot."""
    named = [argument for file in requirements for argument in ("-r", str(file))]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *named]
    if subprocess.run(pip, stdout=sys.stderr).returncode != 0:
        raise SystemExit(f"What {', '.join(map(str, requirements))} ask for cannot be installed; pip says above why.")


def installed(python: Path) -> set[str]:
    """Every package that an interpreter finds, as "name==version"."""
    code = "import importlib.metadata as m; print(*(f'{one.name}=={one.version}' for one in m.distributions()))"
    return set(ask(python, code).split())


def ask(python: Path, code: str, *arguments: str) -> str:
    return subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


def _git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", clone, *arguments], capture_output=True, text=True, env=_GIT_ENVIRONMENT)
    if done.returncode != 0:
        raise SystemExit(f"git {arguments[0]} failed in {clone}: {done.stderr.strip()}")
    return done.stdout
