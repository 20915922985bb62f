"""dlib's recogniser of faces as a torch module: from an aligned picture of a face to 128 numbers.

Source of the architecture: dlib's example dnn_face_recognition_ex.cpp (Davis King, public domain), a ResNet of 29
layers after He et al. (arXiv 1512.03385) with half the filters; of the weights,
dlib_face_recognition_resnet_model_v1.dat (public domain, see NOTICE).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..faces.detect.weights import MODELS, load_weights
from .packing import unpack

WEIGHTS = MODELS / "dlib_resnet.safetensors"
SIDE = 150  # of the picture of a face, in pixels
WIDTH = 128  # of a descriptor
_MEAN = (122.782, 117.001, 104.298)  # of R, G, B, which dlib subtracts
# filters and blocks of each level; the first block of a level halves the picture, but for the first level
_LEVELS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))


class _Block(nn.Module):
    """Two convolutions and what goes around them. dlib pads nothing where it halves, and adds what is smaller as if it
    were followed by zeros, in channels as in rows and columns.
    """

    def __init__(self, width_in: int, width: int, halve: bool):
        super().__init__()
        self.halve = halve
        self.first = nn.Conv2d(width_in, width, 3, 2 if halve else 1, 0 if halve else 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(F.relu_(self.first(x)))
        if self.halve:
            x = F.avg_pool2d(x, 2)
            x, y = _grown(x, y), _grown(y, x)
        return F.relu_(x + y)


def _grown(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """x followed by zeros where the other has more channels, rows or columns."""
    missing = [max(0, theirs - ours) for ours, theirs in zip(x.shape[1:], other.shape[1:], strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))


class DlibResNet(nn.Module):
    """The network of 5.6 M parameters; dlib's affine layers are folded into the convolutions before them.

    Convolutions are registered in the order in which the picture passes them.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks, width_in = [], 32
        for level, (width, count) in enumerate(_LEVELS):
            for block in range(count):
                blocks.append(_Block(width_in, width, level > 0 and block == 0))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.descriptor = nn.Linear(width_in, WIDTH, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)

    mean: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Descriptors of faces.

        Args:
            x: float32 [B, 3, 150, 150], RGB, 0..255: faces aligned as crops.descriptor_crop cuts them.

        Returns:
            [B, 128]; two faces of one person are less than 0.6 apart (Euclidean), says dlib.

        Raises:
            ValueError: another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, SIDE, SIDE):
            raise ValueError(
                f"dlib's recogniser takes [B, 3, {SIDE}, {SIDE}], not {list(x.shape)}: cut the face first."
            )
        y = F.relu_(self.stem((x - self.mean) / 256))
        y = self.blocks(F.max_pool2d(y, 3, 2))
        return self.descriptor(y.mean((2, 3)))


def load_dlib_resnet(path: str | Path = WEIGHTS) -> DlibResNet:
    """The recogniser with its weights, in float32, in eval mode, on the CPU, without gradients.

    Args:
        path: a safetensors file made by tools/convert/dlib_resnet.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    return load_weights(DlibResNet, path, "The weights of a recogniser", "dlib's recogniser", unpack=unpack)
