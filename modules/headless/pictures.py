"""What a program hands in and gets back: PIL pictures, arrays or tensors, one or a batch. No torch is loaded before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

_TAKEN = "a PIL picture, an array [H, W, 3] or [B, H, W, 3] (uint8, or float 0..1), or such a tensor"


def as_batch(pictures: Any) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
    """Pictures as the method takes them.

    Args:
        pictures: one PIL picture or several of one size, a numpy array or torch tensor [H, W, C] or [B, H, W, C], uint8
            or float 0..1, C = 1, 3 or 4. The orientation in a photo's EXIF is applied.

    Returns:
        float32 [B, H, W, C] on the CPU; and a function that turns such a batch into what was handed in: its kind, its
        type of numbers, with a batch where there was one.

    Raises:
        ValueError: something else, an empty batch, other channels, numbers out of range, or pictures of several sizes.
    """
    if isinstance(pictures, Image.Image):
        batch = _of_pil(pictures)[None]
        return batch, lambda result: _to_pil(result[0])
    if isinstance(pictures, (list, tuple)) and pictures and all(isinstance(one, Image.Image) for one in pictures):
        parts = [_of_pil(one) for one in pictures]
        sizes = {f"{part.shape[1]}x{part.shape[0]}" for part in parts}
        if len(sizes) > 1:
            raise ValueError(f"The pictures of a batch have one size, these have {', '.join(sorted(sizes))}.")
        return torch.stack(parts), lambda result: [_to_pil(one) for one in result]
    if isinstance(pictures, np.ndarray):
        batch, back = _of_numbers(torch.from_numpy(np.require(pictures, requirements=["C", "W"])))
        return batch, lambda result: back(result).numpy()
    if isinstance(pictures, torch.Tensor):
        return _of_numbers(pictures)
    raise ValueError(f"A picture is {_TAKEN}; this is a {type(pictures).__name__}.")


def _of_numbers(numbers: torch.Tensor) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    if numbers.ndim not in (3, 4) or numbers.shape[-1] not in (1, 3, 4) or 0 in numbers.shape:
        raise ValueError(f"A picture is {_TAKEN}; this one is {tuple(numbers.shape)}.")
    batch = numbers if numbers.ndim == 4 else numbers[None]
    is_alone, kind, device = numbers.ndim == 3, numbers.dtype, numbers.device
    batch = batch.detach().cpu()
    if kind == torch.uint8:
        batch = batch.float() / 255
    elif not kind.is_floating_point:
        raise ValueError(f"A picture is {_TAKEN}; this one holds {kind}.")
    elif not (batch.isfinite().all() and batch.min() >= 0 and batch.max() <= 1):
        raise ValueError("A picture of floating numbers has them from 0 to 1; divide levels of 255 by 255.")

    def back(result: torch.Tensor) -> torch.Tensor:
        result = (result * 255).round().clamp(0, 255) if kind == torch.uint8 else result
        result = result.to(device, kind)
        return result[0] if is_alone else result

    return batch.float(), back


def _of_pil(picture: Image.Image) -> torch.Tensor:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in ("RGB", "RGBA"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    levels = torch.from_numpy(np.array(upright)).float() / 255
    if levels.shape[2] == 4:  # what lies under no opacity is nobody's to see, nor in the result
        levels = levels * (levels[..., 3:] > 0)
    return levels


def _to_pil(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray((picture * 255).round().clamp(0, 255).byte().numpy())
