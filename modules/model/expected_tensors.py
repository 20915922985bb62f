"""Which tensors the weights of a config must have, by name and leading sizes. Pure: no ComfyUI here.

Not all, which only the network itself knows, but of every layer one that gives its width. Held against the headers of
the files before a network is built, they bound it by what is on the disk: a config of a thousand layers is no work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Shapes = Mapping[str, tuple[int, ...]]


def unet_tensors(widths: Sequence[int], layers: int, depths: Sequence[Sequence[int]], ends: Sequence[int]) -> Shapes:
    """Tensors of a diffusers UNet2DConditionModel.

    Args:
        widths: of each level.
        layers: residual blocks a level on the way down; one more on the way up.
        depths: transformer blocks a layer: of the levels on the way down, of the middle alone, and on the way up, the
            deepest first.
        ends: channels in, channels out, width of the context.
    """
    down, (middle,), up = depths
    channels_in, channels_out, context = ends
    found: dict[str, tuple[int, ...]] = {
        "conv_in.weight": (widths[0], channels_in, 3, 3),
        "conv_out.weight": (channels_out, widths[0], 3, 3),
    }
    places = [("down_blocks", i, widths[i], down[i], layers) for i in range(len(widths))]
    places += [("up_blocks", i, widths[-1 - i], up[i], layers + 1) for i in range(len(widths))]
    for kind, i, width, depth, count in places:
        for j in range(count):
            found[f"{kind}.{i}.resnets.{j}.conv1.weight"] = (width,)
            found |= _transformers(f"{kind}.{i}.attentions.{j}", width, depth, context)
    found["mid_block.resnets.0.conv1.weight"] = found["mid_block.resnets.1.conv1.weight"] = (widths[-1],)
    return found | _transformers("mid_block.attentions.0", widths[-1], middle, context)


def _transformers(layer: str, width: int, depth: int, context: int) -> dict[str, tuple[int, ...]]:
    blocks = [f"{layer}.transformer_blocks.{k}" for k in range(depth)]
    found: dict[str, tuple[int, ...]] = {f"{block}.attn1.to_q.weight": (width, width) for block in blocks}
    return found | {f"{block}.attn2.to_k.weight": (width, context) for block in blocks}


def vae_tensors(widths: Sequence[int], layers: int, channels_in: int, channels_out: int, latent: int) -> Shapes:
    """Tensors of a diffusers AutoencoderKL.

    Args:
        widths: of each level.
        layers: residual blocks a level of the encoder; the decoder has one more.
        channels_in, channels_out: of pictures.
        latent: channels of the latents.
    """
    found: dict[str, tuple[int, ...]] = {
        "encoder.conv_in.weight": (widths[0], channels_in, 3, 3),
        "encoder.conv_out.weight": (2 * latent, widths[-1], 3, 3),
        "decoder.conv_in.weight": (widths[-1], latent, 3, 3),
        "decoder.conv_out.weight": (channels_out, widths[0], 3, 3),
    }
    for i, width in enumerate(widths):
        found |= {f"encoder.down_blocks.{i}.resnets.{j}.conv1.weight": (width,) for j in range(layers)}
    for i, width in enumerate(reversed(widths)):
        found |= {f"decoder.up_blocks.{i}.resnets.{j}.conv1.weight": (width,) for j in range(layers + 1)}
    return found


def clip_tensors(width: int, inner: int, layers: int, patch: int, positions: int) -> Shapes:
    """Tensors of a CLIP image encoder, without the prefix vision_model.

    Args:
        width: of the tokens.
        inner: of the perceptrons.
        layers: of the transformer.
        patch: side of a patch in pixels.
        positions: patches of a picture, and one.
    """
    found: dict[str, tuple[int, ...]] = {
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (positions, width),
    }
    return found | {f"encoder.layers.{i}.mlp.fc1.weight": (inner, width) for i in range(layers)}


def check_tensors(expected: Shapes, found: Shapes, folder: Path) -> None:
    """Hold the headers of the weights against what the config asks for.

    Args:
        expected: name -> leading sizes.
        found: name -> shape.
        folder: of the network.

    Raises:
        ValueError: names the folder and the first tensor that is missing or of another shape.
    """
    missing = [name for name in expected if name not in found]
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} tensors are missing that config.json asks for, the first is {missing[0]}. "
            "Weights and config.json belong to different models; get both again."
        )
    for name, sizes in expected.items():
        if found[name][: len(sizes)] != sizes:
            more = " and what follows" if len(found[name]) > len(sizes) else ""
            raise ValueError(
                f"{folder}: {name} is {found[name]}, config.json asks for {sizes}{more}. Weights and "
                "config.json belong to different models; get both again."
            )
