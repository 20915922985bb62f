"""Dates in the names of files, as ComfyUI's page writes them for its own saving nodes. Pure: no ComfyUI here."""

from __future__ import annotations

import re
import time

_DATE = re.compile(r"%date(?::([^%]*))?%")
_PARTS = re.compile(r"d{1,2}|M{1,2}|h{1,2}|m{1,2}|s{1,2}|yyyy|yyy|yy|y")
_USUAL = "yyyy-MM-dd"
_NO_NAME = re.compile(r'[<>:"|?*\\/]')  # what no file may be called, on Windows at least; "/" would be a folder


def with_dates(prefix: str, now: time.struct_time) -> str:
    """A prefix of file names with its dates written out.

    The page does so for ComfyUI's own nodes alone, and for no prompt that comes without it.

    Args:
        prefix: with any number of %date% and %date:FORMAT%; FORMAT has y, M, d, h, m and s.
        now: the time.
    """

    def written(found: re.Match) -> str:
        return _NO_NAME.sub("_", _PARTS.sub(lambda part: _part(part[0], now), found[1] or _USUAL))

    return _DATE.sub(written, prefix)


def _part(letters: str, now: time.struct_time) -> str:
    if letters[0] == "y":
        return f"{now.tm_year % 100:02}" if letters == "yy" else str(now.tm_year)
    value = {"d": now.tm_mday, "M": now.tm_mon, "h": now.tm_hour, "m": now.tm_min, "s": now.tm_sec}[letters[0]]
    return str(value).zfill(len(letters))
