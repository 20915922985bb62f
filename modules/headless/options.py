"""What is asked of an Anonymizer, each default once, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ..attempts.settings import AttemptSettings
from ..faces.report import Report
from ..faces.settings import DetectSettings, PasteSettings, SelectSettings
from ..faces.types import Faces
from ..model.settings import PaintSettings, SamplerSettings
from ..recognition.settings import AUTO, VERIFY


@dataclass(frozen=True)
class Options:
    """How faces are found, painted, proved and put back; each default is the nodes'.

    Args:
        detecting: what counts as a face.
        choosing: which of the found faces are changed.
        sampler: how they are painted; None: the paper's, with the model's own steps and guidance.
        size: side in pixels of the crops that are painted, 64..2048; None: the model's own.
        faces_at_once: so many go through the networks together at most.
        attempts: how often a face is painted until recognisers take it for a stranger.
        verify: "auto" (unless the model is a demonstration), "on" or "off".
        pasting: how they are put back, and what becomes of a face that is refused.

    Raises:
        ValueError: verify is another word, size or faces_at_once is out of its range.
    """

    detecting: DetectSettings = field(default_factory=DetectSettings)
    choosing: SelectSettings = field(default_factory=SelectSettings)
    sampler: SamplerSettings | None = None
    size: int | None = None
    faces_at_once: int = PaintSettings.faces_at_once
    attempts: AttemptSettings = field(default_factory=AttemptSettings)
    verify: str = AUTO
    pasting: PasteSettings = field(default_factory=PasteSettings)

    def __post_init__(self) -> None:
        if self.verify not in VERIFY:
            raise ValueError(f"verify is one of {', '.join(VERIFY)}; got {self.verify!r}.")
        if self.size is not None and not 64 <= self.size <= 2048:
            raise ValueError(f"size is 64 to 2048 pixels, or None for the model's own; got {self.size!r}.")
        if self.faces_at_once < 1:
            raise ValueError(f"faces_at_once is 1 at least; got {self.faces_at_once!r}.")


@dataclass(frozen=True, eq=False)
class Result:
    """What became of pictures.

    Args:
        image: the pictures as they were handed in: PIL, array or tensor, one or a batch.
        faces: that were changed, with how each was painted.
        report: what was done to each face, and what was seen on the result; `report.to_text()`, `report.to_json()`.
        mask: float32 [B, H, W], 0..1, what was replaced or covered.
    """

    image: Any
    faces: Faces
    report: Report
    mask: torch.Tensor


def result_of(
    pictures: torch.Tensor, back: Callable[[torch.Tensor], Any], faces: Faces, report: Report, mask: torch.Tensor
) -> Result:
    """A Result with tensors that a program may go on with: those made in inference mode can be neither changed nor
    differentiated.

    Args:
        pictures: float [B, H, W, C].
        back: makes of them what was handed in.
        faces, report, mask: see Result.
    """
    with torch.inference_mode(False):
        return Result(back(pictures.clone()), faces, report, mask.clone())
