"""Write a trained model as a folder of the published layout, which FaceAnonLoadModel loads."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..files import replaced_folder
from ..model import checkpoint
from ..model.diffusers_engine.encoders import Encoders
from ..model.diffusers_engine.networks import Networks
from .objective import training_scheduler

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def export_model(
    folder: Path,
    networks: Networks,
    averages: dict[str, torch.Tensor],
    encoders: Encoders,
    own: checkpoint.ModelSettings,
    *,
    prediction: str,
    dtype: str = "fp32",
) -> None:
    """Write a model folder, whole or not at all; one that is there is replaced.

    Args:
        folder: of the model.
        networks: that were trained.
        averages: name -> moving average of a parameter, in the place of the parameter; may be empty.
        encoders: whose folders are copied into it.
        own: settings of the model, for its face_anon.json.
        prediction: of the UNet, "v_prediction" or "epsilon".
        dtype: of the weights, one of DTYPES.

    Raises:
        OSError: the disk is full, say; the folder that was there is still in its place.
    """
    try:
        with replaced_folder(folder) as part:
            weights = {**networks.state_dict(), **averages}
            for name in checkpoint.NETWORKS:
                getattr(networks, name).save_config(part / name)
                tensors = {
                    key.removeprefix(f"{name}."): value.detach().to("cpu", DTYPES[dtype]).contiguous()
                    for key, value in weights.items()
                    if key.startswith(f"{name}.")
                }
                save_file(tensors, part / name / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
            for name, source in zip((checkpoint.VAE, checkpoint.IMAGE_ENCODER), encoders.folders, strict=True):
                _copy_network(source, part / name)
            training_scheduler(prediction).save_config(part / "scheduler")
            usual = asdict(checkpoint.ModelSettings())
            always = ("routing", "resolution")
            settings = {name: value for name, value in asdict(own).items() if name in always or value != usual[name]}
            (part / checkpoint.SETTINGS_FILE).write_text(json.dumps(settings) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"The model could not be written to {folder} ({error}). The checkpoint is whole: make room on the disk and "
            f"write it with --resume --steps 0."
        ) from error


def _copy_network(source: Path, target: Path) -> None:
    """The weights and the JSON files beside them; whatever else lies in the folder stays there."""
    target.mkdir()
    for file in [*source.glob("*.json"), *checkpoint.weight_files(source)]:
        shutil.copyfile(file, target / file.name)
