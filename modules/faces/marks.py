"""Whether people stand where they stood: a small grey patch of each face's place travels with the face.

A fingerprint compares what lies outside of the faces, as what was made of them may show anything. So another shot of a
camera that stands still has the same fingerprint, while its people have moved: they would be covered where they were.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .fingerprint import take_fingerprint, unexplained
from .types import Face, Faces

if TYPE_CHECKING:
    import torch

SIDE = 24  # cells along the patch
_GROWN = 1.3  # the patch's side, of the longer side of a face's box
_REACH = 14  # cells, a half of a face and a little more: whom the detector sees farther away, the look finds
_HERE, _HERE_PIXELS = 1, 3.0  # cells, 5 % of a face, or pixels: what moved by less is covered all the same
_COUNT = SIDE + 2 * _REACH  # cells along all that is kept of a face's surroundings
_LEAST_PIXELS = 12.0  # of a box: smaller ones hold too little
_MOST = 200  # faces of a picture that are looked at, the largest: 10 ms each
# how people turn their heads and come nearer from one shot to the next: degrees, and shares of the size they had
_TURNS = (0, -24, -16, -8, 8, 16, 24)
_SIZES = (1.0, 0.74, 0.86, 1.16, 1.34)
_TOO_LARGE = 1.3  # of a size: what came so near sticks out of its cover wherever it is
_ROUND, _EDGE = 1.0, 0.2  # radius of what is compared, in halves of the patch, and over which it fades out
_SAME_FACE = 0.75  # correlation of two patches of one picture, from which one may be found in the other's place
# docs/measured.md, "Whether a picture is the one"
LEAST = 0.80  # correlation with the patch at another place
LEAST_TURNED = 0.86  # ... with the patch turned or resized: another's face agrees further where so much is tried
MARGIN = 0.05  # ... and by so much more than at its own
AT_PLACE = 0.75  # correlation at its own place, turned and resized or not, from which that face is there
_COVER = 1.1  # of a patch's half: the radius of what a cover of that face may hide, emojis and stickers too
_LEAST_SEEN = 24  # cells of a place beside the covers, from which it tells what it shows
_CLEARLY = 0.5  # of what the face leaves unexplained there: what the picture as it was leaves at most
_COVERED = 3.0  # deviation in levels, below which a place shows nothing: it was covered
_OF_COVER = 1 / 3  # of another place that shows the colour of that cover: it is what is left between two covers


class Mark(NamedTuple):
    """What a picture shows at a face, and around it as far as it is looked for.

    Args:
        around: uint8 [52, 52], mean luma in levels; the middle 24 x 24 are the face's patch.
        corner: x and y of the patch's upper left corner in pixels.
        side: of the patch in pixels.
    """

    around: np.ndarray
    corner: tuple[float, float]
    side: float

    @property
    def cells(self) -> np.ndarray:
        """The patch, uint8 [24, 24]."""
        return self.around[_REACH:-_REACH, _REACH:-_REACH]


class Moved(NamedTuple):
    """A face that stands beside its place.

    Args:
        pixels: how far.
        there, here: correlations with the patch where it stands, and at its own place.
        degrees: by which it is turned.
        size: of the one that it had.
    """

    pixels: float
    there: float
    here: float
    degrees: int = 0
    size: float = 1.0

    def __str__(self) -> str:
        turned = f", turned by {abs(self.degrees)} degrees" if self.degrees else ""
        sized = f", {self.size:g} of its size" if self.size != 1 else ""
        return f"{self.pixels:.0f} pixels beside its place{turned}{sized}"


def know(images: torch.Tensor, faces: Faces, every: int = 1) -> Faces:
    """The faces with all by which their pictures are known again: the fingerprint of each, and the patches.

    Args:
        images: float [B, H, W, C], 0..1, in which they were found.
        faces: of these images.
        every: of every second, third, ... picture the faces have patches.
    """

    def marked(members: Sequence[Face]) -> tuple[Face, ...]:
        return tuple(
            replace(face, mark=take_mark(images[face.image_index], face.box)) if face.image_index % every == 0 else face
            for face in members
        )

    return replace(faces, faces=marked(faces.faces), kept=marked(faces.kept), fingerprint=take_fingerprint(images))


def take_mark(image: torch.Tensor, box: np.ndarray) -> Mark | None:
    """The patch of a face's box [x0, y0, x1, y1] in a picture [H, W, C]; None of one too small."""
    sides = box[2:] - box[:2]
    if not np.isfinite(box).all() or sides.min() < _LEAST_PIXELS:
        return None
    side = float(sides.max()) * _GROWN
    corner = (box[:2] + box[2:]) / 2 - side / 2
    return Mark(_around(image, corner, side), (float(corner[0]), float(corner[1])), side)


