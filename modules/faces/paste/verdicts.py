"""What is said of one face of a result: the word, the figure and its threshold, and what the fallback does about it.

Every judge of a result gives a Verdict; the first one that refuses decides. From here the word goes into the report,
and whether a face is refused into what the fallback covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..originals import CELLS, read_square
from ..outcomes import BROKEN as REPORTED_BROKEN
from ..outcomes import FACE_LEFT as FACE_LEFT
from ..outcomes import KEPT, KEPT_BY_USER, NOT_PASTED, REDACTED, Outcome
from ..outcomes import STILL_ORIGINAL as STILL_ORIGINAL
from ..outcomes import UNCHANGED as UNCHANGED
from .placement import Placement

PASSED = ""
NOT_FINITE, TOO_SMALL, BROKEN = NOT_PASTED
PARTLY = "kept"  # too little of it was replaced
NO_FACE = "no face found on it"
_REPLACED = 0.5  # of a pixel, from which a cell counts as replaced


@dataclass(frozen=True)
class Verdict:
    """What was seen of one face.

    Args:
        word: one of the words above; PASSED refuses nothing.
        why: the figure and its threshold, in words.
        covered: the share of the face's oval that was replaced, 0..1; None where nothing was pasted.
        covers: whether the fallback covers a refused face; else it stays, and the report alone tells.
        pasteable: whether the crop can stay in the picture where the user keeps a refused face; else the face stays as
            it was.
        verification: what recognisers say, for the report; see modules/recognition/verdict.py. None: none was asked.
    """

    word: str = PASSED
    why: str = ""
    covered: float | None = None
    covers: bool = True
    pasteable: bool = True
    verification: dict | None = None

    @property
    def refused(self) -> bool:
        """Whether something is said against this face."""
        return self.word != PASSED

    @property
    def reason(self) -> str:
        """Word and figure in one line."""
        return f"{self.word}: {self.why}" if self.why else self.word

    def outcome(self, action: str, *, fallback_keeps: bool, user_keeps: bool) -> Outcome:
        """What the report says.

        Args:
            action: of a face that passed.
            fallback_keeps: the fallback leaves what it gets.
            user_keeps: the user named this face.
        """
        if self.refused and not self.covers:
            action = REPORTED_BROKEN
        elif self.refused:
            action = KEPT_BY_USER if user_keeps else KEPT if fallback_keeps else REDACTED
        return Outcome(action, self.reason, self.word, self.covered, self.verification)


@dataclass(frozen=True, eq=False)
class Sight:
    """One face of a finished picture, as a judge sees it.

    Args:
        placement: the crop, its face, and the picture as it was (`placement.image`).
        after: float [H, W, C], 0..1: the picture with all crops pasted.
        degree: of anonymization that the crop was painted with, where it is known.
        mask: float32 [H, W], 0..1, what was replaced; None for all of the crop.
    """

    placement: Placement
    after: torch.Tensor
    degree: float | None = None
    mask: torch.Tensor | None = None

    @cached_property
    def result(self) -> np.ndarray:
        """The crop's square in the finished picture, float32 [3, 160, 160]."""
        return read_square(self.after, self.placement.to_picture, self.placement.crop_size)[0]

    @property
    def visible(self) -> np.ndarray:
        """Which cells of the square lie in the picture, bool [160, 160]."""
        return self.placement.before[1]

    @cached_property
    def replaced(self) -> np.ndarray:
        """Which visible cells were replaced, bool [160, 160]: what the mask keeps is for the coverage to judge."""
        if self.mask is None:
            return self.visible
        x, y, _ = self.placement.cell_centres(CELLS, self.mask.device)
        height, width = self.mask.shape
        rows, columns = y.round().long().clamp(0, height - 1), x.round().long().clamp(0, width - 1)
        return self.visible & (self.mask[rows, columns] > _REPLACED).cpu().numpy()

    @cached_property
    def originals(self) -> tuple[np.ndarray, ...]:
        """The square before the paste, and in the picture that the face was cut from where that showed something else:
        float32 [3, 160, 160] each. What an earlier step painted is no original.
        """
        before, first = self.placement.before[0], self.placement.first
        own = () if self.placement.repaints else (before,)
        return own if first is None else (*own, first)


# All faces of one picture -> a verdict each; None for nothing to say. What a judge of identities needs of a face that
# was not painted it reads from sight.placement.image.
Judge = Callable[[Sequence[Sight]], Sequence[Verdict | None]]
