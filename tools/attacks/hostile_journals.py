"""Output folders with journals, reports and files that were edited, forged or put there by somebody else.

    python scripts/with_env.py tools/run.py attacks.hostile_journals [--count N] [--seed N]

A run over two pictures is made with a stand-in for the server, whose results are black. Then something in the output
folder is changed and the run is made again. A leak is anything outside of the output folder that was made, changed or
removed, a file of somebody else's that was changed, and an original among the results that counts as done. A failure
is any other end than done or an error of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from face_anonymizer.modules.runs.folder_proof import PAGE_NAME, TABLE_NAME
from face_anonymizer.modules.runs.folder_report import REPORT_NAME
from face_anonymizer.modules.runs.journal import JOURNAL_NAME
from face_anonymizer.tools.attacks.stand_in import REFUSALS, run
from face_anonymizer.tools.attacks.tally import Tally, cases_of, parse_arguments, within

DEEP = b"[" * 100_000
VICTIM = b"precious line 1\nprecious line 2 without an end"

Spoil = Callable[[Path], object]


# How a folder is spoiled -----------------------------------------------------------------------------------------


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / JOURNAL_NAME).read_text().splitlines()]


def write(output: Path, entries: list) -> None:
    (output / JOURNAL_NAME).write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def line(**values) -> Spoil:
    """The first line with other values; its result is taken away, so that it is made again."""

    def spoil(output: Path) -> None:
        header, first, *more = lines(output)
        placed = {k: v.replace("ROOT", str(output.parent)) if isinstance(v, str) else v for k, v in values.items()}
        write(output, [header, first | placed, *more])
        if "result" in values:
            (output / first["result"]).unlink()

    return spoil


def without(name: str) -> Spoil:
    def spoil(output: Path) -> None:
        header, first, *more = lines(output)
        write(output, [header, {key: value for key, value in first.items() if key != name}, *more])

    return spoil


def head(**values) -> Spoil:
    def spoil(output: Path) -> None:
        header, *more = lines(output)
        write(output, [header | values, *more])

    return spoil


def journal(data: bytes) -> Spoil:
    """Another journal, in a folder that has results."""
    return lambda output: (output / JOURNAL_NAME).write_bytes(data)


def added(data: bytes) -> Spoil:
    return lambda output: (output / JOURNAL_NAME).write_bytes((output / JOURNAL_NAME).read_bytes() + data)


def report(data: bytes) -> Spoil:
    return lambda output: (output / REPORT_NAME).write_bytes(data)


def original(output: Path) -> None:
    """The original under the result's name, its digest in the journal."""
    header, first, *more = lines(output)
    data = (output.parent / "photos" / first["source"]).read_bytes()
    (output / first["result"]).write_bytes(data)
    write(output, [header, first | {"result_sha256": hashlib.sha256(data).hexdigest()}, *more])


def linked(name: str, target: str) -> Spoil:
    """A link in place of a file of the run."""

    def spoil(output: Path) -> None:
        (output / name).unlink()
        (output / name).symlink_to(output.parent / target)

    return spoil


def linked_folder(output: Path) -> None:
    """The results' folder a link to one outside."""
    shutil.rmtree(output / "sub")
    (output / "sub").symlink_to(output.parent / "outside", target_is_directory=True)


