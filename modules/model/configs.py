"""The configs of an image encoder and of a VAE, checked, in the host's words. Pure: no ComfyUI here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .checkpoint import read_json
from .config_fields import Fields
from .expected_tensors import Shapes, clip_tensors, vae_tensors

SCALING_FACTOR = 0.18215  # of Stable Diffusion's latents
# Far beyond every model of these kinds, and far below what stops a machine.
_WIDTH, _INNER, _LAYERS, _HEADS, _PIXELS = 8192, 32768, 128, 256, 2048
_VAE_WIDTH, _VAE_LAYERS, _VAE_LEVELS, _CHANNELS = 4096, 16, 8, 128
_ACTIVATIONS = ("quick_gelu", "gelu", "gelu_pytorch_tanh")  # that the host knows (comfy/clip_model.py)


@dataclass(frozen=True)
class ClipConfig:
    """What the host builds an image encoder from.

    Args:
        host_config: the config itself, every field of which that the host reads is checked.
        tensors: names, without the prefix vision_model, and leading sizes of tensors that its weights must have.
    """

    host_config: dict
    tensors: Shapes


@dataclass(frozen=True)
class VaeConfig:
    """What the host builds a VAE from.

    Args:
        host_config: its `ddconfig`.
        latent_channels: of the latents.
        scale: pixels a latent pixel, along a side.
        norm_groups: of every group normalisation.
        scaling_factor: between its latents and those of the UNet.
        tensors: names and leading sizes of tensors that its weights must have.
    """

    host_config: dict
    latent_channels: int
    scale: int
    norm_groups: int
    scaling_factor: float
    tensors: Shapes


def read_clip_config(path: Path) -> ClipConfig:
    """Read the config.json of a CLIP image encoder, or that of a whole CLIP.

    Raises:
        FileNotFoundError, ValueError: names the file, the field and the values that it may have.
    """
    config = read_json(path)
    if "vision_config" in config:
        if not isinstance(config["vision_config"], dict):
            Fields(config, path, "a CLIP vision config").refuse_value("vision_config", "an object")
        config = config["vision_config"]
    fields = Fields(config, path, "the config of a CLIP image encoder such as ViT-L/14")
    fields.text("model_type", ["clip_vision_model"], "")
    width = fields.whole("hidden_size", 8, _WIDTH)
    inner = fields.whole("intermediate_size", 8, _INNER)
    layers = fields.whole("num_hidden_layers", 1, _LAYERS)
    heads = fields.whole("num_attention_heads", 1, _HEADS)
    if width % heads:
        fields.refuse(f"hidden_size {width} is no multiple of num_attention_heads {heads}")
    size = fields.whole("image_size", 8, _PIXELS, 224)
    patch = fields.whole("patch_size", 1, size)
    fields.whole("num_channels", 3, 3)
    fields.whole("projection_dim", 1, _WIDTH, 512)
    fields.text("hidden_act", _ACTIVATIONS, "quick_gelu")
    fields.number("layer_norm_eps", 0, 1, 1e-5)
    fields.numbers("image_mean", -1e3, 1e3, [0.0] * 3)
    fields.numbers("image_std", 1e-6, 1e3, [1.0] * 3)
    return ClipConfig(config, clip_tensors(width, inner, layers, patch, (size // patch) ** 2 + 1))


def read_vae_config(path: Path) -> VaeConfig:
    """Read the config.json of a VAE in the diffusers layout.

    Raises:
        FileNotFoundError, ValueError: names the file, the field and the values that it may have.
    """
    fields = Fields(read_json(path), path, "the config of a Stable Diffusion VAE in the diffusers layout")
    widths = fields.wholes("block_out_channels", 1, _VAE_WIDTH, (1, _VAE_LEVELS))
    layers = fields.whole("layers_per_block", 1, _VAE_LAYERS)
    latent = fields.whole("latent_channels", 1, _CHANNELS)
    channels_in, channels_out = (fields.whole(name, 1, _CHANNELS) for name in ("in_channels", "out_channels"))
    groups = fields.whole("norm_num_groups", 1, _VAE_WIDTH, 32)
    # the host builds with 32 groups, whatever is set after, and with widths that are multiples of the first
    if any(width % 32 or width % groups or width % widths[0] for width in widths):
        fields.refuse(
            f"block_out_channels {widths} are not all multiples of 32, of norm_num_groups {groups} and of the first"
        )
    host_config = {
        "double_z": True,
        "z_channels": latent,
        "resolution": 256,
        "in_channels": channels_in,
        "out_ch": channels_out,
        "ch": widths[0],
        "ch_mult": [width // widths[0] for width in widths],
        "num_res_blocks": layers,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return VaeConfig(
        host_config=host_config,
        latent_channels=latent,
        scale=2 ** (len(widths) - 1),
        norm_groups=groups,
        scaling_factor=fields.number("scaling_factor", 1e-3, 1e3, SCALING_FACTOR),
        tensors=vae_tensors(widths, layers, channels_in, channels_out, latent),
    )
