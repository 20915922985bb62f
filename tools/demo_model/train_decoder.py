"""Train the decoder of the demo model on latents that the model itself painted, for which the truth is known.

    python scripts/with_env.py tools/run.py demo_model.train_decoder SAMPLED HELD_OUT OUT/vae

SAMPLED and HELD_OUT are folders of sample_latents.py. A decoder that has seen nothing but the encoder's latents draws
what lies between two of them as a blur; this one learns what such a latent was meant to be. Three kinds of latents are
decoded in each step, and each has its loss:

- swaps, whose truth was rendered: absolute differences of pixels, of edges and of fine detail, more where eyes and
  mouth are; and an adversary, both by its verdict and by what it sees in the picture and in the truth;
- results at a degree, which have no truth: the adversary's verdict around the face, and the driving image where nobody
  is near;
- the encoder's own latents: as train_autoencoder.py, so that the reconstruction stays what it was.

Encoder and scaling factor stay as they are. OUT gets the moving averages of the weights in half precision, log.jsonl
and sheet.png: driving image, truth, swap before and after, original, result before and after.
"""

from __future__ import annotations

import argparse
import copy
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from face_anonymizer.modules.evaluation import quality
from face_anonymizer.modules.files import append_json_line
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.training import small_networks, validation
from face_anonymizer.tools.demo_model.adversary import Adversary, hinge, unlikeness
from face_anonymizer.tools.demo_model.sampled import DEGREE, SWAP, Sampled, read_sampled
from face_anonymizer.tools.demo_model.train_autoencoder import NOISE, detail_loss, edge_loss

AVERAGE = 0.998
PART = 10  # pixels of 128 around an eye or the mouth within which differences count more
WARMUP = 100  # steps; in the first half of them the adversary's pull is measured
POOL = 48  # pictures that were painted a while ago
FACE = 1.2  # how far the skin of a face goes from its middle, in distances of eyes and mouth
SHEET = 16  # rows
START = PACK / "models" / "face_anon" / "demo" / "vae"


def main() -> None:
    train(parse_arguments())


def train(options: argparse.Namespace) -> None:
    """All of it, as the options say."""
    torch.manual_seed(options.seed)
    autoencoder = AutoencoderKL.from_pretrained(options.start)
    given = {kind: read_sampled(options.sampled, kind) for kind in (SWAP, DEGREE)}
    held_out = {kind: read_sampled(options.held_out, kind) for kind in (SWAP, DEGREE)}
    options.output.mkdir(parents=True, exist_ok=True)
    before = copy.deepcopy(autoencoder).requires_grad_(False)
    trained = Training(autoencoder, given, options)
    log(options.output, trained, measure(before, held_out))
    trained.run(lambda: log(options.output, trained, measure(trained.average, held_out)))
    validation.save_sheet(sheet(before, trained.average, held_out), options.output / "sheet.png")
    trained.average.half().save_pretrained(options.output, safe_serialization=True)
    shutil.copyfile(options.start / "config.json", options.output / "config.json")  # the other has the folder's path


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampled", type=Path, help="folder of sample_latents.py")
    parser.add_argument("held_out", type=Path, help="another, of other people")
    parser.add_argument("output", type=Path, help="folder for config.json and weights")
    parser.add_argument("--start", type=Path, default=START, metavar="VAE", help="whose latents these are")
    parser.add_argument("--minutes", type=float, default=10, help="of the processor")
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--each", type=int, nargs=3, default=(2, 1, 1), metavar=("SWAPS", "RESULTS", "OWN"))
    parser.add_argument("--adversary", type=float, default=0.2, help="its pull, as a share of that of all else")
    parser.add_argument("--pixels", type=float, default=0.7, help="weight of the absolute differences of swaps")
    parser.add_argument("--detail", type=float, default=1.0, help="of the loss of fine detail")
    parser.add_argument("--seen", type=float, default=2.0, help="of what the adversary sees")
    parser.add_argument("--parts", type=float, default=3.0, help="of eyes and mouth, on top")
    parser.add_argument("--clear", type=float, default=2.0, help="of what is clear of people, on top")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--measure-minutes", type=float, default=2.4)
    parser.add_argument("--ahead", type=int, default=300, help="steps that the adversary learns before the decoder")
    parser.add_argument("--own", type=float, default=4.0, help="weight of the reconstruction")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


