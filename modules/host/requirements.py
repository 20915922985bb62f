"""Which packages a Python lacks of those that are asked for. Only the standard library; nothing is imported."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

from .location import PACK

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def named_in(file: Path) -> list[str]:
    """The requirements in a requirements.txt, without comments and options."""
    lines = (line.partition(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if _NAME.match(line)]


def of_extra(extra: str) -> list[str]:
    """The requirements of an extra of this pack, as its pyproject.toml has them; none where that is not there.

    By hand, as Python 3.10 reads no TOML: the extra stands on one line.
    """
    project = PACK / "pyproject.toml"
    text = project.read_text(encoding="utf-8") if project.is_file() else ""
    line = re.search(rf"^{extra} = \[(.*)\]$", text, re.MULTILINE)
    return re.findall(r'"([^"]+)"', line[1]) if line else []


def missing(requirements: Iterable[str]) -> list[str]:
    """The names of those that this interpreter has not. Versions are the owner's affair."""
    names = [found[1] for found in map(_NAME.match, requirements) if found]
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
