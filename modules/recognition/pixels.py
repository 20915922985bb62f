"""What the pixels say of results that recognisers let pass: a negative, a line drawing, a face never painted.

Recognisers know photographs. Of an original that is too small for them they say nothing, and one that is turned, drawn
in lines or turned into its negative is a stranger to them; the look that Paste Faces takes knows it (faces/paste).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch

from ..faces.alignment import crop_faces
from ..faces.paste.exchange import Originals
from ..faces.paste.look import judge_likeness
from ..faces.paste.placement import Placement
from ..faces.paste.verdicts import Sight
from ..faces.types import Faces

_SIDE = 160  # of the square that is looked at where no crop was cut


def sights_of(before: torch.Tensor, after: torch.Tensor, faces: Faces) -> list[Sight]:
    """The faces of pictures as the look sees them, one a face; their placements carry no crop.

    Args:
        before: float [B, H, W, C], 0..1.
        after: float [B, H, W, C], of the same size.
        faces: of these pictures.
    """
    uncut = [i for i, face in enumerate(faces) if face.matrix is None or face.original is None]
    members = list(faces)
    if uncut:
        _, cut = crop_faces(before, replace(faces, faces=tuple(members[i] for i in uncut), fingerprint=None), _SIDE)
        for i, face in zip(uncut, cut, strict=True):
            # the place is that of a crop that was cut already, where there is one
            members[i] = face if members[i].matrix is None else replace(members[i], original=face.original)
    nothing = before.new_zeros((0, 0, 3))
    return [Sight(Placement(before[face.image_index], nothing, face), after[face.image_index]) for face in members]


def shown_originals(sights: Sequence[Sight], looked_at: Collection[int], swapped: Collection[int]) -> dict[int, str]:
    """The faces that still show an original, their own or another one's of these pictures.

    Args:
        sights: of all faces.
        looked_at: places of those that should not.
        swapped: places of faces that got another one's on purpose.

    Returns:
        Place of a face -> the figure and its threshold in words.
    """
    found: dict[int, str] = {}
    places = sorted(looked_at)
    pictures = sorted({sights[i].placement.face.image_index for i in places})
    for picture in pictures:
        own = [i for i in places if sights[i].placement.face.image_index == picture]
        for i, verdict in zip(own, judge_likeness([sights[i] for i in own]), strict=True):
            if verdict is not None and verdict.refused:
                found[i] = verdict.reason
    left = [i for i in places if i not in found and i not in swapped]
    if left and len(sights) > 1:
        faces = [sight.placement.face for sight in sights]
        height, width = sights[0].after.shape[:2]
        others = Originals(Faces(max(face.image_index for face in faces) + 1, height, width, tuple(faces)))
        for i, verdict in zip(left, others([sights[i] for i in left]), strict=True):
            if verdict is not None and verdict.refused:
                found[i] = verdict.reason
    return found
