"""Train the whole demo model on one GPU, in minutes: pictures are rendered there, and nothing is read from a disk.

    python scripts/with_env.py tools/run.py demo_model.on_gpu OUT
    python scripts/with_env.py tools/run.py demo_model.on_gpu OUT --encoders models/face_anon/demo --graph
    python scripts/with_env.py tools/run.py demo_model.on_gpu OUT --start models/face_anon/demo --graph --compile
    python scripts/with_env.py tools/run.py demo_model.on_gpu OUT --device cpu --groups 2 --seconds 5 5 5 5 5 10

The same networks and losses as in the background on a CPU (stages.py), one after the other: the autoencoder, the image
encoder, the regressor of the evaluation, the method; the method learns from other people than the encoders. Beside the
triples of the paper, a part of each batch is predicted at a degree of 0.2 to 1.5, as the method is used, and only what
nobody touches is compared: so the background stays the driving image's where the source is moved away. All before the
method happens in a process of its own, while the method's step is compiled.

In OUT: model, the model folder; regressor.safetensors; sheet.png, swaps of people that nothing was trained on;
log.json. With --archives also all of that in a few archives of at most 16 MB, for a machine that gives back small files
alone, each as soon as there is something in it.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.diffusers_engine.encoders import Encoders
from face_anonymizer.modules.model.diffusers_engine.engine import DiffusersEngine
from face_anonymizer.modules.model.diffusers_engine.networks import ALL, Networks, load_networks
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.modules.training import validation
from face_anonymizer.modules.training.export import export_model
from face_anonymizer.modules.training.objective import training_scheduler
from face_anonymizer.modules.training.small_networks import autocast
from face_anonymizer.modules.training.start import make_networks
from face_anonymizer.tools.demo_model import method_step, train_autoencoder, train_regressors
from face_anonymizer.tools.demo_model.rendered import SIDE, EncodedGroups, Groups, encode_groups, render_groups
from face_anonymizer.tools.demo_model.stages import SHIPPED, TRAINING_SEED, VALIDATION_SEED

SIZE = 128
ARCHIVES = (("vae", "image_encoder", "regressor"), ("unet", "referencenet"), ("conditioning_referencenet", "rest"))
FOR_METHOD, HELD_OUT = "latents.safetensors", "held_out.safetensors"
_began = time.monotonic()


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    if options.encode_only:
        write_latents(options, Log(options.output / "log_encoders.json"))
        return 0
    log = Log(options.output / "log.json")
    beside = subprocess.Popen([sys.executable, PACK / "tools" / "run.py", *own_command(arguments), "--encode-only"])
    networks, encoders, held_out = train_method(options, log, beside)
    write_model(networks, encoders, options)
    if options.archives:
        write_archives(options.output, options.archives, ARCHIVES[1:])
    generator = torch.Generator(options.device).manual_seed(0)
    engine = DiffusersEngine(networks, encoders, "v_prediction", SIZE)
    batch, _ = held_out.batch(options.sheet, generator)
    sampled = validation.sample_swaps(engine, batch, SamplerSettings(steps=25, guidance_scale=2.0))
    validation.save_sheet(validation.picture_sheet(encoders, batch, sampled), options.output / "sheet.png")
    log.write("end")
    if options.archives:
        write_archives(options.output, options.archives, ARCHIVES[1:])
    return 0


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="a folder")
    parser.add_argument("--groups", type=int, default=5000, help="of 36 pictures, for the encoders")
    parser.add_argument("--method-groups", type=int, help="others, for the method; default: as many")
    parser.add_argument(
        "--seconds",
        type=float,
        nargs=6,
        default=(60, 150, 80, 60, 60, 300),
        metavar=("PICTURES", "AUTOENCODER", "ENCODER", "REGRESSOR", "LATENTS", "METHOD"),
        help="of each part; with PICTURES and LATENTS fewer groups may do",
    )
    parser.add_argument("--until", type=float, help="seconds since the start at which the method ends instead")
    parser.add_argument(
        "--encoders", type=Path, metavar="FOLDER", help="with vae and image_encoder, which are not trained again then"
    )
    parser.add_argument(
        "--start", type=Path, metavar="FOLDER", help="a model that the method continues, with its encoders"
    )
    parser.add_argument("--latent-channels", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256, help="triples of a step of the method")
    parser.add_argument("--draws", type=int, default=4, help="noises and timesteps of each of them")
    parser.add_argument("--at-degrees", type=int, default=32, help="of them also predicted at a degree")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3, help="of the method")
    parser.add_argument("--ema", type=float, default=0.9995)
    parser.add_argument("--null-share", type=float, default=0.15)
    parser.add_argument("--graph", action="store_true", help="take the method's steps as a CUDA graph")
    parser.add_argument("--compile", action="store_true", help="compile them first, which takes minutes")
    parser.add_argument("--sheet", type=int, default=24, help="rows of sheet.png")
    parser.add_argument("--archives", type=Path, metavar="FOLDER", help="write archives there, each stage's at its end")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--encode-only", action="store_true", help=argparse.SUPPRESS)  # the process beside
    options = parser.parse_args(arguments)
    options.method_groups = options.method_groups or options.groups
    options.encoders = options.encoders or options.start
    return options


class Log:
    """What happened, as lines on the screen and as one JSON file that is whole after each."""

    def __init__(self, file: Path):
        self.file, self.lines = file, []

    def write(self, stage: str, **figures) -> None:
        self.lines.append({"stage": stage, "seconds": round(time.monotonic() - _began, 1), **figures})
        print(json.dumps(self.lines[-1]), flush=True)
        self.file.write_text(json.dumps(self.lines, indent=1), encoding="utf-8")


def for_seconds(seconds: float, numbers: range, device: str) -> Iterator[Groups]:
    """Groups of the training, as many as are rendered in that time, and at least the first."""
    end = time.monotonic() + seconds
    for part in render_groups(numbers, TRAINING_SEED, SIZE, device):
        yield part
        if time.monotonic() > end:
            break


def train_encoders(options: argparse.Namespace, log: Log) -> None:
    parts = list(for_seconds(options.seconds[0], range(options.groups), options.device))
    images, truth = torch.cat([part.images for part in parts]), torch.cat([part.truth for part in parts])
    del parts
    log.write("pictures", count=len(images))
    held_out = f"--held-out={min(1080, len(images) // 4)}"
    usual = ["--steps=10000000", f"--device={options.device}", held_out]
    vae, encoder, regressor = (f"--minutes={seconds / 60}" for seconds in options.seconds[1:4])
    output = options.output
    course = [f"--latent-channels={options.latent_channels}", "--batch=192", vae, *usual]
    psnr = train_autoencoder.train(train_autoencoder.parse_arguments(["-", str(output / "vae"), *course]), images)
    log.write("autoencoder", psnr=psnr)
    course = ["--image-size=128", "--patch=16", "--batch=512", encoder, *usual]
    arguments = ["image-encoder", "-", str(output / "image_encoder"), *course]
    explained = train_regressors.train(train_regressors.parse_arguments(arguments), images, truth)
    log.write("image encoder", r2=sum(explained.values()) / len(explained), **explained)
    arguments = ["regressor", "-", str(output / "regressor.safetensors"), "--batch=256", regressor, *usual]
    explained = train_regressors.train(train_regressors.parse_arguments(arguments), images, truth)
    log.write("regressor", r2=sum(explained.values()) / len(explained), **explained)
    if options.archives:
        write_archives(output, options.archives, ARCHIVES[:1])


def write_latents(options: argparse.Namespace, log: Log) -> None:
    """Train the encoders unless they are there, and write what the method learns from and is held to."""
    if options.encoders is None:
        train_encoders(options, log)
    encoders = load_encoders(options)
    numbers = range(options.groups, options.groups + options.method_groups)
    groups = encode_groups(for_seconds(options.seconds[4], numbers, options.device), encoders)
    log.write("latents", pictures=len(groups.latents), clear=groups.clear.float().mean().item())
    held_out = encode_groups(render_groups(range(2), VALIDATION_SEED, SIZE, options.device), encoders)
    for name, written in ((HELD_OUT, held_out), (FOR_METHOD, groups)):
        save_file(vars(written), options.output / name)


def load_encoders(options: argparse.Namespace) -> Encoders:
    folder = options.encoders or options.output
    return Encoders(folder / "vae", folder / "image_encoder").to(options.device)


def own_command(arguments: list[str] | None) -> list[str]:
    return ["demo_model.on_gpu", *(sys.argv[1:] if arguments is None else arguments)]


def train_method(
    options: argparse.Namespace, log: Log, beside: subprocess.Popen
) -> tuple[Networks, Encoders, EncodedGroups]:
    """The networks with the moving averages of their weights, the encoders, and groups that were held out.

    Args:
        options: of the command line.
        log: is told what happens.
        beside: the process that writes what the method learns from.

    Raises:
        SystemExit: that process failed.
    """
    device = options.device
    generator = torch.Generator(device).manual_seed(TRAINING_SEED)
    networks = first_networks(options).to(device)
    parameters = [parameter for parameter in networks.parameters() if parameter.requires_grad]
    averages = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=0.01, fused=True)
    scheduler = training_scheduler("v_prediction")
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(device)
    both = torch.compile(method_step.losses, fullgraph=True) if options.compile else method_step.losses

    def gradients_of(groups: EncodedGroups) -> torch.Tensor:
        """Adds to the gradients; both losses."""
        batch, clear = groups.batch(options.batch, generator)
        given = method_step.draw(
            batch, clear, options.at_degrees, options.draws, options.null_share, scheduler, generator
        )
        with autocast(device):
            loss, background = both(networks, given)
        (loss + background).backward()
        return torch.stack([loss.detach(), background.detach()])

    if options.compile:
        gradients_of(stand_in(networks, device))
        log.write("compiled")
    if beside.wait() != 0:
        raise SystemExit(f"The process that renders and encodes ended with status {beside.returncode}: see above.")
    encoders = load_encoders(options)
    groups, held_out = (
        EncodedGroups(**load_file(options.output / name, device=str(device))) for name in (FOR_METHOD, HELD_OUT)
    )
    log.write("begin", pictures=len(groups.latents))

    def eager() -> torch.Tensor:
        optimizer.zero_grad()
        return gradients_of(groups)

    take_gradients = eager
    if options.graph:
        try:
            take_gradients = method_step.captured(lambda: gradients_of(groups), optimizer, generator)
            log.write("graph")
        except RuntimeError as error:  # minutes of a lent card are not thrown away
            log.write("no graph", error=str(error)[:500])
            torch.cuda.synchronize()
    kept = [[tensor.detach().clone() for tensor in tensors] for tensors in (parameters, averages)]
    began, step, shown = time.monotonic(), 0, torch.zeros(2, device=device)
    last = _began + options.until if options.until else began + options.seconds[5]
    while (done := (time.monotonic() - began) / max(1.0, last - began)) < 1:
        rate = options.learning_rate * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.param_groups[0]["lr"] = rate
        losses = take_gradients()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(options.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(averages, [parameter.detach() for parameter in parameters], 1 - decay)
        step += 1
        shown += losses
        if step % 100 == 0:
            loss, background = (shown / 100).tolist()
            log.write("method", step=step, loss=loss, background=background, rate=rate)
            if math.isfinite(loss + background):
                kept = [[tensor.detach().clone() for tensor in tensors] for tensors in (parameters, averages)]
            else:  # on from the last weights, at half the rate
                restore(kept, (parameters, averages), optimizer)
                options.learning_rate /= 2
            shown.zero_()
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
    batch, _ = held_out.batch(1024, torch.Generator(device).manual_seed(1))
    with autocast(device):
        loss = validation.validation_loss(networks, [batch], "v_prediction")
    samples = step * options.batch * options.draws
    log.write("method", steps=step, samples=samples, validation_loss=loss)
    return networks.eval(), encoders, held_out


def stand_in(networks: Networks, device: str) -> EncodedGroups:
    """One group of noise, of the shapes that a compiler asks for before there are others."""
    pictures, side, config = SIDE**2, SIZE // 8, networks.unet.config
    return EncodedGroups(
        torch.randn((pictures, config.in_channels, side, side), device=device).half(),
        torch.randn((pictures, 1, config.cross_attention_dim), device=device).half(),
        torch.ones((SIDE, side, side), dtype=torch.bool, device=device),
    )


@torch.no_grad()
def restore(
    kept: Sequence[Sequence[torch.Tensor]], lists: Sequence[Sequence[torch.Tensor]], optimizer: torch.optim.Optimizer
) -> None:
    """Copy kept values into the tensors of as many lists, and forget the optimizer's moments.

    Args:
        kept: list by list.
        lists: tensors to fill.
        optimizer: of some of them; its moments become zero where they stand, as a graph may have their addresses.
    """
    for values, tensors in zip(kept, lists, strict=True):
        torch._foreach_copy_(list(tensors), list(values))
    for moments in optimizer.state.values():
        for value in moments.values():
            value.zero_()


def first_networks(options: argparse.Namespace) -> Networks:
    """What the method starts from: those of --start, or new ones."""
    routing, trained = checkpoint.BLOCK_FIRST, ALL
    if options.start:
        return load_networks([options.start / name for name in checkpoint.NETWORKS], routing, trained)
    return make_networks(unet_config(options), 0, routing, trained)


def unet_config(options: argparse.Namespace) -> Path:
    """The shipped UNet's, with as many latent channels as the autoencoder has; written into the output folder."""
    config = checkpoint.read_json(SHIPPED / "unet" / "config.json")
    config |= dict.fromkeys(("in_channels", "out_channels"), options.latent_channels)
    file = options.output / "unet_config.json"
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return file


def write_model(networks, encoders: Encoders, options: argparse.Namespace) -> None:
    """The model folder, with the settings and the notice of the shipped one."""
    own = checkpoint.read_settings(SHIPPED)
    export_model(options.output / "model", networks, {}, encoders, own, prediction="v_prediction", dtype="fp16")


def write_archives(output: Path, folder: Path, archives: tuple[tuple[str, ...], ...]) -> None:
    """Each with what there is of its parts, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "regressor": ["regressor.safetensors"],
        "rest": ["sheet.png", "log.json", "model/face_anon.json", "model/scheduler"],
    }
    for number, names in enumerate(archives, len(ARCHIVES) - len(archives) + 1 if len(archives) > 1 else 1):
        target = folder / f"demo_{number}.tar"
        with tarfile.open(target.with_suffix(".part"), "w") as archive:
            for name in names:
                for path in files.get(name, [name if (output / name).is_dir() else f"model/{name}"]):
                    if (output / path).exists():
                        archive.add(output / path, path)
        shutil.move(target.with_suffix(".part"), target)
