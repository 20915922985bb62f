"""The image embedding that the UNets take as context. Touches the host: runs ComfyUI's CLIP vision model.

CLIP ViT-L/14's pooler output: the class token after post_layernorm and BEFORE the projection. ComfyUI's own
`image_embeds` is after it and lives in another space.
"""

from __future__ import annotations

import comfy.clip_vision
import comfy.model_management
import torch

from .clip_preprocess import preprocess
from .states import ImageEmbeds, check_degree


def encode_image(clip_vision: comfy.clip_vision.ClipVisionModel, images: torch.Tensor, degree: float) -> ImageEmbeds:
    """Embeddings of images, scaled by (1 - degree): equation (1) of the paper.

    images: float [B, H, W, 1, 3 or 4] in 0..1; alpha is dropped, gray is repeated.
    Raises ValueError for an empty batch, other channel counts or a degree that is no number.
    """
    check_degree(degree)
    pixels = preprocess(images, clip_vision.image_size, clip_vision.image_mean, clip_vision.image_std)
    comfy.model_management.load_model_gpu(clip_vision.patcher)
    pooled = clip_vision.model.vision_model(pixel_values=pixels.to(clip_vision.load_device))[2]
    embeds = pooled.float().unsqueeze(1).to(comfy.model_management.intermediate_device())
    return ImageEmbeds(embeds * (1 - degree), degree)
