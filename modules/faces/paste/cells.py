"""Cells of a face: their luma, and half as many of them."""

from __future__ import annotations

import numpy as np

from .colour import LUMA

_LUMA = np.array(LUMA, np.float32)


def luma_of(colours: np.ndarray) -> np.ndarray:
    """The luma of colours [3, S, S]: [S, S]."""
    return np.tensordot(_LUMA, colours, 1)


def halved(cells: np.ndarray) -> np.ndarray:
    """Cells [..., S, S] averaged by two in each direction."""
    return (cells[..., ::2, ::2] + cells[..., 1::2, ::2] + cells[..., ::2, 1::2] + cells[..., 1::2, 1::2]) / 4
