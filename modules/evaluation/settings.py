"""The settings of an evaluation, each default once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faces.settings import DetectSettings
from ..model.settings import PaintSettings, SamplerSettings

IDENTITIES = 200  # synthetic people that a model is measured on where no number is given
BACKENDS = ("own", "dlib", "sface", "auraface", "landmarks")
DOWNLOADS = ("sface", "auraface")

_RANGES = {
    **{"identities": (2, 100_000), "seed": (0, 2**32), "seeds": (0, 99), "steps": (1, 1000), "batch": (1, 10_000)},
    **{"noise_seed": (0, 2**63), "degree": (0, 2), "calibration": (2, 100_000), "min_score": (0.01, 1)},
    "false_accept_rate": (1e-9, 0.5),
}


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """The options of scripts/evaluate.py: a model on synthetic people, or two folders of photos.

    Args:
        output: folder of the report; made if need be.
        model: a model folder, or its name; on folders, its VAE is one more baseline.
        originals: a folder of photos as they were.
        results: the same photos, anonymized.
        identities: how many people; None for IDENTITIES synthetic ones, or all in the folders.
        false_accept_rate: of the threshold, above 0 and at most 0.5.
        plots: whether to draw them, which takes matplotlib.
        cpu: use no other device.
        weight_dtype: as the loader's.
        seed: of the synthetic people; the training has 1.
        degrees: of anonymization, above 0 and at most 2.
        degree: of ablation, seeds and linking.
        ablation: whether to measure the reductions of the method.
        seeds: how many, for each of the first 20 people.
        steps: of sampling; None for the model's own.
        guidance: the guidance scale; None for the model's own.
        sampler: "ddpm (paper)", or one of ComfyUI.
        scheduler: of ComfyUI's samplers.
        noise_seed: picture i is painted with this seed + i.
        batch: faces at once.
        regressor: the weights that measure; None for those that ship with the pack.
        calibration: people that the threshold is calibrated on.
        backend: names of BACKENDS that measure photos.
        labels: who is in each photo, as runs.labels reads it.
        min_score: of the detector, 0.01..1.
        weights: folder of the recognisers' weights; only DOWNLOADS need one.

    Raises:
        ValueError: naming the option of the command line that is missing or out of its range.
    """

    output: Path
    model: str | None = None
    originals: Path | None = None
    results: Path | None = None
    identities: int | None = None
    false_accept_rate: float = 0.001
    plots: bool = True
    cpu: bool = False
    weight_dtype: str = "default"
    # a model on synthetic people
    seed: int = 2
    degrees: Sequence[float] = (0.3, 0.6, 0.9, 1.2, 1.25, 1.4, 1.5)
    degree: float = PaintSettings().degree
    ablation: bool = True
    seeds: int = 10
    steps: int | None = None
    guidance: float | None = None
    sampler: str = SamplerSettings().name
    scheduler: str = SamplerSettings().scheduler
    noise_seed: int = 0
    batch: int = 50
    regressor: Path | None = None
    calibration: int = 200
    # two folders of photos
    backend: Sequence[str] = ("own",)
    labels: Path | None = None
    min_score: float = DetectSettings().min_score
    weights: Path | None = None

    def __post_init__(self):
        if (self.originals is None) != (self.results is None):
            raise ValueError("name an output folder, and --model, or both --originals and --results")
        if self.model is None and self.originals is None:
            raise ValueError("--model, or --originals and --results, say what is measured")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"--{name.replace('_', '-')} is {low} to {high}, not {value}")
        if any(not 0 < degree <= 2 for degree in self.degrees):
            raise ValueError("--degrees are above 0 and at most 2; degree 0 is the swap, which is always made")
