"""What a folder run has to do: which files are read, what becomes of the others, and what each result is called.

Names of sources and results are relative paths with forward slashes, below the folder that was named and below the
output folder. Only the standard library.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..files import sha256_of
from ..photos.kinds import PHOTO, VIDEO, kind_of
from ..terminal import shown
from .journal import JOURNAL_NAME, Journal, JournalRefused

__all__ = ["PHOTO", "VIDEO"]
_LONGEST_NAME = 255  # bytes, of most file systems
VIDEO_SUFFIXES = frozenset((
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".mod", ".tod", ".dv", ".mxf", ".flv"),
    *(".ogv", ".ogm"),
))  # fmt: skip


class PlanRefused(ValueError):
    """The command cannot be carried out as it is; the message gives the reason and what to do instead."""


class Source(NamedTuple):
    """A file to be done.

    Args:
        name: its relative path, with forward slashes.
        path: where it is read.
        kind: PHOTO or VIDEO.
    """

    name: str
    path: Path
    kind: str


class Found(NamedTuple):
    """Everything below the named paths.

    Args:
        sources: what is to be done.
        skipped: name -> why, of what is no picture, or is left out on purpose.
        undone: name -> why, of pictures and films that cannot be read here, so that the run is not all done.
        unreadable: folder -> the error, so that its files are not known.
    """

    sources: list[Source]
    skipped: dict[str, str]
    undone: dict[str, str]
    unreadable: dict[str, str]


class Job(NamedTuple):
    """A source and the name of its result."""

    source: Source
    result: str


def find_sources(paths: list[Path], output: Path) -> Found:
    """The photos and videos that the paths name: files as they are, folders with all below them, in a fixed order.

    Left out and listed as skipped: hidden files and folders, files that are neither photo nor video, linked folders
    (so there are no loops), and output folders of this script. What a file is, its first bytes say before its name.

    Args:
        paths: files and folders.
        output: the output folder, which is left out.

    Raises:
        PlanRefused: a path does not exist, two sources have one name, or results would land in a folder that is read.
    """
    found = Found([], {}, {}, {})
    output = output.resolve()
    for path in paths:
        if path.is_dir():
            if path.resolve() == output or output in path.resolve().parents:
                raise PlanRefused(f"Results would land in {shown(path)}, which is read. Take an --output outside it.")
            _walk(path, output, found)
        elif path.is_file():
            _sort_in(path, path.name, found)
        else:
            raise PlanRefused(f"No such file or folder: {shown(path)}")
    count = Counter(source.name for source in found.sources)
    for name in (name for name, times in count.items() if times > 1):
        same = ", ".join(shown(source.path) for source in found.sources if source.name == name)
        raise PlanRefused(
            f"Two sources have one name, so that their results would too: {same}. Name the folder that holds both, or "
            "run them into different output folders."
        )
    found.sources.sort()
    return found


def _walk(root: Path, output: Path, found: Found) -> None:
    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(root).as_posix()
        found.unreadable[name] = f"The folder cannot be read: {error.strerror}"

    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        for name in sorted(subfolders):
            path = here / name
            reason = _why_skip_folder(path, output)
            if reason:
                subfolders.remove(name)
                found.skipped[f"{path.relative_to(root).as_posix()}/"] = reason
        for name in sorted(files):
            _sort_in(here / name, (here / name).relative_to(root).as_posix(), found)


def _why_skip_folder(path: Path, output: Path) -> str | None:
    if path.name.startswith("."):
        return "hidden"
    if path.is_symlink():
        return "a link to a folder"
    if path.resolve() == output:
        return "the output folder"
    if os.path.exists(path / JOURNAL_NAME):
        return "an output folder of an earlier run"
    return None


def _sort_in(path: Path, name: str, found: Found) -> None:
    if path.name.startswith("."):
        found.skipped[name] = "hidden"
    elif os.path.islink(path) and not os.path.exists(path):
        found.skipped[name] = "a broken link"
    elif os.path.exists(path) and not os.path.isfile(path):
        found.skipped[name] = "not a file"
    else:
        kind, why, is_picture = kind_of(path, VIDEO_SUFFIXES)
        if kind is not None:
            found.sources.append(Source(name, path, kind))
        else:
            (found.undone if is_picture else found.skipped)[name] = why


def plan_jobs(
    sources: list[Source], ending: str, suffixes: Mapping[str, str], known: Mapping[str, str] | None = None
) -> list[Job]:
    """Name the result of each source: its folder and stem, an ending, and the suffix of its kind.

    Sources whose results would have one name keep their suffix in it: a.jpg and a.png become a.jpg_ENDING.png and
    a.png_ENDING.png. A name that would be too long for a file is cut, and gets a digest.

    Args:
        sources: all of the run.
        ending: of the stem.
        suffixes: kind of source -> suffix of its results.
        known: source -> result of earlier runs; these keep theirs, and no other source gets it.

    Raises:
        JournalRefused: an earlier run, or whoever wrote its journal, called a result as no result of its source is.
    """
    known = known or {}
    owners = {result: name for name, result in known.items()}

    def named(source: Source, base: str) -> str:
        folder = source.name.rpartition("/")[0]
        name = f"{base}{ending}{suffixes[source.kind]}"
        if len(os.fsencode(name)) > _LONGEST_NAME:
            # the digest keeps two long names apart that begin alike
            rest = f"~{hashlib.sha256(os.fsencode(source.name + base)).hexdigest()[:8]}{ending}{suffixes[source.kind]}"
            while len(os.fsencode(base)) > _LONGEST_NAME - len(rest):
                base = base[:-1]
            name = base + rest
        return f"{folder}/{name}".removeprefix("/")

    for source in sources:
        if known.get(source.name) not in (None, named(source, source.path.stem), named(source, source.path.name)):
            raise JournalRefused(
                f"The journal of the output folder calls the result of {shown(source.name)} "
                f"{shown(known[source.name])}, which is no name of a result of it. Take another --output."
            )

    def result(source: Source) -> str:
        if source.name in known:
            return known[source.name]
        return named(source, source.path.name if source.name in with_suffix else source.path.stem)

    # counted over all, those of earlier runs too: which of two was done before a kill must not name the other
    plain = Counter(named(source, source.path.stem) for source in sources)
    with_suffix = {source.name for source in sources if plain[named(source, source.path.stem)] > 1}
    while True:
        jobs = [Job(source, result(source)) for source in sources]
        count = Counter(job.result for job in jobs)
        clashing = {
            source.name
            for source, name in jobs
            if source.name not in known and (count[name] > 1 or owners.get(name, source.name) != source.name)
        }
        if clashing <= with_suffix:
            return jobs
        with_suffix |= clashing


def unfinished(jobs: list[Job], journal: Journal) -> list[Job]:
    """The jobs that are not done yet, in their order.

    Raises:
        JournalRefused: a result is there that this script did not write or that was changed since, a source is not
            the one that its result was made of, or a result is its source, although faces were changed; the message
            names the files.
    """
    left, foreign, changed, same = [], [], [], []
    for job in jobs:
        result = journal.place(job.result)
        entry = journal.entries.get(job.source.name)
        if not os.path.lexists(result):
            left.append(job)
        elif entry is None or entry["result"] != job.result or not is_file_with(result, entry["result_sha256"]):
            foreign.append(str(result))
        elif sha256_of(job.source.path) != entry["sha256"]:
            changed.append(f"{job.source.path} (result: {result})")
        elif entry["result_sha256"] == entry["sha256"] and any(entry.get("actions", {}).values()):
            same.append(str(result))
    if foreign:
        raise JournalRefused(
            f"Nothing is overwritten, and this exists, but was not written by this command: {_listed(foreign)}. Take "
            "another --output, or move it away."
        )
    if changed:
        raise JournalRefused(
            f"Not what it was when its result was made: {_listed(changed)}. Take another --output, or remove the "
            "result to have it made again."
        )
    if same:
        raise JournalRefused(
            f"These are their sources, unchanged, although the journal says that faces were changed: {_listed(same)}. "
            "Remove them to have them made again."
        )
    return left


def is_file_with(path: Path, sha256: str) -> bool:
    """Whether a path is a file of its own, no link and no pipe, with these contents."""
    return not os.path.islink(path) and path.is_file() and sha256_of(path) == sha256


def _listed(names: list[str], limit: int = 10) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(shown, names[:limit])) + more
