"""The verdicts of the pack's own recognisers on results, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..recognition.reading import Reading
from ..recognition.settings import DLIB_PUBLISHED, ReaderSettings
from ..recognition.verdict import FAILED, NOT_MEASURABLE, SAME_PERSON, STRANGER, Verification, verify
from .statistics import mean
from .tables import Table


def verdict_table(
    readings: Mapping[str, Sequence[Reading | None]],
    originals: Sequence[Reading | None],
    people: torch.Tensor,
    settings: ReaderSettings,
) -> Table:
    """The share of faces with each verdict, and what each recogniser says alone.

    Args:
        readings: condition -> what was read of face i there, None where the detector finds none.
        originals: what was read of face i before.
        people: int [N], who each is.
        settings: the thresholds.
    """
    table = Table("verdicts", "Verdicts, by both recognisers of the pack", [STRANGER, SAME_PERSON, FAILED])
    table.columns += ["dlib: distance", "dlib: one person", "FaceRes: cosine", "FaceRes: one person", NOT_MEASURABLE]
    for title, after in readings.items():
        verdicts = [_verdict(*pair, settings) for pair in zip(originals, after, strict=True)]
        measurable = [verdict.verdict != NOT_MEASURABLE for verdict in verdicts]
        cells = {
            word: mean(_where(measurable, [verdict.verdict == word for verdict in verdicts]), people)
            for word in table.columns[:3]
        }
        for name, which in (("dlib", 0), ("FaceRes", 1)):
            said = [verdict.opinions[which] if verdict.opinions else None for verdict in verdicts]
            there = [one is not None for one in said]
            measure = "distance" if name == "dlib" else "cosine"
            cells[f"{name}: {measure}"] = mean(_where(there, [one.value if one else 0.0 for one in said]), people)
            cells[f"{name}: one person"] = mean(_where(there, [one is not None and one.same for one in said]), people)
        table.put(title, {**cells, NOT_MEASURABLE: measurable.count(False)})
    table.note = (
        f"One person: dlib's distance below {settings.dlib_same:g} (its author's own threshold is {DLIB_PUBLISHED:g}), "
        f"FaceRes' cosine above {settings.faceres_same:g}; how often that is wrong stands in docs/measured.md. "
        f"{STRANGER.capitalize()}: both say so. {SAME_PERSON.capitalize()}: one is enough. {FAILED.capitalize()}: in "
        "the result no recogniser can measure the face. Shares of the faces that are measurable in the original; the "
        "others are counted in the last column."
    )
    return table


def _verdict(before: Reading | None, after: Reading | None, settings: ReaderSettings) -> Verification:
    if before is None:
        return Verification(NOT_MEASURABLE, "no face")
    if after is None:
        return Verification(
            FAILED if before.measurable else NOT_MEASURABLE, before.reason or "no face is found any more"
        )
    return verify(before, after, settings)


def _where(there: Sequence[bool], values: Sequence[float]) -> torch.Tensor:
    """float64 [N], NaN where nothing is there."""
    known = torch.tensor(there, dtype=torch.bool)
    return torch.where(known, torch.tensor(values, dtype=torch.float64), torch.nan)
