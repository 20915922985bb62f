"""Whether a picture is the one that its faces were found in: a few grey cells of it travel with the faces.

Faces know the size and the number of their pictures. Another photo of the same size would be changed at places where
nobody is, while the people in it stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a command that hands its photos to a ComfyUI says what is wrong with them before torch is loaded
    import torch

SIDE = 32  # cells along a picture's sides
_READ = 256  # pixels of the short side that are averaged; of larger pictures every second, third, ... is read
# Of pictures of one size, apart from a gain and an offset (docs/measured.md, "Whether a picture is the one").
LEAST = 0.90  # correlation outside of the faces
LEAST_INSIDE = 0.60  # ... and outside of their boxes alone, where their crops leave too little of the picture
_LEAST_CELLS = 64
GROWN = 0.45  # face sizes around a box that a paste or a redaction may have changed
_COVER = 1.2  # of half the longer side of a box: radius of an emoji, a sticker or a gradient that lies over a face
_LEAST_BESIDE, _LEAST_CELLS_BESIDE = 0.98, 32  # beside those: they may leave the corners of a portrait alone
_OF_COVER = 0.6  # of the cells that boxes touch: a cover of an ellipse leaves the corners
_FLAT = 1.5  # levels; what deviates less has nothing to compare
_TRIMMED, _ROUNDS = 0.15, 4  # the share of cells that may be anything (a caption, a bar), and rounds to find it


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A few pictures of a batch, very small.

    Args:
        images: int64 [K], their numbers in the batch, ascending.
        cells: uint8 [K, 32, 32], mean luma in levels.
    """

    images: np.ndarray
    cells: np.ndarray

    def window(self, start: int, stop: int) -> Fingerprint:
        """Of images start <= i < stop, numbered from there."""
        first, last = np.searchsorted(self.images, (start, stop))
        return Fingerprint(self.images[first:last] - start, self.cells[first:last])

    def shifted(self, first_image: int) -> Fingerprint:
        """Numbered as in a batch in which these pictures begin at `first_image`."""
        return replace(self, images=self.images + first_image)

    @cached_property
    def numbers(self) -> list[int]:
        """`images` as a list."""
        return self.images.tolist()


def take_fingerprint(images: torch.Tensor, every: int = 1) -> Fingerprint:
    """The fingerprint of a batch of pictures.

    Args:
        images: float [B, H, W, C], 0..1.
        every: of every second, third, ... picture; 1: of all.
    """
    numbers = np.arange(0, len(images), every)
    cells = [_cells(images[number]) for number in numbers]
    return Fingerprint(numbers, np.stack(cells) if cells else np.zeros((0, SIDE, SIDE), np.uint8))


