"""A model on the synthetic test set: paint every condition, look for faces, measure, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..faces.detect import detection
from ..files import sha256_of_folder
from ..host.process import find_model, quiet_host
from ..model import checkpoint
from ..synthetic import regressor
from . import (
    conditions,
    identification,
    plots,
    presence,
    quality,
    report_files,
    sheet,
    statistics,
    synthetic_backend,
    synthetic_results,
    synthetic_set,
)
from .settings import IDENTITIES, EvaluationSettings
from .store import PictureStore

SHEET_ROWS = 8


def evaluate(settings: EvaluationSettings, say: Callable[[str], None]) -> None:
    """Measure settings.model on synthetic people, and write the report into settings.output.

    What was painted before is kept there and painted no second time.

    Args:
        settings: the options of the evaluation.
        say: takes lines of progress.

    Raises:
        ValueError: the output folder holds another evaluation, there are too few people, or no face was found.
        RuntimeError: matplotlib is missing.
    """
    assert settings.model is not None  # else folders are measured
    report_files.check_output(settings.output)
    _check_calibration(settings)
    backend = synthetic_backend.SyntheticBackend(regressor.load_regressor(settings.regressor or regressor.WEIGHTS))
    if settings.plots:
        plots.need_matplotlib()
    folder = find_model(settings.model)
    own = checkpoint.read_settings(folder)
    identities = settings.identities or IDENTITIES
    settings = dataclasses.replace(
        settings,
        identities=identities,
        steps=settings.steps or own.steps,
        guidance=own.guidance_scale if settings.guidance is None else settings.guidance,
    )
    plan = list(
        conditions.plan(settings.degrees, settings.degree, settings.ablation, settings.seeds, min(20, identities))
    )
    painted_with = {
        "model": sha256_of_folder(folder, (".json", ".safetensors")),
        **{name: getattr(settings, name) for name in ("identities", "steps", "guidance", "sampler", "scheduler")},
        **{"test seed": settings.seed, "noise seed": settings.noise_seed, "size": own.resolution},
        "renderer": synthetic_set.renderer_digest(),
    }
    store = PictureStore(settings.output / "images", painted_with)
    say(f"rendering {identities} people")
    test_set = synthetic_set.make_set(identities, store, settings.seed, own.resolution)
    store.keep(conditions.JPEG, quality.as_jpeg(test_set.originals))
    synthetic_set.make_calibration_pairs(settings.calibration, store, settings.seed, own.resolution)
    paint(settings, folder, test_set, plan, store)
    results = measure(settings, backend, test_set, plan, store)
    results.compute()
    drawn = []
    if settings.plots:
        (settings.output / report_files.PLOTS).mkdir(exist_ok=True)
        drawn = results.save_plots(settings.output / report_files.PLOTS)
    save_sheet(settings.output / "sheet.jpg", results)
    described = {
        **{"back-end": f"{backend.name} ({backend.licence})", "mean reliability of what it reads": backend.reliability},
        **{"model folder": folder.name, **painted_with},
    }
    report_files.write_report(settings.output, described, results.tables, results.verdicts, drawn)


def _check_calibration(settings: EvaluationSettings) -> None:
    """Refuse, before hours of painting, too few people to calibrate a threshold on.

    Raises:
        ValueError: naming the options to raise.
    """
    impostors = settings.calibration * (settings.calibration - 1)
    if impostors * settings.false_accept_rate < 1:
        raise ValueError(
            f"{settings.calibration} people make {impostors} impostor pairs, too few for a false accept rate of "
            f"{settings.false_accept_rate:g}: raise --calibration or --false-accept-rate."
        )


def measure(
    settings: EvaluationSettings,
    backend: synthetic_backend.SyntheticBackend,
    test_set: synthetic_set.SyntheticSet,
    plan: Sequence[conditions.Condition],
    store: PictureStore,
) -> synthetic_results.SyntheticResults:
    """Find and measure the faces of every picture in the store.

    Args:
        settings: of the evaluation; the degrees, the calibration and the false accept rate.
        backend: that measures.
        test_set: the people and their exact truth.
        plan: the conditions that were painted.
        store: that holds all their pictures, and those that were rendered.

    Returns:
        Everything that was measured; its tables and verdicts are still to be computed.

    Raises:
        ValueError: pictures are missing, no original has a face, or no threshold can be calibrated.
    """
    counts = {name: len(test_set) for name in _rendered()}
    counts |= {name: settings.calibration for name in synthetic_set.CALIBRATION}
    counts |= {condition.name: condition.count or len(test_set) for condition in plan}
    pictures = {name: store.read(name, count) for name, count in counts.items()}
    scores = find_faces(store, pictures)
    side = test_set.originals.shape[1]
    faces = {name: backend.measure(shown, presence.as_faces(scores[name], side)) for name, shown in pictures.items()}
    if not faces[conditions.ORIGINAL].found.any():
        raise ValueError("No face was found in any original, so that nothing can be measured.")
    pairs = identification.pair_cosines(*(faces[name] for name in synthetic_set.CALIBRATION))
    where = f"of {settings.calibration} other synthetic people"
    before = synthetic_set.swap_sources(len(test_set))
    return synthetic_results.SyntheticResults(
        test_set,
        pictures,
        faces,
        scores,
        truth=backend.truth(test_set.identity, test_set.attributes),
        swap_truth=backend.truth(test_set.identity[before], test_set.attributes),
        threshold=statistics.calibrate(*pairs, settings.false_accept_rate, where),
        degrees=sorted({*settings.degrees, settings.degree}),
        main=settings.degree,
    )


def paint(
    settings: EvaluationSettings,
    folder: Path,
    test_set: synthetic_set.SyntheticSet,
    plan: Sequence[conditions.Condition],
    store: PictureStore,
) -> None:
    """Paint the pictures that the store lacks; where it lacks none, ComfyUI is not started.

    Args:
        settings: of the evaluation; steps and guidance are not None.
        folder: of the model.
        test_set: the people whose pictures are anonymized.
        plan: the conditions to paint.
        store: where the pictures go.
    """
    wanted = [(condition.name, number) for condition in plan for number in range(condition.count or len(test_set))]
    lacking = sum(not store.has(*picture) for picture in wanted)
    reconstructed = all(store.has(conditions.RECONSTRUCTION, number) for number in range(len(test_set)))
    if not lacking and reconstructed:
        return
    with quiet_host(settings.cpu):
        from ..model.loading import load_model_folder
        from ..model.settings import SamplerSettings
        from .painting import Painter

        assert settings.steps is not None and settings.guidance is not None  # evaluate takes the model's own
        sampler = SamplerSettings(settings.sampler, settings.scheduler, settings.steps, settings.guidance)
        model = load_model_folder(folder, weight_dtype=settings.weight_dtype)
        painter = Painter(model, settings.noise_seed, sampler, settings.batch)
        with tqdm(total=len(wanted), initial=len(wanted) - lacking, unit="face", desc="painting") as bar:
            painter.paint(test_set.originals, test_set.others, plan, store, bar.update)


def find_faces(store, pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The detector's score of every picture; scores that the store remembers are not computed again.

    Args:
        store: that remembers scores.
        pictures: condition -> uint8 [N, S, S, 3].

    Returns:
        Condition -> scores, float [N].
    """
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
    """Save a contact sheet of the first people: originals, results of every degree, swaps and their exact truth."""
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
