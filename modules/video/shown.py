"""How players show the stored pictures of a video: cut, turned, mirrored, with pixels that are not square."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
import torch
from av.sidedata.sidedata import SideData, Type

from .structure import UNCUT, Crop

_NEARLY_SQUARE = 0.01  # of a side: less is the rounding of broadcast norms, which nobody sees
_MOST_STRETCHED = 6


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to show a picture: rows and columns are exchanged first, then it is mirrored.

    Attributes:
        transposed: rows become columns.
        mirrored: left and right are exchanged.
        upside_down: top and bottom are exchanged.
    """

    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """A view of [H, W, ...] as it is shown."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


def side_data(frame: av.VideoFrame, kind: Type) -> bytes | None:
    """What FFmpeg puts beside a frame. Raises ValueError where it puts something there that PyAV does not know."""
    beside = cast(Iterable[SideData], frame.side_data)
    return next((bytes(data) for data in beside if data.type == kind), None)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What the display matrix of a frame's file, or of the frame itself, asks for; slanted ones become upright."""
    try:
        data = side_data(frame, Type.DISPLAYMATRIX)
    except ValueError:  # PyAV does not know all that FFmpeg puts beside a frame; it still tells the rotation
        return _TURNED[round(frame.rotation / 90) % 4]
    if data is None:
        return Orientation()
    x_of_x, y_of_x, _, x_of_y, y_of_y = map(int, np.frombuffer(data, np.int32)[:5])
    if abs(x_of_x) + abs(y_of_y) >= abs(y_of_x) + abs(x_of_y):
        return Orientation(False, x_of_x < 0, y_of_y < 0)
    return Orientation(True, x_of_y < 0, y_of_x < 0)


# by quarter turns, counterclockwise
_TURNED = (
    Orientation(),
    Orientation(transposed=True, upside_down=True),
    Orientation(mirrored=True, upside_down=True),
    Orientation(transposed=True, mirrored=True),
)


@dataclass(frozen=True)
class Shown:
    """What lies between the stored pictures of a track and those that a viewer sees.

    Attributes:
        crop: what the container cuts off.
        aspect: width of a stored pixel by its height.
    """

    crop: Crop = UNCUT
    aspect: Fraction = Fraction(1)

    def upright(self, pixels: np.ndarray, orientation: Orientation) -> np.ndarray:
        """A stored picture [H, W, ...], cut, turned and mirrored; its pixels are still those of the file."""
        top, bottom, left, right = self._inside(*pixels.shape[:2])
        return orientation.apply(pixels[top:bottom, left:right])

    def stored_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height of upright(frame), in pixels of the file."""
        top, bottom, left, right = self._inside(frame.height, frame.width)
        width, height = right - left, bottom - top
        return (height, width) if orientation_of(frame).transposed else (width, height)

    def size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height in square pixels, as a viewer sees the frame. Raises ValueError for absurd pixels."""
        return self._square(*self.stored_size(frame), orientation_of(frame).transposed)

    def upright_aspect(self, orientation: Orientation) -> Fraction:
        """Width of a pixel by its height after the frame was turned."""
        return 1 / self.aspect if orientation.transposed else self.aspect

    def _square(self, width: int, height: int, transposed: bool) -> tuple[int, int]:
        aspect = 1 / self.aspect if transposed else self.aspect
        if not Fraction(1, _MOST_STRETCHED) <= aspect <= _MOST_STRETCHED:
            raise ValueError(
                f"The video says that its pixels are {float(aspect):.3g} times as wide as high, so that no face in it "
                "has its shape: repair its pixel aspect (ffmpeg -aspect 16:9 -c copy), then try again."
            )
        if abs(float(aspect) - 1) < _NEARLY_SQUARE:
            return width, height
        # the longer side of a pixel decides, so that no detail is lost
        return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))

    def _inside(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns that are shown: those between top and bottom, and between left and right."""
        top, bottom, left, right = (max(0, edge) for edge in self.crop)
        if top + bottom >= height or left + right >= width:
            return 0, height, 0, width  # players ignore what would leave nothing
        return top, height - bottom, left, width - right


def stretch(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pictures [N, H, W, 3] at another width and height; the same tensor where that is theirs already."""
    width, height = size
    if pictures.shape[1:3] == (height, width):
        return pictures
    moved = torch.nn.functional.interpolate(
        pictures.movedim(-1, 1), (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return moved.movedim(1, -1).contiguous()


def squeeze_changes(stored: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Put what was changed in stretched pictures into the stored ones; all else stays as it is stored.

    Args:
        stored: [N, h, w, 3].
        before: stretch(stored, ...), [N, H, W, 3].
        after: `before`, changed.

    Returns:
        [N, h, w, 3].
    """
    if stored.shape == before.shape:
        return after
    height, width = stored.shape[1:3]
    after = after.to(before.device)
    changed = (after != before).any(-1).float()[:, None]
    # a stored pixel is changed where any part of it is: a seam of the original at the edge of a face would stay
    touched = torch.nn.functional.interpolate(changed, (height, width), mode="area")[:, 0, :, :, None] > 0
    return torch.where(touched, stretch(after, (width, height)).to(stored.dtype), stored)
