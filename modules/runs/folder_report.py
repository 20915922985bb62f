"""The one report of a folder run: OUTPUT/face_anonymizer_report.json, and the table that is printed.

    {
      "schema": "face-anonymizer/folder-report/1",
      "settings": {...},                                  of the command
      "totals": {"done": 11, "failed": 1, "skipped": 2, "pending": 0, "without_faces": 3,
                 "actions": {"anonymized": 17}},          over all files that are done
      "files": [
        {"number": 1,                                                on the page and in the table (folder_proof.py)
         "source": "sub/a.jpg", "outcome": "done", "kind": "photo", "result": "sub/a_anonymized.png", "seconds": 3.2,
         "result_sha256": "...", "date": "2026-03-01",               of the result, in UTC
         "images": 1, "width": 640, "height": 480, "actions": {"anonymized": 1},
         "notes": ["its 16 bits a channel became 8: ..."],           what of the source the result does not keep
         "faces": [{"box", "size", "score", "source", "action", "seed", "reason", "number", "verdict", "covered",
                    "verification", "attempts", "degree"}],
         "elsewhere": 0},                                            as in modules/faces/report.py; elsewhere: how many
        {"source": "clip.mp4", "outcome": "done", "kind": "video", ..., "images": 300,
         "people": [{"track": 0, "first_image": 4, "last_image": 120, "images": 117, "size": 88.0, "score": 0.97,
                     "actions": {"anonymized": 117}, "reasons": [],                      largest size, best score
                     "verdicts": {"still the original": 2}, "covered": 0.97,             the least of all frames
                     ...}],                                          as in modules/proof/persons.py
         "incomplete": "4 of 24 frames",                     what could not be read of it; only where that is so
         "doubts": [...],                                    as in modules/faces/report.py; only where there are any
         "notes": ["left out: 2 subtitle tracks"]},          what else the result has not
        {"source": "b.jpg", "outcome": "failed", "error": "..."},
        {"source": "notes.txt", "outcome": "skipped", "error": "neither a photo nor a video"},
        {"source": "d.dng", "outcome": "skipped", "error": "a camera's raw file (.dng): ..."},
        {"source": "c.jpg", "outcome": "pending"}         not reached: the same command goes on with it
      ],
      "recognisers": [...]      as in modules/recognition/recognisers.py; only where a face was verified
    }

The report and the journal name the sources: keep them when you publish the results.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..files import replace_whole
from ..proof.persons import sum_up_persons
from ..recognition.recognisers import RECOGNISERS
from ..terminal import shown

REPORT_NAME = "face_anonymizer_report.json"
SCHEMA = "face-anonymizer/folder-report/1"
DONE, FAILED, SKIPPED, PENDING = OUTCOMES = ("done", "failed", "skipped", "pending")
_ROWS = 30  # of the table; of more files, those that need a look
_SIZES = 4  # of faces, in a row


def summarize(report: Mapping, kind: str) -> dict:
    """What the folder report keeps of a node's report: every face of a photo, every person of a video."""
    kept = {key: report[key] for key in ("images", "width", "height", "actions")}
    kept |= {"elsewhere": len(report.get("elsewhere", ())), "notes": list(report.get("notes", ()))}
    kept |= {name: report[name] for name in ("incomplete", "doubts") if report.get(name)}
    if kind == "photo":
        leave = ("image", "track")
        return kept | {"faces": [{k: v for k, v in face.items() if k not in leave} for face in report["faces"]]}
    return kept | {"people": sum_up_persons(report["faces"])}


def _needs_a_look(file: Mapping) -> bool:
    """Whether somebody should look at a result: nothing was changed, a face stays, an unlisted one was seen, not all of
    the source could be read, or its report speaks against it."""
    kept = any(action.startswith(("kept", "broken")) for action in file["actions"])
    return _without_faces(file) or kept or any(map(file.get, ("elsewhere", "incomplete", "doubts")))


def make_report(settings: Mapping, files: Iterable[Mapping]) -> dict:
    """The report as its JSON has it. files: as in the schema above, in any order."""
    ordered = sorted(files, key=lambda file: file["source"])
    numbered: list[Mapping] = [{**file, "number": number} for number, file in enumerate(ordered, 1)]
    actions: Counter = Counter()
    for file in numbered:
        actions.update(file.get("actions", {}))
    outcomes = Counter(file["outcome"] for file in numbered)
    totals = {outcome: outcomes[outcome] for outcome in OUTCOMES}
    totals |= {"without_faces": sum(map(_without_faces, numbered)), "actions": dict(actions)}
    verified = any(entry.get("verification") for file in numbered for entry in _entries(file))
    who = {"recognisers": [recogniser._asdict() for recogniser in RECOGNISERS]} if verified else {}
    return {"schema": SCHEMA, "settings": dict(settings), "totals": totals, "files": numbered} | who


def _entries(file: Mapping) -> list[Mapping]:
    """Its faces, or its people."""
    return [*file.get("faces", ()), *file.get("people", ())]


def _without_faces(file: Mapping) -> bool:
    return file["outcome"] == DONE and not (file.get("faces") or file.get("people"))


