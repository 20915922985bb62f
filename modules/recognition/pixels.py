"""What the pixels say of results that recognisers let pass: a negative, a line drawing, a face never painted.

Recognisers know photographs. Of an original that is too small for them they say nothing, and one that is turned, drawn
in lines or turned into its negative is a stranger to them; the look that Paste Faces takes knows it (faces/paste).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from ..faces.alignment import remember_faces
from ..faces.paste.coverage import oval_points
from ..faces.paste.exchange import Originals
from ..faces.paste.look import judge_likeness
from ..faces.paste.masks import FaceShapes
from ..faces.paste.placement import Placement
from ..faces.paste.verdicts import Sight, Verdict
from ..faces.types import Faces

_ONE_COLOUR = 8.0 / 255  # from the middle one, in every channel: a film's rounding
_INNER = 0.8  # of the oval's size: in a film a cover follows the face, and leaves some of the rim where it lags behind
_LIKE = 0.4  # with the original, from which on it is no cover but the face, made dark or pale
_OF_INNER, _OF_OVAL = 0.98, 0.8  # shares that show the colour


def sights_of(before: torch.Tensor, after: torch.Tensor, faces: Faces, repainted: Collection[int] = ()) -> list[Sight]:
    """The faces of pictures as the look sees them, one a face; their placements carry no crop.

    Args:
        before: float [B, H, W, C], 0..1.
        after: float [B, H, W, C], of the same size.
        faces: of these pictures.
        repainted: places of those whose originals are what they remember, and not what `before` shows.
    """
    members = remember_faces(before, faces)
    nothing = before.new_zeros((0, 0, 3))
    return [
        Sight(Placement(before[face.image_index], nothing, face, i in repainted), after[face.image_index])
        for i, face in enumerate(members)
    ]


def own_originals(sights: Sequence[Sight]) -> dict[int, str]:
    """The faces of one picture that still show their original: place -> the figure and its threshold in words.

    Args:
        sights: of one picture.
    """
    return _refused(judge_likeness(sights))


def one_colour(images: torch.Tensor, faces: Faces, before: torch.Tensor) -> list[int]:
    """The places of the faces of which one colour shows and nothing else: covered, whoever did it.

    All of the oval's inner part shows it, and of the whole oval so much that no face is seen beside it.

    Args:
        images: float [B, H, W, C], 0..1, results.
        faces: of these pictures.
        before: as images, of the same size: a face that is nearly black or white may still show all of it.
    """
    found = []
    for i, face in enumerate(faces):
        picture = images[face.image_index]
        shapes = FaceShapes(face)
        x, y = oval_points(shapes, *picture.shape[:2])
        inner = shapes.field("oval", *(at.mean() + (at - at.mean()) / _INNER for at in (x, y))) > 0
        if inner.any():
            values = picture[y.round().long(), x.round().long()].float()
            alike = ((values - values.median(0).values).abs().amax(1) <= _ONE_COLOUR).float()
            is_one = float(alike[inner].mean()) >= _OF_INNER and float(alike.mean()) >= _OF_OVAL
            was = before[face.image_index][y.round().long(), x.round().long()].float()
            if is_one and _likeness(values[inner], was[inner]) < _LIKE:
                found.append(i)
    return found


def _likeness(now: torch.Tensor, then: torch.Tensor) -> float:
    """The correlation of the lumas of points [N, C], without its sign; 0 where one is the same everywhere."""
    one, other = (torch.nan_to_num(values[:, :3].mean(1)).double() for values in (now, then))
    one, other = one - one.mean(), other - other.mean()
    spread = float(one.norm() * other.norm())
    return abs(float(one @ other)) / spread if spread > 0 else 0.0


def others_originals(sights: Sequence[Sight], judged: Sequence[int]) -> dict[int, str]:
    """The faces that show another one's original: place -> the figure and its threshold in words.

    Args:
        sights: of pictures of one size.
        judged: places of those that are compared with all others.
    """
    if len(sights) < 2 or not judged:
        return {}
    faces = [sight.placement.face for sight in sights]
    height, width = sights[0].after.shape[:2]
    everybody = Faces(max(face.image_index for face in faces) + 1, height, width, tuple(faces))
    found = _refused(Originals(everybody)([sights[i] for i in judged]))
    return {judged[i]: why for i, why in found.items()}


def _refused(verdicts: Sequence[Verdict | None]) -> dict[int, str]:
    return {i: one.reason for i, one in enumerate(verdicts) if one is not None and one.refused}
