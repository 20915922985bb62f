"""The image embedding that the UNets take as context. Touches the host: runs ComfyUI's CLIP vision model.

CLIP ViT-L/14's pooler output: the class token after post_layernorm and BEFORE the projection. ComfyUI's own
`image_embeds` is after it and lives in another space.
"""

from __future__ import annotations

import comfy.clip_vision
import comfy.model_management
import torch

from .clip_input import preprocess
from .memory import in_parts
from .states import ImageEmbeds, check_degree

# A clip has thousands of crops. docs/memory.md has what one of them takes.
_AT_ONCE = 32
_MEMORY_OF_ONE = 16 << 20


def encode_image(clip_vision: comfy.clip_vision.ClipVisionModel, images: torch.Tensor, degree: float) -> ImageEmbeds:
    """Embed images, and scale the embeddings by (1 - degree): equation (1) of the paper.

    Args:
        clip_vision: the model's image encoder.
        images: float [B, H, W, C], 0..1. C is 3, 4 with an alpha that is dropped, or 1 with gray that is repeated.
        degree: of anonymization; 0 for driving images.

    Raises:
        ValueError: for an empty batch, another number of channels or a degree that is no number.
    """
    check_degree(degree)
    pixels = preprocess(images, clip_vision.image_size, clip_vision.image_mean, clip_vision.image_std)
    comfy.model_management.load_models_gpu([clip_vision.patcher], memory_required=_AT_ONCE * _MEMORY_OF_ONE)
    device = comfy.model_management.intermediate_device()

    def run(part: slice) -> torch.Tensor:
        pooled = clip_vision.model.vision_model(pixel_values=pixels[part].to(clip_vision.load_device))[2]
        return pooled.float().unsqueeze(1).to(device)

    embeds = torch.cat(in_parts(len(pixels), _AT_ONCE, run, "the image encoder"))
    return ImageEmbeds(embeds, model=getattr(clip_vision, "face_anon_folder", "")).scaled(degree)
