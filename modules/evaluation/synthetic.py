"""A model on the synthetic test set: paint every condition, look for faces, measure, report."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..faces.detect import detection
from ..files import sha256_of_folder
from ..host.process import find_model
from ..model import checkpoint
from ..synthetic import regressor
from . import (
    conditions,
    identification,
    plots,
    presence,
    quality,
    report,
    sheet,
    statistics,
    synthetic_backend,
    synthetic_report,
    synthetic_set,
)
from .host import host, say
from .store import PictureStore

SHEET_ROWS = 8


def evaluate(options: argparse.Namespace, weights: Path) -> None:
    """Everything that `options` asks for, into options.output. weights: of the regressor that measures."""
    report.check_output(options.output)
    backend = synthetic_backend.SyntheticBackend(regressor.load_regressor(weights))
    if options.plots:
        plots.need_matplotlib()
    plan = list(
        conditions.plan(options.degrees, options.degree, options.ablation, options.seeds, min(20, options.identities))
    )
    folder = find_model(options.model)
    own = checkpoint.read_settings(folder)
    resolution, options.steps = own.resolution, options.steps or own.steps
    options.guidance = own.guidance_scale if options.guidance is None else options.guidance
    settings = {
        "model": sha256_of_folder(folder, (".json", ".safetensors")),
        **{name: getattr(options, name) for name in ("identities", "steps", "guidance", "sampler", "scheduler")},
        **{"test seed": options.seed, "noise seed": options.noise_seed, "size": resolution},
        "renderer": synthetic_set.renderer_digest(),
    }
    store = PictureStore(options.output / "images", settings)
    say(f"rendering {options.identities} people")
    test_set = synthetic_set.make_set(options.identities, store, options.seed, resolution)
    store.keep(conditions.JPEG, quality.as_jpeg(test_set.originals))
    synthetic_set.make_calibration_pairs(options.calibration, store, options.seed, resolution)
    paint(options, folder, test_set, plan, store)
    counts = {name: len(test_set) for name in _rendered()} | {
        name: options.calibration for name in synthetic_set.CALIBRATION
    }
    counts |= {condition.name: condition.count or len(test_set) for condition in plan}
    pictures = {name: store.read(name, count) for name, count in counts.items()}
    scores = find_faces(store, pictures)
    faces = {
        name: backend.measure(shown, presence.as_faces(scores[name], resolution)) for name, shown in pictures.items()
    }
    if not faces[conditions.ORIGINAL].found.any():
        raise ValueError("No face was found in any original, so that nothing can be measured.")
    pairs = identification.pair_cosines(*(faces[name] for name in synthetic_set.CALIBRATION))
    where = f"of {options.calibration} other synthetic people"
    before = synthetic_set.swap_sources(len(test_set))
    results = synthetic_report.SyntheticResults(
        test_set,
        pictures,
        faces,
        scores,
        truth=backend.truth(test_set.identity, test_set.attributes),
        swap_truth=backend.truth(test_set.identity[before], test_set.attributes),
        threshold=statistics.calibrate(*pairs, options.false_accept_rate, where),
        degrees=sorted({*options.degrees, options.degree}),
        main=options.degree,
    )
    results.compute()
    drawn = []
    if options.plots:
        (options.output / report.PLOTS).mkdir(exist_ok=True)
        drawn = results.save_plots(options.output / report.PLOTS)
    save_sheet(options.output / "sheet.jpg", results)
    shown = {
        **{"back-end": f"{backend.name} ({backend.licence})", "mean reliability of what it reads": backend.reliability},
        **{"model folder": folder.name, **settings},
    }
    report.write_report(options.output, shown, results.tables, results.verdicts, drawn)


def paint(options: argparse.Namespace, folder: Path, test_set, plan: list, store) -> None:
    """Paint what the store lacks; without anything to paint the host is not started."""
    wanted = [(condition.name, number) for condition in plan for number in range(condition.count or len(test_set))]
    lacking = sum(not store.has(*picture) for picture in wanted)
    reconstructed = all(store.has(conditions.RECONSTRUCTION, number) for number in range(len(test_set)))
    if not lacking and reconstructed:
        return
    with host(options.device == "cpu"):
        from ..model.loading import load_model_folder
        from ..model.settings import SamplerSettings
        from .painting import Painter

        sampler = SamplerSettings(options.sampler, options.scheduler, options.steps, options.guidance)
        model = load_model_folder(folder, weight_dtype=options.weight_dtype)
        painter = Painter(model, options.noise_seed, sampler, options.batch)
        with tqdm(total=len(wanted), initial=len(wanted) - lacking, unit="face", desc="painting") as bar:
            painter.paint(test_set.originals, test_set.others, plan, store, bar.update)


def find_faces(store, pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The detector's score of every picture; what was looked at before is not looked at again."""
    networks = detection.load_face_networks()
    scores = {}
    with tqdm(total=sum(map(len, pictures.values())), unit="picture", desc="looking for faces") as bar:
        for name, shown in pictures.items():
            known = store.recall(name, "scores", len(shown))
            if known is None:
                known = presence.face_scores(networks, shown, bar.update).tolist()
                store.remember(name, "scores", known)
            else:
                bar.update(len(shown))
            scores[name] = np.array(known)
    return scores


def save_sheet(file: Path, results) -> None:
    rows = slice(0, min(SHEET_ROWS, len(results.test_set)))
    columns = {"original": conditions.ORIGINAL, "VAE": conditions.RECONSTRUCTION}
    columns |= {f"d = {degree:g}": conditions.anonymized(degree) for degree in results.degrees}
    shown = {title: results.pictures[name][rows] for title, name in columns.items()}
    # the person before: the source of the swap
    shown["source"] = results.pictures[conditions.ORIGINAL][synthetic_set.swap_sources(len(results.test_set))][rows]
    shown["swap"] = results.pictures[conditions.SWAP][rows]
    shown["exact swap"] = results.pictures[conditions.SWAP_TRUTH][rows]
    sheet.save_sheet(file, shown)


def _rendered() -> list[str]:
    c = conditions
    return [c.ORIGINAL, c.OTHER, c.SWAP_TRUTH, c.JPEG, c.RECONSTRUCTION]
