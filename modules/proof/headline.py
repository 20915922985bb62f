"""The headline of a proof: one sentence that says no more than the worst of its faces and files, and one of detail."""

from __future__ import annotations

from ..faces.notes import DRAWN_FACES
from .proof import Proof
from .rows import BAD, COVERS, LOOK


def headline(proof: Proof) -> tuple[str, str]:
    """What is said first of a run, and more of it, "" for nothing; both without anything that comes from a report.

    Args:
        proof: of the run.
    """
    faces, bad = len(proof.rows), proof.count(BAD)
    troubled = sum(bool(file.troubles) for file in proof.files)
    whole = f"{plural(troubled, 'file')} {_needs(troubled)} a look as a whole." if troubled else ""
    if bad:
        said = f"{bad} of {plural(faces, 'face')} {_needs(bad)} a look before anything is published."
        return said, f"{'They stand' if bad > 1 else 'It stands'} first in the table. {whole}".strip()
    blocked = sum(file.judgement == BAD for file in proof.files)
    if blocked:
        said = f"{plural(blocked, 'file')} {_needs(blocked)} a look as a whole before anything is published."
        return said, f"Why, stands below. {_unknown(proof).capitalize()}".strip()
    if proof.count(LOOK):
        return f"No face is known to have failed; {_unknown(proof)}", whole
    if not faces:
        said = "No face was found, so nothing was changed." if troubled else "There is no result yet."
        return said, whole
    if troubled and _all_drawn(proof):
        where = "" if troubled == len(proof.files) else f"in {troubled} of {len(proof.files)} files "
        why = "the verdicts mean little: a demonstration model drew the faces."
        said = f"No face is known to have failed, but {where}{why}"
        return said, "The recognisers were trained on photographs."
    if troubled:
        said = f"No face is known to have failed, but {plural(troubled, 'file')} {_needs(troubled)} a look as a whole."
        return said, "Why, stands below."
    if set(proof.counts) <= set(COVERS):
        return "The face is covered." if faces == 1 else f"All {faces} faces are covered.", ""
    who = "The face is" if faces == 1 else f"All {faces} faces are"
    other = " or covered" if set(proof.counts) & set(COVERS) else ""
    return f"{who} taken for a stranger by every recogniser{other}.", ""


def _all_drawn(proof: Proof) -> bool:
    """Whether nothing speaks against the files but that a demonstration model drew their faces."""
    return all(doubt.kind == DRAWN_FACES for file in proof.files for doubt in file.doubts) and not any(
        len(file.troubles) > len(file.doubts) for file in proof.files
    )


def plural(count: int | None, what: str) -> str:
    """A number with its noun."""
    return f"{count or 0} {what}{'' if count == 1 else 's'}"


def _unknown(proof: Proof) -> str:
    """Of how many faces nobody knows, and why; "" for none."""
    if not proof.count(LOOK):
        return ""
    why = ", ".join(f"{count} {state.name}" for state, count in proof.counts.items() if state.judgement == LOOK)
    return f"of {proof.count(LOOK)} of {plural(len(proof.rows), 'face')} nobody knows ({why})."


def _needs(count: int) -> str:
    return "needs" if count == 1 else "need"
