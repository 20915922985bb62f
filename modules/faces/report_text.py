"""What a report says to people, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .notes import DRAWN_FACES, Doubt
from .outcomes import ANONYMIZED, REDACTED, SWAPPED, Entry, count_in_words

if TYPE_CHECKING:
    from .report import Report

_STRANGER = "stranger"  # the verdict of modules/recognition/verdict.py whose faces need not be named
_NOT_VERIFIED = "not verified:"
_NAMED = 12  # numbers of faces that a line of text names at most


def text_of(report: Report) -> str:
    """How many faces had which outcome, why those that have a reason, and what has no face."""
    return "\n".join([*_of_faces(report), *_of_others(report)])


def _of_faces(report: Report) -> list[str]:
    if not report.entries:
        return [f"No face found: the {'picture is' if report.images == 1 else 'pictures are'} unchanged"]
    lines = [", ".join(count_in_words(report.entries, action) for action in report.count())]
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in report.entries:
        if entry.reason:
            groups.setdefault((entry.action, entry.verdict or entry.reason), []).append(entry)
    for (action, word), entries in sorted(groups.items()):
        reasons = {entry.reason for entry in entries}
        said = reasons.pop() if len(reasons) == 1 else f"{word}, such as {min(reasons).removeprefix(f'{word}: ')}"
        numbers = _numbers(entries) if entries[0].verdict else ""
        lines.append(f"{action}: {said} ({len(entries)}{numbers})")
    lines += _of_verdicts(report)
    without = report.images - len({entry.image for entry in report.entries})
    if without:
        lines.append(f"{without} of {report.images} pictures without a face")
    return lines


def _of_verdicts(report: Report) -> list[str]:
    """What recognisers say of the faces that show, and of how many they were not asked; of those that were covered the
    reason tells."""
    verdicts: dict[str, list[Entry]] = {}
    for entry in report.entries:
        said = entry.verification
        if said is not None and (entry.action != REDACTED or said.get("of") == "result"):
            verdicts.setdefault(said["verdict"], []).append(entry)
    named = []
    for verdict, entries in sorted(verdicts.items(), key=lambda item: (item[0] != _STRANGER, item[0])):
        numbers = "" if verdict == _STRANGER else _numbers(entries).removeprefix(", ")
        named.append(f"{len(entries)} {verdict}{f' ({numbers})' if numbers else ''}")
    of_drawn = any(isinstance(note, Doubt) and note.kind == DRAWN_FACES for note in report.notes)
    told = [f"recognisers say{', which means little' if of_drawn else ''}: {', '.join(named)}"] if named else []
    if any(note.startswith(_NOT_VERIFIED) for note in report.notes):  # by a node that also knows why
        return told
    unasked = sum(entry.action in (ANONYMIZED, SWAPPED) and entry.verification is None for entry in report.entries)
    faces = "1 painted face" if unasked == 1 else f"{unasked} painted faces"
    return [
        *told,
        *([f"{_NOT_VERIFIED} no recogniser was asked about {faces}"] if unasked else []),
    ]


def _of_others(report: Report) -> list[str]:
    lines = [f"NOT WHOLE: {report.incomplete}. Look at the result."] if report.incomplete else []
    if not report.elsewhere:
        return [*lines, *report.notes]
    one = len(report.elsewhere) == 1
    return [
        *lines,
        f"{'a face' if one else f'{len(report.elsewhere)} faces'} elsewhere, in the result and not in the list: "
        f"{'it is' if one else 'they are'} as before",
        *report.notes,
    ]


def _numbers(entries: list[Entry]) -> str:
    numbers = sorted({entry.number for entry in entries if entry.number is not None})
    if not numbers:
        return ""
    more = ", ..." if len(numbers) > _NAMED else ""
    return f", number {', '.join(map(str, numbers[:_NAMED]))}{more}"
