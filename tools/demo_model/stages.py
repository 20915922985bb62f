"""What the training of the demo model consists of, one command after the other, and how far each is.

Every command goes on where it was when it is called again. Nothing here imports more than the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face_anonymizer.modules.files import read_json_lines
from face_anonymizer.modules.host.location import PACK

SHIPPED = PACK / "models" / "face_anon" / "demo"  # what the next training goes on from

SIDE = 6  # people and scenes of a group
CHUNK = 100  # groups: 3600 pictures
TRAINING_SEED = 1
# modules/evaluation has the people of seed 2 (synthetic_set.TEST_SEED): neither trained on nor validated with.
VALIDATION_SEED = 3
# The method learns from other people than the encoders: an embedding knows those that it was trained on by heart. These
# had the first 2664 groups.
METHOD_CHUNKS = range(27, 57)

METHOD_STEPS = 50_000  # of 64 samples: 3.2 million
# Every so often the method ends and goes on, so that method/model is there to be looked at.
METHOD_MINUTES = 240
CHECKPOINT_MINUTES = 10


@dataclass(frozen=True)
class Stage:
    """name: for people. is_done: is asked before and after. command: ends with status 0. report: figures."""

    name: str
    is_done: Callable[[], bool]
    command: list[str]
    report: Callable[[], str]


def make_stages(folder: Path) -> list[Stage]:
    """All stages, in their order, for a folder.

    The method continues the shipped model, with its autoencoder and image encoder: what knows the latents of one is, to
    another one, however much better, no start.
    """
    data = folder / "data"
    return [
        validation_stage(data),
        *(chunk_stage(data, number) for number in METHOD_CHUNKS),
        method_stage(folder),
    ]


def command(name: str) -> list[str]:
    """The start of a command that runs a tool of this folder, or the training, where its packages are."""
    with_env = [sys.executable, str(PACK / "scripts" / "with_env.py")]
    if name == "train":
        return [*with_env, str(PACK / "scripts" / "train.py")]
    return [*with_env, str(PACK / "tools" / "run.py"), f"demo_model.{name}"]


def chunk(data: Path, number: int) -> Path:
    return data / f"chunk_{number:04}"


def chunk_stage(data: Path, number: int) -> Stage:
    arguments = [f"--seed={TRAINING_SEED}", f"--first={number * CHUNK}", f"--count={CHUNK}"]
    return _pictures(f"pictures {number}", chunk(data, number), arguments, SIDE, CHUNK)


def validation_stage(data: Path) -> Stage:
    arguments = [f"--seed={VALIDATION_SEED}", "--count=4", "--triples-per-picture=1"]
    return _pictures("pictures of the validation", data / "validation", arguments, 4, 4)


def _pictures(name: str, output: Path, arguments: list[str], side: int, groups: int) -> Stage:
    def report() -> str:
        count = sum(1 for _ in (output / "images").glob("*.png"))
        return f"{count} of {groups * side * side} pictures"

    return Stage(
        name,
        lambda: (output / "faces.jsonl").is_file() and (output / "triples.jsonl").is_file(),
        [*command("make_synthetic_faces"), str(output), f"--group={side}", *arguments],
        report,
    )


def method_stage(folder: Path) -> Stage:
    data, output = folder / "data", folder / "method"
    start = ["--model", str(SHIPPED)]
    lists = [str(chunk(data, number) / "triples.jsonl") for number in METHOD_CHUNKS]
    course = (
        f"--batch 8 --accumulate 2 --draws 4 --steps {METHOD_STEPS} --learning-rate 5e-4 "
        "--warmup 100 --lr-schedule cosine --ema 0.999 --null-share 0.15 --trained-reference all "
        f"--mixed-precision {'bf16' if has_bf16() else 'no'} --cache --export-dtype fp16 --validate-every 1000 "
        "--validation-steps 25 --guidance-scale 2 "
        f"--resume --checkpoint-minutes {CHECKPOINT_MINUTES} --time-limit {METHOD_MINUTES}"
    )
    validation = ["--validation-data", str(data / "validation" / "triples.jsonl")]
    return Stage(
        "method",
        lambda: _last_step(output) >= METHOD_STEPS and (output / "model" / "face_anon.json").is_file(),
        [*command("train"), str(output), "--data", *lists, *validation, *start, *course.split()],
        lambda: figures(output / "log.jsonl"),
    )


def has_bf16() -> bool:
    """Whether the processor has instructions for it; Linux alone tells."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and "avx512_bf16" in cpuinfo.read_text(encoding="utf-8", errors="replace")


def _last_step(output: Path) -> int:
    names = [path.name for path in (output / "checkpoints").glob("*") if path.name.isdigit()]
    return max(map(int, names), default=0)


def figures(log: Path) -> str:
    """The last value of everything that a log.jsonl holds."""
    last: dict = {}
    if log.is_file():
        for _, line in read_json_lines(log, skip_broken=True):
            last |= line
    return ", ".join(f"{name} {value:.6g}" for name, value in last.items()) or "no figures yet"
