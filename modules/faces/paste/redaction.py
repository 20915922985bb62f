"""Cover faces without any model: a solid patch, a coarse mosaic or a strong blur.

How much is left is set relative to the face, so that it holds at any size: weak blur is reversible (Revelio, arXiv
2506.12344, re-identifies 95.9 % of Gaussian-blurred faces; Fantomas, arXiv 2210.10651, partly reverses 11 of 15
methods). Only solid leaves nothing. A mosaic or blur of a moving face shows other samples in every frame of a clip,
which together show more than one frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

from ..alignment import check_faces
from ..settings import RedactSettings
from ..types import Faces
from .masks import FaceShapes

_SMALLEST_SAMPLE = 2.0  # pixels; below it what is left of a tiny face would be the face
_BLUR_LEVEL = 1 / 255  # contrast that the blur's Gaussian passes where its cosines end: one level of 8 bits
_STRIP_PIXELS = 1 << 20  # picture pixels that are worked on at once; bounds memory for large faces

Region = tuple[int, int, int, int]  # x0 y0 x1 y1 in picture pixels, exclusive ends, within the picture
Rows = Callable[[int, int], torch.Tensor]  # new values [rows, width of the region, C] of the rows top <= y < bottom


def redact_faces(
    images: torch.Tensor,
    faces: Faces,
    settings: RedactSettings = RedactSettings(),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images with every face covered, and where.

    "solid" is black. "mosaic" shows the means of square blocks, in a grid that begins at the corner of the face's box.
    "blur" shows the sum of the lowest cosines (DCT-II) of the covered region, attenuated as by a Gaussian of sigma =
    sqrt(2 ln 255) / pi = 1.06 sides of the region / detail: the cosines that are left out would pass less than 1/255,
    and without them no deconvolution brings back more, whatever the bits of the file. `detail` counts samples of a
    mosaic across the longer side of the box (a face that the picture's border cuts is then no finer), of a blur across
    the longer side of the covered region; one sample stands for 2 pixels at least. A pixel is covered when the grown
    shape touches it. Of overlapping faces the larger is covered first, and the next reads what that left: no pixel is
    shown on two grids.

    Args:
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is kept). Never modified. Values that are no numbers
            count as 0.
        faces: of these images.
        settings: mode, shape, detail and margin.
        progress: called with (pictures done, all) after each.

    Returns:
        Images like the input, and mask float32 [B, H, W], 1 where covered and 0 elsewhere: nothing of the original is
        mixed in. Where the mask is 0 a pixel is the input's, bit for bit.

    Raises:
        ValueError: the faces are of other images, or a box is empty.
    """
    check_faces(images, faces)
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    for index in range(faces.image_count):
        members = [FaceShapes(face) for face in faces if face.image_index == index]
        cover(result[index], mask[index], members, settings)
        if progress is not None:
            progress(index + 1, faces.image_count)
    return result, mask


def cover(image: torch.Tensor, mask: torch.Tensor, members: list[FaceShapes], settings: RedactSettings) -> None:
    """Cover the faces of one picture, the larger first; see redact_faces.

    Args:
        image: float [H, W, C], changed in place.
        mask: float32 [H, W], set to 1 where the picture is covered.
        members: the faces.
        settings: of redact_faces.
    """
    for shapes in sorted(members, key=lambda shapes: shapes.size, reverse=True):
        _cover_one(image, mask, shapes, settings)


def _cover_one(image: torch.Tensor, mask: torch.Tensor, shapes: FaceShapes, settings: RedactSettings) -> None:
    """Cover one face in image [H, W, C] and mask [H, W], both views of the result, strip by strip."""
    detail = settings.detail
    # half a pixel's diagonal more: a pixel that is touched is covered
    grown = settings.margin + math.sqrt(0.5) / shapes.size
    x0, y0, x1, y1 = shapes.bounds(settings.shape, grown)
    region = left, top, right, bottom = (max(x0, 0), max(y0, 0), min(x1, image.shape[1]), min(y1, image.shape[0]))
    if left >= right or top >= bottom:
        return
    colours = image[..., : min(image.shape[2], 3)]
    cover_by = {
        "solid": lambda: None,
        "mosaic": lambda: _mosaic(colours, shapes.face.box, region, detail),
        "blur": lambda: _blur(colours, region, max(max(x1 - x0, y1 - y0) / detail, _SMALLEST_SAMPLE)),
    }
    rows = cover_by[settings.mode]()
    x = torch.arange(left, right, device=image.device)[None, :]
    for first, last in _strips(region):
        y = torch.arange(first, last, device=image.device)[:, None]
        covered = shapes.field(settings.shape, x, y) > -grown
        target = colours[first:last, left:right]
        if rows is None:
            target.masked_fill_(covered[..., None], 0)
        else:
            target.copy_(torch.where(covered[..., None], rows(first, last).to(target.dtype), target))
        mask[first:last, left:right].masked_fill_(covered, 1)


