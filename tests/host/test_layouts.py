"""The loader builds the host's UNet from any config.json: its output against diffusers' own on the same weights."""

from pathlib import Path

import golden
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from face_anonymizer.modules.model import loading
from face_anonymizer.modules.model.unet_layout import read_unet_layout

BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
CONFIGS = {
    # widths that are no multiples of the first, one head width
    "64-96-128": {
        **BLOCKS,
        "block_out_channels": (64, 96, 128),
        "attention_head_dim": (2, 3, 4),
        "layers_per_block": 1,
        "use_linear_projection": True,
    },
    # two transformers a layer, convolutions around them, one head count
    "two layers deep": {
        **BLOCKS,
        "block_out_channels": (32, 64, 64),
        "attention_head_dim": 4,
        "layers_per_block": 2,
        "transformer_layers_per_block": 2,
    },
    # attention at the deepest level only, eight latent channels, wider groups in the normalisations
    "attention below": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (32, 64),
        "attention_head_dim": (1, 2),
        "layers_per_block": 1,
        "in_channels": 8,
        "out_channels": 8,
        "norm_num_groups": 8,
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_any_unet_equals_diffusers(tmp_path, name):
    torch.manual_seed(0)
    theirs = UNet2DConditionModel(sample_size=16, cross_attention_dim=48, **CONFIGS[name]).eval()
    theirs.save_pretrained(tmp_path / "unet")
    patcher = loading.load_unet(tmp_path, "unet", dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, theirs.config.in_channels, 16, 16, generator=generator)
    context = torch.randn(2, 2, 48, generator=generator)
    timestep = torch.tensor([501.0, 501.0])
    expected = theirs(x, timestep, context).sample
    layers = []

    def look(x, context, value, extra_options):
        layers.append((*extra_options["block"], extra_options["block_index"]))
        return x, context, value

    options = {"patches": {"attn1_patch": [look]}}
    ours = patcher.model.diffusion_model(x, timestep, context=context, transformer_options=options)
    assert golden.relative(ours, expected) < 1e-5
    layout = loading.read_layout(tmp_path / "unet")
    assert layers == [layer for block in layout.blocks.values() for layer in block], "in the order in which they run"


@torch.no_grad()
def test_any_vae_equals_diffusers(tmp_path):
    torch.manual_seed(0)
    theirs = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,  # the number that the host can rename
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 96),
        layers_per_block=1,
        latent_channels=12,
        norm_num_groups=4,
    )
    theirs.save_pretrained(tmp_path / "vae")
    ours = loading.load_vae(tmp_path / "vae")
    images = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    latents = theirs.encode(images.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    assert golden.relative(ours.encode(images), latents) < 1e-5
    decoded = (theirs.decode(latents).sample.movedim(1, -1) + 1) / 2
    assert golden.relative(ours.decode(latents), decoded.clamp(0, 1)) < 1e-5


def test_groups_that_do_not_divide_the_widths_are_refused():
    config = {**CONFIGS["attention below"], "norm_num_groups": 48, "cross_attention_dim": 48}
    with pytest.raises(ValueError, match="norm_num_groups 48"):
        read_unet_layout(config, Path("here"))


def test_levels_with_different_numbers_of_layers_are_refused():
    config = {**CONFIGS["attention below"], "layers_per_block": [1, 2], "cross_attention_dim": 48}
    with pytest.raises(ValueError, match=r"here.*layers_per_block \[1, 2\]"):
        read_unet_layout(config, Path("here"))
