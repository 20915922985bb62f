"""Three small networks of face-api.js as torch modules: 68 landmarks, expression, age and gender of a face.

Source of the architectures and the weights: face-api.js (Vincent Mühler, MIT), read from the sources of the npm package
@vladmandic/face-api 1.7 (MIT), which carries its weights in 8 bits: dense blocks of separable convolutions, and a small
Xception (Chollet, arXiv 1610.02357).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..faces.detect.weights import MODELS, load_weights
from .packing import unpack

LANDMARK_WEIGHTS = MODELS / "face_landmarks.safetensors"
EXPRESSION_WEIGHTS = MODELS / "face_expression.safetensors"
AGE_GENDER_WEIGHTS = MODELS / "face_age_gender.safetensors"
SIDE = 112  # of the picture of a face, in pixels
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
_MEAN = (122.782, 117.001, 104.298)
_WHAT = "The weights for what a face shows"


class _Separable(nn.Module):
    """A depthwise convolution of 3x3 without bias and one of 1x1, padded as in TensorFlow."""

    def __init__(self, width_in: int, width_out: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.depthwise_filter = nn.Conv2d(width_in, width_in, 3, stride, groups=width_in, bias=False)
        self.pointwise_filter = nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise_filter(self.depthwise_filter(_pad(x, self.stride)))


def _pad(x: torch.Tensor, stride: int, value: float = 0.0) -> torch.Tensor:
    """The border that TensorFlow's padding "same" gives to 3x3: behind alone where an even size is halved."""
    even = stride == 2 and x.shape[2] % 2 == 0
    return F.pad(x, (0, 1, 0, 1) if even else (1, 1, 1, 1), value=value)


class _DenseBlock(nn.Module):
    """Four convolutions, each of which gets the sum of all before it; the first one halves the picture."""

    def __init__(self, width_in: int, width: int, first: bool):
        super().__init__()
        self.conv0 = nn.Conv2d(3, width, 3, 2) if first else _Separable(width_in, width, 2)
        self.conv1, self.conv2, self.conv3 = (_Separable(width, width) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = F.relu(self.conv0(_pad(x, 2) if isinstance(self.conv0, nn.Conv2d) else x))
        held = total
        for convolution in (self.conv1, self.conv2, self.conv3):
            total = total + convolution(held)
            held = F.relu(total)
        return held


class _Picture(nn.Module):
    """What all three networks do with their input."""

    mean: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, SIDE, SIDE):
            raise ValueError(f"This network takes [B, 3, {SIDE}, {SIDE}], not {list(x.shape)}: cut the face first.")
        return (x - self.mean) / 255


class DenseFaceNet(_Picture):
    """Four dense blocks and one linear layer: the network of landmarks, and that of expressions."""

    def __init__(self, outputs: int):
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        for i, (width_in, width) in enumerate(pairwise(widths)):
            self.add_module(f"dense{i}", _DenseBlock(width_in, width, i == 0))
        self.fc = nn.Linear(widths[-1], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x, float32 [B, 3, 112, 112], RGB, 0..255. Returns [B, outputs]. Raises ValueError: another shape."""
        y = self.scaled(x)
        for i in range(4):
            y = self.get_submodule(f"dense{i}")(y)
        return self.fc(y.mean((2, 3)))


class LandmarkNet(DenseFaceNet):
    """The 68 iBUG points of a face."""

    def __init__(self):
        super().__init__(68 * 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Landmarks of faces.

        Args:
            x: float32 [B, 3, 112, 112], RGB, 0..255: an upright face that fills the square.

        Returns:
            [B, 68, 2], x before y, in sides of the square from its top left corner.

        Raises:
            ValueError: another shape.
        """
        return super().forward(x).unflatten(1, (68, 2))


class ExpressionNet(DenseFaceNet):
    """Which of seven expressions a face has."""

    def __init__(self):
        super().__init__(len(EXPRESSIONS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities [B, 7] in the order of EXPRESSIONS, of pictures as LandmarkNet takes them."""
        return torch.softmax(super().forward(x), 1)


class _Reduction(nn.Module):
    def __init__(self, width_in: int, width: int, activate: bool):
        super().__init__()
        self.activate = activate
        self.separable_conv0, self.separable_conv1 = _Separable(width_in, width), _Separable(width, width)
        self.expansion_conv = nn.Conv2d(width_in, width, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.separable_conv0(F.relu(x) if self.activate else x)
        y = self.separable_conv1(F.relu(y))
        return F.max_pool2d(_pad(y, 2, float("-inf")), 3, 2) + self.expansion_conv(x)


class _Main(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.separable_conv0, self.separable_conv1, self.separable_conv2 = (_Separable(width, width) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for convolution in (self.separable_conv0, self.separable_conv1, self.separable_conv2):
            y = convolution(F.relu(y))
        return x + y


class AgeGenderNet(_Picture):
    """Age and gender by a small Xception."""

    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(3, 32, 3, 2)
        self.reduction_block_0 = _Reduction(32, 64, activate=False)
        self.reduction_block_1 = _Reduction(64, 128, activate=True)
        self.main_block_0, self.main_block_1 = _Main(128), _Main(128)
        self.reduction_block = _Reduction(128, 256, activate=True)
        self.separable_conv = _Separable(256, 512)
        self.age, self.gender = nn.Linear(512, 1), nn.Linear(512, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Age and gender of faces.

        Args:
            x: float32 [B, 3, 112, 112], RGB, 0..255: an upright face that fills the square.

        Returns:
            Age in years [B]; the probability of a man [B], 0..1.

        Raises:
            ValueError: another shape.
        """
        y = F.relu(self.conv_in(_pad(self.scaled(x), 2)))
        y = self.reduction_block_1(self.reduction_block_0(y))
        y = self.reduction_block(self.main_block_1(self.main_block_0(y)))
        y = F.relu(self.separable_conv(y)).mean((2, 3))
        return self.age(y)[:, 0], torch.softmax(self.gender(y), 1)[:, 0]


def load_landmark_net(path: str | Path = LANDMARK_WEIGHTS) -> LandmarkNet:
    """The network of landmarks with its weights, in float32, in eval mode, on the CPU, without gradients.

    Args:
        path: a safetensors file made by tools/convert/face_api.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    return load_weights(LandmarkNet, path, _WHAT, "the landmark network", unpack=unpack)


def load_expression_net(path: str | Path = EXPRESSION_WEIGHTS) -> ExpressionNet:
    """The network of expressions, as load_landmark_net does."""
    return load_weights(ExpressionNet, path, _WHAT, "the expression network", unpack=unpack)


def load_age_gender_net(path: str | Path = AGE_GENDER_WEIGHTS) -> AgeGenderNet:
    """The network of age and gender, as load_landmark_net does."""
    return load_weights(AgeGenderNet, path, _WHAT, "the age and gender network", unpack=unpack)