def replaced(name: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(output: Path) -> None:
        (output / name).unlink()
        make(output / name)

    return spoil


ESCAPES = ("../victim.txt", "../new.png", "sub/../../new.png", "ROOT/new.png", "ROOT/photos/a.png", JOURNAL_NAME)
ODD = (5, None, True, [], ["x"], {}, "", "\0", "\ud800", 1e308, "x" * 5000, -1)
FIELDS = ("source", "sha256", "result", "result_sha256", "kind", "seconds", "images", "width", "actions", "faces")
CASES: dict[str, Spoil] = {
    **{f"result {name}": line(result=name) for name in ESCAPES},
    **{f"{name} {json.dumps(value)[:30]}": line(**{name: value}) for name in FIELDS for value in ODD},
    **{f"no {name}": without(name) for name in FIELDS},
    "the original counts as done": original,
    "header settings null": head(settings=None),
    "header settings a list": head(settings=[1]),
    "header of 0.1.0": head(schema="face-anonymizer/journal/1"),
    "header of a later version": head(schema="face-anonymizer/journal/9"),
    "header schema a list": head(schema=[]),
    "notes without an end": journal(b"my notes without an end"),
    "notes, then an open line": journal(b"first line\nan open line"),
    "a list": journal(b"[]\n"),
    "deep": journal(DEEP),
    "deep line": added(DEEP + b"\n"),
    "a line of a list": added(b"[1]\n"),
    "a line of a number": added(b"5\n"),
    "a line of NaN": added(b'{"seconds": NaN}\n'),
    "a line of 5000 digits": added(b"9" * 5000 + b"\n"),
    "binary": journal(b"\xff\xfe\0\n"),
    "binary line": added(b"\xff\xfe\0\n"),
    "an open line": added(b'{"source": "x'),
    "report deep": report(DEEP),
    "report notes": report(b"notes"),
    "report a list": report(b"[]"),
    "report schema a list": report(b'{"schema": []}'),
    "report of somebody": report(b'{"schema": "face-anonymizer/folder-report/1", "mine": 1}'),
    "page of somebody": replaced(PAGE_NAME, lambda path: path.write_text("<!doctype html><title>mine</title>")),
    "page a link": linked(PAGE_NAME, "victim.txt"),
    "table a pipe": replaced(TABLE_NAME, os.mkfifo),
    "report a link": linked(REPORT_NAME, "victim.txt"),
    "report a pipe": replaced(REPORT_NAME, os.mkfifo),
    "report a folder": replaced(REPORT_NAME, Path.mkdir),
    "journal a link": linked(JOURNAL_NAME, "victim.txt"),
    "journal a link to nothing": linked(JOURNAL_NAME, "new.txt"),
    "journal a pipe": replaced(JOURNAL_NAME, os.mkfifo),
    "journal a folder": replaced(JOURNAL_NAME, Path.mkdir),
    "result a link": linked("a_redacted.png", "victim.txt"),
    "result a link to nothing": linked("a_redacted.png", "new.png"),
    "result a pipe": replaced("a_redacted.png", os.mkfifo),
    "result a folder": replaced("a_redacted.png", Path.mkdir),
    "result of somebody": lambda output: (output / "a_redacted.png").write_bytes(b"mine"),
    "results' folder a link": linked_folder,
}


def random_case(seed: int) -> Spoil:
    """A journal with a few bytes changed."""

    def spoil(output: Path) -> None:
        dice, path = random.Random(seed), output / JOURNAL_NAME
        data = bytearray(path.read_bytes())
        for _ in range(dice.choice((1, 1, 3, 20))):
            data[dice.randrange(len(data))] = dice.choice((dice.randrange(256), 0x22, 0x0A, 0x7D, 0x2F))
        path.write_bytes(data)

    return spoil


# The attack ------------------------------------------------------------------------------------------------------


def make_root(root: Path) -> tuple[Path, Path]:
    """Two photos, a finished run over them, and files that are nobody's business; the photos, the output folder."""
    (root / "photos" / "sub").mkdir(parents=True)
    (root / "outside").mkdir()
    (root / "outside" / "b_redacted.png").write_bytes(VICTIM)
    (root / "victim.txt").write_bytes(VICTIM)
    for i, name in enumerate(("a.png", "sub/b.png")):
        Image.effect_noise((48, 48), 40 + i).convert("RGB").save(root / "photos" / name)
    run(root / "photos", root / "out")
    return root / "photos", root / "out"


def seen(root: Path) -> dict[str, bytes]:
    """Everything outside of the output folder."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in files if not path.is_relative_to(root / "out")}


def foreign(output: Path) -> dict[str, bytes]:
    """What somebody put in place of the journal or a report."""
    names = (JOURNAL_NAME, REPORT_NAME, PAGE_NAME, TABLE_NAME, "a_redacted.png")
    paths = [output / name for name in names]
    return {str(path): path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}


def try_case(spoil: Spoil, root: Path, plant: bool = False) -> tuple[str, str]:
    """Try one case in an empty folder; what leaked and what failed, "" for nothing."""
    photos, output = make_root(root)
    spoil(output)
    before, theirs = seen(root), foreign(output)
    ended = within(20, lambda: run(photos, output) or {})
    if plant:
        (root / "new.png").write_bytes(b"anything")
    if seen(root) != before:
        return "something outside of the output folder was made or changed", ""
    if ended is None:
        return "", "did not end in 20 s"
    if isinstance(ended, REFUSALS):
        changed = [Path(name).name for name, data in theirs.items() if Path(name).read_bytes() != data]
        return f"refused, but {', '.join(changed)} was changed" if changed else "", ""
    if isinstance(ended, BaseException):
        return "", f"{type(ended).__name__}: {str(ended)[:200]}"
    originals = {path.read_bytes() for path in photos.rglob("*.png")}
    files = [path for path in output.rglob("*") if path.is_file()]
    open_faces = [path.name for path in files if path.read_bytes() in originals]
    return f"an original counts as done: {', '.join(open_faces)}" if open_faces else "", ""


WHOLE = len(CASES) + 100


def main() -> int:
    options = parse_arguments(__doc__, WHOLE)
    tally = Tally("hostile journals")
    for name, spoil in cases_of(options, CASES, WHOLE, "random", random_case).items():
        with tempfile.TemporaryDirectory() as root:
            tally.count(name, *try_case(spoil, Path(root), options.plant))
    return tally.close()
