"""Train what reads the parameters of synthetic faces off their pictures: two separate networks, one call each.

    python scripts/with_env.py tools/run.py demo_model.train_regressors image-encoder FACES.jsonl OUT/image_encoder
    python scripts/with_env.py tools/run.py demo_model.train_regressors regressor FACES.jsonl OUT/regressor.safetensors

image-encoder: a small CLIP vision model, whose embedding (as of CLIP ViT-L/14, before the projection) a linear layer
maps to the parameters; it becomes the image encoder of the demo model, the linear layer is dropped. regressor: a
convolutional network, with which scripts/evaluate.py measures. The last --held-out pictures of the list are not
trained on; R2 of every parameter is measured on them. Lists and pictures come from make_synthetic_faces.py.
The result is written at the end, or at --minutes. Stopped before, it leaves a checkpoint in --checkpoint, and the same
command goes on from there; without that option, nothing is written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from face_anonymizer.modules.synthetic import regressor, tables
from face_anonymizer.modules.training import pictures, small_networks
from face_anonymizer.tools.demo_model import resumable as _resumable

MEAN = STD = [0.5, 0.5, 0.5]


class Encoder(nn.Module):
    """The image encoder and the linear layer that is dropped after training."""

    def __init__(self, options: argparse.Namespace, images: torch.Tensor):
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        config = CLIPVisionConfig(
            hidden_size=options.width,
            intermediate_size=4 * options.width,
            num_hidden_layers=options.layers,
            num_attention_heads=options.width // 16,
            image_size=options.image_size,
            patch_size=options.patch,
            projection_dim=options.width,
            hidden_act="quick_gelu",
        )
        self.vision = CLIPVisionModel(config)
        self.size = options.image_size
        whiten(self.vision, images, options.image_size, options.patch)
        self.head = nn.Linear(options.width, regressor.OUTPUTS, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.movedim(-1, 1)
        if pixels.shape[-1] != self.size:
            pixels = functional.interpolate(pixels, (self.size, self.size), mode="bicubic", antialias=True)
        return self.head(self.vision(pixel_values=pixels * 2 - 1).pooler_output)


@torch.no_grad()
def whiten(vision: nn.Module, images: torch.Tensor, size: int, patch: int) -> None:
    """Start the patch embedding from the principal components of patches, each scaled to unit variance: pixels are so
    alike that gradient descent alone takes long to see what is small. images: uint8 [N, 3, S, S]; size: side of what
    the encoder sees of them; patch: side of a patch."""
    embeddings = next(module for module in vision.modules() if hasattr(module, "patch_embedding"))
    pixels = functional.interpolate(images.float() / 127.5 - 1, (size, size), mode="area")
    patches = functional.unfold(pixels, patch, stride=patch).movedim(1, 2).flatten(0, 1)
    weight = embeddings.patch_embedding.weight
    _, deviations, components = torch.pca_lowrank(patches, weight.shape[0], niter=3)
    scaled = components.T / (deviations / len(patches) ** 0.5 + 0.02)[:, None]
    weight.copy_(scaled.view_as(weight))
    nn.init.normal_(embeddings.position_embedding.weight, std=1.0)


def main() -> None:
    options = parse_arguments()
    lines = pictures.read_lines(*options.faces)
    train(options, pictures.read_pictures(lines), pictures.read_truth(lines))


def train(options: argparse.Namespace, images: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Train one of the two as the options say.

    Args:
        options: of the command line.
        images: uint8 [N, 3, 128, 128] on any device.
        truth: float32 [N, 101], their parameters, normalised.

    Returns:
        Name -> R2 of every parameter on the held-out pictures.
    """
    torch.manual_seed(options.seed)
    if len(images) <= options.held_out:
        raise SystemExit(f"There are {len(images)} pictures, not more than --held-out {options.held_out}.")
    network = Encoder(options, images[:4096]) if options.kind == "image-encoder" else regressor.SyntheticRegressor()
    trained = len(images) - options.held_out
    network.to(options.device)
    fit(network, images, truth, trained, options)
    explained = r_squared(network, images[trained:], truth[trained:], options.device)
    names = [parameter.name for parameter in (*tables.IDENTITY, *tables.ATTRIBUTES)]
    by_name = {name: round(value, 3) for name, value in zip(names, explained.tolist(), strict=True)}
    print(json.dumps(by_name))
    print(f"mean R2 on {options.held_out} held-out pictures: {explained.mean():.3f}")
    if options.kind == "image-encoder":
        save_encoder(network, options.output)
    else:
        network.reliability = explained.clamp(0, 1)
        regressor.save_regressor(network, options.output)
    return by_name


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("image-encoder", "regressor"))
    parser.add_argument("faces", type=Path, nargs="+", help="faces.jsonl of make_synthetic_faces.py, at 128 pixels")
    parser.add_argument("output", type=Path, help="a folder for the image encoder, a .safetensors for the regressor")
    parser.add_argument("--held-out", type=int, default=1080, help="pictures that are measured on instead")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--minutes", type=float, help="end earlier, with the learning rate at its end")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=192, help="of the image encoder and so of the embedding")
    # Few large patches: hardly more than a multilayer perceptron on pixels, which learns places where a transformer of
    # many patches needs millions of pictures to tell them apart.
    parser.add_argument("--image-size", type=int, default=64, help="side of what the image encoder sees")
    parser.add_argument("--patch", type=int, default=32, help="side of its patches")
    parser.add_argument("--layers", type=int, default=4, help="of the image encoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    _resumable.add_options(parser)
    return parser.parse_args(arguments)


def fit(
    network: nn.Module, images: torch.Tensor, truth: torch.Tensor, trained: int, options: argparse.Namespace
) -> None:
    """Mean squared error of all parameters, on the first `trained` pictures."""

    def loss(chosen: torch.Tensor, _done: float, _generator: torch.Generator) -> tuple[torch.Tensor, float]:
        batch = blurred((images[chosen].float() / 255).to(options.device))
        with small_networks.autocast(options.device):
            predicted = network(batch.movedim(1, -1))
        error = functional.mse_loss(predicted.float(), truth[chosen.to(truth.device)].to(options.device))
        return error, error.item()

    def figures() -> dict[str, float]:
        return {"r2": r_squared(network, images[trained:], truth[trained:], options.device).mean().item()}

    _resumable.fit(network, trained, loss, options, figures)


def blurred(images: torch.Tensor) -> torch.Tensor:
    """A quarter of the pictures a little blurred, all with a little noise: what is measured later was decoded."""
    count = len(images) // 4
    small = functional.avg_pool2d(images[:count], 2)
    images[:count] = functional.interpolate(small, scale_factor=2, mode="bilinear")
    return images + 0.01 * torch.randn_like(images)


@torch.no_grad()
def r_squared(network: nn.Module, images: torch.Tensor, truth: torch.Tensor, device: str) -> torch.Tensor:
    """Share of each parameter's variance that is explained: float32 [101]."""
    network.eval()
    predicted = [network((part.float() / 255).to(device).movedim(1, -1)).cpu() for part in images.split(64)]
    truth = truth.cpu()
    error = (torch.cat(predicted) - truth).square().mean(0)
    return 1 - error / truth.var(0)


def save_encoder(network: Encoder, folder: Path) -> None:
    """As transformers saves it, with mean and standard deviation where ComfyUI reads them."""
    network.vision.half().save_pretrained(folder, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"image_mean": MEAN, "image_std": STD}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
