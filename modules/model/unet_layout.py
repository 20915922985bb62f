"""A diffusers UNet config in the host's words: how to build the UNet, which attention layers it has, and which
reference state each of them reads. Pure: no ComfyUI here.

A layer is named as the host names it to attention patches: (block, id, index of the transformer in the layer), for
example ("input", 1, 0); comfy/ldm/modules/diffusionmodules/openaimodel.py sets the first two, attention.py the third.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .checkpoint import BLOCK_FIRST
from .config_fields import Fields, short
from .expected_tensors import Shapes, unet_tensors

LayerKey = tuple[str, int, int]

# Far beyond every Stable Diffusion, and far below what stops a machine.
_LEVELS, _LAYERS, _DEPTH, _HEADS = 8, 16, 24, 256
_WIDTH, _CHANNELS, _CONTEXT = 4096, 128, 8192
_DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
_UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}
# What the host's UNet does and cannot be told otherwise.
_FIXED = {
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "class_embed_type": None,
    "addition_embed_type": None,
    "dual_cross_attention": False,
    "only_cross_attention": False,
    "resnet_time_scale_shift": "default",
}


class _ChannelRatio(Fraction):
    """A width ratio such as 3/2; the host multiplies it by the base width and needs an int back."""

    def __mul__(self, other):
        return int(Fraction(self) * other)

    def __rmul__(self, other):
        return self * other


@dataclass(frozen=True)
class UNetLayout:
    """What the rest of the pack knows of one UNet.

    Args:
        host_config: keyword arguments of the host's UNetModel, without dtype.
        upcast_attention: whether attention runs in float32 whatever the weights are.
        norm_groups: the number of groups of every group normalisation.
        blocks: diffusers name of each block that has attention ("down_blocks.0", "mid_block", ...) -> its attention
            layers in the order in which they run.
        tensors: names and leading sizes of tensors that its weights must have.
    """

    host_config: dict
    upcast_attention: bool
    norm_groups: int
    blocks: dict[str, tuple[LayerKey, ...]]
    tensors: Shapes

    @property
    def in_channels(self) -> int:
        """The number of channels of the latents that the UNet takes."""
        return self.host_config["in_channels"]

    @property
    def context_dim(self) -> int:
        """The width of the embeddings that it takes."""
        return self.host_config["context_dim"]

    def routes(self, routing: str) -> dict[LayerKey, LayerKey]:
        """Each attention layer -> the layer whose reference state it reads.

        Args:
            routing: "block_first": the first layer of its block, as the published weights were trained (a quirk of the
                official code that the paper does not mention); "per_layer": the layer itself, as the paper has it
                (section 3.2).
        """
        return {
            layer: layers[0] if routing == BLOCK_FIRST else layer for layers in self.blocks.values() for layer in layers
        }


def read_unet_layout(config: dict, path: Path) -> UNetLayout:
    """Translate a diffusers UNet2DConditionModel config.

    Args:
        config: of any number of levels, layers, heads and widths, with the same number of layers on each level.
        path: of the config, for errors alone.

    Raises:
        ValueError: names the field that the host's UNet cannot be built with, or that no such UNet has.
    """
    fields = Fields(config, path, "a Stable Diffusion 1 or 2 UNet in the diffusers layout")
    refuse = fields.refuse
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            refuse(f"{key} = {short(config[key])}, {value!r} is needed")
    widths = fields.wholes("block_out_channels", 1, _WIDTH, (1, _LEVELS))
    levels = len(widths)
    down_types, up_types = fields.texts("down_block_types", _DOWN), fields.texts("up_block_types", _UP)
    layers_per_block = fields.whole_per_level("layers_per_block", 1, _LAYERS, levels)
    name_of_heads = "num_attention_heads" if config.get("num_attention_heads") is not None else "attention_head_dim"
    heads = fields.whole_per_level(name_of_heads, 1, _HEADS, levels)
    context_dim = fields.whole("cross_attention_dim", 1, _CONTEXT)
    in_channels, out_channels = (fields.whole(name, 1, _CHANNELS) for name in ("in_channels", "out_channels"))
    if len(down_types) != levels or len(up_types) != levels:
        refuse(
            f"block_out_channels, down_block_types and up_block_types have {levels}, {len(down_types)} and "
            f"{len(up_types)} entries"
        )
    if len(set(layers_per_block)) > 1:  # the host's map of names counts on it (comfy/utils.py, unet_to_diffusers)
        refuse(f"layers_per_block {layers_per_block} differ between levels")
    norm_groups = fields.whole("norm_num_groups", 1, _WIDTH, 32)
    if any(width % 32 or width % norm_groups for width in widths):  # the host builds with 32, whatever is set after
        refuse(f"block_out_channels {widths} are not all multiples of 32 and of norm_num_groups {norm_groups}")
    depths = [1] * levels
    if "transformer_layers_per_block" in config:
        depths = fields.whole_per_level("transformer_layers_per_block", 1, _DEPTH, levels)

    down_depths = [depth if _DOWN[kind] else 0 for depth, kind in zip(depths, down_types, strict=True)]
    # up_blocks.0 is the deepest level
    up_depths = [depth if _UP[kind] else 0 for depth, kind in zip(depths, reversed(up_types), strict=True)]
    host_config = {
        "image_size": 32,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "model_channels": widths[0],
        "channel_mult": [
            width // widths[0] if width % widths[0] == 0 else _ChannelRatio(width, widths[0]) for width in widths
        ],
        "num_res_blocks": layers_per_block,
        "transformer_depth": [d for d, n in zip(down_depths, layers_per_block, strict=True) for _ in range(n)],
        "transformer_depth_output": [d for d, n in zip(up_depths, layers_per_block, strict=True) for _ in range(n + 1)],
        "transformer_depth_middle": depths[-1],
        "use_spatial_transformer": True,
        "use_linear_in_transformer": fields.switch("use_linear_projection"),
        "context_dim": context_dim,
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "legacy": False,
        **_head_config(widths, heads, (down_depths, up_depths), lambda why: refuse(f"{name_of_heads}: {why}")),
    }
    return UNetLayout(
        host_config=host_config,
        upcast_attention=fields.switch("upcast_attention"),
        norm_groups=norm_groups,
        blocks=_attention_blocks(down_depths, depths[-1], up_depths, layers_per_block),
        tensors=unet_tensors(
            widths,
            layers_per_block[0],
            (down_depths, depths[-1:], up_depths[::-1]),
            (in_channels, out_channels, context_dim),
        ),
    )


def _head_config(widths, heads, depths, refuse) -> dict:
    """The host takes one head count or one head width for all levels; diffusers' "attention_head_dim" of these
    UNets is, by an old misnaming, the number of heads."""
    last, (down_depths, up_depths) = len(widths) - 1, depths
    used = [i for i in range(len(widths)) if down_depths[i] or up_depths[i] or i == last]
    head_widths = {Fraction(widths[i], heads[i]) for i in used}
    if len(head_widths) == 1 and next(iter(head_widths)).denominator == 1:
        return {"num_heads": -1, "num_head_channels": int(next(iter(head_widths)))}
    if len({heads[i] for i in used}) == 1 and all(widths[i] % heads[i] == 0 for i in used):
        return {"num_heads": heads[used[0]], "num_head_channels": -1}
    return refuse(f"heads {heads} with widths {widths} have neither one head width nor one head count")


def _attention_blocks(down_depths, middle_depth, up_depths, layers_per_block) -> dict[str, tuple[LayerKey, ...]]:
    blocks: dict[str, tuple[LayerKey, ...]] = {}
    input_id = 1  # 0 is conv_in
    for level, (depth, layers) in enumerate(zip(down_depths, layers_per_block, strict=True)):
        if depth:
            blocks[f"down_blocks.{level}"] = tuple(
                ("input", input_id + layer, index) for layer in range(layers) for index in range(depth)
            )
        input_id += layers + 1  # and one for the downsampler
    # the middle block's attention stands at place 1, but the host tells patches 0 (openaimodel.py, _forward)
    blocks["mid_block"] = tuple(("middle", 0, index) for index in range(middle_depth))
    output_id = 0
    for block, (depth, layers) in enumerate(zip(reversed(up_depths), reversed(layers_per_block), strict=True)):
        if depth:
            blocks[f"up_blocks.{block}"] = tuple(
                ("output", output_id + layer, index) for layer in range(layers + 1) for index in range(depth)
            )
        output_id += layers + 1
    return blocks
