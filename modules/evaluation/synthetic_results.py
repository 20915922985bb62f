"""All tables, figures and verdicts of a model on the synthetic test set, from the measurements of every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from . import claims, identification, plots, protocols, quality
from . import conditions as c
from .measured import ASPECTS, EXPRESSION, FEATURES, GAZE, IDENTITY, LIGHT, POSE, SHAPE, Measured, distance
from .statistics import Threshold, mean
from .synthetic_set import SyntheticSet, swap_sources
from .tables import Table

_TITLES = {
    c.JPEG: f"original, JPEG of quality {quality.JPEG_QUALITY}",
    c.RECONSTRUCTION: "original, reconstructed by the VAE",
    c.OTHER: "another picture of the person",
}


@dataclass
class SyntheticResults:
    """What was measured of every condition, and the tables and verdicts that follow from it.

    Attributes:
        test_set: the people and their exact truth.
        pictures: condition -> uint8 [N, S, S, 3].
        faces: condition -> Measured of its N pictures.
        scores: condition -> the detector's scores, float [N].
        truth: of the originals, exactly known.
        swap_truth: of the swaps, exactly known.
        threshold: calibrated on other people.
        degrees: that were painted, rising.
        main: the degree of the ablation, the seeds and the linked pictures.
        tables: empty until `compute`.
        verdicts: empty until `compute`.
    """

    test_set: SyntheticSet
    pictures: Mapping[str, np.ndarray]
    faces: Mapping[str, Measured]
    scores: Mapping[str, np.ndarray]
    truth: Measured
    swap_truth: Measured
    threshold: Threshold
    degrees: Sequence[float]
    main: float
    tables: list[Table] = field(default_factory=list)
    verdicts: list[claims.Verdict] = field(default_factory=list)

    def __post_init__(self):
        self.originals = self.faces[c.ORIGINAL]
        people = torch.arange(len(self.originals))
        self.strangers = self.originals[people.roll(1)]
        self.sources = self.originals[torch.tensor(swap_sources(len(people)))]
        self.by_degree = {degree: self.faces[c.anonymized(degree)] for degree in self.degrees}
        self.reduced = {r: self.faces[c.reduced(r)] for r in c.REDUCTIONS if c.reduced(r) in self.faces}
        self.runs = [self.faces[name] for name in sorted(self.faces) if name.startswith("seed_")]

    def compute(self) -> None:
        """Fill in the tables and the verdicts."""
        baselines = {_TITLES[name]: self.faces[name] for name in (c.JPEG, c.RECONSTRUCTION, c.OTHER)}
        painted = {f"d = {degree:g}": faces for degree, faces in self.by_degree.items()}
        random = {"two random faces": self.strangers}
        others = self.faces[c.OTHER]
        self.tables = [
            protocols.identity_table(baselines | painted, self.originals, others, self.threshold),
            protocols.attribute_table(baselines | random | painted, self.originals),
            *self._swaps(),
            *([self._ablation(baselines)] if self.reduced else []),
            self._galleries(),
            self._spread(),
            self._outside(),
            self._quality(),
            self._own_errors(),
        ]
        main = self.by_degree[self.main]
        self.verdicts = [
            *claims.judge_swaps(self.faces[c.SWAP], self.sources, self.originals, self.truth, self.faces[c.SWAP_TRUTH]),
            *claims.judge_degrees(self.by_degree, self.originals, self.strangers, self.main),
            *claims.judge_spread(main, self.originals),
            *claims.judge_ablation(main, self.reduced, self.originals),
            *(
                claims.judge_background(errors[c.anonymized(self.main)], errors[c.RECONSTRUCTION], region)
                for region, errors in self._errors().items()
            ),
        ]
        if self.runs:
            apart, _ = protocols.seed_spread(self.runs)
            random_apart = mean(distance(IDENTITY, self.strangers, self.originals))
            same = mean(distance(IDENTITY, others, self.originals))
            self.verdicts.append(claims.judge_seeds(apart, random_apart, same))

    def _swaps(self) -> list[Table]:
        exact, swapped = {"rendered from the exact truth": self.faces[c.SWAP_TRUTH]}, {"swap": self.faces[c.SWAP]}
        untouched = {"the driving image as it is": self.originals}
        rows = untouched | {_TITLES[c.RECONSTRUCTION]: self.faces[c.RECONSTRUCTION]} | exact | swapped
        identity = protocols.swap_table(rows, self.sources, self.originals, self.swap_truth)
        attributes = protocols.attribute_table(
            rows | {"two random faces": self.strangers},
            self.originals,
            "swap_attributes",
            "Swaps: attributes of the driving image",
        )
        attributes.note = "Face shape is the driving person's here: a swap is to change it."
        return [identity, attributes]

    def _ablation(self, baselines: dict[str, Measured]) -> Table:
        """Table 2 of the paper."""
        rows = baselines | {f"full method, d = {self.main:g}": self.by_degree[self.main]} | self.reduced
        table = protocols.attribute_table(rows, self.originals, "ablation", "Ablation")
        table.columns = ["re-identified", "identity distance", *table.columns]
        for row, faces in rows.items():
            table.rows[row]["re-identified"] = mean(identification.identified(faces, self.originals))
            table.rows[row]["identity distance"] = mean(distance(IDENTITY, faces, self.originals))
        return table

    def _galleries(self) -> Table:
        """What an attacker has to compare with; the last one anonymizes other pictures of the same people."""
        columns = ["original as it is", "JPEG", "reconstruction", f"anonymized, d = {self.main:g}"]
        probes = [self.originals, self.faces[c.JPEG], self.faces[c.RECONSTRUCTION], self.by_degree[self.main]]
        table = Table("galleries", "Re-identification by what the attacker has", columns)
        galleries = {"the originals": self.originals, "other pictures of the same people": self.faces[c.OTHER]}
        if c.LINKED in self.faces:
            galleries[f"other pictures, anonymized, d = {self.main:g}"] = self.faces[c.LINKED]
        for name, gallery in galleries.items():
            cells = [mean(identification.identified(probe, gallery)) for probe in probes]
            table.put(name, dict(zip(columns, cells, strict=True)))
        table.note = f"Rows: the gallery. Columns: what is looked up. Chance: {1 / len(self.originals):.4f}."
        return table

    def _spread(self) -> Table:
        groups = {"originals: random identities": self.originals, "other pictures of them": self.faces[c.OTHER]}
        groups |= {_TITLES[c.RECONSTRUCTION]: self.faces[c.RECONSTRUCTION]}
        groups |= {f"d = {degree:g}": faces for degree, faces in self.by_degree.items()}
        table = protocols.spread_table(groups)
        if self.runs:
            cells = [*protocols.seed_spread(self.runs), sum(int(run.found.sum()) for run in self.runs)]
            row = f"{len(self.runs)} seeds of one picture each of {len(self.runs[0])} people, d = {self.main:g}"
            table.put(row, dict(zip(table.columns, cells, strict=True)))
        return table

    def _errors(self) -> dict[str, dict[str, torch.Tensor]]:
        """Region -> condition -> errors."""
        names = [c.JPEG, c.RECONSTRUCTION, c.SWAP_TRUTH, c.SWAP, *map(c.anonymized, self.degrees)]
        originals = self.pictures[c.ORIGINAL]
        return {
            region: {name: quality.background_error(self.pictures[name], originals, area) for name in names}
            for region, area in quality.regions(self.test_set.background, self.test_set.face).items()
        }

    def _outside(self) -> Table:
        errors = self._errors()
        table = Table(
            "background",
            "Outside the face: mean absolute difference to the original, levels of 255",
            list(errors),
            digits=2,
        )
        titles = _TITLES | {c.SWAP_TRUTH: "swap, rendered from the exact truth", c.SWAP: "swap"}
        titles |= {c.anonymized(degree): f"d = {degree:g}" for degree in self.degrees}
        for name in next(iter(errors.values())):
            table.put(titles[name], {region: mean(values[name]) for region, values in errors.items()})
        table.note = "Hair and clothing: a swap changes the hair by itself, so the exact truth of a swap stands beside."
        return table

    def _quality(self) -> Table:
        """Image quality; the paper reports FID."""
        table = Table(
            "quality", "Image quality", ["Fréchet distance to the originals", "sharpness", "detector's score"]
        )
        names = [c.ORIGINAL, c.OTHER, c.JPEG, c.RECONSTRUCTION, c.SWAP_TRUTH, c.SWAP, *map(c.anonymized, self.degrees)]
        names += [c.reduced(reduction) for reduction in self.reduced]
        for name in names:
            distance_to = quality.frechet_distance(self.faces[name].of(FEATURES), self.originals.of(FEATURES))
            sharp = mean(quality.sharpness(self.pictures[name]))
            table.put(
                name, dict(zip(table.columns, [distance_to, sharp, mean(torch.tensor(self.scores[name]))], strict=True))
            )
        table.note = (
            "Fréchet distance of what the regressor reads, not of Inception's features: no FID. Its floor for another "
            "sample of the same population is the row `other`."
        )
        return table

    def _own_errors(self) -> Table:
        """The back-end's readings of pictures of exactly known faces, against the truth: the floor of other tables."""
        rows = {"originals": self.originals, "swaps, rendered from the exact truth": self.faces[c.SWAP_TRUTH]}
        table = protocols.attribute_table(rows, self.truth, "own_errors", "Against the exact truth of the scenes")
        swap = protocols.attribute_table({"swaps": self.faces[c.SWAP]}, self.truth)
        table.rows |= swap.rows
        painted = {f"d = {degree:g}": faces for degree, faces in self.by_degree.items()}
        table.rows |= protocols.attribute_table(painted, self.truth).rows
        table.note = "Face shape: of the person of the original."
        return table

    def save_plots(self, folder: Path) -> list[str]:
        """Draw all figures into a folder.

        Returns:
            Names of the files.
        """
        degrees, faces = list(self.by_degree), list(self.by_degree.values())
        random = {
            aspect: mean(distance(aspect, self.strangers, self.originals)).value for aspect in self.originals.aspects
        }
        floor = self.faces[c.RECONSTRUCTION]
        base = {aspect: mean(distance(aspect, floor, self.originals)).value for aspect in self.originals.aspects}

        def curves(aspects) -> tuple[dict, dict, dict]:
            titles = {aspect: ASPECTS[aspect].title for aspect in aspects}
            values = {titles[a]: [mean(distance(a, f, self.originals)) for f in faces] for a in aspects}
            lines = {titles[a]: {"two random faces": random[a], "reconstruction": base[a]} for a in aspects}
            return values, {titles[a]: ASPECTS[a].unit for a in aspects}, lines

        values, labels, lines = curves([IDENTITY])
        values |= {
            "re-identified": [mean(identification.identified(f, self.originals)) for f in faces],
            "face found": [protocols.face_found(f) for f in faces],
        }
        labels |= {"re-identified": "share, rank 1", "face found": "share"}
        chance = {"chance": 1 / len(self.originals)}
        lines |= {"re-identified": chance, "face found": {"originals": protocols.face_found(self.originals).value}}
        plots.save_curves(folder / "identity.png", degrees, values, labels, lines)
        plots.save_curves(folder / "attributes.png", degrees, *curves([POSE, GAZE, EXPRESSION, SHAPE, LIGHT]))
        names = ["identity.png", "attributes.png"]
        if self.reduced:
            bars = {"full method": self.by_degree[self.main]} | self.reduced
            bars = {row: mean(identification.identified(f, self.originals)) for row, f in bars.items()}
            plots.save_bars(folder / "ablation.png", f"Ablation at d = {self.main:g}", "re-identified, rank 1", bars)
            names.append("ablation.png")
        genuine, impostor = identification.pair_cosines(self.originals, self.faces[c.OTHER])
        groups = {"one person": genuine.numpy(), "two people": impostor.numpy()}
        groups[f"original and result, d = {self.main:g}"] = (
            1 - distance(IDENTITY, self.by_degree[self.main], self.originals)
        ).numpy()
        plots.save_histograms(folder / "cosines.png", "Cosines of identity", "cosine", groups, self.threshold.value)
        exact, swapped = self.faces[c.SWAP_TRUTH], self.faces[c.SWAP]
        points = {
            name: tuple((1 - distance(IDENTITY, f, to)).numpy() for to in (self.originals, self.sources))
            for name, f in (("exact truth", exact), ("swap", swapped))
        }
        plots.save_scatter(
            folder / "swap.png", "Swaps: whose face", ("cosine to the driving image", "cosine to the source"), points
        )
        return [*names, "cosines.png", "swap.png"]