def reach_of(box: np.ndarray) -> tuple[np.ndarray, float]:
    """Upper left corner and side, in pixels, of the square around a face's box that is looked at."""
    side = float((box[2:] - box[:2]).max()) * _GROWN
    pitch = side / SIDE
    return (box[:2] + box[2:]) / 2 - side / 2 - _REACH * pitch, _COUNT * pitch


def around_face(image: torch.Tensor, box: np.ndarray) -> np.ndarray:
    """What a picture shows at a face's box and around it, float32 [52, 52], mean luma in levels."""
    return _read(image, *reach_of(box), _COUNT).astype(np.float32)


def find_moved(image: torch.Tensor, mark: Mark, others: Sequence[Mark] = ()) -> Moved | None:
    """Where a face stands now, upright or turned a little, of about its size, if that is plainly beside its place.

    The rim of a cover, with the hair and clothes beside it, may look like the face. So no place counts that shows,
    beside the faces' covers, what it showed before.

    Args:
        image: float [H, W, C], 0..1.
        mark: of the face.
        others: of other faces of that picture: one person's portrait may stand in it several times.
    """
    around = _around(image, mark.corner, mark.side).astype(np.float32)
    pitch = mark.side / SIDE
    near = _near(pitch)
    squares = _squares(around)
    if _alike(squares[near.ravel()], mark.cells, 1).max(initial=-1.0) > 1 - MARGIN:
        return None
    alike = _alike(squares, mark.cells).reshape(*near.shape, len(_SIZES), len(_TURNS))
    forgiven = near[..., None] & (np.array(_SIZES) < _TOO_LARGE)
    here = float(alike[forgiven].max())
    alike[forgiven] = -1
    alike[_places_of(mark, others)] = -1
    beside, (patches, weights) = ~_covers_of(mark, others), _turned(mark.cells, None)
    faces = np.where(weights > 0, patches, np.nan).reshape(len(_SIZES), len(_TURNS), SIDE, SIDE)
    for best, least in ((alike[..., :1, :1], LEAST), (alike, LEAST_TURNED)):
        while (there := float(best.max())) >= max(least, here + MARGIN):
            row, column, size, turn = (int(index) for index in np.unravel_index(best.argmax(), best.shape))
            is_as_before = _is_as_before(around, mark.around, beside, (row, column), faces[size, turn])
            if not is_as_before and not _is_cover(around, (row, column)):
                pixels = float(np.hypot(row - _REACH, column - _REACH)) * pitch
                return Moved(pixels, there, here, _TURNS[turn], _SIZES[size])
            alike[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = -1
    return None


def first_moved(image: torch.Tensor, faces: Faces, number: int) -> tuple[int, Moved] | None:
    """The first face of a picture that stands beside its place: its place in `faces` and where; None where none does.

    Args:
        image: float [H, W, C], 0..1.
        faces: of the batch.
        number: of the picture in it.
    """
    marked = _marked(faces, number)
    everyone = [face.mark for face in (*faces, *faces.kept) if face.image_index == number and face.mark is not None]
    for place, mark in marked:
        if (moved := find_moved(image, mark, [other for other in everyone if other is not mark])) is not None:
            return place, moved
    return None


def not_at_place(image: torch.Tensor, faces: Faces, number: int) -> dict[int, bool]:
    """The faces of a picture whose places show something else than where they were found.

    Args:
        image: float [H, W, C], 0..1.
        faces: of the batch.
        number: of the picture in it.

    Returns:
        Place in `faces` -> whether there is nothing at all, as where it was covered.
    """
    found = {}
    for place, mark in _marked(faces, number):
        around = _around(image, mark.corner, mark.side).astype(np.float32)
        squares = _squares(around)[_near(mark.side / SIDE).ravel()]
        if _alike(squares, mark.cells).max() < AT_PLACE:
            middle = squares[len(squares) // 2].reshape(SIDE, SIDE)[SIDE // 3 : -SIDE // 3, SIDE // 3 : -SIDE // 3]
            found[place] = bool(middle.std() < _COVERED)
    return found


def _marked(faces: Faces, number: int) -> list[tuple[int, Mark]]:
    """The faces of a picture that are looked at, the largest first: place in `faces`, and patch."""
    mine = [(place, face.mark) for place, face in enumerate(faces) if face.image_index == number]
    marked = [(place, mark) for place, mark in mine if mark is not None]
    return sorted(marked, key=lambda one: -one[1].side)[:_MOST]


def _around(image: torch.Tensor, corner: Sequence[float] | np.ndarray, side: float) -> np.ndarray:
    """What a picture shows at a patch's place and as far around it as it is looked for, uint8 [52, 52]."""
    pitch = side / SIDE
    return _read(image, np.array(corner) - _REACH * pitch, _COUNT * pitch, _COUNT)


def _squares(around: np.ndarray) -> np.ndarray:
    """Every square of a patch's size, as rows: [29 * 29, 576]."""
    return np.lib.stride_tricks.sliding_window_view(around, (SIDE, SIDE)).reshape(-1, SIDE * SIDE)


def _near(pitch: float) -> np.ndarray:
    """Which shifts are none, bool [29, 29].

    Args:
        pitch: pixels a cell.
    """
    shifts = np.abs(np.arange(-_REACH, _REACH + 1))
    return np.maximum(shifts[:, None], shifts) <= max(_HERE, round(_HERE_PIXELS / pitch))


def _places_of(mark: Mark, others: Collection[Mark]) -> np.ndarray:
    """The shifts at which others of the same picture stood that look like this face: bool [29, 29]."""
    hidden = np.zeros((2 * _REACH + 1, 2 * _REACH + 1), bool)
    index = np.arange(-_REACH, _REACH + 1)
    for other in others:
        cells = other.cells.reshape(1, -1).astype(np.float32)
        if float(_alike(cells, mark.cells, 1).max()) < _SAME_FACE:
            continue
        shift = _shift_to(mark, other)
        reach = max(2.0, 0.12 * SIDE)  # cells: two boxes of one face differ so far
        hidden |= (np.abs(index - shift[1]) <= reach)[:, None] & (np.abs(index - shift[0]) <= reach)
    return hidden


def _shift_to(mark: Mark, other: Mark) -> np.ndarray:
    """From the middle of a patch to that of another one: right and down, in cells of the first."""
    return (np.array(other.corner) - mark.corner + (other.side - mark.side) / 2) * SIDE / mark.side


def _covers_of(mark: Mark, others: Collection[Mark]) -> np.ndarray:
    """The cells of a face's surroundings which a cover of it, or of another face, may hide: bool [52, 52]."""
    index = np.arange(_COUNT) - (_COUNT - 1) / 2
    hidden = np.zeros((_COUNT, _COUNT), bool)
    for other in (mark, *others):
        right, down = _shift_to(mark, other)
        hidden |= np.hypot(index - right, index[:, None] - down) <= _COVER * SIDE / 2 * other.side / mark.side
    return hidden


def _is_as_before(
    now: np.ndarray, then: np.ndarray, beside: np.ndarray, place: tuple[int, int], face: np.ndarray
) -> bool:
    """Whether a place where a face seems to be shows what it showed before rather than that face, beside the covers.

    Args:
        now: float32 [52, 52], what the picture shows.
        then: uint8 [52, 52], of the mark.
        beside: bool [52, 52], the cells that no cover hides.
        place: row and column of the square.
        face: float32 [24, 24], the patch in its size and turn, no number where nothing is compared.
    """
    shown = beside[place[0] : place[0] + SIDE, place[1] : place[1] + SIDE] & np.isfinite(face)
    if shown.sum() < _LEAST_SEEN:
        return False
    rows, columns = shown.nonzero()
    seen = now[rows + place[0], columns + place[1]]
    most = _CLEARLY * unexplained(seen, face[rows, columns])
    near = range(-_HERE, _HERE + 1)
    before = np.pad(then.astype(np.float32), _HERE, mode="edge")
    rows, columns = rows + place[0] + _HERE, columns + place[1] + _HERE
    shifted = (before[rows + down, columns + right] for down in near for right in near)
    return any(unexplained(seen, one) < most for one in shifted)


def _is_cover(around: np.ndarray, place: tuple[int, int]) -> bool:
    """Whether the face's own place is covered, and much of another one shows that cover's colour.

    Args:
        around: float32 [52, 52], what the picture shows.
        place: row and column of the other square.
    """
    third = slice(_REACH + SIDE // 3, -_REACH - SIDE // 3)
    middle = around[third, third]
    shown = around[place[0] : place[0] + SIDE, place[1] : place[1] + SIDE]
    return bool(middle.std() < _COVERED and np.mean(np.abs(shown - np.median(middle)) <= _COVERED) >= _OF_COVER)


def _alike(squares: np.ndarray, cells: np.ndarray, count: int | None = None) -> np.ndarray:
    """Correlations of squares with a patch in each of its sizes and turns, 0 where one is flat: [N, K].

    Args:
        squares: [N, 576].
        cells: [24, 24], of the patch.
        count: of the sizes and turns, of which the first is the patch as it is; None: all.
    """
    patches, weights = _turned(cells, count)
    squares = squares - squares.mean(1, keepdims=True)
    together = squares @ (weights * patches).T
    mean = squares @ weights.T
    spread = np.maximum((squares * squares) @ weights.T - mean * mean, 0) * (weights * patches * patches).sum(1)
    return np.divide(together, np.sqrt(spread), out=np.zeros_like(together), where=spread > 1)


def _turned(cells: np.ndarray, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """A patch in each size and turn, and how much each cell counts: [K, 576] twice; each patch of mean 0."""
    import torch

    grids, weights = _turned_grids()
    patch = torch.from_numpy(cells.astype(np.float32)).expand(len(grids[:count]), 1, -1, -1)
    shown = torch.nn.functional.grid_sample(patch, torch.from_numpy(grids[:count]), align_corners=False)
    patches, weights = shown.numpy().reshape(-1, SIDE * SIDE), weights[:count]
    return patches - (weights * patches).sum(1, keepdims=True), weights


@lru_cache(maxsize=1)
def _turned_grids() -> tuple[np.ndarray, np.ndarray]:
    """Where the cells of a patch in each size and turn lie in it, [K, 24, 24, 2], and what each counts, [K, 576]."""
    index = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y = np.meshgrid(index, index)
    grids, weights = [], []
    for size in _SIZES:
        for angle in np.deg2rad(_TURNS):
            cosine, sine = np.cos(angle) / size, np.sin(angle) / size
            grids.append(np.stack([cosine * x - sine * y, sine * x + cosine * y], -1))
            counts = np.clip((_ROUND - np.hypot(x, y) / size) / _EDGE, 0, 1).reshape(-1)
            weights.append(counts / counts.sum())
    return np.stack(grids).astype(np.float32), np.stack(weights).astype(np.float32)


def _read(image: torch.Tensor, corner: np.ndarray, side: float, count: int) -> np.ndarray:
    """A square of a picture as mean luma, uint8 [count, count]; beyond the border its last pixels."""
    import torch

    height, width = image.shape[:2]
    low = np.floor(corner).astype(int)
    high = np.ceil(corner + side).astype(int) + 1
    step = max(1, int(side / count / 4))  # of a large face every second, third, ... pixel
    if (low >= 0).all() and high[0] <= width and high[1] <= height:
        part = image[low[1] : high[1] : step, low[0] : high[0] : step, :3].float().cpu()
    else:
        rows = torch.arange(low[1], high[1], step, device=image.device).clamp(0, height - 1)
        columns = torch.arange(low[0], high[0], step, device=image.device).clamp(0, width - 1)
        part = image[rows[:, None], columns, :3].float().cpu()
    luma = part @ part.new_tensor((0.299, 0.587, 0.114)) if part.shape[2] == 3 else part[..., 0]
    luma = torch.nan_to_num(luma).clamp(0, 1)[None, None]
    # as grid_sample counts: -1 and 1 are the outer edges of the first pixel and the last
    ends = np.array([luma.shape[3], luma.shape[2]]) * step
    finer = 3 * count  # nine samples a cell
    at = [(corner[axis] - low[axis] + (np.arange(finer) + 0.5) * side / finer) * 2 / ends[axis] - 1 for axis in (0, 1)]
    grid = np.empty((1, finer, finer, 2), np.float32)
    grid[..., 0], grid[..., 1] = at[0], at[1][:, None]
    found = torch.nn.functional.grid_sample(luma, torch.from_numpy(grid), padding_mode="border", align_corners=False)
    return torch.nn.functional.avg_pool2d(found, 3)[0, 0].mul(255).round().byte().numpy()
