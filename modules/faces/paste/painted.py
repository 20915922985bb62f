"""What a crop's face says of its painting, and whether that still holds for the crop and for what is pasted of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch

from ..settings import REGIONS, PasteSettings
from ..types import Face, Faces
from .verdicts import Sight, Verdict

NOT_PASSED = "not passed"


def crop_digest(crop: torch.Tensor) -> str:
    """The SHA-256 of a crop's values, by which it is known again. It stays in memory.

    Args:
        crop: float [S, S, C], on any device.
    """
    values = crop[..., :3].float().cpu().contiguous()
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()


def is_pasted_whole(settings: PasteSettings) -> bool:
    """Whether a crop stands in the picture as it is, but for its border."""
    return settings.region == REGIONS[0] and not settings.keep and not settings.colour_match


def with_what_holds(
    faces: Faces, crops: torch.Tensor, settings: PasteSettings, protected: bool
) -> tuple[Faces, tuple[str, ...]]:
    """The faces, less what recognisers said of crops that are not pasted as they saw them.

    Args:
        faces: whose crops these are.
        crops: float [N, S, S, 3 or 4].
        settings: of the paste. Where less than the crop is pasted, or parts of the original stay, the recognisers saw
            something else.
        protected: whether a mask keeps some pixels.

    Returns:
        The faces, and a note for the report where something does not hold.
    """
    told = list(faces)
    changed_paste = protected or not is_pasted_whole(settings)
    count = 0
    for i, face in enumerate(faces):
        painted = face.painted
        # why one was refused holds all the same: it is covered, or the user keeps it
        if painted is None or painted.verification is None or painted.refused:
            continue
        if changed_paste or painted.digest != crop_digest(crops[i]):
            told[i] = replace(face, painted=replace(painted, verification=None))
            count += 1
    if not count:
        return faces, ()
    which = "1 face was" if count == 1 else f"{count} faces were"
    return replace(faces, faces=tuple(told)), (
        f"{which} pasted otherwise than recognisers saw the crop (another crop, region, colour or kept part), so that "
        "nothing is said of the result",
    )


def judge_painted(sights: Sequence[Sight]) -> list[Verdict | None]:
    """Refuses crops that recognisers did not pass in any attempt. It is a judge, see verdicts.py."""
    return [why_refused(sight.placement.face) for sight in sights]


def why_refused(face: Face) -> Verdict | None:
    """The verdict on a crop that no attempt made pass; None where it passed, or nobody looked."""
    painted = face.painted
    if painted is None or not painted.refused:
        return None
    word = str((painted.verification or {}).get("verdict", NOT_PASSED))
    return Verdict(word, painted.refused, verification=painted.verification)
