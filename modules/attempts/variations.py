"""One face painted over degrees and seeds, with what recognisers say of each: Figures 4 and 5 of the paper. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..faces.types import Face
from ..model.engine import Engine
from ..model.painting import Sitting
from ..model.settings import PaintSettings
from ..recognition.verdict import Verification
from .studio import Recognise

MOST = 16  # degrees, and seeds: 256 paintings


@dataclass(frozen=True, eq=False)
class Variations:
    """A face and what becomes of it.

    Args:
        original: float [S, S, 3], 0..1, the crop.
        degrees: of the rows.
        seeds: of the columns.
        crops: float [rows, columns, S, S, 3].
        said: of each result, rows of columns.
    """

    original: torch.Tensor
    degrees: tuple[float, ...]
    seeds: tuple[int, ...]
    crops: torch.Tensor
    said: tuple[tuple[Verification, ...], ...]

    def to_csv(self) -> str:
        """A line for each result: degree, seed, verdict, distance of dlib, cosine of FaceRes; "" where not measured."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["degree", "seed", "verdict", "dlib_distance", "faceres_cosine"])
        for degree, row in zip(self.degrees, self.said, strict=True):
            for seed, one in zip(self.seeds, row, strict=True):
                lines.writerow([f"{degree:g}", seed, one.verdict, *figures(one)])
        return text.getvalue()


def figures(said: Verification) -> tuple[str, str]:
    """Distance of dlib and cosine of FaceRes between an original and its result; "" where there are none."""
    found = said.difference
    return ("", "") if found is None else (f"{found.dlib:.3f}", f"{found.faceres:.3f}")


def read_degrees(text: str) -> tuple[float, ...]:
    """Degrees that a user listed, such as "0, 0.5, 1.25".

    Args:
        text: numbers of 0 to 2, with commas or spaces between.

    Raises:
        ValueError: what of it is no degree, or how many there may be.
    """
    degrees = []
    for word in text.replace(",", " ").split():
        try:
            degree = float(word)
        except ValueError:
            degree = math.nan
        if not 0 <= degree <= 2:
            raise ValueError(f"degrees is a list of numbers from 0 to 2, such as 0, 0.5, 1, 1.25; {word!r} is none.")
        degrees.append(degree)
    if not 1 <= len(degrees) <= MOST:
        raise ValueError(f"degrees names 1 to {MOST} degrees, such as 0, 0.5, 1, 1.25; got {len(degrees)}.")
    return tuple(degrees)


def vary(
    engine: Engine,
    crop: torch.Tensor,
    face: Face,
    painting: PaintSettings,
    *,
    degrees: Sequence[float],
    seeds: int,
    recognise: Recognise,
) -> Variations:
    """Paint one face with several seeds at each of several degrees, and let recognisers look.

    Each is what Anonymize Crops makes of that face with that degree and that seed.

    Args:
        engine: of the model.
        crop: float [S, S, 3 or 4], 0..1, aligned.
        face: in it.
        painting: the first seed, sampler, how many crops go through at once; its degree does not count.
        degrees: of the rows.
        seeds: how many; each is one more than the one before.
        recognise: who looks.

    Raises:
        ValueError: as Engine.sample does.
    """
    numbers = tuple((painting.seed + offset) % 2**64 for offset in range(seeds))
    at_once = painting.faces_at_once
    parts = [numbers[start : start + at_once] for start in range(0, seeds, at_once)]
    progress = engine.progress(painting, len(parts) * len(degrees), seeds * len(degrees))
    columns = []
    for part in parts:
        sitting = Sitting(engine, crop[None].expand(len(part), -1, -1, -1), painting.sampler)
        made = []
        for degree in degrees:
            progress.start_run(len(part))
            made.append(sitting.paint(part, degree, progress.step))
        columns.append(torch.stack(made))
    crops = torch.cat(columns, dim=1)
    originals = crop[None, ..., :3].float().expand(seeds, -1, -1, -1)
    said = tuple(tuple(recognise(originals, row, [face] * seeds)) for row in crops)
    return Variations(crop[..., :3].float(), tuple(degrees), numbers, crops, said)
