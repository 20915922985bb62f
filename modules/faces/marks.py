"""Whether people stand where they stood: a small grey patch of each face's place travels with the face.

A fingerprint compares what lies outside of the faces, as what was made of them may show anything. So another shot of a
camera that stands still has the same fingerprint, while its people have moved: they would be covered where they were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .fingerprint import take_fingerprint
from .types import Faces

if TYPE_CHECKING:
    import torch

SIDE = 24  # cells along the patch
_GROWN = 1.3  # the patch's side, of the longer side of a face's box
_REACH = 14  # cells, a half of a face and a little more: whom the detector sees farther away, the look finds
_HERE = 1  # cells, 5 % of a face: what moved by less is covered all the same
_LEAST_PIXELS = 12.0  # of a box: smaller ones hold too little
_MOST = 24  # faces of a picture that are looked at, the largest
# docs/measured.md, "Whether a picture is the one"
LEAST = 0.80  # correlation with the patch at another place
MARGIN = 0.05  # ... and by so much more than at its own


class Mark(NamedTuple):
    """What a picture shows at a face.

    Args:
        cells: uint8 [24, 24], mean luma in levels.
        corner: x and y of its upper left corner in pixels.
        side: in pixels.
    """

    cells: np.ndarray
    corner: tuple[float, float]
    side: float


class Moved(NamedTuple):
    """A face that stands beside its place.

    Args:
        pixels: how far.
        there, here: correlations with the patch where it stands, and at its own place.
    """

    pixels: float
    there: float
    here: float


def know(images: torch.Tensor, faces: Faces, every: int = 1) -> Faces:
    """The faces with all by which their pictures are known again: the fingerprint of each, and the patches.

    Args:
        images: float [B, H, W, C], 0..1, in which they were found.
        faces: of these images.
        every: of every second, third, ... picture the faces have patches.
    """
    marked = tuple(
        replace(face, mark=take_mark(images[face.image_index], face.box)) if face.image_index % every == 0 else face
        for face in faces
    )
    return replace(faces, faces=marked, fingerprint=take_fingerprint(images))


def take_mark(image: torch.Tensor, box: np.ndarray) -> Mark | None:
    """The patch of a face's box [x0, y0, x1, y1] in a picture [H, W, C]; None of one too small."""
    sides = box[2:] - box[:2]
    if not np.isfinite(box).all() or sides.min() < _LEAST_PIXELS:
        return None
    side = float(sides.max()) * _GROWN
    corner = (box[:2] + box[2:]) / 2 - side / 2
    return Mark(_read(image, corner, side, SIDE), (float(corner[0]), float(corner[1])), side)


def find_moved(image: torch.Tensor, mark: Mark) -> Moved | None:
    """Where a face stands now, if that is plainly beside its place.

    Args:
        image: float [H, W, C], 0..1.
        mark: of the face.
    """
    pitch = mark.side / SIDE
    count = SIDE + 2 * _REACH
    around = _read(image, np.array(mark.corner) - _REACH * pitch, count * pitch, count).astype(np.float64)
    alike = _correlations(around, mark.cells.astype(np.float64))
    shifts = np.arange(-_REACH, _REACH + 1)
    near = np.maximum(np.abs(shifts)[:, None], np.abs(shifts)) <= _HERE
    here = float(alike[near].max())
    alike[near] = -1
    row, column = np.unravel_index(alike.argmax(), alike.shape)
    there = float(alike[row, column])
    if there < LEAST or there < here + MARGIN:
        return None
    return Moved(float(np.hypot(shifts[row], shifts[column])) * pitch, there, here)


def first_moved(image: torch.Tensor, faces: Faces, number: int) -> tuple[int, Moved] | None:
    """The first face of a picture that stands beside its place: its place in `faces` and where; None where none does.

    Args:
        image: float [H, W, C], 0..1.
        faces: of the batch.
        number: of the picture in it.
    """
    mine = [(place, face.mark) for place, face in enumerate(faces) if face.image_index == number]
    marked = [(place, mark) for place, mark in mine if mark is not None]
    for place, mark in sorted(marked, key=lambda one: -one[1].side)[:_MOST]:
        if (moved := find_moved(image, mark)) is not None:
            return place, moved
    return None


def _correlations(around: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Of a patch [S, S] with every square of its size in [N, N]: [N - S + 1] twice, -1..1, 0 where one is flat."""
    squares = np.lib.stride_tricks.sliding_window_view(around, patch.shape)
    patch = patch - patch.mean()
    together = np.einsum("xyij,ij->xy", squares, patch)
    spread = np.sqrt(np.maximum(squares.var((2, 3)), 0) * patch.size) * np.linalg.norm(patch)
    return np.divide(together, spread, out=np.zeros_like(together), where=spread > patch.size)


def _read(image: torch.Tensor, corner: np.ndarray, side: float, count: int) -> np.ndarray:
    """A square of a picture as mean luma, uint8 [count, count]; beyond the border its last pixels."""
    import torch

    height, width = image.shape[:2]
    low = np.floor(corner).astype(int)
    high = np.ceil(corner + side).astype(int) + 1
    rows = torch.arange(low[1], high[1], device=image.device).clamp(0, height - 1)
    columns = torch.arange(low[0], high[0], device=image.device).clamp(0, width - 1)
    step = max(1, int(side / count / 4))  # of a large face every second, third, ... pixel
    part = image[rows[::step]][:, columns[::step], :3].float().cpu()
    luma = part @ part.new_tensor((0.299, 0.587, 0.114)) if part.shape[2] == 3 else part[..., 0]
    luma = torch.nan_to_num(luma).clamp(0, 1)[None, None]
    # as grid_sample counts: -1 and 1 are the outer edges of the first pixel and the last
    ends = np.array([luma.shape[3], luma.shape[2]]) * step
    finer = 3 * count  # nine samples a cell
    at = [(corner[axis] - low[axis] + (np.arange(finer) + 0.5) * side / finer) * 2 / ends[axis] - 1 for axis in (0, 1)]
    grid = torch.from_numpy(np.stack(np.meshgrid(*at), -1).astype(np.float32))[None]
    found = torch.nn.functional.grid_sample(luma, grid, padding_mode="border", align_corners=False)
    return torch.nn.functional.avg_pool2d(found, 3)[0, 0].mul(255).round().byte().numpy()
