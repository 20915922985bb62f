"""The proof as a page: one file of HTML, without scripts, pictures or anything from elsewhere, for readers of any kind.

Whatever comes from a report is text: it is written out and escaped, and a page never says more than its figures do.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping

from ..recognition.recognisers import RECOGNISERS, Recogniser
from ..recognition.verdict import Opinion, apart
from ..terminal import shown
from . import words
from .headline import headline, plural
from .proof import DONE, UNKNOWN, MadeWith, Proof, ResultFile
from .rows import BAD, GOOD, LOOK, Row, State, told_frames
from .style import STYLE

SCHEMA = "face-anonymizer/proof/1"
_HEAD = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="{SCHEMA}">\n'
# nothing may be loaded or run, whatever a mistake or an enemy puts into the page
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
_MARKS = {BAD: "✕", LOOK: "?", GOOD: "✓"}
_NONE = "–"
_DIGESTS = 2000  # of one clip that was saved as pictures, that the page lists


def to_html(proof: Proof) -> bytes:
    """The page, in UTF-8.

    Args:
        proof: what it shows.
    """
    made = proof.made_with
    parts = [
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        '<link rel="icon" href="data:,">',
        f"<title>{words.TITLE}</title>",
        f"<style>{STYLE}</style>",
        "<main>",
        '<p class="kicker">Face Anonymizer for ComfyUI</p>',
        f"<h1>{words.TITLE}</h1>",
        f'<p class="under">{_when(made)} · version {_text(made.version)} · {_amounts(proof)}</p>',
        _headline(proof),
        *_states(proof.counts),
        *_troubles(proof.files),
        *_faces(proof),
        "<h2>What this shows</h2>",
        _list(words.SHOWS),
        "<h2>What it does not show</h2>",
        _list(words.SHOWS_NOT),
        *_recognisers(proof),
        *_made_with(proof),
        *_files(proof.files),
        f"<footer>{SCHEMA}. This page loads nothing and runs nothing; keep, print or send it as it is.</footer>",
        "</main>",
        "</html>",
    ]
    return (_HEAD + "\n".join(parts) + "\n").encode()


def is_page(start: bytes) -> bool:
    """Whether a file that begins so is a page of this kind.

    Args:
        start: at least its first 200 bytes.
    """
    return start.startswith(_HEAD.encode())


# Parts, from above -----------------------------------------------------------------------------------------------


def _when(made: MadeWith) -> str:
    if made.dates is None:
        return f"date {UNKNOWN}"
    first, last = made.dates
    return _text(first) if first == last else f"{_text(first)} to {_text(last)}"


def _amounts(proof: Proof) -> str:
    done = sum(file.outcome == DONE for file in proof.files)
    return f"{plural(len(proof.rows), 'face')} in {plural(done, 'result')}"


def _headline(proof: Proof) -> str:
    said, more = headline(proof)
    detail = f"<small>{more}</small>" if more else ""
    return f'<p class="headline {proof.judgement}">{_mark(proof.judgement)} {said}{detail}</p>'


def _states(counts: Mapping[State, int]) -> list[str]:
    rows = [f'<tr><td class="n">{n}<td>{_badge(state)}<td>{state.meaning}' for state, n in counts.items()]
    return ['<table class="states">', *rows, "</table>"] if rows else []


def _troubles(files: Iterable[ResultFile]) -> list[str]:
    rows = [
        f"<tr><td>file {file.number}<td>{_mark(file.judgement)} {_text('; '.join(file.troubles))}"
        for judgement in (BAD, LOOK)
        for file in files
        if file.judgement == judgement
    ]
    if not rows:
        return []
    head = '<table class="states"><thead><tr><th>File<th>Why</thead>'
    return ["<h2>Files that need a look</h2>", head, *rows, "</table>"]


def _faces(proof: Proof) -> list[str]:
    if not proof.rows:
        return []
    names = proof.recognisers
    head = ["Face", "Verdict", *(_text(name) for name in names), "What was done"]
    numeric = "".join(f'<th class="n">{name}' for name in ("Attempts", "Degree", "Seed"))
    titles = "".join(f"<th>{name}" for name in head)
    alone = len(proof.files) == 1
    rows = [_face(file, row, names, alone) for file, row in proof.rows]
    remarks = [words.NEAREST_FRAME] if any(row.counts for _, row in proof.rows) else []
    remarks += [words.REFUSED] if any(row.is_of_refused for _, row in proof.rows) else []
    return [
        "<h2>Face by face</h2>",
        *(f'<p class="under">{remark}</p>' for remark in remarks),
        '<div class="wide"><table class="faces">',
        f"<thead><tr>{titles}{numeric}<th>What else changed</thead>",
        "<tbody>",
        *rows,
        "</tbody></table></div>",
    ]


def _face(file: ResultFile, row: Row, names: list[str], alone: bool) -> str:
    where = [] if alone else [f"file {file.number}"]
    where += [row.place] if row.place else []
    where += [f"{row.size:.0f} px"] if row.size is not None else []
    verified = row.verified
    measures = {measure.name: measure for measure in verified.measures} if verified else {}
    figures = "".join(f'<td class="figure">{_measure(measures.get(name))}' for name in names)
    return (
        f"<tr><td><b>{_text(row.face)}</b>{_small(', '.join(where))}<td>{_verdict(row)}{figures}"
        f"<td>{_text(row.action)}{_small(row.reason)}{_covered(row)}"
        f'<td class="n">{_or_none(row.attempts)}<td class="n">{_or_none(row.degree)}'
        f'<td class="n seed">{_or_none(row.seed)}<td class="drift">{_drift(verified.drift if verified else {})}'
    )


def _verdict(row: Row) -> str:
    under = ""
    if row.counts and (len(row.counts) > 1 or row.state.name not in row.counts):
        under = told_frames(row.counts)
    elif row.verified and row.is_of_refused:
        under = f"the painted face was refused: {row.verified.verdict}"
    elif row.verified and not row.verified.measures:
        under = row.verified.reason
    return _badge(row.state) + _small(under)


def _measure(measure: Opinion | None) -> str:
    if measure is None:
        return _NONE
    sign = "≥" if measure.measure == "distance" else "≤"
    state = BAD if measure.same or measure.margin < 0 else GOOD
    needed = f"stranger {sign} {measure.threshold:g}"
    return f'<b class="{state}">{_mark(state)} {apart(measure.value, measure.threshold, 3)}</b><small>{needed}</small>'


def _covered(row: Row) -> str:
    return "" if row.covered is None else f"<small>{math.floor(1000 * row.covered) / 10:g} % of it replaced</small>"


def _drift(drift: Mapping[str, float]) -> str:
    told = []
    if "pose" in drift:
        told.append(f"head {drift['pose']:.0f}°")
    if "gaze" in drift:
        told.append(f"gaze {drift['gaze']:.0f}°")
    if "expression" in drift:
        told.append(f"expression {100 * drift['expression']:.0f} %")
    if "age" in drift:
        told.append(f"age {_signed(drift['age'])} years")
    if "man" in drift:
        told.append(f"gender {100 * abs(drift['man']):.0f} %")
    return f"<small>{', '.join(told).replace(' %', '&nbsp;%')}</small>" if told else _NONE


def _recognisers(proof: Proof) -> list[str]:
    if not proof.recognisers:
        return ["<h2>Recognisers</h2>", f"<p>{words.NO_RECOGNISER}</p>"]
    known = {one.name: one for one in RECOGNISERS}
    thresholds: dict[str, set[float]] = {}
    for _, row in proof.rows:
        for measure in row.verified.measures if row.verified else ():
            thresholds.setdefault(measure.name, set()).add(measure.threshold)
    parts = ["<h2>Recognisers</h2>"]
    for name in proof.recognisers:
        parts += [f"<h3>{_text(name)}</h3>", _recogniser(known.get(name), sorted(thresholds[name]))]
    return [
        *parts,
        "<p>How often each of them errs at these thresholds, and on which pictures that was measured, stands in "
        "docs/measured.md of the pack. <i>What else changed</i> is what was not kept, as networks of the pack see it: "
        "the angle between both heads, that between both gazes, the share of expression, age, and how far the guess of "
        "the gender moved.</p>",
    ]


def _recogniser(known: Recogniser | None, thresholds: list[float]) -> str:
    told = ", ".join(f"{threshold:g}" for threshold in thresholds)
    if known is None:
        return _pairs({"threshold": told, "origin and licence": UNKNOWN})
    far = known.measure == "distance"
    meaning = (
        f"the larger, the less alike; two people from {told} on"
        if far
        else f"a likeness: the smaller, the less alike; two people up to {told}"
    )
    published = f"{known.published:g}" if known.published is not None else "none"
    return _pairs({
        "what it is": known.what,
        "its figure": f"{known.measure}, {meaning}",
        "author's threshold": published,
        "origin": known.origin,
        "licence": known.licence,
        "trained on": known.trained_on,
    })  # fmt: skip


def _made_with(proof: Proof) -> list[str]:
    made = proof.made_with
    facts: dict[str, object] = {"pack": f"Face Anonymizer for ComfyUI, version {made.version}"}
    if made.model is None:
        facts["model"] = UNKNOWN
    elif not made.model:
        facts["model"] = "none: nothing was painted"
    for i, name in enumerate(made.model or ()):
        which = "model" if len(made.model or ()) == 1 else f"model {i + 1}"
        digest = made.model_sha256[i] if i < len(made.model_sha256) else None
        facts |= {which: name, f"SHA-256 of the {which}": digest or UNKNOWN}
    groups = [
        f"<section>{f'<h3>{_text(title)}</h3>' if title else ''}{_pairs(settings)}</section>"
        for title, settings in made.settings
        if settings
    ]
    return [
        "<h2>Made with</h2>",
        _pairs(facts),
        _list(map(_text, made.remarks)) if made.remarks else "",
        "<h2>Settings</h2>",
        f'<div class="settings">{"".join(groups)}</div>' if groups else f"<p>{UNKNOWN[0].upper()}{UNKNOWN[1:]}.</p>",
    ]


def _files(files: tuple[ResultFile, ...]) -> list[str]:
    return [
        "<h2>Files</h2>",
        '<p class="under">By number, as names of files are those of the originals. A report in JSON that lies beside '
        "this page has the same numbers.</p>" if len(files) > 1 else "",
        '<table><thead><tr><th>File<th>What it is<th class="n">Faces<th>SHA-256 of the result</thead>',
        *map(_file, files),
        "</table>",
    ]  # fmt: skip


def _file(file: ResultFile) -> str:
    told = [file.kind] if file.kind else []
    told += [f"{file.width}×{file.height}"] if file.width and file.height else []
    told += [plural(file.images, "picture")] if file.images and file.images > 1 else []
    said = _text(", ".join(told)) or _NONE
    if file.outcome != DONE:
        digests = _text(f"{file.outcome}: {file.error}" if file.error else file.outcome)
    else:
        digests = "<br>".join(map(_text, file.digests[:_DIGESTS])) or UNKNOWN
        left = len(file.digests) - _DIGESTS
        digests = f'<span class="digest">{digests}</span>' + (f"<small>and {left} more</small>" if left > 0 else "")
    notes = "".join(_small(note) for note in file.notes)
    return f'<tr><td>{file.number}<td>{said}{notes}<td class="n">{len(file.rows)}<td>{digests}'


# Within ----------------------------------------------------------------------------------------------------------


def _text(text: object) -> str:
    """Any text as HTML that shows it, characters that move or hide others written out."""
    return html.escape(shown(text), quote=True)


def _small(text: str) -> str:
    return f"<small>{_text(text)}</small>" if text else ""


def _mark(judgement: str) -> str:
    return f'<span aria-hidden="true">{_MARKS[judgement]}</span>'


def _badge(state: State) -> str:
    return f'<span class="badge {state.judgement}">{_mark(state.judgement)} {_text(state.name)}</span>'


def _list(items: Iterable[str]) -> str:
    """A list of what is HTML already."""
    return f"<ul>{''.join(f'<li>{item}' for item in items)}</ul>"


def _pairs(pairs: Mapping[str, object]) -> str:
    told = "".join(f"<dt>{_text(name.replace('_', ' '))}<dd>{_text(_value(value))}" for name, value in pairs.items())
    return f"<dl>{told}</dl>"


def _value(value: object) -> str:
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value) or _NONE


def _or_none(value: float | None) -> str:
    return _NONE if value is None else _text(_value(value))


def _signed(value: float) -> str:
    return f"{'+' if round(value) > 0 else '−' if round(value) < 0 else ''}{abs(round(value))}"
