"""The shipped face detector under ComfyUI's memory management. Touches the host: wraps the networks in a patcher."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import torch

from ..faces.detect.detection import detect_faces, load_face_networks
from ..faces.settings import DetectSettings
from ..faces.types import Faces


def detect(images: torch.Tensor, settings: DetectSettings = DetectSettings(), progress=None) -> Faces:
    """detect_faces on the host's device; the networks (9 MB) are read anew and then let go: nothing stays in memory."""
    device = comfy.model_management.get_torch_device()
    patcher = comfy.model_patcher.CoreModelPatcher(
        load_face_networks(), load_device=device, offload_device=comfy.model_management.unet_offload_device()
    )
    comfy.model_management.load_models_gpu([patcher])
    return detect_faces(patcher.model, images, settings, device=device, progress=progress)
