"""Pictures as CLIP's image encoder takes them. Pure: no ComfyUI here, so that training prepares them the same way."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


def preprocess(images: torch.Tensor, size: int, mean: list[float], std: list[float]) -> torch.Tensor:
    """Prepare images as transformers' CLIPImageProcessor prepares PIL pictures, which is the official code's way.

    8 bit, PIL's bicubic of the short edge to `size`, centre crop, normalisation. ComfyUI's own preprocessing resizes
    floats on the device, and the embedding is another one then (docs/measured.md).

    Args:
        images: float [B, H, W, C], 0..1. C is 3, 4 with an alpha that is dropped, or 1 with gray that is repeated.
        size: side in pixels of what the encoder takes.
        mean: of the encoder's normalisation, one number a channel.
        std: the same, what is divided by.

    Returns:
        float32 [B, 3, size, size].

    Raises:
        ValueError: for an empty batch or another number of channels.
    """
    if images.ndim == 4 and images.shape[0] == 0:
        raise ValueError(f"The image batch is empty, {tuple(images.shape)}: no face was found in the picture to crop.")
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"The image is {tuple(images.shape)}; [batch, height, width, 1, 3 or 4] with a batch is needed."
        )
    images = images[..., :3] if images.shape[-1] >= 3 else images.expand(-1, -1, -1, 3)
    levels = images.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
    crops = np.stack([_resize_and_crop(Image.fromarray(image), size) for image in levels])
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def _resize_and_crop(image: Image.Image, size: int) -> np.ndarray:
    short = min(image.size)
    width, height = (size if edge == short else int(size * edge / short) for edge in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))