class Training:
    """A decoder, its moving averages and its adversary, and what they learn from.

    Args:
        autoencoder: whose decoder is trained in place.
        given: Sampled by kind.
        options: of the command line.
    """

    def __init__(self, autoencoder: AutoencoderKL, given: dict[str, Sampled], options: argparse.Namespace):
        self.autoencoder, self.given, self.options = autoencoder, given, options
        autoencoder.requires_grad_(False)
        trained = [*autoencoder.decoder.parameters(), *autoencoder.post_quant_conv.parameters()]
        for parameter in trained:
            parameter.requires_grad_(True)
        self.average = copy.deepcopy(autoencoder).requires_grad_(False)
        self.adversary = Adversary()
        rate = options.learning_rate
        self.optimizer = torch.optim.AdamW(trained, lr=rate, betas=(0.5, 0.99), weight_decay=0.01, fused=True)
        self.judging = torch.optim.AdamW(self.adversary.parameters(), lr=2 * rate, betas=(0.5, 0.99), fused=True)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.painted_before = decoded_some(autoencoder, given, self.generator)
        self.step, self.seconds, self.norm = 0, 0.0, 0.0
        self.shown: dict[str, float] = {}

    def run(self, measured: Callable[[], None]) -> None:
        """To the end of the course. measured: called now and then, and at the end."""
        last = 0.0
        for _ in range(self.options.ahead):
            drawn = [self.draw(kind, 4).pictures for kind in (SWAP, DEGREE)]
            self.judge(as_pixels(torch.cat(drawn)), self.seen_before(8))
        while (done := self.done()) < 1:
            began = time.thread_time()
            self.take_step(done)
            self.seconds += time.thread_time() - began
            if self.seconds - last > 60 * self.options.measure_minutes:
                measured()
                last = self.seconds
        measured()

    def done(self) -> float:
        return max(self.step / self.options.steps, self.seconds / 60 / self.options.minutes)

    def take_step(self, done: float) -> None:
        """done: share of the course."""
        options = self.options
        warm = min(1, (self.step + 1) / WARMUP)
        rate = options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))
        self.optimizer.param_groups[0]["lr"], self.judging.param_groups[0]["lr"] = rate, 2 * rate
        swaps, results, own = (self.draw(kind, count) for kind, count in zip(KINDS, options.each, strict=True))
        latents = torch.cat([swaps.latents, results.latents, own.own]).float()
        latents[-len(own) :] += NOISE * torch.randn(own.own.shape, generator=self.generator)
        with small_networks.autocast("cpu"):
            decoded = self.autoencoder.decode(latents / self.autoencoder.config.scaling_factor).sample.float()
        painted = decoded[: -len(own)]
        judged = self.judge_painted(swaps, results, painted.detach())
        plain = self.plain_loss(swaps, results, painted)
        plain = plain + options.own * reconstruction_loss(decoded[-len(own) :], as_pixels(own.pictures), options)
        verdict, likeness = self.opinion(swaps, painted)
        # as gradients of the pictures, so that the two can be weighed against each other before the decoder has them
        by_plain = torch.autograd.grad(plain + options.seen * likeness, decoded, retain_graph=True)[0]
        by_verdict = torch.autograd.grad(-verdict, decoded)[0]
        # of a face that nobody knows, it would ask for lines wherever the latent has lost an eye: they look like cracks
        by_verdict[len(swaps) : len(painted)] *= 1 - face(results.points, painted.shape[-1])
        if self.step < WARMUP // 2:  # then it stays: an adversary that is at a loss is not to pull the harder
            ratio = (by_plain[: len(painted)].norm() / by_verdict.norm().clamp(min=1e-12)).item()
            self.norm = ratio if self.step == 0 else 0.95 * self.norm + 0.05 * ratio
        self.optimizer.zero_grad()
        decoded.backward(by_plain + options.adversary * min(1, self.step / WARMUP) * self.norm * by_verdict)
        torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
        self.optimizer.step()
        decay = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for one, other in zip(self.average.parameters(), self.autoencoder.parameters(), strict=True):
                one.lerp_(other, 1 - decay)
        self.step += 1
        for name, value in {"judged": judged, "plain": plain.item(), "likeness": likeness.item()}.items():
            self.shown[name] = 0.99 * self.shown.get(name, value) + 0.01 * value

    def judge_painted(self, swaps: Sampled, results: Sampled, painted: torch.Tensor) -> float:
        """Teach the adversary with a batch, as many others, and pictures of a while ago. Returns its loss."""
        others = [self.draw(kind, 2).pictures for kind in (SWAP, DEGREE)]
        real = as_pixels(torch.cat([swaps.pictures, results.pictures, *others]))
        judged = self.judge(real, torch.cat([painted, self.seen_before(4)]))
        places = torch.randint(len(self.painted_before), (len(painted),), generator=self.generator)
        self.painted_before[places] = painted
        return judged

    def opinion(self, swaps: Sampled, painted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The adversary's mean verdict on painted pictures, and how unlike their truth it sees swaps: scalars."""
        with small_networks.autocast("cpu"):
            verdict, seen = self.adversary(painted)
            with torch.no_grad():
                wanted = self.adversary(as_pixels(swaps.pictures))[1]
        of_swaps = [level[: len(swaps)].float() for level in seen]
        return verdict.float().mean(), unlikeness(of_swaps, [level.float() for level in wanted])

    def seen_before(self, count: int) -> torch.Tensor:
        """Some pictures that were painted a while ago, which the adversary is not to forget."""
        return self.painted_before[torch.randint(len(self.painted_before), (count,), generator=self.generator)]

    def draw(self, kind: str, count: int) -> Sampled:
        given = self.given[kind]
        return given.rows(torch.randint(len(given), (count,), generator=self.generator))

    def judge(self, real: torch.Tensor, fake: torch.Tensor) -> float:
        """Teach the adversary with pictures that were rendered and others that were painted."""
        with small_networks.autocast("cpu"):
            verdicts = self.adversary(torch.cat([real, fake]))[0].float()
        loss = hinge(*verdicts.split([len(real), len(fake)]))
        self.judging.zero_grad()
        loss.backward()
        self.judging.step()
        return loss.item()

    def plain_loss(self, swaps: Sampled, results: Sampled, decoded: torch.Tensor) -> torch.Tensor:
        """What is known of the pictures without an adversary."""
        options = self.options
        painted, turned = decoded[: len(swaps)], decoded[len(swaps) :]
        truth = as_pixels(swaps.pictures)
        near = parts(swaps.points, truth.shape[-1])
        weight = options.pixels + options.parts * near + options.clear * swaps.clear[:, None].float()
        loss = (weight * (painted - truth).abs()).mean() + 0.5 * options.pixels * edge_loss(painted, truth)
        loss = loss + options.detail * detail_loss(painted, truth)
        clear = results.clear[:, None].float()
        away = (turned - as_pixels(results.pictures)).abs() * clear
        return loss + options.clear * away.mean() * len(results) / max(1, len(swaps))


KINDS = (SWAP, DEGREE, SWAP)  # of --each


def reconstruction_loss(decoded: torch.Tensor, pictures: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    """That of train_autoencoder.py."""
    loss = functional.l1_loss(decoded, pictures) + 0.5 * edge_loss(decoded, pictures)
    return loss + options.detail * detail_loss(decoded, pictures)


def as_pixels(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 -> float32, -1..1."""
    return pictures.float() / 127.5 - 1


def parts(points: torch.Tensor, side: int) -> torch.Tensor:
    """How near pixels are to an eye or the mouth, 0..1.

    Args:
        points: float32 [N, 5, 2], as of Sampled.
        side: S.

    Returns:
        float32 [N, 1, S, S].
    """
    middles = torch.stack([points[:, 0], points[:, 1], points[:, 3:].mean(1)], 1)
    return (-_squares(middles, side) / 2 / (PART * side / 128) ** 2).exp().amax(1, keepdim=True)


def face(points: torch.Tensor, side: int) -> torch.Tensor:
    """1 where a face is, by its points, falling to 0 around it; otherwise as parts."""
    middle = points.mean(1, keepdim=True)
    tall = (points[:, 3:].mean(1) - points[:, :2].mean(1)).norm(dim=-1).clamp(min=side / 8).view(-1, 1, 1, 1)
    return (3 - 2 * _squares(middle, side).sqrt() / (FACE * tall)).clamp(0, 1)


def _squares(middles: torch.Tensor, side: int) -> torch.Tensor:
    """Squared distances of pixels to points [N, P, 2]: [N, P, S, S]."""
    at = torch.arange(side) + 0.5
    x, y = ((at - middles[..., axis, None]).square() for axis in (0, 1))
    return y[..., :, None] + x[..., None, :]


@torch.no_grad()
def decoded_some(autoencoder: AutoencoderKL, given: dict[str, Sampled], generator: torch.Generator) -> torch.Tensor:
    """float32 [POOL, 3, S, S], -1..1: swaps and results as they are before the training."""
    rows = [torch.randint(len(given[kind]), (POOL // 2,), generator=generator) for kind in (SWAP, DEGREE)]
    latents = torch.cat([given[kind].latents[some] for kind, some in zip((SWAP, DEGREE), rows, strict=True)])
    return as_pixels(decode(autoencoder, latents))


@torch.no_grad()
def decode(autoencoder: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Scaled latents [N, C, h, w] -> uint8 [N, 3, S, S]."""
    pixels = [autoencoder.decode(part.float() / autoencoder.config.scaling_factor).sample for part in latents.split(12)]
    return ((torch.cat(pixels) + 1) * 127.5).round().clamp(0, 255).byte()


def measure(autoencoder: AutoencoderKL, held_out: dict[str, Sampled]) -> dict[str, float]:
    """Figures of the evaluation on people that were held out."""
    swaps, results = held_out[SWAP], held_out[DEGREE]
    painted, turned = decode(autoencoder, swaps.latents), decode(autoencoder, results.latents)
    rebuilt = decode(autoencoder, swaps.own)

    def sharpness(pictures: torch.Tensor) -> float:
        return quality.sharpness(pictures.movedim(1, -1).numpy()).mean().item()

    def levels(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
        away = (one.float() - other.float()).abs().mean(1)
        area = where.flatten(1).sum(1)
        return ((away * where).flatten(1).sum(1) / area)[area > 0].mean().item()

    def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
        return -10 * ((one.float() - other.float()) / 255).square().mean().log10().item()

    near = parts(swaps.points, painted.shape[-1])[:, 0] > 0.6
    return {
        "sharpness of truth": sharpness(swaps.pictures),
        "of reconstruction": sharpness(rebuilt),
        "of swaps": sharpness(painted),
        "of results": sharpness(turned),
        "psnr": psnr(rebuilt, swaps.pictures),
        "psnr of swaps": psnr(painted, swaps.pictures),
        "swaps": levels(painted, swaps.pictures, torch.ones_like(near)),
        "eyes and mouth": levels(painted, swaps.pictures, near),
        "background of swaps": levels(painted, swaps.driving, swaps.clear),
        "background of results": levels(turned, results.driving, results.clear),
    }


def sheet(before: AutoencoderKL, after: AutoencoderKL, held_out: dict[str, Sampled]) -> np.ndarray:
    """uint8 [SHEET * S, 7 * S, 3]; columns as the docstring of this file names them."""
    swaps, results = (held_out[kind].rows(slice(None, None, len(held_out[kind]) // SHEET or 1)) for kind in KINDS[:2])
    columns = [swaps.driving, swaps.pictures, decode(before, swaps.latents), decode(after, swaps.latents)]
    columns += [results.driving, decode(before, results.latents), decode(after, results.latents)]
    rows = torch.stack([column[:SHEET] for column in columns], 1)
    count, wide, _, side, _ = rows.shape
    return rows.permute(0, 3, 1, 4, 2).reshape(count * side, wide * side, 3).numpy()


def log(output: Path, training: Training, figures: dict[str, float]) -> None:
    line = {"step": training.step, "minutes": training.seconds / 60} | training.shown | figures
    line = {name: value if isinstance(value, int) else float(f"{value:.5g}") for name, value in line.items()}
    append_json_line(output / "log.jsonl", line)
    print(line, flush=True)
