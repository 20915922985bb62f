"""Lists of one JSON object a line: the form of all lists of pictures, triples and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


def read_json_lines(file: Path) -> Iterator[tuple[str, dict]]:
    """(file and line, for messages; its object), without blank lines. ValueError names a line that is no object."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            origin = f"{file} line {number}"
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{origin} is no JSON ({error}). Each line is one JSON object.") from error
            if not isinstance(entry, dict):
                raise ValueError(f"{origin} holds a {type(entry).__name__}, not a JSON object. Correct this line.")
            yield origin, entry
