"""The proof of a folder run: OUTPUT/face_anonymizer_report.html for readers and .csv for spreadsheets, of all files.

Neither names a source: files go by the numbers that they have in the report beside. Both are made of that report alone,
so that a run that was stopped and went on gives the same as one that was not.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from ..faces.notes import read_doubts
from ..faces.outcomes import KEPT
from ..files import replace_whole
from ..proof import proof as proofs
from ..proof.figures import whole, words
from ..proof.headline import headline
from ..proof.page import is_page, to_html
from ..proof.proof import MadeWith, Proof, ResultFile
from ..proof.rows import BAD, GOOD, LEFT, STATES, rows_elsewhere, rows_of_faces, rows_of_persons
from ..proof.table import is_table, to_csv
from .anonymous_report import UNTOLD, without_names
from .prompts import NOT_KNOWN

PAGE_NAME, TABLE_NAME = "face_anonymizer_report.html", "face_anonymizer_report.csv"
_PLACE = re.compile(r"[/\\]\S")
_LINES = 30  # of files that need a look, on the screen
_START = 512  # bytes of a file, by which ours are known


def prove(report: Mapping, remarks: tuple[str, ...] = ()) -> Proof:
    """The proof of a folder run.

    Args:
        report: of folder_report.make_report, with or without names.
        remarks: what the run has to say of itself.
    """
    files = sorted(without_names(report, {})["files"], key=lambda file: file["number"])
    settings = dict(report["settings"])
    version, model, digest = (settings.pop(name, None) for name in ("pack", "model", "model_sha256"))
    made_by = [file["made_by"] for file in files if isinstance(file.get("made_by"), dict)]
    if made_by:  # by servers, whose pack and models need not be ours
        version, digest = (_only({words(one.get(name)) for one in made_by}) for name in ("pack", "model_sha256"))
    painted = settings.get("task") != "redact"
    made = MadeWith(
        dates=_dates(files),
        version=version or proofs.UNKNOWN,
        model=((model,) if model else None) if painted else (),
        model_sha256=(digest,) if painted else (),
        settings=[("Of the run", settings)],
        remarks=remarks,
    )
    return Proof(tuple(map(_result, files)), made)


def red_files(proof: Proof, kept_on_purpose: bool = False) -> list[int]:
    """The numbers of the files for which the headline is red: a face of a real person may be in the result, or there
    is none, or not all of one.

    Args:
        proof: of the run.
        kept_on_purpose: the run was told to leave faces that cannot be painted as they are.
    """

    def is_red(file: ResultFile) -> bool:
        return file.judgement == BAD or any(
            row.state.judgement == BAD and not (kept_on_purpose and row.state is LEFT and row.action == KEPT)
            for row in file.rows
        )

    return [file.number for file in proof.files if is_red(file)]


def lines_of(proof: Proof, report: Mapping) -> list[str]:
    """The headline of the page, and a line for each file that needs a look, red ones first: for the screen.

    Args:
        proof: of the run.
        report: of folder_report.make_report, with names.
    """
    sources = {file["number"]: file["source"] for file in report["files"]}
    told: list[tuple[bool, str]] = []
    for file in proof.files:
        states = Counter(row.state for row in file.rows if row.state.judgement != GOOD)
        why = [f"{count} {state.name}" for state, count in sorted(states.items(), key=lambda one: STATES.index(one[0]))]
        why += [] if file.outcome in (proofs.FAILED, proofs.PENDING) else file.troubles
        if why:
            is_red = file.judgement == BAD or any(state.judgement == BAD for state in states)
            told.append((is_red, f"{'RED' if is_red else 'amber'}: {sources[file.number]}: {', '.join(why)}"))
    said = [line for _, line in sorted(told, key=lambda one: not one[0])]
    more = [f"and {len(said) - _LINES} more files, in {PAGE_NAME}"] if len(said) > _LINES else []
    return [" ".join(filter(None, headline(proof))), *said[:_LINES], *more] if said else []


def write(proof: Proof, output: Path) -> None:
    """Write page and table, each whole or not at all, over those of an earlier run.

    Args:
        proof: of the run.
        output: the output folder.

    Raises:
        OSError: a file cannot be written; what was there of it stays.
    """
    replace_whole(output / PAGE_NAME, to_html(proof))
    replace_whole(output / TABLE_NAME, to_csv(proof))


def _is_ours(path: Path, begins: Callable[[bytes], bool]) -> bool:
    """Whether nothing stands there, or what an earlier run wrote, which may be replaced."""
    if not os.path.lexists(path):
        return True
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with path.open("rb") as file:
            return begins(file.read(_START))
    except OSError:
        return False


NAMES: Mapping[str, Callable[[Path], bool]] = {  # of what is written here -> whether it may be
    PAGE_NAME: lambda path: _is_ours(path, is_page),
    TABLE_NAME: lambda path: _is_ours(path, is_table),
}


def _dates(files: list[Mapping]) -> tuple[str, str] | None:
    """The first and the last day; None where not every result tells its own, as of runs of earlier versions."""
    dates = [words(file.get("date")) for file in files if file["outcome"] == proofs.DONE]
    return (min(dates), max(dates)) if dates and all(dates) else None


def _told(error: str) -> str:
    """An error, unless it names a place, of which any folder may be called after somebody."""
    return UNTOLD if _PLACE.search(error) else error


def _only(told: set[str]) -> str | None:
    """What all say; None where they differ or do not know."""
    return next(iter(told)) if len(told) == 1 and not told & {"", NOT_KNOWN} else None


def _result(file: Mapping) -> ResultFile:
    rows = rows_of_persons(file["people"]) if file.get("people") else rows_of_faces(file.get("faces", ()))
    digest = file.get("result_sha256")
    return ResultFile(
        number=file["number"],
        kind=file.get("kind", ""),
        outcome=file["outcome"],
        digests=(digest,) if digest else (),
        images=whole(file.get("images")),
        width=whole(file.get("width")),
        height=whole(file.get("height")),
        rows=(*rows, *rows_elsewhere(whole(file.get("elsewhere")) or 0)),
        incomplete=words(file.get("incomplete")),
        notes=tuple(map(words, file.get("notes", ()))),
        error=_told(words(file.get("error"))),
        doubts=read_doubts(file.get("doubts")),
    )
