"""What settings of the sampler cost and what they give: the measures of scripts/evaluate.py for each, as a curve.

    python tools/run.py benchmarks.quality_against_cost OUT --people 200
    python tools/run.py benchmarks.quality_against_cost OUT --people 8 --settings dpmpp_2m:karras:6 "ddpm (paper):-:25"
    python tools/run.py benchmarks.quality_against_cost OUT --people 200 --most 4       # a piece of the work; again
    python tools/run.py benchmarks.quality_against_cost OUT --model face-anon-simple --originals PHOTOS

A setting is SAMPLER:SCHEDULER:STEPS, :FROM-TO for guidance in that share of the noise levels, and +SHORTCUT for one of
shortcuts.py. Each is painted on the same people with the same seeds: at degrees 0.3 and 1.25, and as a swap. They are
synthetic ones, which no training has seen; or the largest faces of a folder's photos, where nobody knows which part is
background. The values, one a person, go into OUT/results.json when a setting is done; what is there is not done again,
and painted pictures are kept on the way. So it may be killed at any time. OUT/curve.md and curve.png are written anew
after every setting: intervals by bootstrap over people, and the differences, person by person, to --reference.

Costs are of the published architecture: how many halves of steps the sampler asked the UNet for, times what one takes
(published_steps.py), and what a face takes beside its steps. Seconds are the processor's, of the model that paints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.files import json_lines, read_json_lines, replace_whole, sha256_of_folder
from face_anonymizer.modules.host.location import has_accelerator
from face_anonymizer.modules.host.process import find_model, quiet_host
from face_anonymizer.modules.model.checkpoint import read_settings
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings
from face_anonymizer.tools.benchmarks import curve
from face_anonymizer.tools.benchmarks.curve_painting import SharedPainter
from face_anonymizer.tools.benchmarks.curve_people import MAIN, PLAN, People, PhotoPeople, SyntheticPeople
from face_anonymizer.tools.benchmarks.shortcuts import DEEP, POOLED, SHORTCUTS, is_shortcut
from face_anonymizer.tools.busy import busy

STEPS = (4, 6, 8, 10, 15, 25, 50, 200)
SAMPLERS = (DDPM, "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "res_multistep", "ddpm")
SCHEDULERS = ("karras", "exponential", "sgm_uniform")
INTERVALS = ("0.2-0.8", "0.1-0.6", "0.3-1")
REFERENCE = f"{DDPM}:-:200"


def default_settings() -> list[str]:
    """Every sampler with its schedules and steps, the paper's first; and guidance in intervals at a few of them."""
    every = [f"{DDPM}:-:{steps}" for steps in reversed(STEPS)]
    for sampler in SAMPLERS[1:]:
        every += [f"{sampler}:{scheduler}:{steps}" for scheduler in SCHEDULERS for steps in STEPS if steps < 200]
    every += [f"{DDPM}:-:{steps}:{interval}" for steps in (10, 25) for interval in INTERVALS]
    return every + [f"dpmpp_2m:karras:{steps}:{interval}" for steps in (6, 10, 25) for interval in INTERVALS]


def parse_setting(text: str, guidance: float) -> tuple[SamplerSettings, str]:
    """SAMPLER:SCHEDULER:STEPS[:FROM-TO][+SHORTCUT], and the shortcut or ""; ValueError says which is none."""
    described, _, shortcut = text.partition("+")
    parts = described.split(":")
    if len(parts) not in (3, 4) or not parts[2].isdigit():
        raise ValueError(f"{text!r} is no setting: SAMPLER:SCHEDULER:STEPS, or SAMPLER:SCHEDULER:STEPS:FROM-TO.")
    if shortcut and not is_shortcut(shortcut):
        raise ValueError(f"{text!r} ends in no shortcut; those are {', '.join(SHORTCUTS)}.")
    first, last = map(float, parts[3].split("-")) if len(parts) == 4 else (0.0, 1.0)
    scheduler = SamplerSettings().scheduler if parts[1] == "-" else parts[1]
    setting = SamplerSettings(
        parts[0], scheduler, int(parts[2]), guidance_scale=guidance, guidance_from=first, guidance_to=last
    )
    return setting, shortcut


