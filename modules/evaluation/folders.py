"""Results of any method on photos of real people: what is asked for, measured, as a report."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import folder_pairs, folder_report, plots, report
from . import measured as measured_module
from .backends import load_reconstruction, make_backends
from .host import host, say
from .looking import look

ORIGINAL = folder_report.ORIGINAL


def evaluate(options: argparse.Namespace) -> None:
    """Everything that `options` asks for, into options.output."""
    report.check_output(options.output)
    if options.plots:
        plots.need_matplotlib()
    pairs, alone = folder_pairs.pair_files(options.originals, options.results)
    if alone:
        say(folder_report.counted(alone, "originals have no result and are left out"))
    labels = folder_pairs.identities_of([pair.name for pair in pairs], options.labels) if options.labels else None
    pairs, labels = limited(pairs, labels, options.identities)
    with_model = options.model is not None
    with host(options.device == "cpu", started=with_model or "landmarks" in options.backend):
        backends = make_backends(options)
        reconstruct = load_reconstruction(options.model, options.weight_dtype) if with_model else None
        seen = look(pairs, backends, options.min_score, reconstruct)
    if not seen.people:
        raise ValueError(
            f"No face was found in any of the {len(pairs)} originals of {options.originals}: nothing is measurable. "
            "A lower --min-score finds more."
        )
    people = torch.tensor([number if labels is None else labels.index(labels[number]) for number in seen.people])
    if labels is None and len(seen.people) > 1:  # every face is taken for another person
        people = torch.arange(len(seen.people))
    measured = {
        name: {title: measured_module.Measured.join(parts) for title, parts in conditions.items()}
        for name, conditions in seen.measured.items()
    }
    faces = folder_report.FolderFaces(measured, people, torch.tensor(seen.people), labels is not None)
    tables = folder_report.face_tables(faces, options.false_accept_rate)
    tables.append(folder_report.quality_table(seen.quality_rows(), people))
    tables += [table] if (table := folder_report.frechet_table(faces)) else []
    settings = {
        **{"originals": options.originals.name, "results": options.results.name, "pictures": len(pairs)},
        **{"originals without a result": len(alone), "faces": len(people), "people": len(people.unique())},
        "faces not found in the result": seen.lost,
        "pictures whose result has another size": seen.resized,
        "people known by": "labels" if labels is not None else "nothing: each face is taken for another person",
        "back-ends": "; ".join(f"{backend.name} ({backend.licence})" for backend in backends),
    }
    names = save_plots(options.output / report.PLOTS, measured) if options.plots else []
    report.write_report(options.output, settings, tables, plots=names)


def limited(pairs: list, labels: list[str] | None, count: int | None) -> tuple[list, list[str] | None]:
    """The pictures of the first `count` people; ValueError when there are fewer."""
    if count is None:
        return pairs, labels
    who = labels or [pair.name for pair in pairs]
    people = list(dict.fromkeys(who))
    if len(people) < count:
        raise ValueError(f"{count} identities were asked for, and the folders show {len(people)}: lower --identities.")
    kept = [i for i, person in enumerate(who) if person in set(people[:count])]
    return [pairs[i] for i in kept], [labels[i] for i in kept] if labels else None


def save_plots(folder: Path, measured: dict) -> list[str]:
    """Histograms of the cosine between each face and its original, of each recogniser."""
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
