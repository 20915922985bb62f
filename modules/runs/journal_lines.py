"""What a line of a journal may hold. A journal may have been edited, damaged or made by an enemy: it is data, and
what it says is taken for nothing else. Only the standard library.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE_DIGEST = re.compile(r"([0-9a-f]{64}){1,2}")  # make_pairs.py makes a picture of two
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_KINDS = ("photo", "video")
_MOST = 1e15  # of any number: beyond it no float tells it exactly, and a text of it fills the screen


def read_object(line: bytes) -> dict:
    """The JSON object of a line.

    Raises:
        ValueError: it is none, or holds numbers that JSON does not know.
    """
    try:
        content = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not an object")
    return content


def check_line(line: Mapping) -> None:
    """Make sure that a line names a source and a result below the output folder, with their digests.

    Raises:
        ValueError: naming the field.
    """
    _check(line, "source", lambda value: isinstance(value, str) and value != "", "a name")
    _check(line, "sha256", lambda value: _matches(_SOURCE_DIGEST, value), "a SHA-256")
    _check(line, "result", is_below, "a path below the output folder")
    _check(line, "result_sha256", lambda value: _matches(DIGEST, value), "a SHA-256")


def check_summary(line: Mapping) -> None:
    """Make sure that a line also tells what the report and its table say of a photo or a video.

    Raises:
        ValueError: naming the field.
    """
    _check(line, "kind", lambda value: value in _KINDS, f"one of {', '.join(_KINDS)}")
    for name in ("seconds", "images", "width", "height"):
        _check(line, name, _is_amount, "a number of 0 or more")
    _check(line, "actions", _is_actions, "how many faces had which action")
    for name, (allowed, what) in _OPTIONAL.items():
        if name in line:
            _check(line, name, allowed, what)
    name, faces = ("faces", _is_face) if line["kind"] == "photo" else ("people", _is_person)
    _check(line, name, lambda value: isinstance(value, list) and all(map(faces, value)), f"a list of {name}")


def is_below(result: Any) -> bool:
    """Whether a result's name is a path with forward slashes that stays below the folder that it is relative to."""
    if not isinstance(result, str) or not result or "\0" in result:
        return False
    parts = result.split("/")
    if any(part in ("", ".", "..") for part in parts) or PurePosixPath(result).is_absolute():
        return False
    if os.name == "nt" and any(character in result for character in '\\:*?"<>|'):
        return False
    try:
        os.fsencode(result)
    except ValueError:
        return False
    return True


def _check(line: Mapping, name: str, allowed: Callable[[Any], bool], what: str) -> None:
    if name not in line:
        raise ValueError(f"{name} is missing")
    if not allowed(line[name]):
        raise ValueError(f"{name} is {json.dumps(line[name])[:80]}, but has to be {what}")


def _matches(pattern: re.Pattern, value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MOST


def _is_amount(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_doubt(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("kind", "words"))


# What a line may hold beside, and which values it has then.
_OPTIONAL = {
    "elsewhere": (_is_amount, "how many faces"),
    "notes": (_is_texts, "a list of texts"),
    "date": (lambda value: _matches(_DATE, value), "a date"),
    "made_by": (lambda value: isinstance(value, dict) and _is_texts(list(value.values())), "texts by names"),
    "incomplete": (lambda value: isinstance(value, str), "a text"),
    "doubts": (lambda value: isinstance(value, list) and all(map(_is_doubt, value)), "a list of doubts"),
}


def _is_actions(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int and 0 <= count <= _MOST for count in value.values())


def _is_face(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    box = value.get("box")
    is_box = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
    words = all(isinstance(value.get(name, ""), str) for name in ("action", "reason", "verdict"))
    return is_box and words and _is_number(value.get("score"))


def _is_person(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_texts(value.get("reasons", [])):
        return False
    return _is_number(value.get("size")) and _is_number(value.get("score"))


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no number")
