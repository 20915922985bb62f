"""The nodes called in a row, as a graph calls them; and the smallest model that they take."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import golden
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from face_anonymizer import nodes as pack
from face_anonymizer.modules.checking import random_model
from face_anonymizer.modules.model.checkpoint import NETWORKS

SIZE = 128
LEAST_SIZE = 64


def load_tiny(weight_dtype: str = "default"):
    from face_anonymizer.modules.model.loading import load_model_folder

    return load_model_folder(golden.TINY, weight_dtype=weight_dtype)


# Two levels in place of the tiny model's four: every kind of layer in half the time.
LEAST = random_model.TINY._replace(
    unet=random_model.TINY.unet
    | {
        **{"block_out_channels": [32, 64], "attention_head_dim": [1, 2]},
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    },
    resolution=LEAST_SIZE,
)


@functools.cache
def least_folder() -> Path:
    """A model of that size with random weights, for what does not hang on the official code's recordings.

    No two networks are alike, and no weight is one of fp8's numbers, so that each dtype rounds.
    """
    folder = Path(tempfile.mkdtemp(prefix="face_anonymizer_least_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    random_model.write_random_model(folder, LEAST, torch.float16, 0, lambda _: None)
    for number, network in enumerate(NETWORKS):
        file = folder / network / "model.safetensors"
        tensors = {name: tensor * (1.01 + number / 100) for name, tensor in load_file(file).items()}
        file.unlink()
        save_file(tensors, file)
    return folder


def load_least(weight_dtype: str = "default"):
    from face_anonymizer.modules.model.loading import load_model_folder

    return load_model_folder(least_folder(), weight_dtype=weight_dtype)


def photo() -> torch.Tensor:
    """A photo with one face, float32 [1, H, W, 3]."""
    picture = Image.open(golden.FIXTURES.parents[1] / "assets" / "astronaut.jpg").convert("RGB")
    levels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return levels.view(1, picture.height, picture.width, 3).float() / 255


def face_images(count: int = 2, size: int = SIZE) -> torch.Tensor:
    """Crops of a photo, float32 [count, size, size, 3], each another part of it."""
    photo = Image.open(golden.FIXTURES.parents[1] / "assets" / "astronaut.jpg").convert("RGB")
    crops = [photo.crop((150 + 40 * i, 20 + 30 * i, 350 + 40 * i, 220 + 30 * i)) for i in range(count)]
    levels = [torch.frombuffer(bytearray(c.resize((size, size)).tobytes()), dtype=torch.uint8) for c in crops]
    return torch.stack([level.view(size, size, 3) for level in levels]).float() / 255


def references(model, source: torch.Tensor, driving: torch.Tensor, degree: float = 1.25) -> dict:
    """Everything that FaceAnonApply and FaceAnonDDPMSampler take."""
    source_embeds = pack.FaceAnonEncodeImage.execute(model.clip_vision, source, degree)[0]
    driving_embeds = pack.FaceAnonEncodeImage.execute(model.clip_vision, driving, 0.0)[0]
    source_latent = {"samples": model.vae.encode(source)}
    driving_latent = source_latent if driving is source else {"samples": model.vae.encode(driving)}
    states = pack.FaceAnonSourceReference.execute(model.source_reference_net, source_latent, source_embeds)[0]
    return {
        "model": model.unet,
        "source_states": pack.FaceAnonInterpolateStates.execute(states, degree)[0],
        "driving_states": pack.FaceAnonDrivingReference.execute(
            model.driving_reference_net, driving_latent, driving_embeds
        )[0],
        "source_embeds": source_embeds,
        "driving_embeds": driving_embeds,
    }


def anonymize(model, images: torch.Tensor, seed: int = 7, steps: int = 2, degree: float = 1.25, guidance: float = 4.0):
    """Latents [B, 4, h, w] of the paper's sampler."""
    inputs = references(model, images, images, degree)
    return pack.FaceAnonDDPMSampler.execute(**inputs, seed=seed, steps=steps, guidance_scale=guidance)[0]["samples"]
