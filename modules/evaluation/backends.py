"""What measures photos of people, and a model's VAE as one more baseline. Touches the host: its MediaPipe nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..host.process import find_model
from . import face_dlib, face_landmarks, face_onnx, face_own, face_points
from .measured import Backend


def make_backends(names: Sequence[str], weights: Path | None) -> list[Backend]:
    """The back-ends of these names, in their order, behind the detector's own points.

    Args:
        names: of settings.BACKENDS.
        weights: folder of the recognisers' weights; only those that are downloaded need one.
    """
    made: list[Backend] = [face_points.PointsBackend()]
    for name in names:
        if name == "own":
            made += face_own.own_backends(face_own.SharedReader())
        elif name == "dlib":
            made.append(face_dlib.DlibBackend())
        elif name in face_onnx.RECOGNISERS:
            assert weights is not None  # scripts/evaluate.py always names one
            made.append(face_onnx.OnnxBackend(name, weights))
        elif name == "landmarks":
            made.append(face_landmarks.LandmarkBackend(load_landmarker()))
    return made


def load_landmarker() -> Callable[[np.ndarray], list]:
    """ComfyUI's MediaPipe node, as a function that LandmarkBackend takes.

    It runs the first file of models/detection whose name has "mediapipe" in it.

    Raises:
        ValueError: there is no such file.
    """
    import folder_paths
    from comfy_extras import nodes_mediapipe

    names = [name for name in folder_paths.get_filename_list("detection") if "mediapipe" in name.lower()]
    if not names:
        raise ValueError(
            "The back-end landmarks needs mediapipe_face_fp32.safetensors in models/detection of ComfyUI, from "
            "https://huggingface.co/Comfy-Org/mediapipe (Apache-2.0)."
        )
    model = nodes_mediapipe.LoadMediaPipeFaceLandmarker.execute(names[0])[0]

    def find(crops: np.ndarray) -> list:
        images = torch.from_numpy(crops).float() / 255
        run = nodes_mediapipe.MediaPipeFaceLandmarker.execute
        return run(model, images, "full", 1, 0.5, "empty")[0]["frames"]

    return find


def load_reconstruction(name: str, weight_dtype: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that sends aligned crops through the VAE of a model.

    Args:
        name: of a model folder.
        weight_dtype: as the loader's.

    Returns:
        The function: float [N, S, S, 3], 0..1, to the same on the CPU. Its attribute `size` is the side S that the
        model works at.
    """
    folder = find_model(name)
    from ..model.loading import load_model_folder
    from .painting import reconstruct

    model = load_model_folder(folder, weight_dtype=weight_dtype)

    def run(crops: torch.Tensor) -> torch.Tensor:
        return reconstruct(model, crops)

    run.size = model.resolution
    return run