class Bench:
    """The people, the model that paints them, and what measures them."""

    def __init__(self, args: argparse.Namespace, on_cpu: bool):
        from face_anonymizer.modules.checking.work import attention_kernels
        from face_anonymizer.modules.model.loading import load_model_folder

        folder = find_model(args.model)
        self.own, self.output = read_settings(folder), args.output
        size = self.own.resolution
        described = {
            "model": sha256_of_folder(folder, (".json", ".safetensors")),
            "guidance": self.own.guidance_scale,
        }
        self.people: People = (
            SyntheticPeople(args.people, size, described, args.output / "people")
            if args.originals is None
            else PhotoPeople(args.originals, args.people, size, described)
        )
        model = load_model_folder(folder)
        unet = model.unet.clone()
        if on_cpu:  # torch's attention, for ComfyUI's own takes half as long again there
            (attend,) = attention_kernels("pytorch").values()
            options = unet.model_options["transformer_options"]
            options["optimized_attention_override"] = lambda _, *given, **more: attend(*given, **more)
        clock = time.process_time if on_cpu else time.perf_counter
        self.plan = [one for one in PLAN if one.name == MAIN or not args.main_alone]
        self.first = min(args.first or args.people, len(self.people.originals))
        engine = model._replace(unet=unet)
        self.painter = SharedPainter(engine, self.people.originals, self.plan, args.batch, clock)

    def run(self, name: str) -> dict:
        """Paint and measure one setting; what results.json holds of it."""
        setting, shortcut = parse_setting(name, self.own.guidance_scale)
        described = self.people.described | asdict(setting) | ({"shortcut": shortcut} if shortcut else {})
        folder = "".join(letter if letter.isalnum() else "_" for letter in name)
        store = PictureStore(self.output / "painted" / folder, described)
        work = self.painter.paint(setting, store, shortcut, self.first)
        if work.faces == 0:  # all were there already: one face tells what it asks for
            work = self.painter.try_one(setting, shortcut)
        values = self.people.values({one.name: store.read(one.name, self.first) for one in self.plan})
        left_out = [None] * (len(self.people.originals) - self.first)
        nothing = torch.full((self.first,), torch.nan)
        return {
            "halves": work.halves / work.faces,
            "whole": work.whole / work.faces,
            "seconds": self.painter.shared_seconds + work.seconds / work.faces,
            "kinds": len(work.kinds),
            "values": {
                measure: [None if one != one else one for one in values.get(measure, nothing).tolist()] + left_out
                for measure in curve.MEASURES
            },
        }


def tflop_of(name: str, one: dict, costs: dict) -> float:
    """Of a face of the published size.

    Args:
        name: of the setting.
        one: what results.json holds of it.
        costs: what it says a half of a step takes, by shortcut, and the rest of a face.
    """
    half = costs["half steps"].get(name.partition("+")[2]) or costs["half steps"][""]
    whole = one.get("whole", one["halves"])
    # the first step of each half projects the references, too
    steps = whole * half["later"] + (one["halves"] - whole) * half["fine"]
    return costs["rest"] + steps + one["kinds"] * (half["first"] - half["later"])


def points_of(results: dict) -> list[curve.Point]:
    """Points of results.json."""
    return [
        curve.Point(
            name,
            tflop_of(name, one, results["costs"]),
            one["seconds"],
            _values(one["values"]),
        )
        for name, one in results["settings"].items()
    ]


def _values(found: Mapping[str, list]) -> dict[str, torch.Tensor]:
    return {
        measure: torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float64)
        for measure, values in found.items()
    }


def write_curve(output: Path, results: dict, reference: str, plot: bool) -> None:
    """OUT/curve.md and OUT/curve.png of what is there; the reference is the dearest where the named one is not."""
    points = points_of(results)
    named = [point for point in points if point.name == reference]
    against = named[0] if named else max(points, key=lambda one: one.tflop)
    replace_whole(output / "curve.md", (curve.as_markdown(points, against) + "\n").encode())
    if plot:
        curve.save_plot(output / "curve.png", points)


