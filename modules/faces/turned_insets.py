"""A face as it was before a step, anywhere in a picture: turned by any angle, stretched, cut tight or by the border.

insets.py looks for upright squares of one proportion. Here a detector says where faces are, whatever stands around
them; what it sees is laid over each face as it was, turned in steps, mirrored or not, and then compared by its whole
inner face, and by the middle of it alone, as a face that was cut out along its eyes and mouth has no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from .insets import FaceSquare, Inset, banded, inner_weights
from .originals import CELLS, read_square
from .paste.cells import halved, luma_of
from .paste.likeness import Likeness, compare
from .paste.registration import register, smooth, turn_all
from .types import Face

_WIDE, _HIGH = 0.58, 0.78  # of a crop's side: the box of its face, as in insets.py
_TIGHT = 1.3  # times the square around a seen box: of a face that was cut tight it is too small
_TURNS = np.deg2rad(np.arange(0, 360, 15))
_SMALL, _SHIFT = 20, 3  # cells along what is turned, and those that it may be shifted by
_SMALL_BAND = (0.5, 2.0)  # deviations, in those cells
_SEEN, _PAIRS = 24, 120  # faces that are looked at, those of the best scores; and times those that are looked for
_LIKELY = 45  # ways to lay one over another that are tried exactly, the best: all of five faces
# faces that are laid over each square exactly, of a tight one more, as what surrounds it speaks against all of them
_OF_EACH, _OF_TIGHT = 2, 5
_LOOKS = 4  # places of a picture that are compared in full
_STEPS, _AGREES = 5, 0.75  # to lay one over the other, and the correlation from which it is compared
_FINEST, _NEXT = 0.93, 0.95  # correlations of both finer bands, from which the middle of a face is the original's
_MIDDLE = (slice(int(0.26 * CELLS), int(0.74 * CELLS)), slice(int(0.31 * CELLS), int(0.69 * CELLS)))  # eyes to mouth


class _Laid(NamedTuple):
    """A seen face, laid over one as it was.

    Args:
        agreement: correlation.
        number: of the face as it was.
        matrix: float64 (2, 3), cells of its square -> pixels of the picture.
    """

    agreement: float
    number: int
    matrix: np.ndarray


def find_turned_insets(picture: torch.Tensor, squares: Sequence[FaceSquare], seen: Sequence[Face]) -> Iterator[Inset]:
    """Where a picture shows faces as they were, of those that a detector sees.

    Args:
        picture: float [H, W, C], 0..1.
        squares: of the faces as they were.
        seen: boxes of what it sees.
    """
    if not squares:
        return
    before = [face.cells.astype(np.float32) / 255 for face in squares]
    fine = [banded(halved(cells)) for cells in before]
    patterns = [_small_band(cells) for cells in before]
    most = min(_SEEN, max(2, _PAIRS // len(squares)))
    laid: list[_Laid] = []
    looked_at = sorted(seen, key=lambda one: -one.score)[:most]
    likely = [rough for face in looked_at for rough in _likely(picture, face.box, patterns)]
    for rough in sorted(likely, key=lambda one: -one.agreement)[:_LIKELY]:
        shown, _ = read_square(picture, rough.matrix, CELLS)
        moving = banded(halved(halved(luma_of(shown))))
        seen_then = halved(squares[rough.number].seen.astype(np.float32))
        agreement, _ = register(fine[rough.number], moving, _middle_weights() * seen_then, _STEPS)
        if agreement >= _AGREES:
            laid.append(rough._replace(agreement=agreement))
    for one in sorted(laid, key=lambda one: -one.agreement)[:_LOOKS]:
        square = squares[one.number]
        shown, visible = read_square(picture, one.matrix, CELLS)
        visible = visible & np.kron(square.seen, np.ones((2, 2), bool))
        then = np.stack([np.kron(before[one.number], np.ones((2, 2), np.float32))] * 3)
        middle = np.zeros_like(visible)
        middle[_MIDDLE] = visible[_MIDDLE]
        if compare(then, shown, visible).is_original or is_of_it(compare(then, shown, middle)):
            yield Inset(square.box, _place(one.matrix))


def is_of_it(likeness: Likeness) -> bool:
    """Whether a part of a face is the original's: by its detail, as coarse bands of so little are often alike.

    Args:
        likeness: of that part.
    """
    finest, next_to_it = likeness.bands[:2]
    return finest is not None and next_to_it is not None and finest > _FINEST and next_to_it > _NEXT


def _likely(picture: torch.Tensor, box: np.ndarray, patterns: Sequence[np.ndarray]) -> Iterator[_Laid]:
    """Which faces a seen one may be, in squares around it: of its area, larger, and stretched as its box is."""
    width, height = (box[2:] - box[:2]).tolist()
    middle = (box[:2] + box[2:]) / 2
    whole = np.full(2, np.sqrt(width * height / (_WIDE * _HIGH)))
    stretched = np.array([width / _WIDE, height / _HIGH])
    for sides, count in ((whole, _OF_EACH), (whole * _TIGHT, _OF_TIGHT), (stretched, _OF_EACH)):
        pitch, corner = sides / CELLS, middle - sides / 2
        matrix = np.column_stack([np.diag(pitch), corner + pitch / 2 - 0.5])
        yield from sorted(_turned(picture, matrix, patterns), key=lambda one: -one.agreement)[:count]


def _turned(picture: torch.Tensor, matrix: np.ndarray, patterns: Sequence[np.ndarray]) -> Iterator[_Laid]:
    """How each face as it was fits best into a square of a picture: turned, mirrored or not, shifted a little."""
    shown, _ = read_square(picture, matrix, CELLS)
    pattern = _small_band(halved(luma_of(shown)))
    turned = turn_all(np.stack([pattern, pattern[:, ::-1]]), _TURNS).reshape(-1, _SMALL, _SMALL)
    index, size = np.arange(-_SHIFT, _SHIFT + 1), (2 * _SMALL, 2 * _SMALL)  # so that nothing comes round
    weights = _small_weights()

    def together(fixed: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(np.conj(np.fft.rfft2(fixed, size)) * spectrum, size)[:, index[:, None], index]

    energy = np.maximum(together(weights, np.fft.rfft2(turned * turned, size)), 0)
    energy += 0.05 * energy.mean() + 1e-9
    spectrum = np.fft.rfft2(turned, size)
    for number, fixed in enumerate(patterns):
        own = max(float((weights * fixed * fixed).sum()), 1e-9)
        agreement = np.abs(together(weights * fixed, spectrum)) / np.sqrt(energy * own)
        way, down, right = np.unravel_index(int(agreement.argmax()), agreement.shape)
        turns, is_mirrored = divmod(int(way), 2)
        shift = index[[right, down]] * (CELLS / _SMALL)
        yield _Laid(float(agreement.max()), number, matrix_of(matrix, _TURNS[turns], bool(is_mirrored), shift))


def matrix_of(matrix: np.ndarray, angle: float, is_mirrored: bool, shift: np.ndarray) -> np.ndarray:
    """That of a square which shows what another one shows after it was mirrored, turned about its middle, and shifted.

    Args:
        matrix: float64 (2, 3), of the other: its cells -> pixels.
        angle: in radians, as registration.turn.
        is_mirrored: left and right are exchanged first.
        shift: right and down, in cells, of where the middle is looked up.
    """
    middle = (CELLS - 1) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.diag([-1.0 if is_mirrored else 1.0, 1.0]) @ np.array([[cosine, -sine], [sine, cosine]])
    offset = middle + linear @ (shift - middle)
    return np.column_stack([matrix[:, :2] @ linear, matrix[:, :2] @ offset + matrix[:, 2]])


def _place(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 around the box of the face in a square."""
    across, down = np.array([-0.5, 0.5]) * _WIDE * CELLS, np.array([-0.5, 0.5]) * _HIGH * CELLS
    corners = np.array([(x, y) for x in across for y in down]) + (CELLS - 1) / 2
    points = corners @ matrix[:, :2].T + matrix[:, 2] + 0.5
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1, y1


def _small_band(cells: np.ndarray) -> np.ndarray:
    """What is turned: of [80, 80], [20, 20]."""
    small = halved(halved(cells))
    return smooth(small, _SMALL_BAND[0]) - smooth(small, _SMALL_BAND[1])


@lru_cache(maxsize=1)
def _middle_weights() -> np.ndarray:
    """float32 [40, 40], 0..1: the inner face, from the eyes to the mouth."""
    middle = np.zeros((CELLS, CELLS), np.float32)
    middle[_MIDDLE] = 1
    return halved(halved(middle)) * inner_weights()


@lru_cache(maxsize=1)
def _small_weights() -> np.ndarray:
    """float32 [20, 20], 0..1: the same."""
    return halved(_middle_weights())
