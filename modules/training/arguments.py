"""The command line of a training: one option for each of its settings, with the setting's default."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from ..model import checkpoint
from ..model.diffusers_engine import networks
from . import export
from .settings import TrainingSettings


def parse_arguments(description: str, arguments: Sequence[str] | None = None) -> TrainingSettings:
    """The settings of a command line; SystemExit with status 2 for one that is wrong.

    Args:
        description: of the command, shown by --help.
        arguments: None for those of this process.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    defaults = {field.name: field.default for field in fields(TrainingSettings)}

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
    return TrainingSettings(**values)