def publish(folder: Path, points: Sequence[curve.Point], plot: bool) -> None:
    """Write what docs/ keeps of a run: FOLDER/results.jsonl, a setting a line, and FOLDER/curve.png.

    Args:
        folder: made if need be.
        points: of the run.
        plot: whether there is matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            **{"setting": point.name, "tflop": round(point.tflop, 2), "seconds": round(point.seconds, 3)},
            "values": {
                measure: [None if value != value else float(f"{value:.4g}") for value in values.tolist()]
                for measure, values in point.values.items()
            },
        }
        for point in sorted(points, key=lambda one: one.tflop)
    ]
    replace_whole(folder / "results.jsonl", json_lines(lines))
    if plot:
        curve.save_plot(folder / "curve.png", points)


def published(file: Path) -> list[curve.Point]:
    """Points of a results.jsonl that `publish` wrote."""
    return [
        curve.Point(one["setting"], one["tflop"], one["seconds"], _values(one["values"]))
        for _, one in read_json_lines(file)
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "output", type=Path, help="folder; what is there of the same people and model is not done again"
    )
    parser.add_argument("--model", default="demo", help="a model folder, or its name (default: demo)")
    parser.add_argument("--originals", type=Path, metavar="DIR", help="photos, in the place of synthetic people")
    parser.add_argument("--people", type=int, default=200, help="how many; of photos at most so many (default: 200)")
    parser.add_argument("--settings", nargs="+", metavar="SETTING", help="default: all samplers, schedules and steps")
    parser.add_argument("--reference", default=REFERENCE, help=f"default: {REFERENCE}")
    parser.add_argument("--first", type=int, metavar="N", help="paint the first N people alone, where steps are many")
    parser.add_argument("--main-alone", action="store_true", help="at degree 1.25 alone: 8 of 10 measures")
    parser.add_argument("--publish", type=Path, metavar="DIR", help="write results.jsonl and curve.png there too")
    parser.add_argument("--most", type=int, help="stop after so many settings; the same command goes on")
    parser.add_argument("--batch", type=int, default=8, help="faces at once (default: 8)")
    parser.add_argument("--device", choices=("default", "cpu"), default="default")
    parser.add_argument("--no-plot", dest="plot", action="store_false", help="without matplotlib")
    return parser.parse_args(arguments)


@busy()
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    file = args.output / "results.json"
    with quiet_host(args.device == "cpu"):
        from face_anonymizer.tools.benchmarks.published_steps import REST_OF_A_FACE, count_half_step

        names = args.settings or default_settings()
        for name in names:
            parse_setting(name, 1.0)
        bench = Bench(args, on_cpu=args.device == "cpu" or not has_accelerator())
        results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"settings": {}}
        if results.setdefault("described", bench.people.described) != bench.people.described:
            raise ValueError(f"{file} is of other people, or of another model: take another output folder.")
        asked = {parse_setting(name, 1.0)[1] for name in [*names, *results["settings"]]} & {POOLED, DEEP}
        halves = {name: count_half_step(name)._asdict() for name in ("", *sorted(asked))}
        results["costs"] = {"rest": REST_OF_A_FACE, "half steps": halves}
        left = [name for name in names if name not in results["settings"]]
        for number, name in enumerate(left[: args.most], 1):
            print(f"{name} ({number} of {len(left)} that are left)", file=sys.stderr, flush=True)
            results["settings"][name] = bench.run(name)
            replace_whole(file, json.dumps(results, indent=1).encode())
            write_curve(args.output, results, args.reference, args.plot)
    if results["settings"]:
        write_curve(args.output, results, args.reference, args.plot)
        if args.publish is not None:
            publish(args.publish, points_of(results), args.plot)
        print((args.output / "curve.md").read_text(encoding="utf-8"))
    return 0
