"""What a dataset consists of: which form it has, its shards, what each result is called, and what is done already."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..output.formats import EXTENSIONS
from ..photos.kinds import PHOTO_SUFFIXES
from ..terminal import shown
from . import folders, tables, tars
from .chunks import File, Shard
from .options import AUTO, FOLDER, PARQUET, WEBDATASET, DatasetOptions
from .places import Entry, Place
from .state import FOLDER as SERVICE

_FILES = 256  # photos of a folder that are a shard
_NOT_SAID = 6  # kinds of files that are named among those left out
_SUFFIXES = {PARQUET: tables.SUFFIXES, WEBDATASET: tars.SUFFIXES, FOLDER: tuple(sorted(PHOTO_SUFFIXES))}


class PlanRefused(ValueError):
    """The command cannot be carried out as it is; the message gives the reason and what to do instead."""


class Found(NamedTuple):
    """What lies in the inputs.

    Args:
        form: one of FORMS.
        files: (the place that it was found in, the file), of this form.
        skipped: suffix, or another reason -> how many files are left out.
    """

    form: str
    files: list[tuple[Place, Entry]]
    skipped: dict[str, int]


def find(options: DatasetOptions) -> Found:
    """The files of the inputs, without hidden ones.

    Raises:
        PlanRefused: there is none, or several forms; two have one name; results would land among them.
        OSError, ValueError: an input cannot be read.
    """
    by_form: dict[str, list[tuple[Place, Entry]]] = {form: [] for form in _SUFFIXES}
    skipped: Counter[str] = Counter()
    for place in map(Place, options.inputs):
        _check_apart(place, Place(options.output))
        for root, entry in _files_of(place):
            form, why = _form_of(entry.name), _why_not(entry.name)
            if form and not why and options.form in (AUTO, form):
                by_form[form].append((root, entry))
            else:
                skipped[why or posixpath.splitext(entry.name)[1].lower() or "without a suffix"] += 1
    forms = [form for form, files in by_form.items() if files]
    where = ", ".join(map(shown, options.inputs))
    if not forms:
        wanted = {AUTO: "photo, tar or parquet file", FOLDER: "photo", WEBDATASET: "tar", PARQUET: "parquet file"}
        there = f" ({said(skipped)} are there)" if skipped else ""
        raise PlanRefused(
            f"{where}: no {wanted[options.form]} is there{there}. Name a folder of photos, or tars or parquet files."
        )
    if len(forms) > 1:
        counted = ", ".join(f"{form} ({len(by_form[form])} files)" for form in forms)
        raise PlanRefused(f"{where}: several forms are there, {counted}. Say which is meant with --form.")
    if options.keep and forms[0] == FOLDER:
        raise PlanRefused(f"--keep is for columns of parquet and members of tars; {where} is a folder of photos.")
    if forms[0] == WEBDATASET and tars.ROW in [suffix.removeprefix(".").lower() for suffix in options.keep]:
        raise PlanRefused(f"--keep {tars.ROW}: members of that suffix are the rows of this run. Leave it out.")
    files = sorted(by_form[forms[0]], key=lambda one: one[1].name)
    for (first, one), (second, other) in pairwise(files):
        if one.name == other.name:
            raise PlanRefused(
                f"Two inputs are called {shown(one.name)}, in {shown(first)} and {shown(second)}: their results would "
                "be too. Name the folder above both, or take an --output for each."
            )
    return Found(forms[0], files, dict(skipped))


def plan(found: Found, work_digest: str, results: str, known: Mapping[str, str] | None = None) -> list[Shard]:
    """The shards of a dataset.

    Args:
        found: its files.
        work_digest: of all that makes results what they are.
        results: format of the results of a folder, one of EXTENSIONS.
        known: photos of a folder that are done -> their results; no other gets the name of one.
    """
    if found.form != FOLDER:
        return [
            Shard(_id(found.form, *entry, work_digest), entry.name, found.form, root.where, entry.name)
            for root, entry in found.files
        ]
    done, shards = known or {}, []
    names = _named([entry.name for _, entry in found.files], EXTENSIONS[results], done)
    by_root: dict[str, list[File]] = {}
    for root, entry in found.files:
        if entry.name not in done:
            by_root.setdefault(root.where, []).append(File(entry.name, entry.size, names[entry.name]))
    for where, files in by_root.items():
        for first in range(0, len(files), _FILES):
            some = tuple(files[first : first + _FILES])
            digest = _id(FOLDER, some, work_digest)
            shards.append(Shard(digest, some[0].name, FOLDER, where, f"{folders.ROWS}/{digest}.jsonl", some))
    return shards


def digest_of(settings: Mapping) -> str:
    """Of settings, for the ids of shards."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def said(skipped: Mapping[str, int]) -> str:
    """The files that are left out, in words; "" where there are none."""
    parts = [f"{count} {shown(suffix)}" for suffix, count in sorted(skipped.items(), key=lambda one: -one[1])]
    more = f" and {len(parts) - _NOT_SAID} other kinds" if len(parts) > _NOT_SAID else ""
    return f"{', '.join(parts[:_NOT_SAID])}{more}" if parts else ""


def _files_of(place: Place) -> list[tuple[Place, Entry]]:
    kind = place.kind()
    if kind == "file":
        return [(place.parent, Entry(place.name, place.size() or 0))]
    if kind != "folder":
        raise PlanRefused(f"No such file or folder: {shown(place)}")
    return [(place, entry) for entry in place.files()]


def _why_not(name: str) -> str:
    """Why a file is not looked at, by its name; "" where it is."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "with a name that is no text"
    if any(part.startswith(".") for part in name.split("/")):
        return "hidden"
    return "of an output of this command" if name.split("/")[0] in (SERVICE, folders.ROWS) else ""


def _form_of(name: str) -> str:
    return next((form for form, suffixes in _SUFFIXES.items() if name.lower().endswith(suffixes)), "")


def _check_apart(source: Place, output: Place) -> None:
    """Neither lies within the other."""
    one, two = (place.path() if place.local is None else str(place.local.resolve()) for place in (source, output))
    same_kind = (source.local is None) == (output.local is None)
    inside = f"{one.rstrip('/')}/", f"{two.rstrip('/')}/"
    if same_kind and (inside[1].startswith(inside[0]) or inside[0].startswith(inside[1])):
        raise PlanRefused(
            f"--output {shown(output)} and what is read, {shown(source)}, lie one within the other: results would be "
            "read as sources. Take an --output beside it."
        )


def _named(names: Sequence[str], extension: str, done: Mapping[str, str]) -> dict[str, str]:
    """Photo -> the name of its result: its own with another suffix, or, where two would share that, with both."""
    plain = {name: f"{posixpath.splitext(name)[0]}{extension}" for name in names}
    count = Counter(plain.values())
    count.update(result for name, result in done.items() if plain.get(name) != result)
    result = {name: plain[name] if count[plain[name]] == 1 else f"{name}{extension}" for name in names}
    while True:
        count = Counter(result.values())
        again = [name for name in names if count[result[name]] > 1 and result[name] == plain[name]]
        if not again:
            return result
        for name in again:
            result[name] = f"{name}{extension}"


def _id(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
