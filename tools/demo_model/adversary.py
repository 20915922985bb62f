"""A small adversary for pictures: whether each place of one looks rendered, by what surrounds it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (24, 48, 96, 128)  # each level halves the sides: the last sees 61 pixels around, an eye with its brow

DETAIL = 2  # how much stronger it sees what is fine


class Adversary(nn.Module):
    """Judges pictures place by place; spectral normalisation keeps it from running away from what it judges."""

    def __init__(self):
        super().__init__()
        levels, before = [], 6
        for width in WIDTHS:
            levels.append(spectral_norm(nn.Conv2d(before, width, 4, 2, 1)))
            before = width
        self.levels = nn.ModuleList(levels)
        self.verdict = spectral_norm(nn.Conv2d(before, 1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Verdicts, above 0 where a place looks rendered, and what was seen on the way to them.

        Args:
            pictures: [N, 3, S, S], -1..1.

        Returns:
            [N, 1, S / 16, S / 16], and one [N, C, h, w] a level.
        """
        around = functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
        seen, x = [], torch.cat([pictures, DETAIL * (pictures - around)], 1)
        for level in self.levels:
            x = functional.leaky_relu(level(x), 0.2)
            seen.append(x)
        return self.verdict(x), seen


def hinge(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """What the adversary learns by: verdicts of at least 1 and at most -1 cost nothing more."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def unlikeness(seen: list[torch.Tensor], wanted: list[torch.Tensor]) -> torch.Tensor:
    """How far apart two batches of pictures are in the adversary's eyes, level by level."""
    return sum(functional.l1_loss(one, other.detach()) for one, other in zip(seen, wanted, strict=True)) / len(seen)
