"""A crop and the place in the picture that it goes to: what is known of the place is worked out once, here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..alignment import check_faces, cut_square, invert_affine
from ..originals import as_colours, read_square, square_of
from ..types import Face, Faces
from .detail import Detail, compare_pixels
from .masks import FaceShapes

_ANOTHER = 1.0 / 255  # mean difference from which a square is not the one that was cut; rounding makes a quarter


@dataclass(frozen=True, eq=False)
class Placement:
    """A crop on its way into its picture.

    Args:
        image: float [H, W, C], 0..1: the picture as it was before any crop was pasted.
        crop: float [S, S, 1, 3 or 4], 0..1; S may differ from the face's crop_size.
        face: with `matrix` and `crop_size`.
        repaints: an earlier step painted what the picture shows there: repaint.py.
    """

    image: torch.Tensor
    crop: torch.Tensor
    face: Face
    repaints: bool = False

    @cached_property
    def shapes(self) -> FaceShapes:
        """The shapes of the face, each worked out once."""
        return FaceShapes(self.face)

    @property
    def crop_size(self) -> int:
        """Side in pixels of the square that was cut, which the crop need not have."""
        return self.face.crop_place()[1]

    @cached_property
    def to_picture(self) -> np.ndarray:
        """float64 (2, 3), crop pixels -> picture pixels. Raises ValueError when the face's matrix has no inverse."""
        return invert_affine(self.face.crop_place()[0])

    @property
    def side(self) -> float:
        """Side in pixels of the picture of the square that was cut."""
        return self.crop_size * float(np.sqrt(abs(np.linalg.det(self.to_picture[:, :2]))))

    @cached_property
    def before(self) -> tuple[np.ndarray, np.ndarray]:
        """What the picture shows in the square before any crop was pasted, and which cells lie in it: read_square."""
        return read_square(self.image, self.to_picture, self.crop_size)

    @cached_property
    def first(self) -> np.ndarray | None:
        """What the picture that the face was cut from shows in the square, where that is something else: float32
        [3, 160, 160]; None where it is the same, or not known.
        """
        if self.face.original is None:
            return None
        first, (before, visible) = as_colours(self.face.original), self.before
        changed = visible.any() and np.abs(first - before).mean(0)[visible].mean() > _ANOTHER
        return first if changed else None

    @cached_property
    def to_unit(self) -> np.ndarray:
        """float64 (2, 3), picture pixels -> the unit square whose edges are those of the crop."""
        matrix, size = self.face.crop_place()
        matrix = matrix / size
        matrix[:, 2] += 0.5 / size
        return matrix

    @cached_property
    def cut(self) -> torch.Tensor:
        """What the picture shows in the crop's square, float32 [crop_size, crop_size, 3], as crop_faces cuts it."""
        return cut_square(self.image, self.to_picture, self.crop_size)

    @cached_property
    def kept_pixels(self) -> Detail | None:
        """How many pixels of the crop are the original's; None where it was cut in another size: they lie elsewhere."""
        if self.repaints or self.cut.shape[:2] != self.crop.shape[:2] or self.crop.shape[2] < 3:
            return None
        cut, crop = (pixels[..., :3].float().cpu().numpy() for pixels in (self.cut, self.crop))
        return compare_pixels(cut, crop)

    def forget_cut(self) -> None:
        """Free the memory of `cut`, which is as large as the crop; what is asked of its pixels is worked out first."""
        if "cut" in self.__dict__:
            _ = self.kept_pixels
            del self.__dict__["cut"]

    @cached_property
    def square(self) -> tuple[int, int, int, int]:
        """x0 y0 x1 y1, exclusive ends, around all pixels of the picture that the crop shows; empty beside it."""
        return square_of(self.to_picture, self.crop_size, *self.image.shape[:2])

    def cell_centres(self, side: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Where the cells of a grid of side x side over the crop lie.

        Returns:
            x and y, float32 [side, side], in picture pixels; and which cells show the inside of the picture alone, bool
            [side, side].
        """
        inverse, size = self.to_picture, self.crop_size
        height, width = self.image.shape[:2]
        index = (np.arange(side) + 0.5) * size / side - 0.5
        across = index[None, :, None] * inverse[:, 0] + index[:, None, None] * inverse[:, 1] + inverse[:, 2]
        reach = 1 + np.abs(inverse[:, :2]).sum(1) * (0.5 * size / side + 1)
        inside = ((across >= reach) & (across <= np.array([width - 1, height - 1]) - reach)).all(-1)
        x, y = torch.from_numpy(across.astype(np.float32)).to(device).unbind(-1)
        return x, y, torch.from_numpy(inside).to(device)


def check_crops(images: torch.Tensor, crops: torch.Tensor, faces: Faces) -> None:
    """Raise ValueError unless there is one square crop a face, and the faces are of these images and have matrices.

    Args:
        images: [B, H, W, C].
        crops: [N, S, S, C].
        faces: N of them.
    """
    check_faces(images, faces)
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] not in (1, 3, 4):
        raise ValueError(f"Crops are square, [N, S, S, C] with 1, 3 or 4 channels, got {list(crops.shape)}.")
    if len(crops) != len(faces):
        raise ValueError(
            f"There are {len(crops)} crops but {len(faces)} faces: connect all the crops that were made of these faces."
        )
    for face in faces:
        face.crop_place()


def placements_in(
    index: int, images: torch.Tensor, crops: torch.Tensor, faces: Faces, repainted: Collection[int] = ()
) -> dict[int, Placement]:
    """The crops of one picture: index of a face in `faces` -> its placement.

    Args:
        index: of the picture.
        images, crops, faces: as check_crops wants them.
        repainted: indices of faces that an earlier step painted.
    """
    return {
        i: Placement(images[index], crops[i], face, i in repainted)
        for i, face in enumerate(faces)
        if face.image_index == index
    }
