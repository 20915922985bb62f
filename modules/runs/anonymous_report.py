"""A folder report in which files go by the SHA-256 of their contents: who has a file finds it, nobody reads a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

UNTOLD = "The text of this error names files; the command printed it."


def without_names(report: Mapping, digests: Mapping[str, str]) -> dict:
    """The report with digests in place of names.

    A file whose contents are not known, such as a folder that cannot be read, gets a number. An error whose text has a
    part of a name in it is left out.

    Args:
        report: of folder_report.make_report.
        digests: name of a source or a result -> the SHA-256 of the file.
    """
    words = {word for file in report["files"] for name in _names(file) for word in _words(name)}
    # whole ones alone: a photo called 1.jpg is not named by "16 bits"
    named = (
        re.compile("|".join(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])" for word in sorted(words))) if words else None
    )
    files = []
    for number, file in enumerate(report["files"], 1):
        told = dict(file)
        told["source"] = _label(file["source"], digests, number)
        if "result" in file:
            told["result"] = _label(file["result"], digests, number)
        if named and named.search(str(file.get("error", "")).casefold()):
            told["error"] = UNTOLD
        files.append(told)
    return {**report, "files": sorted(files, key=lambda file: file["source"])}


def _names(file: Mapping) -> list[str]:
    return [file[key] for key in ("source", "result") if key in file]


def _words(name: str) -> set[str]:
    """What an error might say of a name: each of its folders, the file, and the file without its suffix."""
    parts = PurePosixPath(name).parts
    return {part.casefold() for part in (*parts, PurePosixPath(name).stem)}


def _label(name: str, digests: Mapping[str, str], number: int) -> str:
    return f"sha256:{digests[name]}" if name in digests else f"file {number}"
