"""From a picture of a synthetic face back to the parameters that it was rendered with: a small convolutional network.

The evaluation measures with it. It shares nothing with the image encoder of the demo model but the pictures that both
are trained on (tools/demo_model/train_regressors.py).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from ..files import replaced_whole
from .tables import ATTRIBUTES, IDENTITY

SIZE = 128
OUTPUTS = len(IDENTITY) + len(ATTRIBUTES)
WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "synthetic_regressor.safetensors"
_WIDTHS = (48, 96, 160)


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x):
        x = x + self.conv2(functional.silu(self.norm2(self.conv1(functional.silu(self.norm1(x))))))
        return x


class SyntheticRegressor(nn.Module):
    """The network. Its weights hold how reliable each of its values is.

    Attributes:
        reliability: float32 [101], the share of each parameter's variance that is explained on held-out faces, 0..1.
    """

    reliability: torch.Tensor

    def __init__(self):
        super().__init__()
        stages, before = [], 3
        for i, width in enumerate(_WIDTHS):
            down = nn.Conv2d(before, width, 8, 4, 2) if i == 0 else nn.Conv2d(before, width, 4, 2, 1)
            stages += [down, _Block(width)]
            before = width
        self.stages = nn.Sequential(*stages)
        places = (SIZE // 16) ** 2
        self.squeeze = nn.Conv2d(before, 24, 1)
        self.head = nn.Sequential(nn.Linear(24 * places, 384), nn.SiLU(), nn.Linear(384, OUTPUTS))
        self.register_buffer("reliability", torch.ones(OUTPUTS))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Read the parameters off pictures.

        Args:
            images: float [N, S, S, 3], 0..1; another size than 128 is resized.

        Returns:
            Float [N, 101]: identity, then attributes, in the order of the tables, normalised to -1..1 (see Parameters).

        Raises:
            ValueError: the pictures have another shape.
        """
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"Pictures are [N, S, S, 3]; got {list(images.shape)}.")
        x = images.movedim(-1, 1)
        if x.shape[2:] != (SIZE, SIZE):
            x = functional.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True)
        x = self.squeeze(self.stages(x * 2 - 1))
        return self.head(x.flatten(1))


def load_regressor(path: Path = WEIGHTS) -> SyntheticRegressor:
    """The regressor in a file, in float32 and for inference.

    Args:
        path: of a safetensors file, as save_regressor writes it.

    Raises:
        ValueError: the file cannot be read or holds other weights.
    """
    regressor = SyntheticRegressor()
    try:
        regressor.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} is no regressor ({error}). Get the pack's own file again.") from None
    return regressor.eval().requires_grad_(False)


def save_regressor(regressor: SyntheticRegressor, path: Path) -> None:
    """Write the weights in half precision, whole or not at all."""
    weights = {key: value.detach().half().contiguous() for key, value in regressor.state_dict().items()}
    with replaced_whole(path) as part:
        save_file(weights, part)
