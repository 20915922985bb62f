"""A part of a face as it was before a step, at its own size and upright, anywhere in a picture that is to be saved.

insets.py and turned_insets.py look for whole faces. Half a face, or the strip of its eyes, is a person too: these are
looked for by cross-correlation, finer than whole faces, as little is left to agree by chance, and so of the largest
faces alone. What agrees is compared as paste/likeness.py compares crops, by that part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .insets import FaceSquare, Inset, agreement_of, banded, inner_weights, inset_at, matrix_of, square_around
from .originals import CELLS, read_square
from .paste.cells import halved, luma_of
from .paste.likeness import compare
from .paste.registration import register
from .placing import luma_of as picture_luma
from .placing import resized
from .turned_insets import is_of_it

# rows and columns of a part, in heights and widths of the box around a face: less than a half each, as nobody cuts
# exactly in the middle, and what lies around a cut speaks against it; and from the brows to below the eyes
PARTS = {
    "left": ((-1.0, 2.0), (-1.0, 0.41)),
    "right": ((-1.0, 2.0), (0.59, 2.0)),
    "eyes": ((0.30, 0.52), (-1.0, 2.0)),
    "lower": ((0.59, 2.0), (-1.0, 2.0)),
}
_SIDE = CELLS // 4  # cells along the square of a face as it is looked for
_MOST_CELLS = 200_000  # of all pictures that are searched: the largest faces, 10 ms for each of a group of five
_BEYOND = _SIDE // 4  # of those cells, by which a square may reach out of the picture
_WORTH = 0.7  # correlation from which a place is looked at; of other places 0.74 at most
_OWN = 0.5  # of the square's side, around its own place, which is another matter
_LOOKS = 3  # places of a picture that are compared
_STEPS, _AGREES = 5, 0.8  # to lay one over the other, and the correlation from which it is compared in full


def find_part_insets(picture: torch.Tensor, squares: Sequence[FaceSquare], in_place: bool) -> Iterator[Inset]:
    """Where a picture shows parts of faces as they were.

    Args:
        picture: float [H, W, C], 0..1.
        squares: of the faces.
        in_place: the picture is that one, so that the faces' own places are known, and not looked at.

    Returns:
        Each with the place of the whole face.
    """
    found = sorted(_places(picture, squares, in_place), key=lambda one: -one[0])
    for _, face, part, (left, top, side) in found[:_LOOKS]:
        shown, visible = read_square(picture, matrix_of(left, top, side), CELLS)
        before = face.cells.astype(np.float32) / 255
        fixed, moving = (banded(halved(cells)) for cells in (before, halved(luma_of(shown))))
        weights = inner_weights() * halved(halved(part.astype(np.float32))) * halved(face.seen)
        if register(fixed, moving, weights, _STEPS)[0] < _AGREES:
            continue
        seen = np.kron(face.seen, np.ones((2, 2), bool))
        then = np.stack([np.kron(before, np.ones((2, 2), np.float32))] * 3)
        if is_of_it(compare(then, shown, visible & seen & part)):
            yield inset_at(face.box, left, top, side)


def part_of(face: FaceSquare, name: str) -> np.ndarray:
    """Which cells of the square around a face are that part of it: bool [160, 160].

    Args:
        face: with its square.
        name: of PARTS.
    """
    left, top, side = square_around(face.box)
    x0, y0, x1, y1 = face.box
    at = (np.arange(CELLS) + 0.5) * side / CELLS
    down, across = (at + top - y0) / max(y1 - y0, 1e-6), (at + left - x0) / max(x1 - x0, 1e-6)
    (first, last), (leftmost, rightmost) = PARTS[name]
    return ((down > first) & (down < last))[:, None] & (across > leftmost) & (across < rightmost)


def _places(
    picture: torch.Tensor, squares: Sequence[FaceSquare], in_place: bool
) -> Iterator[tuple[float, FaceSquare, np.ndarray, tuple[float, float, float]]]:
    """The best place of each part: agreement, face, the part's cells, and left, top and side of its square."""
    luma, left_over = picture_luma(picture), _MOST_CELLS
    for face in sorted(squares, key=lambda one: -square_around(one.box)[2]):
        left, top, side = square_around(face.box)
        zoom = _SIDE / side  # cells a pixel
        rows, columns = (max(1, round(length * zoom)) for length in luma.shape)
        left_over -= rows * columns
        if left_over < 0:
            return
        if zoom > 1 or min(rows, columns) < _SIDE:
            continue
        here = np.pad(resized(luma, rows, columns), _BEYOND, mode="edge")
        parts = [part_of(face, name) for name in PARTS]
        for part, near in zip(parts, agreement_of(here, [_pattern(face, part) for part in parts]), strict=True):
            if in_place:
                y0, x0 = (np.array([top, left]) * zoom).round().astype(int) + _BEYOND
                reach = round(_OWN * side * zoom)
                near[max(0, y0 - reach) : max(0, y0 + reach + 1), max(0, x0 - reach) : max(0, x0 + reach + 1)] = 0
            y, x = divmod(int(near.argmax()), near.shape[1])
            if near[y, x] >= _WORTH:
                yield float(near[y, x]), face, part, ((x - _BEYOND) / zoom, (y - _BEYOND) / zoom, side)


def _pattern(face: FaceSquare, part: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What is looked for of a part, [40, 40], weighted, its weights, and its energy."""
    weights = inner_weights() * halved(halved(part.astype(np.float32))) * halved(face.seen.astype(np.float32))
    detail = banded(halved(face.cells.astype(np.float32)) / 255, (0.6, 1.8))
    detail = detail - (weights * detail).sum() / max(float(weights.sum()), 1e-6)
    return weights * detail, weights, float((weights * detail * detail).sum())
