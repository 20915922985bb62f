"""The fields of a config.json, each with the values that it may have. Pure: no ComfyUI here.

A config comes with a download: what is built from it is built only once every number of it is one that a network of
this kind can have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn


class Fields:
    """The fields of one config.

    Args:
        config: as the file has it.
        path: of the file, for errors.
        what: what the config should be of, for errors.
    """

    def __init__(self, config: Mapping[str, Any], path: Path, what: str):
        self.config = config
        self._path = path
        self._what = what

    def refuse(self, complaint: str) -> NoReturn:
        """Raise a ValueError that names the file."""
        raise ValueError(f"{self._path}: {complaint}. This is not {self._what}.")

    def refuse_value(self, name: str, needed: str) -> NoReturn:
        """Raise a ValueError that names the file, a field, its value and the values that it may have."""
        self.refuse(f"{name} is {short(self.config.get(name))}, but has to be {needed}")

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number.

        Args:
            name: of the field.
            low, high: what it may be, both included.
            default: where the field is missing; None where it must not be.

        Raises:
            ValueError: names file, field, value and range.
        """
        value = self._value(name, default)
        if not is_whole(value, low, high):
            self.refuse_value(name, f"a whole number of {low} to {high}")
        return value

    def wholes(self, name: str, low: int, high: int, counts: tuple[int, int]) -> list[int]:
        """A list of whole numbers, of a length between two; raises as `whole`."""
        value = self._value(name, None)
        fits = isinstance(value, (list, tuple)) and counts[0] <= len(value) <= counts[1]
        if not fits or not all(is_whole(entry, low, high) for entry in value):
            self.refuse_value(name, f"a list of {counts[0]} to {counts[1]} whole numbers of {low} to {high}")
        return list(value)

    def whole_per_level(self, name: str, low: int, high: int, levels: int) -> list[int]:
        """A whole number, or one for each level; as the latter. Raises as `whole`."""
        value = self._value(name, None)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * levels
        if len(values) != levels or not all(is_whole(entry, low, high) for entry in values):
            self.refuse_value(name, f"a whole number of {low} to {high}, or one for each of {levels} levels")
        return values

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """A finite number, or the default where it is missing; raises as `whole`."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.refuse_value(name, f"a number of {low:g} to {high:g}")
        return float(value)

    def numbers(self, name: str, low: float, high: float, default: list[float]) -> list[float]:
        """As many finite numbers as the default has; raises as `whole`."""
        value = self._value(name, default)
        if not isinstance(value, list) or len(value) != len(default) or not all(is_number(v, low, high) for v in value):
            self.refuse_value(name, f"a list of {len(default)} numbers of {low:g} to {high:g}")
        return value

    def texts(self, name: str, allowed: Collection[str]) -> list[str]:
        """A list of texts of some; raises as `whole`."""
        value = self._value(name, None)
        is_list = isinstance(value, (list, tuple))
        if not is_list or not all(isinstance(entry, str) and entry in allowed for entry in value):
            self.refuse_value(name, f"a list of {' and '.join(allowed)}")
        return list(value)

    def text(self, name: str, allowed: Collection[str], default: str) -> str:
        """One text of some, or the default where it is missing; raises as `whole`."""
        value = self._value(name, default)
        if not isinstance(value, str) or value not in allowed:
            self.refuse_value(name, f"one of {', '.join(allowed)}")
        return value

    def switch(self, name: str) -> bool:
        """Whether a field is true; false and null and no field are not. Raises as `whole`."""
        value = self.config.get(name)
        if value not in (None, False, True) or not isinstance(value, (bool, type(None))):
            self.refuse_value(name, "true or false")
        return bool(value)

    def _value(self, name: str, default: Any) -> Any:
        if name not in self.config and default is None:
            self.refuse(f"{name} is missing")
        return self.config.get(name, default)


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether a value of JSON is a whole number in a range."""
    return type(value) is int and low <= value <= high


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value of JSON is a finite number in a range."""
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_one and low <= value <= high and math.isfinite(value)


def short(value: Any) -> str:
    """A value of JSON, for an error."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."
