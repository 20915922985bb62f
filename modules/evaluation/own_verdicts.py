"""The verdicts of the pack's own recognisers on results, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..recognition.settings import DLIB_PUBLISHED, ReaderSettings
from ..recognition.verdict import FAILED, NOT_MEASURABLE, SAME_PERSON, STRANGER, Verification
from .statistics import mean
from .tables import Table


def verdict_table(
    verdicts: Mapping[str, Sequence[Verification]], people: torch.Tensor, settings: ReaderSettings
) -> Table:
    """The share of faces with each verdict, and what each recogniser says alone.

    Args:
        verdicts: condition -> what the recognisers say of face i there.
        people: int [N], who each is.
        settings: the thresholds.
    """
    table = Table("verdicts", "Verdicts, by both recognisers of the pack", [STRANGER, SAME_PERSON, FAILED])
    table.columns += ["dlib: distance", "dlib: one person", "FaceRes: cosine", "FaceRes: one person", NOT_MEASURABLE]
    for title, said_of in verdicts.items():
        measurable = [verification.verdict != NOT_MEASURABLE for verification in said_of]
        cells = {
            word: mean(_where(measurable, [verification.verdict == word for verification in said_of]), people)
            for word in table.columns[:3]
        }
        for name, which in (("dlib", 0), ("FaceRes", 1)):
            said = [one.opinions[which] if one.opinions else None for one in said_of]
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


def _where(there: Sequence[bool], values: Sequence[float]) -> torch.Tensor:
    """float64 [N], NaN where nothing is there."""
    known = torch.tensor(there, dtype=torch.bool)
    return torch.where(known, torch.tensor(values, dtype=torch.float64), torch.nan)
