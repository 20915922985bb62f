"""What settings of the sampler cost and what they give: the measures of scripts/evaluate.py for each, as a curve.

    python tools/run.py benchmarks.quality_against_cost OUT --people 200
    python tools/run.py benchmarks.quality_against_cost OUT --people 8 --settings dpmpp_2m:karras:6 "ddpm (paper):-:25"
    python tools/run.py benchmarks.quality_against_cost OUT --people 200 --most 4       # a piece of the work; again

A setting is SAMPLER:SCHEDULER:STEPS, :FROM-TO for guidance in that share of the noise levels, and +SHORTCUT for one of
shortcuts.py. Each is painted on
the same synthetic people, which no training has seen, with the same seeds: at degrees 0.3 and 1.25, and as a swap. Its
values, one a person, go into OUT/results.json when it is done; what is there is not done again, and painted pictures
are kept on the way. So it may be killed at any time. OUT/curve.md and curve.png are written anew after every setting:
intervals by bootstrap over people, and the differences, person by person, to --reference.

Costs are of the published architecture: how many halves of steps the sampler asked the UNet for, times what one takes
(published_steps.py), and what a face takes beside its steps. Seconds are the processor's, of the model that paints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from face_anonymizer.modules.evaluation import conditions as c
from face_anonymizer.modules.evaluation import identification, presence, quality, synthetic_set
from face_anonymizer.modules.evaluation.measured import EXPRESSION, GAZE, IDENTITY, POSE, Measured, distance
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.evaluation.synthetic_backend import SyntheticBackend
from face_anonymizer.modules.faces.detect.detection import load_face_networks
from face_anonymizer.modules.files import replace_whole, sha256_of_folder
from face_anonymizer.modules.host.location import has_accelerator
from face_anonymizer.modules.host.process import find_model, quiet_host
from face_anonymizer.modules.model.checkpoint import read_settings
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings
from face_anonymizer.modules.synthetic import regressor
from face_anonymizer.tools.benchmarks import curve
from face_anonymizer.tools.benchmarks.curve_painting import SharedPainter
from face_anonymizer.tools.benchmarks.shortcuts import DEEP, POOLED, SHORTCUTS
from face_anonymizer.tools.busy import busy

STEPS = (4, 6, 8, 10, 15, 25, 50, 200)
SAMPLERS = (DDPM, "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "res_multistep", "ddpm")
SCHEDULERS = ("karras", "exponential", "sgm_uniform")
INTERVALS = ("0.2-0.8", "0.1-0.6", "0.3-1")
REFERENCE = f"{DDPM}:-:200"
_DEGREES = (0.3, 1.25)
_PLAN = [c.Condition(c.SWAP, 0.0, swaps=True), *(c.Condition(c.anonymized(degree), degree) for degree in _DEGREES)]


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
    if shortcut not in ("", *SHORTCUTS):
        raise ValueError(f"{text!r} ends in no shortcut; those are {', '.join(SHORTCUTS)}.")
    first, last = map(float, parts[3].split("-")) if len(parts) == 4 else (0.0, 1.0)
    scheduler = SamplerSettings().scheduler if parts[1] == "-" else parts[1]
    setting = SamplerSettings(
        parts[0], scheduler, int(parts[2]), guidance_scale=guidance, guidance_from=first, guidance_to=last
    )
    return setting, shortcut


class Bench:
    """The people, the model that paints them, and what measures them."""

    def __init__(self, folder: Path, output: Path, people: int, batch: int, on_cpu: bool):
        from face_anonymizer.modules.checking.work import attention_kernels
        from face_anonymizer.modules.model.loading import load_model_folder

        self.own = read_settings(folder)
        self.output = output
        self.described = {
            **{"model": sha256_of_folder(folder, (".json", ".safetensors")), "people": people},
            **{"size": self.own.resolution, "guidance": self.own.guidance_scale},
            "renderer": synthetic_set.renderer_digest(),
        }
        self.store = PictureStore(output / "people", self.described)
        self.people = synthetic_set.make_set(people, self.store, size=self.own.resolution)
        model = load_model_folder(folder)
        unet = model.unet.clone()
        if on_cpu:  # torch's attention, for ComfyUI's own takes half as long again there
            (attend,) = attention_kernels("pytorch").values()
            options = unet.model_options["transformer_options"]
            options["optimized_attention_override"] = lambda _, *given, **more: attend(*given, **more)
        clock = time.process_time if on_cpu else time.perf_counter
        self.painter = SharedPainter(model._replace(unet=unet), self.people.originals, _PLAN, batch, clock)
        self.backend = SyntheticBackend(regressor.load_regressor(regressor.WEIGHTS))
        self.networks = load_face_networks()
        self.originals, _ = self._measure(self.people.originals)

    def run(self, name: str) -> dict:
        """Paint and measure one setting; what results.json holds of it."""
        setting, shortcut = parse_setting(name, self.own.guidance_scale)
        described = self.described | asdict(setting) | ({"shortcut": shortcut} if shortcut else {})
        folder = "".join(letter if letter.isalnum() else "_" for letter in name)
        store = PictureStore(self.output / "painted" / folder, described)
        work = self.painter.paint(setting, store, shortcut)
        if work.faces == 0:  # all were there already: one face tells what it asks for
            work = self.painter.try_one(setting, shortcut)
        values = self._values({condition.name: store.read(condition.name, len(self.people)) for condition in _PLAN})
        return {
            "halves": work.halves / work.faces,
            "whole": work.whole / work.faces,
            "seconds": self.painter.shared_seconds + work.seconds / work.faces,
            "kinds": len(work.kinds),
            "values": {key: [None if one != one else one for one in each.tolist()] for key, each in values.items()},
        }

    def _measure(self, pictures) -> tuple[Measured, torch.Tensor]:
        scores = presence.face_scores(self.networks, pictures)
        side = pictures.shape[1]
        return self.backend.measure(pictures, presence.as_faces(scores, side)), torch.from_numpy(scores).double()

    def _values(self, pictures: dict) -> dict[str, torch.Tensor]:
        """Measure -> one value a person."""
        mild, main = (pictures[c.anonymized(degree)] for degree in _DEGREES)
        (milder, _), (faces, scores), (swapped, _) = map(self._measure, (mild, main, pictures[c.SWAP]))
        sources = self.originals[torch.tensor(synthetic_set.swap_sources(len(faces)))]
        nearer = distance(IDENTITY, swapped, self.originals) - distance(IDENTITY, swapped, sources)
        others = identification.cosine_distances(faces).fill_diagonal_(torch.nan)
        regions = quality.regions(self.people.background, self.people.face)
        background = regions["background, clear of the person"]
        return {
            "rank1_0.3": identification.identified(milder, self.originals),
            "rank1_1.25": identification.identified(faces, self.originals),
            "swap": torch.where(nearer.isnan(), torch.nan, (nearer > 0).double()),
            **{
                name: distance(aspect, faces, self.originals)
                for name, aspect in (("pose", POSE), ("gaze", GAZE), ("expression", EXPRESSION))
            },
            "background": quality.background_error(main, self.people.originals, background),
            "sharpness": quality.sharpness(main),
            "score": scores,
            "spread": others.nanmean(1),
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
            {
                key: torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float64)
                for key, values in one["values"].items()
            },
        )
        for name, one in results["settings"].items()
    ]


def write_curve(output: Path, results: dict, reference: str, plot: bool) -> None:
    """OUT/curve.md and OUT/curve.png of what is there; the reference is the dearest where the named one is not."""
    points = points_of(results)
    named = [point for point in points if point.name == reference]
    against = named[0] if named else max(points, key=lambda one: one.tflop)
    replace_whole(output / "curve.md", (curve.as_markdown(points, against) + "\n").encode())
    if plot:
        curve.save_plot(output / "curve.png", points)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "output", type=Path, help="folder; what is there of the same people and model is not done again"
    )
    parser.add_argument("--model", default="demo", help="a model folder, or its name (default: demo)")
    parser.add_argument("--people", type=int, default=200, help="default: 200")
    parser.add_argument("--settings", nargs="+", metavar="SETTING", help="default: all samplers, schedules and steps")
    parser.add_argument("--reference", default=REFERENCE, help=f"default: {REFERENCE}")
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
        bench = Bench(
            find_model(args.model), args.output, args.people, args.batch, args.device == "cpu" or not has_accelerator()
        )
        results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"settings": {}}
        halves = {name: count_half_step(name)._asdict() for name in ("", POOLED, DEEP)}
        results["costs"] = {"rest": REST_OF_A_FACE, "half steps": halves}
        left = [name for name in names if name not in results["settings"]]
        for number, name in enumerate(left[: args.most], 1):
            print(f"{name} ({number} of {len(left)} that are left)", file=sys.stderr, flush=True)
            results["settings"][name] = bench.run(name)
            replace_whole(file, json.dumps(results, indent=1).encode())
            write_curve(args.output, results, args.reference, args.plot)
    if results["settings"]:
        write_curve(args.output, results, args.reference, args.plot)
        print((args.output / "curve.md").read_text(encoding="utf-8"))
    return 0
