"""O-Net, the third stage of MTCNN, as a torch module: from the picture of one face to five points.

Source of the architecture: MTCNN (Zhang et al., arXiv 1604.02878, figure 2) as ported by facenet-pytorch 2.6.0 (MIT),
whose weights these are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from .centerface import channels_side_by_side
from .weights import MODELS, load_weights

WEIGHTS = MODELS / "onet.safetensors"
SIDE = 48  # of the picture of a face, in pixels


class ONet(nn.Module):
    """The network of 0.39 M parameters. Modules carry the names of the port, so that its weights load as they are."""

    def __init__(self):
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.last_pool = nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Probability of a face, correction of its box, and its five points.

        Args:
            x: float32 [B, 3, 48, 48], RGB, 0..1: an upright face that fills the square from forehead to chin.

        Returns:
            The probability [B], 0..1; what x0, y0, x1, y1 of the square would have to move by, in sides [B, 4]; points
            [B, 5, 2] as x y in sides of the square from its top left corner: eyes, nose, mouth corners, the image-left
            one first.

        Raises:
            ValueError: another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, SIDE, SIDE):
            raise ValueError(f"O-Net takes [B, 3, {SIDE}, {SIDE}], not {list(x.shape)}: resize the face first.")
        y = channels_side_by_side((x * 255 - 127.5) / 128)  # three times as fast on a processor
        y = self.pool(self.prelu1(self.conv1(y)))
        y = self.pool(self.prelu2(self.conv2(y)))
        y = self.last_pool(self.prelu3(self.conv3(y)))
        y = self.prelu4(self.conv4(y))
        # the weights come from a framework that flattens columns before rows, and channels last
        y = self.prelu5(self.dense5(y.permute(0, 3, 2, 1).flatten(1)))
        points = self.dense6_3(y).unflatten(1, (2, 5)).transpose(1, 2)
        return torch.softmax(self.dense6_1(y), 1)[:, 1], self.dense6_2(y), points


def load_onet(path: str | Path = WEIGHTS) -> ONet:
    """O-Net with its weights, in float32, in eval mode, on the CPU, without gradients.

    Args:
        path: a safetensors file made by tools/convert/onet.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    return load_weights(ONet, path, "The weights for face points", "O-Net")
