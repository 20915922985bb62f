"""Let the demo model paint people whose truth is known, and keep latents and pictures for train_decoder.py.

    python scripts/with_env.py tools/run.py demo_model.sample_latents SAMPLED --seed 7 --groups 0 40
    python scripts/with_env.py tools/run.py demo_model.sample_latents SAMPLED --seed 7 --groups 40 60 \\
        --sampler dpmpp_2m --steps 8
    python scripts/with_env.py tools/run.py demo_model.sample_latents HELD_OUT --seed 8 --groups 0 2 --degrees 1.25

A group is each of six people under each of six scenes. Every picture is the truth of one swap, which is painted; every
second group is painted at a degree besides, each picture its own source, with the degrees in turn. Seeds 2 and 3 are
the evaluation's. A group that is there is not painted again, so the same command goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch.nn import functional

from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.diffusers_engine.engine import DiffusersEngine
from face_anonymizer.modules.model.diffusers_engine.loading import load_engine
from face_anonymizer.modules.model.references import EncodedImages, References
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings
from face_anonymizer.modules.synthetic.groups import group_pictures, group_triples, picture_parameters
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.training.small_networks import autocast
from face_anonymizer.tools.demo_model.rendered import BLOCK, SIDE
from face_anonymizer.tools.demo_model.sampled import DEGREE, SWAP, Sampled, part_file, write_sampled
from face_anonymizer.tools.demo_model.stages import SHIPPED


def main() -> None:
    options = parse_arguments()
    engine = load_engine(options.model, "cpu")
    own = checkpoint.read_settings(options.model)
    sampler = SamplerSettings(options.sampler, steps=options.steps or own.steps, guidance_scale=own.guidance_scale)
    for group in range(*options.groups):
        degree = options.degrees[group // 2 % len(options.degrees)] if group % 2 == 0 else None
        last = part_file(options.output, SWAP if degree is None else DEGREE, group)
        if last.is_file():
            continue
        began = time.monotonic()
        people = People(engine, group, options.seed)
        write_sampled(people.swapped(sampler), options.output, SWAP, group)
        if degree is not None:
            write_sampled(people.at_degree(degree, sampler), options.output, DEGREE, group)
        print(f"group {group}: {time.monotonic() - began:.0f} s", flush=True)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="a folder")
    parser.add_argument("--model", type=Path, default=SHIPPED, metavar="FOLDER")
    parser.add_argument("--groups", type=int, nargs=2, default=(0, 40), metavar=("FIRST", "END"))
    parser.add_argument("--seed", type=int, default=7, help="of people and scenes")
    parser.add_argument("--degrees", type=float, nargs="+", default=(1.25, 0.3, 1.25, 0.6, 1.25, 1.0, 1.5))
    parser.add_argument("--sampler", default=DDPM)
    parser.add_argument("--steps", type=int, help="default: the model's own")
    return parser.parse_args(arguments)


class People:
    """A group: its pictures as they were rendered and as the model reads them.

    Args:
        engine: of the model that paints.
        group: number of the group.
        seed: of people and scenes.
    """

    def __init__(self, engine: DiffusersEngine, group: int, seed: int):
        self.engine, self.group, self.seed = engine, group, seed
        self.listed = group_pictures(group, SIDE)
        rendered = render(*picture_parameters(self.listed, seed), engine.resolution)
        self.pictures = (rendered.images * 255).round().byte()
        self.points = rendered.points.float()
        covered = (rendered.background_mask < 0.99).float()[:, None]
        self.clear = functional.max_pool2d(covered, 2 * BLOCK + 1, 1, BLOCK)[:, 0] == 0
        with torch.no_grad():
            self.encoded = EncodedImages.of(engine, self.pictures.float() / 255)

    def swapped(self, sampler: SamplerSettings) -> Sampled:
        """A swap for each picture, which is its truth."""
        number = {picture: row for row, picture in enumerate(self.listed)}
        triples = group_triples(self.group, SIDE, self.seed, per_picture=1)
        return self._painted(
            *([number[picture] for picture in column] for column in zip(*triples, strict=True)), 0.0, sampler
        )

    def at_degree(self, degree: float, sampler: SamplerSettings) -> Sampled:
        """Each picture as its own source and driving image."""
        rows = list(range(len(self.listed)))
        return self._painted(rows, rows, rows, degree, sampler)

    @torch.no_grad()
    def _painted(self, source: list[int], driving: list[int], truth: list[int], degree: float, sampler) -> Sampled:
        with autocast("cpu"):
            given = (self.encoded.part(rows) for rows in (source, driving))
            references = References.of(self.engine, *given, degree)
            seeds = range(len(truth) * self.group, len(truth) * (self.group + 1))
            latents = self.engine.sample(references, seeds, sampler)
        pictures = self.pictures.movedim(-1, 1)
        return Sampled(
            latents=latents.half(),
            own=self.encoded.latents[truth].half(),
            pictures=pictures[truth],
            driving=pictures[driving],
            clear=self.clear[truth],
            points=self.points[truth],
        )