def _strips(region: Region) -> Iterator[tuple[int, int]]:
    """First row and end of each strip of a region."""
    x0, y0, x1, y1 = region
    rows = max(1, _STRIP_PIXELS // (x1 - x0))
    for first in range(y0, y1, rows):
        yield first, min(first + rows, y1)


def _read(image: torch.Tensor, left: int, right: int, first: int, last: int) -> torch.Tensor:
    """Finite values 0..1, float32 [C, rows, columns]."""
    return torch.nan_to_num(image[first:last, left:right].permute(2, 0, 1).float()).clamp(0, 1)


def _mosaic(image: torch.Tensor, box: np.ndarray, region: Region, detail: float) -> Rows:
    x0, y0, x1, y1 = region
    pitch = max(float((box[2:] - box[:2]).max()) / detail, _SMALLEST_SAMPLE)
    x_edges = _block_edges(float(box[0]), pitch, x0, x1, image.shape[1])
    y_edges = _block_edges(float(box[1]), pitch, y0, y1, image.shape[0])
    left, right = math.floor(x_edges[0]), math.ceil(x_edges[-1])
    top, bottom = math.floor(y_edges[0]), math.ceil(y_edges[-1])
    across = _overlaps(x_edges, left, right).to(image.device)
    sums = torch.zeros((image.shape[2], len(y_edges) - 1, len(x_edges) - 1), device=image.device)
    for first, last in _strips((left, top, right, bottom)):
        down = _overlaps(y_edges, first, last).to(image.device)
        sums += down @ (_read(image, left, right, first, last) @ across.T)
    areas = torch.from_numpy(np.outer(np.diff(y_edges), np.diff(x_edges))).float()
    means = (sums / areas.to(image.device)).permute(1, 2, 0)
    columns = _blocks_of(x_edges, x0, x1).to(image.device)
    return lambda first, last: means[_blocks_of(y_edges, first, last).to(image.device)][:, columns]


def _block_edges(start: float, pitch: float, low: int, high: int, limit: int) -> np.ndarray:
    """The edges of whole blocks that cover low..high, cut by the picture at 0 and limit.

    What the picture leaves of a block under half its width goes to the next one, as the mean of a sliver is no mean of
    a block.
    """
    first, last = math.floor((low - start) / pitch), math.ceil((high - start) / pitch)
    edges = np.clip(start + pitch * np.arange(first, last + 1), 0, limit)
    if len(edges) > 2 and edges[1] - edges[0] < pitch / 2:
        edges = np.delete(edges, 1)
    if len(edges) > 2 and edges[-1] - edges[-2] < pitch / 2:
        edges = np.delete(edges, -2)
    return edges


def _overlaps(edges: np.ndarray, start: int, end: int) -> torch.Tensor:
    """How much of each pixel start <= i < end lies in each block: float32 [blocks, pixels]."""
    pixel = np.arange(start, end)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return torch.from_numpy(overlap.clip(min=0)).float()


def _blocks_of(edges: np.ndarray, start: int, end: int) -> torch.Tensor:
    """The block in which the centre of each pixel start <= i < end lies."""
    return torch.from_numpy(np.searchsorted(edges[1:-1], np.arange(start, end) + 0.5, side="right"))


def _blur(image: torch.Tensor, region: Region, pitch: float) -> Rows:
    x0, y0, x1, y1 = region
    across, down = (_cosines(end - start, pitch).to(image.device) for start, end in ((x0, x1), (y0, y1)))
    sums = torch.zeros((image.shape[2], len(down), len(across)), device=image.device)
    for first, last in _strips(region):
        sums += down[:, first - y0 : last - y0] @ (_read(image, x0, x1, first, last) @ across.T)

    def rows(first: int, last: int) -> torch.Tensor:
        return (down[:, first - y0 : last - y0].T @ (sums @ across)).clamp(0, 1).permute(1, 2, 0)

    return rows


def _cosines(length: int, pitch: float) -> torch.Tensor:
    """The lowest cosines on `length` pixels, one a `pitch`, float32 [cosines, pixels].

    Of norm 1, times the root of what the Gaussian passes of each, as they are used twice. Half a period of cosine k is
    length / k pixels; where it is one pitch, the Gaussian passes _BLUR_LEVEL.
    """
    order = np.arange(max(1, math.floor(length / pitch + 1e-9)))[:, None]
    waves = np.cos(np.pi * order * (np.arange(length) + 0.5) / length) * np.sqrt(np.where(order == 0, 1, 2) / length)
    return torch.from_numpy(waves * _BLUR_LEVEL ** ((order * pitch / length) ** 2 / 2)).float()
