"""Whose face is what a model painted, by the pack's two recognisers? Pure: no ComfyUI here."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..faces.types import Face
from ..recognition.reader import FaceReader
from ..recognition.reading import Reading
from ..recognition.verdict import NOT_MEASURABLE, SAME_PERSON, STRANGER, Verification, verify
from .verdicts import Checks

DRAWN = "drawn faces, and the recognisers were trained on photographs: told, not held"


class Judge:
    """Compares painted crops with the originals'.

    Args:
        crops: float [N, S, S, 3], 0..1, the aligned originals.
        faces: the face of each.
        drawn: of each, whether it is drawn and not photographed.
        reader: reads them; None loads one, on the CPU.
    """

    def __init__(
        self, crops: torch.Tensor, faces: Sequence[Face], drawn: Sequence[bool], reader: FaceReader | None = None
    ):
        self._reader = FaceReader() if reader is None else reader
        self._faces, self._drawn = list(faces), list(drawn)
        self._originals = self._reader.read_crops(crops, self._faces)

    def check_same(self, checks: Checks, what: str, painted: torch.Tensor) -> None:
        """Every photographed face is taken for its original.

        Args:
            checks: gets the verdict.
            what: is checked.
            painted: float [N, S, S, 3], of the originals in their order.
        """
        self._check(checks, what, painted, SAME_PERSON)

    def check_strangers(self, checks: Checks, what: str, painted: torch.Tensor) -> None:
        """Every photographed face is taken for a stranger by both recognisers. Arguments as of check_same."""
        self._check(checks, what, painted, STRANGER)

    def tell_swaps(self, checks: Checks, what: str, painted: torch.Tensor, sources: Sequence[int]) -> None:
        """How near swapped faces are to their sources and to the faces that drive them; nothing is held.

        Args:
            checks: gets the figures.
            what: they are of.
            painted: float [N, S, S, 3].
            sources: for each face the number of the original that is its source.
        """
        read = self._reader.read_crops(painted.float().clamp(0, 1), self._faces)
        nearer = [
            self._apart(after, self._originals[source]) < self._apart(after, before)
            for before, after, source in zip(self._originals, read, sources, strict=True)
            if before.measurable and after.measurable and self._originals[source].measurable
        ]
        found = f"{sum(nearer)} of {len(nearer)} nearer to the source than to the driving face, by dlib's distance"
        checks.tell(what, f"{found}; {DRAWN}" if any(self._drawn) else found)

    @staticmethod
    def _apart(first: Reading, second: Reading) -> float:
        return float(((first.dlib - second.dlib) ** 2).sum() ** 0.5)

    def _check(self, checks: Checks, what: str, painted: torch.Tensor, wanted: str) -> None:
        read = self._reader.read_crops(painted.float().clamp(0, 1), self._faces)
        said = [verify(*pair, self._reader.settings) for pair in zip(self._originals, read, strict=True)]
        photographed = [one for one, drawn in zip(said, self._drawn, strict=True) if not drawn]
        others = [one for one, drawn in zip(said, self._drawn, strict=True) if drawn]
        if others:
            checks.tell(what, f"{_counted(others, wanted)}; {DRAWN}")
        if photographed:
            judged = [one for one in photographed if one.verdict != NOT_MEASURABLE]
            holds = bool(judged) and all(one.verdict == wanted for one in judged)
            checks.check(what, holds, _counted(photographed, wanted))


def _counted(said: Sequence[Verification], wanted: str) -> str:
    """How many have the wanted verdict, and why the others have not; of one face its figures."""
    judged = [one for one in said if one.verdict != NOT_MEASURABLE]
    words = [f"{sum(one.verdict == wanted for one in judged)} of {len(judged)} measurable faces: {wanted}"]
    named = judged if len(judged) == 1 else [one for one in judged if one.verdict != wanted]
    words += [f"{one.verdict}: {one.reason}" for one in named]
    return "; ".join(words)
