"""What the nodes that do it all in one ask for, and which settings of the single nodes it stands for."""

from typing import NamedTuple

from comfy_api.latest import io

from ..modules.attempts.settings import AttemptSettings
from ..modules.faces.settings import MODES, REGIONS, PasteSettings, RedactSettings
from ..modules.model.own import OWN_GUIDANCE, OWN_STEPS
from ..modules.model.settings import DDPM, PaintSettings
from ..modules.recognition.settings import AUTO, VERIFY
from .model import model_choice
from .types import COVER, STRANGERS, SWAP

ALL, LARGEST, LISTED = WHO = ("all", "largest", "list")
FAST, BALANCED, PAPER = PRESETS = ("fast", "balanced", "paper")
_FAST_STEPS = 12
_PAINT, _PASTE, _ATTEMPTS, _REDACT = PaintSettings(), PasteSettings(), AttemptSettings(), RedactSettings()


class Painting(NamedTuple):
    """The inputs of a painting node that a preset stands for."""

    steps: int
    guidance_scale: float
    sampler_name: str
    scheduler: str


def painting_of(preset: str) -> Painting:
    """The sampler's settings of a preset; ValueError for another one."""
    usual = _PAINT.sampler
    presets = {
        FAST: Painting(_FAST_STEPS, OWN_GUIDANCE, usual.name, usual.scheduler),
        BALANCED: Painting(OWN_STEPS, OWN_GUIDANCE, usual.name, usual.scheduler),
        PAPER: Painting(OWN_STEPS, OWN_GUIDANCE, DDPM, usual.scheduler),
    }
    if preset not in presets:
        raise ValueError(f"preset is one of {', '.join(PRESETS)}; got {preset!r}.")
    return presets[preset]


def first_inputs(what: tuple[str, ...]) -> list:
    """The few settings that everybody sees.

    Args:
        what: may become of the faces.
    """
    swap = " swap: the person of source." if SWAP in what else ""
    return [
        io.Combo.Input(
            "what",
            options=list(what),
            tooltip=f"{STRANGERS}: every face becomes that of nobody, with its expression, pose, gaze and light. "
            f"{COVER}: faces are covered; needs no model.{swap}",
        ),
        model_choice(),
        io.Float.Input(
            "degree",
            default=_PAINT.degree,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip=f"Of {STRANGERS}. 0: the same identity. 1: none of it. 1.25: away from it, the paper's "
            "anonymization. Above 1.5 faces break.",
        ),
        io.Int.Input(
            "seed",
            default=_PAINT.seed,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="Another seed gives other strangers.",
        ),
        io.Combo.Input(
            "preset",
            options=list(PRESETS),
            default=BALANCED,
            tooltip=f"{FAST}: {_FAST_STEPS} steps. {BALANCED}: {_PAINT.sampler.steps} steps. {PAPER}: the paper's "
            "sampler with the model's own steps, 200 of the published one.",
        ),
        io.Combo.Input(
            "who",
            options=list(WHO),
            tooltip="Whose face changes: everybody's, the largest face's alone, or those of the list. The others stay "
            "as they are, and the report names them.",
        ),
        io.String.Input(
            "numbers",
            default="",
            tooltip='With who "list": numbers of the preview, such as "1, 3-5".',
        ),
    ]


def later_inputs() -> list:
    """Settings that most people leave as they are."""
    return [
        io.Combo.Input(
            "cover_with",
            options=list(MODES),
            default=_REDACT.mode,
            optional=True,
            advanced=True,
            tooltip=f"With {COVER}, and for faces whose result is refused. solid leaves nothing of a face; mosaic and "
            "blur leave a few samples, which machines may still recognise.",
        ),
        io.Combo.Input(
            "region",
            options=list(REGIONS),
            default=_PASTE.region,
            optional=True,
            advanced=True,
            tooltip="What is painted over: the whole crop with hair and ears (safest), the face's oval, or its box.",
        ),
        io.Combo.Input(
            "verify",
            options=list(VERIFY),
            default=AUTO,
            optional=True,
            advanced=True,
            tooltip="Two recognisers look at every painted face. One that either takes for the original is painted "
            "again, and covered in the end. auto: unless the model is a demonstration.",
        ),
        io.Int.Input(
            "attempts",
            default=_ATTEMPTS.attempts,
            min=1,
            max=32,
            optional=True,
            advanced=True,
            tooltip="With verify: so often a face is painted at most.",
        ),
    ]
