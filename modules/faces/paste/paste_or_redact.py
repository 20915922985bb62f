"""Paste what came back from the model, and fail closed: a face that did not come back changed is redacted."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..report import ANONYMIZED, KEPT, REDACTED, Report, report_faces
from ..settings import KEEP, PasteSettings, RedactSettings
from ..types import Faces
from .compositing import check_protect, paste_into, shield_of
from .placement import check_crops, placements_in
from .redaction import cover
from .unfit import reason_against


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

    A crop with values that are no numbers, one that still shows the original, and a face of less than
    settings.min_size pixels are not pasted, but redacted by settings.fallback, or left as they are with KEEP.

    Args:
        images, crops, faces, protect, progress: as for paste_faces.
        settings: how crops are pasted, and what becomes of faces that cannot be.
        action: what the report calls a pasted face, ANONYMIZED or SWAPPED.
        seed: of the run, for the report.

    Returns:
        Images like the input, mask float32 [B, H, W], 0..1, what was replaced or covered, and the report.

    Raises:
        ValueError: counts or sizes do not fit together, or a face has no matrix.
    """
    check_crops(images, crops, faces)
    check_protect(protect, faces)
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    outcome = KEPT if settings.fallback == KEEP else REDACTED
    outcomes: dict[int, tuple[str, str]] = {}
    for index in range(faces.image_count):
        fit, unfit = [], []
        for i, placement in placements_in(index, images, crops, faces).items():
            reason = reason_against(placement, settings.min_size)
            if reason is None:
                fit.append(placement)
            else:
                unfit.append(placement)
                outcomes[i] = (outcome, reason)
            if reason is not None or not settings.colour_match:
                placement.forget_cut()  # nobody needs it any more
        paste_into(result[index], mask[index], fit, settings, shield_of(protect, index))
        if settings.fallback != KEEP:
            # last, as a neighbour's crop may show the unfit face once more
            covering = RedactSettings(settings.fallback)
            cover(result[index], mask[index], [placement.shapes for placement in unfit], covering)
        if progress is not None:
            progress(index + 1, faces.image_count)
    return result, mask, report_faces(faces, action, seed, outcomes)
