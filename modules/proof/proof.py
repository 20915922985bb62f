"""A proof: the results of a run, what is known of how they were made, and the counts, for page and table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..faces.notes import ANOTHER_PERSON, Doubt
from ..recognition.recognisers import RECOGNISERS
from .rows import BAD, GOOD, LOOK, STATES, Row, State

DONE, FAILED, SKIPPED, PENDING = "done", "failed", "skipped", "pending"
UNKNOWN = "not known to this report"


@dataclass(frozen=True)
class MadeWith:
    """What results were made with, as far as it is known.

    Args:
        dates: the first and the last day, as YYYY-MM-DD in UTC; None where that is not known.
        version: of this pack.
        model: names of the models that painted; empty where nothing was painted; None where that is not known.
        model_sha256: of each model's folder (files.sha256_of_folder of its weights and configurations), None where it
            is not known.
        settings: groups of settings: a heading ("" for none) and its names and values.
        remarks: what else is known, and what is not, a line each.
    """

    dates: tuple[str, str] | None
    version: str
    model: tuple[str, ...] | None
    model_sha256: tuple[str | None, ...] = ()
    settings: Sequence[tuple[str, Mapping[str, object]]] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResultFile:
    """One result, or a source that has none.

    Args:
        number: of it on the page, from 1. Names of files are on no page: they are those of the sources.
        kind: "photo", "video", "pictures", or "" where that is not known.
        outcome: one of DONE, FAILED, SKIPPED, PENDING.
        digests: the SHA-256 of the saved file, or of all files where a clip was saved as pictures.
        images: pictures or frames.
        width, height: in pixels.
        rows: one a face, or one a person of a clip.
        incomplete: what of the source could not be read; "" where that is nothing.
        notes: what else is to be known.
        error: why there is no result.
        doubts: what of the report speaks against the result as a whole.
    """

    number: int
    kind: str = ""
    outcome: str = DONE
    digests: tuple[str, ...] = ()
    images: int | None = None
    width: int | None = None
    height: int | None = None
    rows: tuple[Row, ...] = ()
    incomplete: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    doubts: tuple[Doubt, ...] = ()

    @property
    def troubles(self) -> list[str]:
        """Why somebody has to look at the whole file, whatever its faces are."""
        found = []
        if self.outcome == FAILED:
            found.append(f"no result: {self.error or 'an error'}")
        if self.outcome == PENDING:
            found.append("no result yet: the run was stopped before it")
        if self.incomplete:
            found.append(f"not all of it could be read: {self.incomplete}")
        if self.outcome == DONE and not self.rows:
            found.append("no face was found, so nothing was changed: look whether there is one")
        return [*found, *self.doubts]

    @property
    def judgement(self) -> str:
        """Of the file as a whole, whatever its faces are: BAD, LOOK or GOOD."""
        is_shown = any(doubt.kind == ANOTHER_PERSON for doubt in self.doubts)
        if self.outcome in (FAILED, PENDING) or self.incomplete or is_shown:
            return BAD
        return LOOK if self.troubles else GOOD


@dataclass(frozen=True)
class Proof:
    """The whole of it.

    Args:
        files: in the order of their numbers.
        made_with: how they were made.
    """

    files: tuple[ResultFile, ...]
    made_with: MadeWith
    counts: Mapping[State, int] = field(init=False)

    def __post_init__(self) -> None:
        counted = Counter(row.state for _, row in self.rows)
        object.__setattr__(self, "counts", {state: counted[state] for state in STATES if counted[state]})

    @property
    def rows(self) -> list[tuple[ResultFile, Row]]:
        """Every face, those that need a look first, then in the order of the files."""
        pairs = [(file, row) for file in self.files for row in file.rows]
        return sorted(pairs, key=lambda pair: STATES.index(pair[1].state))

    @property
    def recognisers(self) -> list[str]:
        """The names of all that measured, in the order in which they come."""
        found = (measure.name for _, row in self.rows if row.verified for measure in row.verified.measures)
        return list(dict.fromkeys(found))

    @property
    def judgement(self) -> str:
        """The worst of all faces and files: BAD, LOOK or GOOD."""
        judged = {state.judgement for state in self.counts} | {file.judgement for file in self.files}
        return BAD if BAD in judged else LOOK if LOOK in judged or not self.rows else GOOD

    def to_dict(self) -> dict:
        """How the results were made, for the report in JSON, whose faces stand there already."""
        made = self.made_with
        names = self.recognisers
        digests = [*made.model_sha256, *[None] * len(made.model or ())]
        return {
            "dates": made.dates and list(made.dates),
            "version": made.version,
            "models": None
            if made.model is None
            else [{"name": name, "sha256": sha256} for name, sha256 in zip(made.model, digests, strict=False)],
            "settings": [{"of": of, **values} for of, values in made.settings],
            "remarks": list(made.remarks),
            "recognisers": [one._asdict() for one in RECOGNISERS if one.name in names],
            "results": [{"number": file.number, "sha256": list(file.digests)} for file in self.files],
        }

    def count(self, judgement: str) -> int:
        """How many faces are judged so."""
        return sum(count for state, count in self.counts.items() if state.judgement == judgement)
