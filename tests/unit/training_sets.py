"""Small sets of triples and the settings of small trainings on them."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState, PartialState
from PIL import Image

from face_anonymizer.modules.files import sha256_of
from face_anonymizer.modules.model.diffusers_engine.encoders import Encoders
from face_anonymizer.modules.training import trainer
from face_anonymizer.modules.training.settings import TrainingSettings
from face_anonymizer.modules.training.trainer import Training

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "face_anon" / "tiny"
SIZE = 32
OFFICIAL = {"source": "source_image", "driving": "conditioning_image", "truth": "ground_truth"}


def write_pictures(folder: Path, triples: int, size: int = SIZE) -> list[dict[str, str]]:
    """Smooth random pictures; the lines of their list."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    lines = []
    for number in range(triples):
        line = {}
        for role in ("source", "driving", "truth"):
            levels = generator.integers(0, 256, (3, 3, 3), dtype=np.uint8)
            line[role] = f"{number:02d}_{role}.png"
            Image.fromarray(levels).resize((size, size), Image.Resampling.BICUBIC).save(folder / line[role])
        lines.append(line)
    return lines


def write_list(file: Path, lines: list[dict]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def make_set(folder: Path, triples: int = 20, size: int = SIZE) -> Path:
    """A list of so many triples in `folder`."""
    return write_list(folder / "triples.jsonl", write_pictures(folder, triples, size))


def small_unet(folder: Path) -> Path:
    """The config of a UNet of one level that fits the tiny VAE and image encoder."""
    config = json.loads((TINY / "unet" / "config.json").read_text())
    config.update(
        block_out_channels=[32],
        attention_head_dim=[1],
        down_block_types=["CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D"],
    )
    file = folder / "unet.json"
    file.write_text(json.dumps(config))
    return file


def unit_vae(folder: Path) -> Path:
    """The tiny VAE, its latents scaled to a standard deviation of one: it is a random one, and they are 0.05 else."""
    target = folder / "vae"
    shutil.copytree(TINY / "vae", target, dirs_exist_ok=True)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "scaling_factor": 3.6}))
    return target


def settings_for(folder: Path, data: Path, **options) -> TrainingSettings:
    """A training from scratch in `folder`/out."""
    defaults = {
        "data": (data,),
        "output": folder / "out",
        "unet_config": small_unet(folder),
        "vae": unit_vae(folder),
        "image_encoder": TINY / "image_encoder",
        "trained_reference": "all",
        "cache": True,
        "batch": 2,
        "accumulate": 1,
        "learning_rate": 1e-3,
        "log_every": 1,
        "workers": 0,
    }
    return TrainingSettings(**{**defaults, **options})


def train(settings: TrainingSettings, **options) -> Training:
    """The training, run to its end, in an Accelerator of its own; encoders of the same files are loaded once."""
    AcceleratorState._reset_state()
    PartialState._reset_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "Encoders", _loaded_once)
        training = Training(settings)
    training.run(**options)
    return training


_encoders: dict[str, Encoders] = {}


def _loaded_once(*folders: Path) -> Encoders:
    """Encoders, which nothing changes; these folders' own in all but the weights."""
    digest = sha256_of(*(file for folder in folders for file in sorted(folder.iterdir())))
    if digest not in _encoders:
        _encoders[digest] = Encoders(*folders)
    encoders = copy.copy(_encoders[digest])
    encoders.folders = folders
    return encoders


def read_log(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
