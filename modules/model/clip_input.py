"""Pictures as CLIP's image encoder takes them. Pure: no ComfyUI here, so that training prepares them the same way."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


def preprocess(images: torch.Tensor, size: int, mean: list[float], std: list[float]) -> torch.Tensor:
    """Images as CLIPImageProcessor makes them of PIL pictures (the official code's path), [B, 3, size, size].

    8 bit, PIL bicubic of the short edge to `size`, centre crop, normalised. The host's own preprocessing resizes
    floats on the device and moves the embedding by about one percent.
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
