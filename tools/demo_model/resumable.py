"""The options of the small networks' training scripts about checkpoints, and their course."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from pathlib import Path

from torch import nn

from face_anonymizer.modules.training import small_networks


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FOLDER", help="of a checkpoint, which is continued; and a log"
    )
    parser.add_argument("--checkpoint-minutes", type=float, default=10, help="between two of them")


def fit(
    network: nn.Module,
    pictures: int,
    loss: small_networks.Loss,
    options: argparse.Namespace,
    figures: Callable[[], dict[str, float]],
) -> None:
    """small_networks.fit as the options say. figures: for the log, at each checkpoint.

    With --checkpoint, SIGTERM and Ctrl-C end after the step with a checkpoint, by SystemExit.
    """
    course = (options.steps, options.minutes, options.batch, options.learning_rate, options.seed)
    keeping = None
    if options.checkpoint is not None:
        ending = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: ending.append(received))
        keeping = small_networks.Keeping(
            options.checkpoint, options.checkpoint_minutes, figures, stop=lambda: bool(ending)
        )
    if not small_networks.fit(network, pictures, loss, small_networks.Course(*course), keeping):
        raise SystemExit(f"Stopped; the same command goes on from {options.checkpoint}.")
