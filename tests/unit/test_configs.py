"""Configs of model folders: each field that is absurd is refused by name, before anything is built."""

from pathlib import Path

import pytest

from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.configs import read_clip_config, read_vae_config
from face_anonymizer.modules.model.expected_tensors import check_tensors
from face_anonymizer.modules.model.unet_layout import read_unet_layout
from face_anonymizer.tools.attacks import hostile_models


def read_all(folder: Path) -> None:
    """Everything of a model folder but the values of its weights."""
    checkpoint.read_settings(folder)
    tensors = {checkpoint.IMAGE_ENCODER: read_clip_config(folder / checkpoint.IMAGE_ENCODER / "config.json").tensors}
    tensors[checkpoint.VAE] = read_vae_config(folder / checkpoint.VAE / "config.json").tensors
    for network in checkpoint.NETWORKS:
        path = folder / network / "config.json"
        tensors[network] = read_unet_layout(checkpoint.read_json(path), path).tensors
    for part, expected in tensors.items():
        shapes = checkpoint.read_shapes(checkpoint.weight_files(folder / part))
        check_tensors(expected, {name.removeprefix("vision_model."): shapes[name] for name in shapes}, folder / part)


@pytest.mark.parametrize("case", hostile_models.FIELDS)
def test_an_absurd_field_is_refused_by_name(case, tmp_path):
    folder = hostile_models.spoil_copy(case, tmp_path)
    with pytest.raises(ValueError) as refused:
        read_all(folder)
    assert hostile_models.judge(case, folder, str(refused.value), refused.type.__name__) == ""


def test_real_models_are_read(fixtures):
    read_all(checkpoint.PACK_MODELS / checkpoint.DEMO)
    read_all(fixtures / "face_anon" / "tiny")


def test_the_published_sizes_are_within_the_bounds():
    """SD 2.1's UNet, SD's VAE and CLIP ViT-L/14, and what is larger than they: SDXL's depth, ViT-g's width."""
    published = {
        **{"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "attention_head_dim": [5, 10, 20, 20]},
        **{"cross_attention_dim": 1024, "in_channels": 4, "out_channels": 4, "use_linear_projection": True},
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    }
    layout = read_unet_layout(published, Path("config.json"))
    assert layout.tensors["up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight"] == (320, 1024)
    assert "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight" not in layout.tensors
    read_unet_layout(published | {"transformer_layers_per_block": [1, 2, 10, 10]}, Path("config.json"))
