"""Names and shapes of the tensors that a config.json describes, in the published layout. Pure: no tensors, no host.

So that a model of random weights can be written, at full size too, without a download and without a file of 1300 names.
Heads change no shape, and so are not read.
"""

from __future__ import annotations

Shapes = dict[str, list[int]]


def unet_shapes(config: dict) -> Shapes:
    """A diffusers UNet2DConditionModel with linear projections around its transformers, each one layer deep."""
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    context, deepest = config["cross_attention_dim"], len(widths) - 1
    time = 4 * widths[0]
    shapes = {
        **_linear("time_embedding.linear_1", widths[0], time),
        **_linear("time_embedding.linear_2", time, time),
        **_convolution("conv_in", config["in_channels"], widths[0]),
        **_norm("conv_norm_out", widths[0]),
        **_convolution("conv_out", widths[0], config["out_channels"]),
    }
    skips = [widths[0]]
    for level, (width, kind) in enumerate(zip(widths, config["down_block_types"], strict=True)):
        block = f"down_blocks.{level}"
        for layer in range(layers):
            shapes |= _residual(f"{block}.resnets.{layer}", skips[-1], width, time)
            if kind == "CrossAttnDownBlock2D":
                shapes |= _transformer(f"{block}.attentions.{layer}", width, context)
            skips.append(width)
        if level < deepest:
            shapes |= _convolution(f"{block}.downsamplers.0.conv", width, width)
            skips.append(width)
    width = widths[-1]
    for layer in (0, 1):
        shapes |= _residual(f"mid_block.resnets.{layer}", width, width, time)
    shapes |= _transformer("mid_block.attentions.0", width, context)
    for number, kind in enumerate(config["up_block_types"]):
        block, level = f"up_blocks.{number}", deepest - number
        for layer in range(layers + 1):
            shapes |= _residual(f"{block}.resnets.{layer}", width + skips.pop(), widths[level], time)
            width = widths[level]
            if kind == "CrossAttnUpBlock2D":
                shapes |= _transformer(f"{block}.attentions.{layer}", width, context)
        if level > 0:
            shapes |= _convolution(f"{block}.upsamplers.0.conv", width, width)
    return shapes


def vae_shapes(config: dict) -> Shapes:
    """A diffusers AutoencoderKL."""
    widths, layers, latent = config["block_out_channels"], config["layers_per_block"], config["latent_channels"]
    deepest = len(widths) - 1
    shapes = {
        **_convolution("quant_conv", 2 * latent, 2 * latent, 1),
        **_convolution("post_quant_conv", latent, latent, 1),
    }
    for part, first, last, before, after in (
        ("encoder", widths[0], widths[-1], config["in_channels"], 2 * latent),
        ("decoder", widths[-1], widths[0], latent, config["out_channels"]),
    ):
        shapes |= _convolution(f"{part}.conv_in", before, first)
        shapes |= _norm(f"{part}.conv_norm_out", last) | _convolution(f"{part}.conv_out", last, after)
        for layer in (0, 1):
            shapes |= _residual(f"{part}.mid_block.resnets.{layer}", widths[-1], widths[-1])
        attention = f"{part}.mid_block.attentions.0"
        shapes |= _norm(f"{attention}.group_norm", widths[-1])
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= _linear(f"{attention}.{name}", widths[-1], widths[-1])
        direction, sampler = ("down", "downsamplers") if part == "encoder" else ("up", "upsamplers")
        width = first
        for number, own in enumerate(widths if part == "encoder" else reversed(widths)):
            block = f"{part}.{direction}_blocks.{number}"
            for layer in range(layers if part == "encoder" else layers + 1):
                shapes |= _residual(f"{block}.resnets.{layer}", width, own)
                width = own
            if number < deepest:
                shapes |= _convolution(f"{block}.{sampler}.0.conv", own, own)
    return shapes


def image_encoder_shapes(config: dict) -> Shapes:
    """A CLIP vision model as transformers 4 names it."""
    width, patch = config["hidden_size"], config["patch_size"]
    embeddings = "vision_model.embeddings"
    shapes = {
        f"{embeddings}.class_embedding": [width],
        f"{embeddings}.patch_embedding.weight": [width, config["num_channels"], patch, patch],
        f"{embeddings}.position_embedding.weight": [(config["image_size"] // patch) ** 2 + 1, width],
        **_norm("vision_model.pre_layrnorm", width),  # the name is transformers'
        **_norm("vision_model.post_layernorm", width),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"vision_model.encoder.layers.{number}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{name}", width, width)
        shapes |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
        shapes |= _linear(f"{layer}.mlp.fc1", width, config["intermediate_size"])
        shapes |= _linear(f"{layer}.mlp.fc2", config["intermediate_size"], width)
    return shapes


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": [outputs, inputs], **({f"{name}.bias": [outputs]} if bias else {})}


def _convolution(name: str, inputs: int, outputs: int, size: int = 3) -> Shapes:
    return {f"{name}.weight": [outputs, inputs, size, size], f"{name}.bias": [outputs]}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": [width], f"{name}.bias": [width]}


def _residual(name: str, inputs: int, outputs: int, time: int = 0) -> Shapes:
    return {
        **_norm(f"{name}.norm1", inputs),
        **_convolution(f"{name}.conv1", inputs, outputs),
        **(_linear(f"{name}.time_emb_proj", time, outputs) if time else {}),
        **_norm(f"{name}.norm2", outputs),
        **_convolution(f"{name}.conv2", outputs, outputs),
        **(_convolution(f"{name}.conv_shortcut", inputs, outputs, 1) if inputs != outputs else {}),
    }


def _transformer(name: str, width: int, context: int) -> Shapes:
    block = f"{name}.transformer_blocks.0"
    shapes = _norm(f"{name}.norm", width) | _linear(f"{name}.proj_in", width, width)
    for number in (1, 2, 3):
        shapes |= _norm(f"{block}.norm{number}", width)
    for attention, inputs in (("attn1", width), ("attn2", context)):
        shapes |= _linear(f"{block}.{attention}.to_q", width, width, bias=False)
        for part in ("to_k", "to_v"):
            shapes |= _linear(f"{block}.{attention}.{part}", inputs, width, bias=False)
        shapes |= _linear(f"{block}.{attention}.to_out.0", width, width)
    shapes |= _linear(f"{block}.ff.net.0.proj", width, 8 * width) | _linear(f"{block}.ff.net.2", 4 * width, width)
    return shapes | _linear(f"{name}.proj_out", width, width)
