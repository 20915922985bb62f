"""A face as it was before a step, small or as large as it was, anywhere in a picture that is to be saved.

A picture may show what became of every face in its place, and the original once more: in a corner, in a strip below,
picture in picture. So the squares around the faces, as they were, are looked for by cross-correlation in one band of
detail, at every place and over a range of sizes. What agrees is only a place to look at: there the picture is read
again and compared as paste/likeness.py compares crops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy import fft

from .originals import CELLS, read_square
from .paste.cells import halved, luma_of
from .paste.likeness import compare, inner_face
from .paste.registration import register, smooth
from .placing import luma_of as picture_luma
from .placing import resized

Box = tuple[float, float, float, float]
_WIDE, _HIGH, _UPWARDS = 0.58, 0.78, 0.04  # of a crop's side: the box of its face, and how far its middle lies above
_PATTERN = 16  # cells along the side of what is looked for
_LONGEST, _STEP = 400, 1.2  # cells along the longer side of the picture, and from one size to the next
_SMALLEST, _LARGEST = 0.15, 1.4  # of the size that the face had
_BAND = (0.6, 1.8)  # deviations, in those cells
_BEYOND = 4  # of those cells, by which a square may reach out of the picture
_FLOOR = 0.05  # of the mean energy, below which a place shows nothing
_WORTH = 0.6  # correlation from which a place is looked at
_PEAKS, _APART = 2, 4  # places of a face in a size, and cells between them
_LOOKS, _CLOSE_LOOKS = 16, 2  # places of a picture that are looked at, and those of them that are compared in full
_CLOSE, _STEPS, _AGREES = (1.0, 4.0), 5, 0.85  # the band in cells of 1/40, steps to lay one over the other, correlation
_OWN = 0.5  # of the square's side, around its own place at about its own size: that is another matter
_OWN_SIZES = 0.7, 1.45


class FaceSquare(NamedTuple):
    """A face as it was before a step.

    Args:
        box: x0 y0 x1 y1 in pixels, as in the report.
        cells: uint8 [80, 80], luma of the square around it.
        seen: bool [80, 80], which of them lie in the picture.
    """

    box: Box
    cells: np.ndarray
    seen: np.ndarray


class Inset(NamedTuple):
    """A place where a face is seen as it was.

    Args:
        box: of the face, as in the report.
        place: x0 y0 x1 y1 of it in the picture, in pixels.
    """

    box: Box
    place: Box


def take_square(image: torch.Tensor, box: Box) -> FaceSquare:
    """What a picture [H, W, C], 0..1, shows around a face."""
    colours, visible = read_square(image, matrix_of(*square_around(box)), CELLS)
    return FaceSquare(box, np.rint(halved(luma_of(colours)) * 255).astype(np.uint8), visible[::2, ::2])


def find_insets(picture: torch.Tensor, squares: Sequence[FaceSquare], scale: float, in_place: bool) -> Iterator[Inset]:
    """Where a picture shows faces as they were, beside the places where they are.

    Args:
        picture: float [H, W, C], 0..1.
        squares: of the faces.
        scale: pixels of the picture a pixel of the one that the faces are of.
        in_place: the picture is that one, so that the faces' own places are known, and not looked at.
    """
    if not squares:
        return
    ranks: Counter[int] = Counter()
    found = []
    for place in sorted(_places(picture, squares, scale, in_place), key=lambda one: -one[0]):
        found.append((ranks[place[1]], *place[1:]))  # the best of each face first, then the second of each
        ranks[place[1]] += 1
    found.sort(key=lambda one: one[0])
    befores = [face.cells.astype(np.float32) / 255 for face in squares]
    settled = []
    for _, number, left, top, side in found[:_LOOKS]:
        shown, visible = read_square(picture, matrix_of(left, top, side), CELLS)
        fixed, moving = (banded(halved(cells)) for cells in (befores[number], halved(luma_of(shown))))
        agreement, _ = register(fixed, moving, inner_weights() * halved(squares[number].seen), _STEPS)
        settled.append((agreement, number, left, top, side, shown, visible))
    settled.sort(key=lambda one: -one[0])
    for agreement, number, left, top, side, shown, visible in settled[:_CLOSE_LOOKS]:
        if agreement < _AGREES:
            return
        before = np.kron(befores[number], np.ones((2, 2), np.float32))
        seen = np.kron(squares[number].seen, np.ones((2, 2), bool))
        if compare(np.stack([before] * 3), shown, visible & seen).is_original:
            yield inset_at(squares[number].box, left, top, side)


def inset_at(box: Box, left: float, top: float, side: float) -> Inset:
    """The place of a face whose square lies there.

    Args:
        box: of the face, as in the report.
        left, top, side: of the square in the picture, in pixels.
    """
    x0, y0, whole = square_around(box)
    factor = side / whole
    x, y = left + (box[0] - x0) * factor, top + (box[1] - y0) * factor
    return Inset(box, (x, y, x + (box[2] - box[0]) * factor, y + (box[3] - box[1]) * factor))


def square_around(box: Box) -> tuple[float, float, float]:
    """Left, top and side of the square around a face: about as a crop lies around it, and upright."""
    x0, y0, x1, y1 = box
    side = max((x1 - x0) / _WIDE, (y1 - y0) / _HIGH, 1.0)
    return (x0 + x1 - side) / 2, (y0 + y1 - side) / 2 + _UPWARDS * side, side


def matrix_of(left: float, top: float, side: float) -> np.ndarray:
    """float64 (2, 3), cells of a square -> pixels of the picture, centres at integers."""
    pitch = side / CELLS
    return np.array([[pitch, 0, left + pitch / 2 - 0.5], [0, pitch, top + pitch / 2 - 0.5]])


def _places(
    picture: torch.Tensor, squares: Sequence[FaceSquare], scale: float, in_place: bool
) -> Iterator[tuple[float, int, float, float, float]]:
    """The best place of each face in each size: agreement, number of the face, left, top and side in pixels."""
    luma = picture_luma(picture)
    longest = max(luma.shape)
    sides = [square_around(face.box)[2] * scale for face in squares]
    patterns = [_pattern(face) for face in squares]
    length, least = min(_LONGEST, longest), _PATTERN * longest / (_LARGEST * max(sides))
    while length >= max(least, _PATTERN + 4):
        zoom = length / longest  # cells a pixel
        asked = [i for i, side in enumerate(sides) if _SMALLEST * side <= _PATTERN / zoom <= _LARGEST * side]
        rows, columns = (max(1, round(side * zoom)) for side in luma.shape)
        length /= _STEP
        if not asked or min(rows, columns) < _PATTERN:
            continue
        luma_here = torch.from_numpy(resized(luma, rows, columns)) if zoom < 1 else luma
        beyond = np.pad(luma_here.numpy(), _BEYOND, mode="edge")
        agreement = agreement_of(beyond, [patterns[i] for i in asked])
        for i, near in zip(asked, agreement, strict=True):
            factor = _PATTERN / zoom / sides[i]
            if in_place and _OWN_SIZES[0] < factor < _OWN_SIZES[1]:
                left, top, side = square_around(squares[i].box)
                middle = (np.array([top, left]) + side / 2) * zoom - _PATTERN / 2 + _BEYOND
                reach = _OWN * side * zoom
                (y0, x0), (y1, x1) = (np.clip(middle + one, 0, None).round().astype(int) for one in (-reach, reach))
                near[y0 : y1 + 1, x0 : x1 + 1] = 0
            for _ in range(_PEAKS):
                y, x = divmod(int(near.argmax()), near.shape[1])
                if near[y, x] < _WORTH:
                    break
                yield float(near[y, x]), i, (x - _BEYOND) / zoom, (y - _BEYOND) / zoom, _PATTERN / zoom
                near[max(0, y - _APART) : y + _APART + 1, max(0, x - _APART) : x + _APART + 1] = 0


def _pattern(face: FaceSquare) -> tuple[np.ndarray, np.ndarray, float]:
    """What is looked for of a face, [16, 16], weighted, its weights, and its energy."""
    small, seen = (_reduced(cells.astype(np.float32)) for cells in (face.cells, face.seen))
    weights, detail = _reduced(inner_face()) * seen, banded(small / 255, _BAND)
    detail = detail - (weights * detail).sum() / max(weights.sum(), 1e-6)
    return weights * detail, weights, float((weights * detail * detail).sum())


def _reduced(cells: np.ndarray) -> np.ndarray:
    step = len(cells) // _PATTERN
    return cells.reshape(_PATTERN, step, _PATTERN, step).mean((1, 3))


def agreement_of(luma: np.ndarray, patterns: Sequence[tuple[np.ndarray, np.ndarray, float]]) -> Iterator[np.ndarray]:
    """The correlation of each pattern with a picture, at every place where it lies inside.

    Args:
        luma: [H, W].
        patterns: at least one, all of one side [S, S]: weighted and in the band of what is looked for, the weights, and
            the energy.

    Returns:
        Of each, [H - S + 1, W - S + 1], 0..1.
    """
    rows, columns, side = *luma.shape, len(patterns[0][0])
    size = fft.next_fast_len(rows, True), fft.next_fast_len(columns, True)
    luma = np.pad(luma, ((0, size[0] - rows), (0, size[1] - columns)), mode="edge")
    free = np.s_[: rows - side + 1, : columns - side + 1]
    spectrum = fft.rfft2(luma) * _band_spectrum(*size)
    shown = fft.irfft2(spectrum, size)
    squared = fft.rfft2(shown * shown)
    inside: tuple[np.ndarray, np.ndarray] | None = None
    for pattern, weights, energy in patterns:
        if inside is None or not np.array_equal(inside[0], weights):
            there = np.maximum(fft.irfft2(np.conj(fft.rfft2(weights, size)) * squared, size)[free], 0)
            inside = weights, there + _FLOOR * there.mean() + 1e-9
        agreement = fft.irfft2(np.conj(fft.rfft2(pattern, size)) * spectrum, size)[free]
        yield np.abs(agreement) / np.sqrt(inside[1] * max(energy, 1e-9))


def banded(cells: np.ndarray, band: tuple[float, float] = _CLOSE) -> np.ndarray:
    """Luma [S, S] in one band of detail.

    Args:
        cells: of a square.
        band: deviations of the two Gaussians whose difference it is, in cells.
    """
    return smooth(cells, band[0]) - smooth(cells, band[1])


@lru_cache(maxsize=1)
def inner_weights() -> np.ndarray:
    """float32 [40, 40], 0..1: the inner face."""
    return halved(inner_face())


@lru_cache(maxsize=32)
def _band_spectrum(rows: int, columns: int) -> np.ndarray:
    """What the frequencies of rfft2 of a picture are multiplied by: float32 [rows, columns // 2 + 1]."""
    squared = (np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(columns) ** 2) * (2 * np.pi) ** 2
    low, high = (np.exp(-squared * sigma**2 / 2) for sigma in _BAND)
    return (low - high).astype(np.float32)
