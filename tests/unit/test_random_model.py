"""The shapes that are derived from a config.json are those of the published weights and of the models at hand."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from face_anonymizer.modules.checking import random_model, shapes
from face_anonymizer.modules.model import checkpoint

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
PUBLISHED = json.loads((FIXTURES / "golden" / "full_size_keys.json").read_text(encoding="utf-8"))
DERIVE = {
    checkpoint.UNET: shapes.unet_shapes,
    checkpoint.VAE: shapes.vae_shapes,
    checkpoint.IMAGE_ENCODER: shapes.image_encoder_shapes,
}


def shapes_in(folder: Path) -> dict[str, list[int]]:
    found = {}
    for file in checkpoint.weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            found |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    return found


@pytest.mark.parametrize("network", DERIVE)
def test_full_size_is_the_published_architecture(network):
    config = getattr(random_model.FULL_SIZE, network)
    derived = DERIVE[network](config)
    assert derived == PUBLISHED[network]
    published = PUBLISHED[f"{network}_config"]
    assert {key: published[key] for key in config if key in published} == config
    assert not [key for key in config if key not in published]


@pytest.mark.parametrize("network", DERIVE)
def test_shapes_of_another_width(network):
    folder = FIXTURES / "face_anon" / "tiny" / network
    assert DERIVE[network](checkpoint.read_json(folder / "config.json")) == shapes_in(folder)


def test_a_random_model_is_a_whole_folder(tmp_path):
    said = []
    random_model.write_random_model(tmp_path, random_model.TINY, torch.float16, 0, said.append)
    assert len(said) == len(DERIVE)
    for network in DERIVE:
        assert shapes_in(tmp_path / network) == DERIVE[network](getattr(random_model.TINY, network))
    for network in checkpoint.NETWORKS:
        assert (tmp_path / network / "model.safetensors").samefile(tmp_path / checkpoint.UNET / "model.safetensors")
    assert checkpoint.read_settings(tmp_path).resolution == random_model.TINY.resolution
