"""The 68 landmarks under ComfyUI's memory management. Touches the host: wraps the network in a patcher."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import torch

from ..faces.types import Faces
from ..recognition.face_api import load_landmark_net
from ..recognition.landmarks import with_landmarks


def landmark_faces(images: torch.Tensor, faces: Faces) -> Faces:
    """with_landmarks on the host's device; the network (0.4 MB) is let go afterwards.

    Args:
        images: float [B, H, W, C], 0..1.
        faces: of these images.
    """
    patcher = comfy.model_patcher.CoreModelPatcher(
        load_landmark_net(),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    comfy.model_management.load_models_gpu([patcher])
    patcher.model.to(patcher.load_device)
    return with_landmarks(patcher.model, images, faces)
