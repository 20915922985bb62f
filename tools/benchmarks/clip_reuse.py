"""What it would change, and save, to read a person of a clip as a source once and not in every frame.

    python tools/run.py benchmarks.clip_reuse [--people 8] [--sampler dpmpp_2m] [--steps 6]

To anonymize a frame, each crop is source and driving image at once. Here the driving image is always the frame's own,
while the source's latents, embedding and states are those of the frame so many before: what reuse would do. The clips
are drawn, of people that no training has seen, 9 frames each: one at rest, with the noise of a camera; one who talks;
one who turns the head; the last two with that noise, too. Seeds are those of the clip, the same in every frame.

Told are means over people, in levels of 255: how much the crop changed since the frame that was read; how much its
painted crop changes by reuse, and in the worst 1 % of its pixels; and how much painted crops of neighbouring frames
differ anyway. Flicker is that difference where all frames of a clip share the source of the first one. TFLOP are
counted on the published architecture, on torch's meta device.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from face_anonymizer.modules.host.process import find_model, prepare_host
from face_anonymizer.modules.synthetic.parameters import Parameters, sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.tools.busy import busy

FRAMES = 9
LAGS = (1, 2, 4, 8)
NOISE = 2.0  # levels, the deviation of a camera's noise
DEGREE = 1.25
SEED = 2  # of people that no training uses
MOVES = {  # what each clip changes from a frame to the next, in shares of a parameter's range from its middle
    "at rest": {},
    "talks": {"mouth_opening": 0.3, "eye_opening": 0.05, "brow_raise": 0.05},
    "turns": {"yaw": 0.06, "pitch": 0.03, "gaze_x": 0.05, "mouth_opening": 0.1},
}


def draw_clip(person: int, moves: dict[str, float], size: int) -> torch.Tensor:
    """The frames of one person, float [FRAMES, S, S, 3]: there and back, four frames each."""
    attributes = sample_attributes([person], SEED)
    values = attributes.values.repeat(FRAMES, 1)
    way = (2 * torch.arange(FRAMES) / (FRAMES - 1) % 2 - 1).abs() * (FRAMES - 1) / 2
    for name, step in moves.items():
        column = attributes.names.index(name)
        start = values[0, column].clamp(-0.9, 0.2)
        values[:, column] = (start + step * way).clamp(-1, 1)
    frames = render(sample_identities([person], SEED), Parameters(attributes.table, values), size).images
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(person)) * NOISE / 255
    return ((frames + noise).clamp(0, 1) * 255).round() / 255


def difference(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Of pictures, in levels: the mean, and the mean of the largest 1 % of each."""
    levels = ((one - other).abs() * 255).mean(-1).flatten(1)
    return levels.mean().item(), levels.topk(max(1, levels.shape[1] // 100), dim=1).values.mean().item()


def measure(engine, people: int, sampler) -> list[str]:
    """Rows of the table."""
    from face_anonymizer.modules.model.painting import paint_references
    from face_anonymizer.modules.model.references import EncodedImages, References

    rows = []
    for name, moves in MOVES.items():
        clips = [draw_clip(person, moves, engine.resolution) for person in range(people)]
        found: dict[str, list[tuple[float, ...]]] = {}
        for person, clip in enumerate(clips):
            encoded = EncodedImages.of(engine, clip)

            def paint(sources: Sequence[int], person: int = person, encoded: EncodedImages = encoded) -> torch.Tensor:
                references = References.of(engine, encoded.part(list(sources)), encoded, DEGREE)
                return paint_references(engine, references, [person] * FRAMES, sampler, lambda *_: None)

            fresh = paint(range(FRAMES))
            anyway = difference(fresh[1:], fresh[:-1])
            for lag in LAGS:
                reused = paint([max(0, frame - lag) for frame in range(FRAMES)])
                seen = difference(clip[lag:], clip[:-lag])[:1]
                found.setdefault(str(lag), []).append((*seen, *difference(reused[lag:], fresh[lag:]), *anyway))
            first = paint([0] * FRAMES)
            found.setdefault("flicker", []).append(difference(first[1:], first[:-1]))
        for lag in LAGS:
            cells = torch.tensor(found[str(lag)]).mean(0).tolist()
            rows.append(f"| {name} | {lag} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
        mean, worst = torch.tensor(found["flicker"]).mean(0).tolist()
        rows.append(f"| {name}, all of the first frame | | | | | {mean:.2f} | {worst:.2f} |")
    return rows


@busy()
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=8, help="clips of each kind (default: 8)")
    parser.add_argument("--sampler", default="dpmpp_2m", help="of ComfyUI (default: dpmpp_2m)")
    parser.add_argument("--steps", type=int, default=6, help="of the sampler (default: 6)")
    parser.add_argument("--model", default="demo", help="a model folder, or its name (default: demo)")
    args = parser.parse_args(arguments)
    prepare_host(cpu=True)
    from face_anonymizer.modules.model.checkpoint import read_settings
    from face_anonymizer.modules.model.loading import load_model_folder
    from face_anonymizer.modules.model.settings import SamplerSettings
    from face_anonymizer.tools.benchmarks.published_steps import count_reference

    folder = find_model(args.model)
    sampler = SamplerSettings(args.sampler, "karras", args.steps, read_settings(folder).guidance_scale)
    with torch.inference_mode():
        rows = measure(load_model_folder(folder), args.people, sampler)
    print(f"A ReferenceNet on one image of 512: {count_reference():.2f} TFLOP.")
    print(f"{args.people} people, {args.steps} steps of {args.sampler}.")
    print("| clip | frames ago | crop | by reuse | worst 1 % | neighbours anyway | worst 1 % |")
    print("|---|--:|--:|--:|--:|--:|--:|", *rows, sep="\n")
    return 0
