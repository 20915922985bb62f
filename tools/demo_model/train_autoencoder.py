"""Train the autoencoder of the demo model: a small AutoencoderKL, eight times smaller sides, on a list of pictures.

    python scripts/with_env.py tools/run.py demo_model.train_autoencoder FACES/faces.jsonl OUT/vae

Lists and pictures come from make_synthetic_faces.py; any JSON-lines list with `image` will do. Loss: absolute
differences of pixels and of their gradients (for edges), with --detail also of how much fine detail there is in a
place, wherever its lines lie; no adversary. The posterior's noise is small and fixed rather than learned: nothing here
samples it, and a learned one starts so large that little is learned under it. The scaling factor in its config.json is
measured: the latents' standard deviation is 1 after it; with --decoder-only it stays. Written in half precision at the
end, or at --minutes. Stopped before, it leaves a checkpoint in --checkpoint, and the same command goes on from there;
without that option, nothing is written.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from face_anonymizer.modules.training import autoencoder_start, pictures, small_networks
from face_anonymizer.tools.demo_model import resumable as _resumable

# Of the latents: a little noise keeps them smooth, and their mean square keeps them near 1.
NOISE = 0.05
SIZE_WEIGHT = 1e-3
GLANCE = 72  # held-out pictures that are measured at each checkpoint


def main() -> None:
    options = parse_arguments()
    train(options, pictures.read_pictures(pictures.read_lines(*options.faces)))


def train(options: argparse.Namespace, images: torch.Tensor) -> float:
    """Train as the options say on pictures, uint8 [N, 3, S, S] on any device. Returns the PSNR of the held-out ones."""
    torch.manual_seed(options.seed)
    if len(images) <= options.held_out:
        raise SystemExit(f"There are {len(images)} pictures, not more than --held-out {options.held_out}.")
    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(options.widths),
        up_block_types=("UpDecoderBlock2D",) * len(options.widths),
        block_out_channels=tuple(options.widths),
        layers_per_block=1,
        # Stable Diffusion's 32 would leave a channel or two a group, and a picture's mean colours could not pass.
        norm_num_groups=options.norm_groups,
        latent_channels=options.latent_channels,
        sample_size=images.shape[-1],
    ).to(options.device)
    with torch.no_grad():  # the half that is the logarithm of the posterior's variance
        autoencoder.quant_conv.weight[options.latent_channels :].zero_()
        autoencoder.quant_conv.bias[options.latent_channels :].fill_(2 * math.log(NOISE))
    autoencoder_start.start_from_colours(autoencoder)
    start = AutoencoderKL.from_pretrained(options.start) if options.start is not None else None
    if start is not None:
        autoencoder.load_state_dict(start.state_dict())
    if options.decoder_only:
        autoencoder.encoder.requires_grad_(False)
        autoencoder.quant_conv.requires_grad_(False)
    fit(autoencoder, images[: -options.held_out], images[-options.held_out :], options)
    deviation, psnr = measure(autoencoder, images[-options.held_out :], options.device)
    keeps = start is not None and options.decoder_only
    scaling = start.config.scaling_factor if keeps else round(1 / deviation, 5)
    autoencoder.register_to_config(scaling_factor=scaling, force_upcast=False)
    print(f"held-out pictures: PSNR {psnr:.2f} dB; latent deviation {deviation:.4f}")
    autoencoder.half().save_pretrained(options.output, safe_serialization=True)
    return psnr


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, nargs="+", help="lists of pictures of one size")
    parser.add_argument("output", type=Path, help="folder for config.json and weights")
    parser.add_argument("--start", type=Path, metavar="VAE", help="folder of one of the same widths to begin with")
    parser.add_argument(
        "--decoder-only", action="store_true", help="leave the latents as they are, for networks that know them"
    )
    parser.add_argument("--detail", type=float, default=0.0, metavar="WEIGHT", help="of the loss of fine detail")
    parser.add_argument("--held-out", type=int, default=256, help="the last pictures, which are measured on instead")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 96, 96], help="one a level")
    parser.add_argument("--norm-groups", type=int, default=4, help="of every normalisation")
    parser.add_argument("--latent-channels", type=int, default=12)
    parser.add_argument("--crop", type=int, default=64, help="side of the crops that most of the training sees")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, help="end earlier, with the learning rate at its end")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    _resumable.add_options(parser)
    return parser.parse_args(arguments)


def fit(autoencoder: AutoencoderKL, images: torch.Tensor, held_out: torch.Tensor, options: argparse.Namespace) -> None:
    def loss(chosen: torch.Tensor, done: float, generator: torch.Generator) -> tuple[torch.Tensor, float]:
        # Crops for four fifths of the time: more pictures a minute; then whole ones, as they will be used.
        whole = done > 0.8
        batch = images[chosen[: max(1, len(chosen) // 3)]] if whole else crop(images[chosen], options.crop, generator)
        batch = (batch.float() / 127.5 - 1).to(options.device)
        with small_networks.autocast(options.device):
            latents = autoencoder.encode(batch).latent_dist.mode()
            decoded = autoencoder.decode(latents + NOISE * torch.randn_like(latents)).sample.float()
        pixels = functional.l1_loss(decoded, batch)
        total = pixels + 0.5 * edge_loss(decoded, batch) + SIZE_WEIGHT * latents.float().square().mean()
        if options.detail:
            total = total + options.detail * detail_loss(decoded, batch)
        return total, pixels.item()

    def figures() -> dict[str, float]:
        return {"psnr": measure(autoencoder, held_out[:GLANCE], options.device)[1]}

    _resumable.fit(autoencoder, len(images), loss, options, figures)


def crop(batch: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """The same square of all pictures, somewhere."""
    top, left = torch.randint(batch.shape[-1] - side + 1, (2,), generator=generator).tolist()
    return batch[..., top : top + side, left : left + side]


def edge_loss(decoded: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """Absolute differences of neighbouring pixels' differences: what keeps eyes and mouths sharp."""
    return sum(functional.l1_loss(decoded.diff(dim=dim), batch.diff(dim=dim)) for dim in (2, 3))


def detail_loss(decoded: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """Absolute differences of how much fine detail there is, whatever its lines: 4 x 4 pixels at a time.

    Pixel by pixel, a hair that may be here or beside is best drawn as a blur of both.
    """
    return functional.l1_loss(_detail(decoded), _detail(batch))


def _detail(pictures: torch.Tensor) -> torch.Tensor:
    """Mean distance of a pixel to the mean of its 3 x 3 neighbours, [N, C, S / 4, S / 4]."""
    return functional.avg_pool2d((pictures - functional.avg_pool2d(pictures, 3, 1, 1)).abs(), 4)


@torch.no_grad()
def measure(autoencoder: AutoencoderKL, images: torch.Tensor, device: str) -> tuple[float, float]:
    """Standard deviation of the latents' means, and the PSNR in dB, of the mean squared error of all pictures."""
    latents, errors = [], []
    for part in images.split(32):
        batch = (part.float() / 127.5 - 1).to(device)
        mean = autoencoder.encode(batch).latent_dist.mode()
        errors.append(((autoencoder.decode(mean).sample.clamp(-1, 1) - batch) / 2).square().mean((1, 2, 3)))
        latents.append(mean)
    return torch.cat(latents).std().item(), -10 * torch.cat(errors).mean().log10().item()