def join_fingerprints(parts: Iterable[Fingerprint | None]) -> Fingerprint | None:
    """One of a clip from those of its parts, numbered as in the clip; None where there is none."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return Fingerprint(np.concatenate([p.images for p in known]), np.concatenate([p.cells for p in known]))


def agreement(
    image: torch.Tensor, cells: np.ndarray, changed: Callable[[], tuple[np.ndarray, ...]]
) -> tuple[float, float]:
    """How far a picture shows what another one showed, apart from a gain, an offset and a quarter of its cells.

    Args:
        image: float [H, W, C], 0..1.
        cells: uint8 [32, 32], of the other.
        changed: gives three times bool [32, 32], where the crops of faces lie, their boxes, and discs around them: what
            was made of faces may differ there; asked only where the whole pictures do not agree.

    Returns:
        The correlation, -1..1 (1 where both are flat), and the least that one picture has with itself.
    """
    return cells_agreement(_cells(image), cells, changed)


def cells_agreement(
    now: np.ndarray, then: np.ndarray, changed: Callable[[], tuple[np.ndarray, ...]]
) -> tuple[float, float]:
    """As agreement, of the cells of two pictures."""
    now, then = now.astype(np.float64), then.astype(np.float64)
    whole = correlation(now, then)
    if whole >= LEAST:
        return whole, LEAST
    crops, boxes, discs = changed()
    enough = [
        (~cells, least) for cells, least in ((crops, LEAST), (boxes, LEAST_INSIDE)) if (~cells).sum() >= _LEAST_CELLS
    ]
    compared, least = enough[0] if enough else (np.ones_like(crops), LEAST_INSIDE)
    value = correlation(now[compared], then[compared])
    if value >= least:
        return value, least
    return _beside_cover(now, then, crops, boxes) or _beside_discs(now, then, discs) or (value, least)


def _beside_cover(
    now: np.ndarray, then: np.ndarray, crops: np.ndarray, boxes: np.ndarray
) -> tuple[float, float] | None:
    """As cells_agreement, where one colour lies over the faces: a cover reaches out of their boxes, and around a face
    that fills its picture little else is left, or nothing. None where that decides nothing.
    """
    from scipy.ndimage import binary_dilation  # here, as commands are to start at once

    if not boxes.any():
        return None
    cover = np.abs(now - np.median(now[boxes])) <= _FLAT
    if cover[boxes].mean() < _OF_COVER:
        return None
    compared = ~binary_dilation(cover, np.ones((3, 3), bool))
    if compared.sum() < _LEAST_CELLS:  # the cover of a crop hides the whole picture: there is nothing to tell
        return (1.0, LEAST) if (~crops).sum() < _LEAST_CELLS and cover.mean() >= LEAST else None
    if then[compared].std() < _FLAT:
        return None
    value = correlation(now[compared], then[compared])
    return (value, LEAST) if value >= LEAST else None


def _beside_discs(now: np.ndarray, then: np.ndarray, discs: np.ndarray) -> tuple[float, float] | None:
    """As cells_agreement, where something of many colours lies over the faces; None where that decides nothing."""
    compared = ~discs
    if compared.sum() < _LEAST_CELLS_BESIDE or then[compared].std() < _FLAT:
        return None
    value = correlation(now[compared], then[compared])
    return (value, _LEAST_BESIDE) if value >= _LEAST_BESIDE else None


def touched_by_disc(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which cells a cover touches that lies as a disc over a face's box, bool [32, 32]; otherwise as touched_cells."""
    index = (np.arange(SIDE) + 0.5) / SIDE
    x0, y0, x1, y1 = box
    right = np.maximum(np.abs(index * width - (x0 + x1) / 2) - width / (2 * SIDE), 0)
    down = np.maximum(np.abs(index * height - (y0 + y1) / 2) - height / (2 * SIDE), 0)
    return np.hypot(right, down[:, None]) <= _COVER * max(x1 - x0, y1 - y0) / 2


def touched_cells(box: np.ndarray, grown: float, height: int, width: int) -> np.ndarray:
    """Which cells a box touches, bool [32, 32].

    Args:
        box: x0 y0 x1 y1 in pixels.
        grown: pixels that are added around it.
        height, width: of the picture.
    """
    index = (np.arange(SIDE) + 0.5) / SIDE
    x, y = index * width, index[:, None] * height
    reach = np.array([width, height]) / (2 * SIDE)
    (x0, y0), (x1, y1) = box[:2] - grown - reach, box[2:] + grown + reach
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


def _cells(image: torch.Tensor) -> np.ndarray:
    from .area_means import area_means

    step = max(1, min(image.shape[:2]) // _READ)
    means = area_means(image[::step, ::step, :3], SIDE, SIDE).numpy()
    luma = means @ np.array((0.299, 0.587, 0.114), np.float32) if means.shape[2] == 3 else means[..., 0]
    return np.rint(luma.clip(0, 1) * 255).astype(np.uint8)


def correlation(now: np.ndarray, then: np.ndarray) -> float:
    """The correlation of cells, -1..1; of those that differ most from the others' gain and offset a share is left out.

    Args:
        now, then: of two pictures, of one shape.
    """
    now, then = now.ravel().astype(np.float64), then.ravel().astype(np.float64)
    kept = np.ones(len(now), bool)
    for _ in range(_ROUNDS):
        x, y = now[kept] - now[kept].mean(), then[kept] - then[kept].mean()
        gain = max(float(x @ y) / max(float(x @ x), 1e-9), 0.05)
        residual = np.abs(then - then[kept].mean() - gain * (now - now[kept].mean()))
        kept = residual <= np.quantile(residual, 1 - _TRIMMED)
    if min(now[kept].std(), then[kept].std()) < _FLAT:  # all but the part that was left out is flat: it decides
        kept[:] = True
    spread = now[kept].std(), then[kept].std()
    if max(spread) < _FLAT:
        return 1.0
    return float(np.corrcoef(now[kept], then[kept])[0, 1]) if min(spread) > 0.1 else 0.0


def unexplained(now: np.ndarray, known: np.ndarray) -> float:
    """What others, with the best gain and offset, do not explain of values: levels, root mean square."""
    now, known = now - now.mean(), known - known.mean()
    gain = max(0.0, float((known * now).sum() / max((known * known).sum(), 1e-9)))
    return float(np.sqrt(np.mean((now - gain * known) ** 2)))
