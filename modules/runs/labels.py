"""Labels: who is in which photo, as a list of files and identities."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..files import read_json_lines

_COLUMNS = ("file", "identity")
# of headers that mean the same but do not say so: never a photo nor a person
_HEADINGS = {*_COLUMNS, "path", "photo", "image", "picture", "filename", "file name", "person", "label", "subject"}


def read_labels(file: Path) -> dict[str, str]:
    """Read who is in which photo.

    Args:
        file: .csv with the columns file and identity (others are ignored), or without a header, then these two come
            first; .jsonl with an object of these two a line; or .json, {file: identity}. Files are paths relative to
            the folder of photos, identities names or numbers.

    Returns:
        Photo -> identity, with forward slashes in the photo's path.

    Raises:
        FileNotFoundError: the list is missing.
        ValueError: naming the list, its line and the next step.
    """
    readers = {".csv": _read_csv, ".json": _read_json, ".jsonl": _read_json_lines}
    if file.suffix.lower() not in readers:
        raise ValueError(f"{file} is no list of labels: it is {', '.join(readers)} by its name.")
    if not file.is_file():
        raise FileNotFoundError(f"The labels {file} are missing. Name another file, or have a folder a person.")
    labels: dict[str, str] = {}
    try:
        for origin, photo, identity in readers[file.suffix.lower()](file):
            if not (isinstance(photo, str) and photo) or isinstance(identity, bool | float) or identity in (None, ""):
                raise ValueError(f"{origin} has no file or no identity: both are names or numbers. Correct this entry.")
            name = PurePosixPath(photo.replace("\\", "/")).as_posix()
            if labels.setdefault(name, str(identity)) != str(identity):
                raise ValueError(f"{origin} gives {name} a second identity, {identity}. Leave one of the two.")
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is no readable {file.suffix} file ({error}). Write it again, as UTF-8.") from error
    if not labels:
        raise ValueError(f"{file} labels no photo. Each entry names a file and its identity.")
    return labels


def _read_csv(file: Path) -> Iterator[tuple]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines)
        first = next(rows, None)
        names = [name.strip().lower() for name in first or ()]
        if set(_COLUMNS) <= set(names):
            columns = [names.index(name) for name in _COLUMNS]
        elif first is not None and len(first) >= len(_COLUMNS) and not _HEADINGS & set(names):  # no header
            yield f"{file} line {rows.line_num}", *first[: len(_COLUMNS)]
            columns = list(range(len(_COLUMNS)))
        else:
            raise ValueError(f"{file} has the columns {first}; file and identity are needed: name them so.")
        for row in rows:
            if row:
                yield f"{file} line {rows.line_num}", *(row[i] if i < len(row) else None for i in columns)


def _read_json(file: Path) -> Iterator[tuple]:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds a {type(content).__name__}, not an object {{file: identity}}. Write it so.")
    for photo, identity in content.items():
        yield f"{file}, entry {photo!r},", photo, identity if isinstance(identity, str | int) else None


def _read_json_lines(file: Path) -> Iterator[tuple]:
    for origin, entry in read_json_lines(file):
        yield origin, entry.get("file"), entry.get("identity")
