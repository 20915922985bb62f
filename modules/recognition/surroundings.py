"""Whether what lies around a face's cover is what lay there before: else the face stands beside it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from scipy import ndimage

from ..faces.fingerprint import GROWN, correlation
from ..faces.marks import around_face, reach_of
from ..faces.types import Face, Faces

LEAST = 0.90  # correlation of a cover's surroundings with those of the original (docs/measured.md)
_LEAST_CELLS = 128  # of 2704
_TEXTURED = 4.0  # levels of deviation in the original
_OF_COVER = 3.0  # levels from the colour in the middle
_SMOOTHED = 2  # cells around the cover that its edge may tint


def moved_around(before: torch.Tensor, after: torch.Tensor, faces: Faces, covered: Collection[int]) -> dict[int, str]:
    """The faces around whose covers the picture shows something else than before: place -> the figure in words.

    Args:
        before: float [B, H, W, C], 0..1, the originals.
        after: of the same size, what became of them.
        faces: of these pictures.
        covered: places of those over which one colour lies.
    """
    found = {}
    for i in covered:
        value = agreement_around(before, after, faces, i, covered)
        if value is not None and value < LEAST:
            found[i] = (
                f"around its cover the picture agrees with the original by {value:.2f}, {LEAST:.2f} is the least: "
                "it is moved, or another one"
            )
    return found


def agreement_around(
    before: torch.Tensor, after: torch.Tensor, faces: Faces, place: int, covered: Collection[int]
) -> float | None:
    """The correlation of what lies around a face's cover with what lay there before; None where too little is seen.

    Args:
        before, after, faces, covered: as of moved_around.
        place: of the face.
    """
    face = faces.faces[place]
    now, then = (around_face(images[face.image_index], face.box) for images in (after, before))
    middle = len(now) // 2
    cover = np.abs(now - np.median(now[middle - 2 : middle + 2, middle - 2 : middle + 2])) <= _OF_COVER
    hidden = ndimage.binary_dilation(cover, iterations=_SMOOTHED)
    for i, other in enumerate(faces.faces):
        if other.image_index == face.image_index and i not in covered:
            hidden |= _box_of(other, face, len(now))  # it may be painted anew
    x, y = _pixels(face, len(now))
    hidden |= ((x < 0) | (x > faces.width))[None, :] | ((y < 0) | (y > faces.height))[:, None]
    if (~hidden).sum() < _LEAST_CELLS or then[~hidden].std() < _TEXTURED:
        return None
    return correlation(now[~hidden], then[~hidden])


def _pixels(face: Face, count: int) -> np.ndarray:
    """x and y of the cells that around_face reads, [2, count]."""
    low, side = reach_of(face.box)
    return low[:, None] + (np.arange(count) + 0.5) / count * side


def _box_of(other: Face, face: Face, count: int) -> np.ndarray:
    """The cells of a face's surroundings that what was made of another one may hide."""
    x, y = _pixels(face, count)
    x0, y0, x1, y1 = other.box + GROWN * other.size * np.array([-1, -1, 1, 1])
    return ((x >= x0) & (x <= x1))[None, :] & ((y >= y0) & (y <= y1))[:, None]
