"""What a run over folders is asked for, each default once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..attempts.settings import MOST_ATTEMPTS, AttemptSettings
from ..faces.settings import DETAIL_RANGE, KEEP, SAME_NOISE, DetectSettings, PasteSettings, RedactSettings
from ..model import checkpoint
from ..model.settings import PaintSettings, SamplerSettings
from ..output.formats import QUALITY
from ..recognition.settings import AUTO, OFF
from .engines import AUTO as AUTO_ENGINE
from .engines import COMFYUI, DIFFUSERS
from .jobs import PHOTO

_RANGES = {
    **{"degree": (0, 2), "steps": (1, 1000), "seed": (0, 2**64 - 1), "size": (64, 2048)},
    **{"min_score": (0.05, 1), "detail": DETAIL_RANGE, "quality": (1, 100), "workers": (1, 64)},
    **{"attempts": (1, MOST_ATTEMPTS), "guidance_from": (0, 1), "guidance_to": (0, 1)},
}


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """What scripts/anonymize.py is asked for.

    Args:
        paths: photos, videos, and folders with all below them.
        output: folder for the results; made if need be.
        engine: "comfyui", "diffusers", or "auto" for a ComfyUI where one is there.
        source: a photo whose largest face all faces get; None: each becomes a stranger.
        redact: cover faces instead of painting new ones.
        format: of photos, one of EXTENSIONS.
        quality: 1..100, of jpeg and webp.
        servers: addresses of running ComfyUIs; none for one of our own.
        workers: files at a time, over all servers; None for one a server.
        min_score: of the detector, 0.05..1.
        thorough: "photos", "all" or "none", where to look in tiles for small faces.
        model: a folder under models/face_anon of ComfyUI; None for the demo model.
        demo: whether the demo model may paint other files than the pack's samples.
        degree: of anonymization, 0..2.
        steps: of sampling, 1..1000; None for the model's own for photos, and the graph's for videos.
        guidance_from, guidance_to: see SamplerSettings.
        seed: of each file; face i of a photo has seed + i.
        size: side of a photo's crop in pixels, 64..2048; None for the model's own.
        identity: of a person in a video, "same noise" or "same face".
        fallback: for faces that are too small or came back broken: "solid", "mosaic", "blur" or "keep".
        allow_uncovered: whether "keep", which leaves such faces as they are, is meant.
        anonymous_report: name files by their SHA-256 in the report.
        verify: whether recognisers look at painted faces, "off", "auto" or "on"; auto: unless the model is a
            demonstration.
        attempts: so often a face is painted at most, 1..32.
        keep_traits: which of the attempts that pass is taken, one of attempts.settings.TRAITS.
        degree_mode: "fixed", or "auto" for the smallest degree that is enough.
        mode: of redaction, "solid", "mosaic" or "blur".
        shape: of redaction, "ellipse", "box", "oval" or "crop".
        detail: samples that mosaic and blur leave across a face, 2..32.

    Raises:
        ValueError: naming the option of the command line that is out of its range, or does not go with another.
    """

    paths: Sequence[Path]
    output: Path
    engine: str = AUTO_ENGINE
    source: Path | None = None
    redact: bool = False
    format: str = "png"
    quality: int = QUALITY
    servers: Sequence[str] = ()
    workers: int | None = None
    min_score: float = DetectSettings().min_score
    thorough: str = "photos"
    model: str | None = None
    demo: bool = False
    degree: float = PaintSettings().degree
    steps: int | None = None
    guidance_from: float = SamplerSettings.guidance_from
    guidance_to: float = SamplerSettings.guidance_to
    seed: int = PaintSettings().seed
    size: int | None = None
    identity: str = SAME_NOISE
    fallback: str = PasteSettings().fallback
    allow_uncovered: bool = False
    anonymous_report: bool = False
    verify: str = AUTO
    attempts: int = AttemptSettings().attempts
    keep_traits: str = AttemptSettings().traits
    degree_mode: str = AttemptSettings().degree_mode
    mode: str = RedactSettings().mode
    shape: str = RedactSettings().shape
    detail: float = RedactSettings().detail

    def __post_init__(self):
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"--{name.replace('_', '-')} is {low} to {high}, not {value}")
        if self.fallback == KEEP and not self.allow_uncovered:
            raise ValueError(
                "--fallback keep leaves faces that cannot be painted as they are, so that results show who they are. "
                "Add --allow-uncovered if that is meant, or take another --fallback"
            )
        if self.guidance_from > self.guidance_to:
            raise ValueError("--guidance-from is not above --guidance-to")
        if self.engine == DIFFUSERS and self.servers:
            raise ValueError("--engine diffusers works in this process: leave out --server")
        if self.source is not None and (self.redact or self.servers or self.engine == COMFYUI):
            raise ValueError(
                "--source, which swaps faces, goes with diffusers' networks alone: leave out --redact, --server and "
                "--engine comfyui (in ComfyUI, the graph workflows/swap_face.json does it)"
            )
        if self.source is not None and self.degree != PaintSettings().degree:
            raise ValueError("--source is the identity that faces get: leave out --degree")
        if self.redact and self.model:
            raise ValueError("--redact needs no --model: choose one")
        if self.demo and (self.redact or self.model):
            raise ValueError("--demo is a model of its own: leave out --model and --redact, or --demo")
        asked = AttemptSettings(self.attempts, self.keep_traits, self.degree_mode).needs_recognisers
        if self.verify == OFF and asked:
            raise ValueError(f"--{asked.replace('_', '-', 1)} needs recognisers: leave out --verify off")
        if self.workers and not self.servers:
            raise ValueError("--workers needs --server: ComfyUI does one file at a time, so several only fill a queue")
        if self.servers and not (self.model or self.redact):
            raise ValueError("--server needs --model or --redact")

    @property
    def task(self) -> str:
        """What is done to faces: "redact", "swap" or "anonymize"."""
        return "redact" if self.redact else "anonymize" if self.source is None else "swap"

    @property
    def ending(self) -> str:
        """Of the names of results, before their suffix."""
        return {"redact": "_redacted", "swap": "_swapped", "anonymize": "_anonymized"}[self.task]

    @property
    def painted_by(self) -> str | None:
        """The name of the model that paints; None for a redaction."""
        return None if self.redact else self.model or checkpoint.DEMO

    def verified_by(self, own: checkpoint.ModelSettings) -> str:
        """What the nodes are told: "auto" where only the server knows the model.

        Args:
            own: the settings of the model's own folder.
        """
        return OFF if self.redact or (self.verify == AUTO and own.demonstration) else self.verify

    def of_results(self, own: checkpoint.ModelSettings) -> dict:
        """Everything that makes results what they are, as the journal records it.

        Args:
            own: the settings of the model's own folder.
        """
        common = {name: getattr(self, name) for name in ("min_score", "thorough", "format", "quality")}
        if self.redact:
            return {"task": self.task, **common, **{name: getattr(self, name) for name in ("mode", "shape", "detail")}}
        return {
            "task": self.task,
            **common,
            "steps": self.steps or own.steps,
            "guidance_scale": own.guidance_scale,
            "size": self.size or own.resolution,
            "model": self.painted_by,
            **({"degree": self.degree} if self.source is None else {}),
            **{name: getattr(self, name) for name in ("seed", "identity", "fallback")},
            **self._of_guidance(),
            **self._of_attempts(own),
        }

    def _of_guidance(self) -> dict:
        """The interval, where it is one: the journals of runs before there were intervals say nothing of it."""
        interval = {"guidance_from": self.guidance_from, "guidance_to": self.guidance_to}
        return {} if tuple(interval.values()) == (0, 1) else interval

    def _of_attempts(self, own: checkpoint.ModelSettings) -> dict:
        verify = self.verified_by(own)
        if verify == OFF:
            return {}
        names = ("attempts", "keep_traits", "degree_mode")
        return {"verify": verify, **{name: getattr(self, name) for name in names}}

    def of_kind(self, kind: str) -> dict:
        """What differs between photos and videos. None: as the graph has it."""
        thorough = {"thorough": self.thorough in ("all", f"{kind}s")}
        # a model's own steps are for the paper's sampler, and the videos' graph has a faster one
        return thorough if kind == PHOTO else thorough | {"steps": self.steps}
