"""The proof as CSV, a row a face, for runs over many files. The same as the page, and as little of the sources."""

from __future__ import annotations

import csv
import io
import re

from ..recognition.verdict import Opinion
from ..terminal import shown
from .figures import DRIFTS
from .proof import Proof, ResultFile
from .rows import Row

_BEFORE = ("file", "outcome", "result_sha256", "place", "face", "size", "verdict", "action", "reason", "attempts")
_BEFORE += ("degree", "seed", "covered", "verdict_reason")
_HEAD = ",".join(_BEFORE)
_LOOK = "look"  # why the file needs a look as a whole
# With what a spreadsheet takes a text for a formula, full-width too: at the start of a cell, or behind what another
# spreadsheet takes for the start of the next one; quotes and blanks may stand between.
_FORMULA = re.compile(r"""((?:^|[,;|\t\r\n])[\s"'`]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])""")


def to_csv(proof: Proof) -> bytes:
    """The table, in UTF-8: a row a face in the order of the page, then a row for each file without one.

    Args:
        proof: what it shows.
    """
    text = io.StringIO()
    names = proof.recognisers
    figures = [f"{name} {what}" for name in names for what in ("value", "threshold")]
    head = [*_BEFORE, _LOOK, *(f"{drift}_changed" for drift in DRIFTS), *map(_cell, figures)]
    csv.writer(text, lineterminator="\n").writerow(head)
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for file, row in proof.rows:
        writer.writerow(map(_cell, [*_of_file(file), *_of_row(file, row), *_of_measures(row, names)]))
    for file in proof.files:
        if not file.rows:
            known: dict[str, object] = dict(zip(_BEFORE, _of_file(file), strict=False))
            known["reason"] = "; ".join(file.troubles) or file.error
            known[_LOOK] = "; ".join(file.troubles)
            writer.writerow(_cell(known.get(name)) for name in head)
    return text.getvalue().encode()


def is_table(start: bytes) -> bool:
    """Whether a file that begins so is a table of this kind.

    Args:
        start: at least its first 200 bytes.
    """
    return start.startswith(_HEAD.encode())


def _of_file(file: ResultFile) -> list:
    return [file.number, file.outcome, " ".join(file.digests)]


def _of_row(file: ResultFile, row: Row) -> list:
    verified = row.verified
    drift = verified.drift if verified else {}
    size = None if row.size is None else round(row.size, 1)
    return [
        *(row.place, row.face, size, row.state.name, row.action, row.reason, row.attempts, row.degree, row.seed),
        *(row.covered, verified.reason if verified else "", "; ".join(file.troubles)),
        *(drift.get(name) for name in DRIFTS),
    ]


def _of_measures(row: Row, names: list[str]) -> list:
    measures: dict[str, Opinion] = {m.name: m for m in row.verified.measures} if row.verified else {}
    found = [measures.get(name) for name in names]
    return [figure for one in found for figure in ((one.value, one.threshold) if one else (None, None))]


def _cell(value: object) -> object:
    """A number as it is; a text so that no spreadsheet takes it for a formula."""
    if not isinstance(value, str):
        return value
    return _FORMULA.sub(r"\1'", shown(value))
