"""Paste what came back from the model, and fail closed: a face that did not come back changed is redacted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from ..alignment import check_faces
from ..report import ANONYMIZED, KEPT, REDACTED, Report, report_faces
from ..settings import KEEP, PasteSettings, RedactSettings
from ..types import Faces
from .compositing import paste_faces
from .redaction import redact_faces
from .unfit import unfit_crops


def replace_faces(
    images: torch.Tensor,
    crops: torch.Tensor,
    faces: Faces,
    settings: PasteSettings = PasteSettings(),
    *,
    protect: torch.Tensor | None = None,
    action: str = ANONYMIZED,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Report]:
    """The images with every crop pasted, where they were changed, and the report of it.

    images, crops, faces, protect, progress: see paste_faces. action: what the report calls a pasted face (ANONYMIZED or
    SWAPPED). seed: of the run, for the report.
    A crop with values that are no numbers, one that still shows the original and a face of less than min_size pixels
    are not pasted, but redacted by settings.fallback. Raises what paste_faces raises.
    """
    check_faces(images, faces)
    if len(crops) != len(faces):
        raise ValueError(
            f"There are {len(crops)} crops but {len(faces)} faces: connect all the crops that were made of these faces."
        )
    unfit = unfit_crops(images, crops, faces, settings.min_size) if len(faces) else {}
    fit = [i for i in range(len(faces)) if i not in unfit]
    result, mask = paste_faces(
        images,
        crops[fit] if unfit else crops,
        replace(faces, faces=tuple(faces.faces[i] for i in fit)),
        settings,
        protect=protect,
        progress=progress,
    )
    if unfit and settings.fallback != KEEP:
        # last, as a neighbour's crop may show the unfit face once more
        result, redacted = redact_faces(
            result, replace(faces, faces=tuple(faces.faces[i] for i in unfit)), RedactSettings(settings.fallback)
        )
        mask = torch.maximum(mask, redacted)
    outcome = KEPT if settings.fallback == KEEP else REDACTED
    report = report_faces(faces, action, seed, {i: (outcome, reason) for i, reason in unfit.items()})
    return result, mask, report
