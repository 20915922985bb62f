"""Train a face anonymization model, or continue one: the paper's method on triples of pictures.

    python scripts/with_env.py scripts/train.py OUT --data triples.jsonl --model models/face_anon/face-anon-simple
    python scripts/with_env.py scripts/train.py OUT --data triples.jsonl --unet SD/unet --vae VAE --image-encoder CLIP
    accelerate launch scripts/train.py OUT --data shard-0.tar shard-1.tar --model FOLDER --mixed-precision bf16

OUT/model is the model folder that Load Face Anonymizer Model takes, OUT/checkpoints the state that --resume continues;
OUT/log.jsonl, OUT/tensorboard and OUT/samples are the record. The defaults are the paper's. Ctrl-C ends after the step
with a checkpoint and the model; --steps 0 --resume only writes OUT/model again. Data and recipes: docs/training.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import signal
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.model import checkpoint

try:
    from face_anonymizer.modules.training import export, networks, settings, trainer
except ModuleNotFoundError as missing:
    # transformers, so that pip takes a diffusers that goes with the version that this ComfyUI has
    packages = "diffusers accelerate tensorboard transformers"
    sys.exit(f"Training needs {missing.name}: {sys.executable} -m pip install {packages}")

logger = logging.getLogger("face_anonymizer")


def main() -> int:
    options = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    ending = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: ending.append(received))
    try:
        folder = trainer.Training(options).run(stop=lambda: bool(ending))
    except (OSError, ValueError, ImportError, trainer.TrainingStopped) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


def parse_arguments(arguments: list[str] | None = None):
    """The Settings of a command line; an option's default is the Settings'."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    defaults = {field.name: field.default for field in dataclasses.fields(settings.Settings)}

    def add(group, name: str, help: str, **options) -> None:
        default = defaults[name]
        if isinstance(default, bool):
            options["action"] = "store_true"
        else:
            options.setdefault("type", type(default) if default is not None else Path)
            shown = default if default not in (None, ()) else None
            help = f"{help} (default: {shown})" if shown is not None else help
        group.add_argument(f"--{name.replace('_', '-')}", default=default, help=help, **options)

    parser.add_argument("output", type=Path, metavar="OUT", help="folder of this training")
    data = parser.add_argument_group("data")
    data.add_argument("--data", type=Path, nargs="+", required=True, help="lists (.jsonl) or webdataset shards (.tar)")
    add(data, "data_phase_2", "lists of the curriculum's second phase", nargs="+", type=Path)
    add(data, "phase_2_at", "first step of the second phase", type=int)
    add(data, "validation_data", "held-out lists", nargs="+", type=Path)
    add(data, "resolution", "side of all pictures; default: the first one's", type=int)
    add(data, "cache", "encode every picture once, into OUT/cache, and train from memory")
    add(data, "workers", "processes that read pictures, without --cache")
    start = parser.add_argument_group("start: one of --model, --unet, --unet-config")
    add(start, "model", "model folder of the published layout to continue")
    add(start, "unet", "one pretrained UNet (config.json, safetensors) for all three networks")
    add(start, "unet_config", "config.json of a UNet to train from scratch")
    add(start, "vae", "VAE folder; default: MODEL/vae")
    add(start, "image_encoder", "CLIP vision folder; default: MODEL/image_encoder")
    method = parser.add_argument_group("method")
    add(method, "routing", "which states an attention layer reads", choices=checkpoint.ROUTINGS)
    add(method, "prediction", "what the UNet predicts", choices=("v_prediction", "epsilon"))
    add(method, "trained_reference", "part of the ReferenceNets", choices=(networks.ATTENTION, networks.ALL))
    add(method, "null_share", "share of unconditional triples")
    optimization = parser.add_argument_group("optimization")
    add(optimization, "steps", "optimizer steps")
    add(optimization, "batch", "triples a process and micro-step")
    add(optimization, "accumulate", "micro-steps an optimizer step")
    add(optimization, "draws", "noises and timesteps a triple")
    add(optimization, "learning_rate", "at its highest")
    add(optimization, "warmup", "steps of linear warm-up")
    add(optimization, "lr_schedule", "after the warm-up", choices=("constant", "cosine"))
    add(optimization, "optimizer", "8 bit needs bitsandbytes", choices=("adamw", "adamw8bit"))
    add(optimization, "weight_decay", "of AdamW")
    add(optimization, "max_grad_norm", "gradients are clipped to it")
    add(optimization, "ema", "decay of the moving average that is exported; 0: none")
    add(optimization, "seed", "of order, noise and a random start")
    machine = parser.add_argument_group("machine")
    add(machine, "mixed_precision", "autocast", choices=("no", "bf16", "fp16"))
    add(machine, "gradient_checkpointing", "less memory, a third more time")
    add(machine, "compile", "torch.compile of the denoising UNet")
    out = parser.add_argument_group("what comes out, and when")
    add(out, "resume", "continue from the newest checkpoint, if there is one")
    add(out, "checkpoint_every", "steps")
    add(out, "checkpoint_minutes", "and minutes", type=float)
    add(out, "time_limit", "minutes after which it ends with a checkpoint and the model", type=float)
    add(out, "log_every", "steps")
    add(out, "validate_every", "steps")
    add(out, "validation_count", "held-out triples that are sampled")
    add(out, "validation_steps", "sampling steps")
    add(out, "guidance_scale", "of the sampled pictures")
    add(out, "export_dtype", "of the model folder", choices=tuple(export.DTYPES))
    values = vars(parser.parse_args(arguments))
    for name in ("data", "data_phase_2", "validation_data"):
        values[name] = tuple(values[name])
    return settings.Settings(**values)


if __name__ == "__main__":
    sys.exit(main())
