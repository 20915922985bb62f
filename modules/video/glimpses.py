"""A few frames of a clip with its faces drawn in, kept while all of it is read once. Pure: no ComfyUI here."""

from __future__ import annotations

import torch

from ..faces.drawing import draw_faces
from ..faces.types import Faces

_LARGEST = 960  # pixels of a side: a file of each is written and shown small


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
        pictures = torch.cat(drawn)
        shrink = _LARGEST / max(pictures.shape[1:3])
        if shrink >= 1:
            return pictures
        size = [max(1, round(side * shrink)) for side in pictures.shape[1:3]]
        moved = torch.nn.functional.interpolate(pictures.movedim(-1, 1), size, mode="area")
        return moved.movedim(1, -1)
