"""Where the training of a narrow AutoencoderKL starts: it passes the mean colours of blocks, and learns the rest.

From diffusers' own random start a narrow autoencoder learns edges first and colours last: each normalisation takes its
groups' mean and scale away, and there are few channels to hide them in. Here three latents start as the colours. Behind
each normalisation they are carried by a pair, x and -x, beside constants that dominate the group's deviation: then the
normalisation is nearly linear, and silu(x) - silu(-x) = x is exactly.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import nn

_COLOURS = 3
_CONSTANT = 3.0


@torch.no_grad()
def start_from_colours(autoencoder: AutoencoderKL) -> None:
    """Change the fresh weights of `autoencoder` in place. It needs 3 latents and 8 channels a group, or more.

    Raises ValueError when it has fewer.
    """
    config = autoencoder.config
    if config.latent_channels < _COLOURS or config.block_out_channels[0] // config.norm_num_groups < 8:
        raise ValueError(
            f"{config.latent_channels} latent channels, widths {config.block_out_channels} in {config.norm_num_groups} "
            f"groups: at least 3 and 8 channels a group are needed. Take fewer --norm-groups or wider levels."
        )
    for name, module in autoencoder.named_modules():
        if name.endswith(".conv2") or name.endswith("to_out.0"):  # what a block adds starts as nothing
            module.weight.zero_()
            module.bias.zero_()
        elif name.endswith(".conv_shortcut") or name in ("quant_conv", "post_quant_conv"):
            nn.init.dirac_(module.weight)
            module.bias.zero_()
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    _carry(encoder.conv_in, config.block_out_channels[0] // config.norm_num_groups, taps=((1, 1),))
    for level, block in enumerate(encoder.down_blocks):
        group = config.block_out_channels[min(level + 1, len(encoder.down_blocks) - 1)] // config.norm_num_groups
        for down in block.downsamplers or ():  # diffusers pads below and to the right: these four are a block
            _carry(down.conv, group, taps=((0, 0), (0, 1), (1, 0), (1, 1)))
    _read(encoder.conv_out, config.block_out_channels[-1] // config.norm_num_groups)
    widths = list(reversed(config.block_out_channels))
    _carry(decoder.conv_in, widths[0] // config.norm_num_groups, taps=((1, 1),))
    for level, block in enumerate(decoder.up_blocks):
        group = widths[min(level + 1, len(widths) - 1)] // config.norm_num_groups
        for up in block.upsamplers or ():
            _carry(up.conv, group, taps=((1, 1),))
    _read(decoder.conv_out, config.block_out_channels[0] // config.norm_num_groups)


def _carry(conv: nn.Conv2d, group: int, taps: tuple[tuple[int, int], ...]) -> None:
    """x of the first three channels, the mean over `taps`; then -x; then constants up to the end of the first group."""
    assert conv.bias is not None  # diffusers' convolutions have one
    conv.weight[:group] = 0
    conv.bias[:group] = 0
    for colour in range(_COLOURS):
        for row, column in taps:
            conv.weight[colour, colour, row, column] = 1 / len(taps)
            conv.weight[_COLOURS + colour, colour, row, column] = -1 / len(taps)
    conv.bias[2 * _COLOURS : group : 2] = _CONSTANT
    conv.bias[2 * _COLOURS + 1 : group : 2] = -_CONSTANT


def _read(conv: nn.Conv2d, group: int) -> None:
    """The first three outputs from the pairs behind normalisation and silu; other outputs stay as they are."""
    deviation = _CONSTANT * ((group - 2 * _COLOURS) / group) ** 0.5  # of the group, nearly: what it was divided by
    assert conv.bias is not None
    conv.weight[:_COLOURS] = 0
    conv.bias[:_COLOURS] = 0
    for colour in range(_COLOURS):
        conv.weight[colour, colour, 1, 1] = deviation
        conv.weight[colour, _COLOURS + colour, 1, 1] = -deviation
