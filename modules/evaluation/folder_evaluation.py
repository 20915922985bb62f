"""Results of any method on photos of real people: measure them, and report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch

from ..host.process import quiet_host
from . import folder_pairs, folder_tables, plots, report_files
from . import measured as measured_module
from .backends import load_reconstruction, make_backends
from .conditions import ORIGINAL
from .face_own import shared_reader
from .folder_measures import measure_pairs
from .own_verdicts import verdict_table
from .settings import EvaluationSettings


def evaluate(settings: EvaluationSettings, say: Callable[[str], None]) -> None:
    """Measure the photos of settings.results beside settings.originals, and write the report into settings.output.

    Args:
        settings: the options of the evaluation.
        say: takes lines of progress.

    Raises:
        ValueError: the folders or labels do not fit, or nothing is measurable.
        RuntimeError: a package or a file of a back-end is missing.
    """
    assert settings.originals is not None and settings.results is not None  # else a model is measured
    report_files.check_output(settings.output)
    if settings.plots:
        plots.need_matplotlib()
    pairs, alone = folder_pairs.pair_files(settings.originals, settings.results)
    if alone:
        say(folder_tables.counted(alone, "originals have no result and are left out"))
    labels = folder_pairs.identities_of([pair.name for pair in pairs], settings.labels) if settings.labels else None
    pairs, labels = limited(pairs, labels, settings.identities)
    runs_models = settings.model is not None or "landmarks" in settings.backend
    with quiet_host(settings.cpu) if runs_models else contextlib.nullcontext():
        backends = make_backends(settings.backend, settings.weights)
        reconstruct = None if settings.model is None else load_reconstruction(settings.model, settings.weight_dtype)
        gathered = measure_pairs(pairs, backends, settings.min_score, reconstruct)
    if not gathered.people:
        raise ValueError(
            f"No face was found in any of the {len(pairs)} originals of {settings.originals}: nothing is measurable. "
            "A lower --min-score finds more."
        )
    people = torch.tensor([number if labels is None else labels.index(labels[number]) for number in gathered.people])
    if labels is None and len(gathered.people) > 1:  # every face is taken for another person
        people = torch.arange(len(gathered.people))
    measured = {
        name: {title: measured_module.Measured.join(parts) for title, parts in conditions.items()}
        for name, conditions in gathered.measured.items()
    }
    faces = folder_tables.FolderFaces(measured, people, torch.tensor(gathered.people), labels is not None)
    tables = folder_tables.face_tables(faces, settings.false_accept_rate)
    if (reader := shared_reader(backends)) is not None:
        tables.insert(0, verdict_table(gathered.verdicts, people, reader.settings))
    tables.append(folder_tables.quality_table(gathered.quality_rows(), people))
    tables += [table] if (table := folder_tables.frechet_table(faces)) else []
    described = {
        **{"originals": settings.originals.name, "results": settings.results.name, "pictures": len(pairs)},
        **{"originals without a result": len(alone), "faces": len(people), "people": len(people.unique())},
        "faces not found in the result": gathered.lost,
        "pictures whose result has another size": gathered.resized,
        "people known by": "labels" if labels is not None else "nothing: each face is taken for another person",
        "back-ends": "; ".join(f"{backend.name} ({backend.licence})" for backend in backends),
    }
    names = save_plots(settings.output / report_files.PLOTS, measured) if settings.plots else []
    report_files.write_report(settings.output, described, tables, plots=names)


def limited(pairs: list, labels: list[str] | None, count: int | None) -> tuple[list, list[str] | None]:
    """The pictures of the first people alone.

    Args:
        pairs: of photos.
        labels: who is in each; None takes each pair for another person.
        count: how many people; None is all.

    Returns:
        Pairs and labels that are left.

    Raises:
        ValueError: there are fewer people.
    """
    if count is None:
        return pairs, labels
    who = labels or [pair.name for pair in pairs]
    people = list(dict.fromkeys(who))
    if len(people) < count:
        raise ValueError(f"{count} identities were asked for, and the folders show {len(people)}: lower --identities.")
    kept = [i for i, person in enumerate(who) if person in set(people[:count])]
    return [pairs[i] for i in kept], [labels[i] for i in kept] if labels else None


def save_plots(folder: Path, measured: dict) -> list[str]:
    """Save, for each recogniser, histograms of the cosine between each face and its original.

    Args:
        folder: of the plots; made if need be.
        measured: back-end -> condition -> Measured, with ORIGINAL among the conditions.

    Returns:
        Names of the files.
    """
    names = []
    for backend, conditions in measured.items():
        originals = conditions[ORIGINAL]
        if originals.identity is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        groups = {
            title: (1 - measured_module.distance(measured_module.IDENTITY, faces, originals)).numpy()
            for title, faces in conditions.items()
            if title != ORIGINAL
        }
        cosines = measured_module.similarities(originals, originals)
        groups["two originals"] = cosines[~torch.eye(len(cosines), dtype=torch.bool)].numpy()
        name = f"cosines_{backend.lower().replace(' ', '_')}.png"
        plots.save_histograms(folder / name, f"Cosines of identity, by {backend}", "cosine", groups, None)
        names.append(name)
    return names
