"""The record of a training: OUTPUT/log.jsonl, TensorBoard under OUTPUT/tensorboard, pictures under OUTPUT/samples."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..files import append_json_line, json_lines, read_json_lines, replace_whole
from .validation import save_sheet

logger = logging.getLogger("face_anonymizer")


class TrainingLog:
    """step: where the training stands; what the files hold beyond it, of a run that was killed, is dropped.

    Only the main process writes. Without TensorBoard the other two are written all the same.
    """

    def __init__(self, output: Path, step: int, is_main: bool):
        self.output, self.is_main, self.board = output, is_main, None
        if not is_main:
            return
        output.mkdir(parents=True, exist_ok=True)
        self.file = output / "log.jsonl"
        if self.file.is_file():
            self._cut(step)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(output / "tensorboard"), purge_step=step + 1 if step else None)
        except ImportError:
            logger.warning("TensorBoard is not installed (pip install tensorboard): %s has the figures.", self.file)

    def write(self, step: int, **figures: float) -> None:
        """One line of the log, and one point a figure in TensorBoard."""
        if not self.is_main:
            return
        line = {"step": step, **{name: float(f"{figure:.6g}") for name, figure in figures.items()}}
        logger.info("%s", ", ".join(f"{name} {value:g}" for name, value in line.items()))
        with _no_loss_of_training():
            append_json_line(self.file, line)
            if self.board is not None:
                for name, figure in figures.items():
                    self.board.add_scalar(name, figure, step)

    def write_sheet(self, step: int, sheet: np.ndarray) -> None:
        """uint8 [H, W, 3]."""
        with _no_loss_of_training():
            save_sheet(sheet, self.output / "samples" / f"{step:08d}.png")
            if self.board is not None:
                self.board.add_image("samples", sheet, step, dataformats="HWC")

    def _cut(self, step: int) -> None:
        lines = (line for _, line in read_json_lines(self.file, skip_broken=True))
        replace_whole(self.file, json_lines([line for line in lines if line.get("step", math.inf) <= step]))


@contextmanager
def _no_loss_of_training() -> Iterator[None]:
    """A full disk costs a line of the record, not the training."""
    try:
        yield
    except OSError as error:
        logger.error("The record of this step could not be written: %s", error)
