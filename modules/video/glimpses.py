"""A few frames of a clip for the eye: with its faces drawn in, or before and after. Pure: no ComfyUI here."""

from __future__ import annotations

import torch

from ..faces.drawing import draw_faces
from ..faces.sheet import before_and_after
from ..faces.types import Faces
from .containers import Source
from .files import read_frames
from .reading import WHOLE, Window

_LARGEST = 960  # pixels of a side: a file of each is written and shown small
_EARLY = 250  # frames from the beginning that are read once more to be shown


class Glimpses:
    """Frames that lie evenly over a clip, 8 bits a value.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int):
        self._most = most
        self._kept: dict[int, torch.Tensor] = {}

    def see(self, first: int, frames: torch.Tensor, count: int) -> None:
        """Keep those of a few frames that belong to the choice.

        Args:
            first: number of the first of them, from 0.
            frames: float [B, H, W, 3], 0..1.
            count: of all frames of the clip.
        """
        steps = max(1, self._most - 1)
        chosen = {round(i * (count - 1) / steps) for i in range(self._most)}
        for number in sorted(chosen & set(range(first, first + len(frames)))):
            self._kept[number] = frames[number - first].mul(255).round().to(torch.uint8)

    def numbers(self, faces: Faces) -> list[int]:
        """The numbers of the frames that `drawn` gives, from 0."""
        return [number for number in self._kept if number < faces.image_count]

    def drawn(self, faces: Faces) -> torch.Tensor:
        """The frames with their faces drawn in, for the eye only.

        Args:
            faces: of all frames.

        Returns:
            float32 [at most so many, h, w, 3], 0..1, of at most 960 pixels a side.
        """
        drawn = [
            draw_faces(self._kept[number][None].float() / 255, faces.window(number, number + 1))
            for number in self.numbers(faces)
        ]
        if not drawn:
            return torch.zeros(0, faces.height, faces.width, 3)
        return _shrunk(torch.cat(drawn))


def compared(before: Source, after: Source, faces: Faces, most: int, window: Window = WHOLE) -> torch.Tensor:
    """A few frames that have faces, each before and after, from the clip's beginning: nothing is read beyond that.

    Args:
        before, after: path or bytes of the files.
        faces: of all frames.
        most: how many frames.
        window: of the first file, start and duration in seconds; the second one is what became of it.

    Returns:
        float32 [at most so many, h, w, 3], 0..1; none where no early frame has a face, or where the sizes differ.
    """
    places = sorted({face.image_index for face in faces if face.image_index < _EARLY})
    chosen = sorted({places[round(i * (len(places) - 1) / max(1, most - 1))] for i in range(most)} if places else ())
    both = [dict(read_frames(before, chosen, window)), dict(read_frames(after, chosen))]
    alike = [number for number in chosen if all(number in one for one in both)]
    alike = [number for number in alike if both[0][number].shape == both[1][number].shape]
    if not alike:
        return torch.zeros(0, faces.height, faces.width, 3)
    first, second = (_shrunk(torch.stack([one[number] for number in alike])) for one in both)
    return before_and_after(first, second)


def _shrunk(pictures: torch.Tensor) -> torch.Tensor:
    """float [B, H, W, 3], of at most _LARGEST pixels a side."""
    shrink = _LARGEST / max(pictures.shape[1:3])
    if shrink >= 1:
        return pictures
    size = [max(1, round(side * shrink)) for side in pictures.shape[1:3]]
    moved = torch.nn.functional.interpolate(pictures.movedim(-1, 1), size, mode="area")
    return moved.movedim(1, -1)