def incomplete(report: Mapping) -> list[str]:
    """The sources that are done although not all of them could be read: somebody has to look at their results."""
    return [file["source"] for file in report["files"] if file["outcome"] == DONE and file.get("incomplete")]


def left_open(report: Mapping, kept_on_purpose: bool = False) -> list[str]:
    """The sources in whose results faces stay as they were, or came out as no face.

    Args:
        report: of make_report.
        kept_on_purpose: the run was told to leave faces that cannot be painted as they are.
    """
    wrong = {"broken"} if kept_on_purpose else {"broken", "kept"}
    return [file["source"] for file in report["files"] if wrong & {a for a, n in file.get("actions", {}).items() if n}]


def is_ours(path: Path) -> bool:
    """Whether nothing stands there, or the report of an earlier run as it was written, which may be replaced."""
    if not os.path.lexists(path):
        return True
    if path.is_symlink() or not path.is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["schema"] == SCHEMA and set(content) - {"recognisers"} == set(make_report({}, []))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def write_report(report: Mapping, folder: Path) -> None:
    """Write the report, whole or not at all, over that of an earlier run."""
    replace_whole(folder / REPORT_NAME, (json.dumps(report, indent=1) + "\n").encode())


def format_banner(text: str, width: int = 90) -> str:
    """A text that is not overlooked between the lines of a log."""
    lines = [f"*  {line:{width - 6}}  *" for line in textwrap.wrap(text, width - 6)]
    return "\n".join(["*" * width, *lines, "*" * width])


def format_table(report: Mapping) -> str:
    """What was found in which file, in how many seconds; of many files, only those that need a look; the totals."""
    files = [file for file in report["files"] if file["outcome"] in (DONE, FAILED)]
    told = files
    if len(files) > _ROWS:
        told = [file for file in files if file["outcome"] == FAILED or _needs_a_look(file)]
        told.sort(key=lambda file: not (file["outcome"] == FAILED or file.get("incomplete")))  # the worst first
    lines = _rows(told[:_ROWS])
    elsewhere = [file for file in files if file.get("elsewhere")]
    if elsewhere:
        count = sum(file["elsewhere"] for file in elsewhere)
        named = ", ".join(shown(file["source"]) for file in elsewhere[:_SIZES])
        named += ", ..." if len(elsewhere) > _SIZES else ""
        lines.append(f"{count} faces elsewhere in results, which were not in the list and are as before: {named}")
    if len(told) < len(files):
        lines.append(f"{len(files) - len(told)} more files are done, every face of them changed.")
    if len(told) > _ROWS:
        lines.append(f"{len(told) - _ROWS} more files without a face or with an error stand in {REPORT_NAME}.")
    totals = report["totals"]
    parts = [f"{totals[outcome]} {outcome}" for outcome in OUTCOMES if totals[outcome]]
    parts += [f"{count} faces {shown(action)}" for action, count in totals["actions"].items()]
    lines += ["", ", ".join(parts)]
    return "\n".join(lines)


def format_remarks(report: Mapping) -> list[str]:
    """A line for every file that failed or was skipped, with the reason; of one that is done, for every note and for
    every reason why faces were not changed as they were asked to be."""
    lines = []
    for file in report["files"]:
        if file["outcome"] in (FAILED, SKIPPED):
            skipped = "skipped, as it is " if file["outcome"] == SKIPPED else ""
            lines.append(f"{file['source']}: {skipped}{file['error']}")
        lines += [f"{file['source']}: {text}" for text in (*_refusals(file), *file.get("notes", ()))]
    return lines


def _refusals(file: Mapping) -> list[str]:
    """Why faces of a file were kept, covered instead of painted, or are broken: a line a reason, with their number."""
    counted = Counter(f"{face.get('action')}: {face['reason']}" for face in file.get("faces", ()) if face.get("reason"))
    counted.update(reason for person in file.get("people", ()) for reason in person.get("reasons", ()))
    return [reason if count == 1 else f"{reason} ({count})" for reason, count in sorted(counted.items())]


def _rows(files: list[Mapping]) -> list[str]:
    header = ("file", "faces", "size (px)", "score", "seconds")
    rows = [header, *map(_row, files)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    rows.insert(1, tuple("-" * width for width in widths))
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(file: Mapping) -> tuple[str, ...]:
    name = shown(file["source"])
    if file["outcome"] == FAILED:
        return (name, "failed", "", "", "")
    if file["kind"] == "photo":
        boxes = [face["box"] for face in file["faces"]]
        sizes = [f"{round(x1 - x0)}x{round(y1 - y0)}" for x0, y0, x1, y1 in boxes]
        scores = [f"{face['score']:.2f}" for face in file["faces"]]
        found = str(len(boxes))
    else:
        sizes = [str(round(person["size"])) for person in file["people"]]
        scores = [f"{person['score']:.2f}" for person in file["people"]]
        found = f"{len(file['people'])} in {file['images']} frames"
    found = "0: unchanged" if _without_faces(file) else found
    found += f" (NOT WHOLE: {shown(file['incomplete'])})" if file.get("incomplete") else ""
    return (name, found, _few(sizes), _few(scores), f"{file['seconds']:.1f}")


def _few(cells: list[str]) -> str:
    return " ".join(cells[:_SIZES]) + (" ..." if len(cells) > _SIZES else "")
