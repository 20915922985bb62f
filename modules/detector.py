"""The shipped face detector under ComfyUI's memory management. Touches the host: wraps the network in a patcher."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import torch

from .faces.centerface import load_centerface
from .faces.detection import detect_faces
from .faces.types import Faces

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "centerface.safetensors"


def detect(images: torch.Tensor, min_score: float, max_faces: int, progress=None) -> Faces:
    """detect_faces on the host's device; the network (7 MB) is read anew and then let go: nothing stays in memory."""
    device = comfy.model_management.get_torch_device()
    patcher = comfy.model_patcher.CoreModelPatcher(
        load_centerface(WEIGHTS), load_device=device, offload_device=comfy.model_management.unet_offload_device()
    )
    comfy.model_management.load_models_gpu([patcher])
    return detect_faces(
        patcher.model, images, min_score=min_score, max_faces=max_faces, device=device, progress=progress
    )
