"""The inputs of nodes that paint, each said once."""

import comfy.samplers
from comfy_api.latest import io

from ..modules.attempts.settings import DEGREE_MODES, MOST_ATTEMPTS, TRAITS, AttemptSettings
from ..modules.faces.settings import IDENTITIES
from ..modules.model.own import OWN_GUIDANCE, OWN_STEPS
from ..modules.model.settings import DDPM, PaintSettings
from ..modules.recognition.settings import OFF, VERIFY
from .types import ModelSocket, ReferenceNetSocket

MOST_DEGREE = 2.0  # that the page allows
WHOLE = "face_anon_model"
_PAINT, _ATTEMPTS = PaintSettings(), AttemptSettings()


def model_inputs(lazy: bool = False) -> list:
    """The five outputs of FaceAnonLoadModel. None has to be connected where face_anon_model is.

    Args:
        lazy: whether they are asked for when the node runs; see check_lazy_status of ComfyUI.
    """
    tooltip = "From Load Face Anonymizer Model, with LoRA or other patches if you like."
    output = "The output of that name of Load Face Anonymizer Model; face_anon_model brings it too."
    return [
        io.Model.Input("model", optional=True, tooltip=tooltip, lazy=lazy),
        ReferenceNetSocket.Input("source_reference_net", optional=True, tooltip=output, lazy=lazy),
        ReferenceNetSocket.Input("driving_reference_net", optional=True, tooltip=output, lazy=lazy),
        io.ClipVision.Input("clip_vision", optional=True, tooltip=output, lazy=lazy),
        io.Vae.Input("vae", optional=True, tooltip=output, lazy=lazy),
    ]


def whole_model_input(lazy: bool = False, tooltip: str = "", raw_link: bool | None = None) -> io.Input:
    """All five in one wire: the last input of a node.

    Args:
        lazy: as of model_inputs.
        tooltip: what the node does with it; "": it paints.
        raw_link: whether the node gets the link, not what comes by it.
    """
    usual = (
        "Of Load Face Anonymizer Model, in place of its five other outputs. One of those that is connected too, such "
        "as a MODEL with a LoRA, is taken instead of this one's."
    )
    return ModelSocket.Input(WHOLE, optional=True, tooltip=tooltip or usual, lazy=lazy, raw_link=raw_link)


def degree_input(of: str = "") -> io.Input:
    """How far the identity is moved away.

    Args:
        of: words before the tooltip: when it counts.
    """
    return io.Float.Input(
        "degree",
        default=_PAINT.degree,
        min=0.0,
        max=MOST_DEGREE,
        step=0.05,
        tooltip=f"{of}0: the same identity. 1: none of it. 1.25: away from it, the paper's anonymization. Above 1.5 "
        "faces break.",
    )


def seed_input(tooltip: str = "Face i has seed + i; another seed gives other strangers.") -> io.Input:
    """Where chance begins."""
    return io.Int.Input(
        "seed",
        default=_PAINT.seed,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        tooltip=tooltip,
    )


def painting_inputs() -> list:
    """What is painted and how."""
    return [
        degree_input(),
        seed_input(),
        io.Int.Input(
            "steps",
            default=_PAINT.sampler.steps,
            min=OWN_STEPS,
            max=1000,
            tooltip="200 in the paper; 25 are enough for most. 0: the model's own with the paper's sampler, 25 with "
            "others.",
        ),
        io.Float.Input(
            "guidance_scale",
            default=_PAINT.sampler.guidance_scale,
            min=OWN_GUIDANCE,
            max=30.0,
            step=0.1,
            tooltip="4 in the paper. At 1 or less the conditional prediction alone, in half the time. -1: the model's "
            "own.",
        ),
        io.Combo.Input(
            "sampler_name",
            options=[DDPM, *comfy.samplers.KSampler.SAMPLERS],
            default=_PAINT.sampler.name,
            tooltip="For clips one that adds no noise on the way (dpmpp_2m, euler, ddim), or the paper's.",
        ),
        io.Combo.Input(
            "scheduler",
            options=list(comfy.samplers.KSampler.SCHEDULERS),
            default=_PAINT.sampler.scheduler,
            tooltip="Not used by the paper's sampler.",
        ),
        io.Combo.Input(
            "identity",
            options=list(IDENTITIES),
            tooltip="For clips. same noise: every frame is anonymized by itself, from the person's one start noise. "
            "same face: the person's best frame is anonymized once, and that face is swapped onto every frame.",
        ),
        io.Int.Input(
            "faces_at_once",
            default=_PAINT.faces_at_once,
            min=1,
            max=256,
            advanced=True,
            tooltip="At most so many crops go through the networks together: fewer take less memory.",
        ),
    ]


def guidance_inputs() -> list:
    """Where on the way from noise to picture there is guidance: the last inputs of a node."""
    where = "0: all noise, 1: none. Outside of it each step takes half the time. In the paper there is guidance"
    return [
        io.Float.Input(
            name,
            default=getattr(_PAINT.sampler, name),
            min=0.0,
            max=1.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip=f"Guidance {word} this share of the noise levels. {where} everywhere.",
        )
        for name, word in (("guidance_from", "begins at"), ("guidance_to", "ends at"))
    ]


def face_seeds_input() -> io.Input:
    """Other strangers for single faces: the last input of a node."""
    return io.String.Input(
        "face_seeds",
        default="",
        optional=True,
        advanced=True,
        tooltip='Another stranger for single faces: numbers, each with a seed of its own, such as "3: 7, 5: 12". No '
        "other face changes by it.",
    )


def attempts_input(advanced: bool = False) -> io.Input:
    """How often a face may be painted."""
    return io.Int.Input(
        "attempts",
        default=_ATTEMPTS.attempts,
        min=1,
        max=MOST_ATTEMPTS,
        optional=True,
        advanced=advanced,
        tooltip="With verify: so often a face is painted at most, until both recognisers take it for a stranger. "
        "First with its next seeds, then with a higher degree, up to 1.5. Faces that pass cost nothing more.",
    )


def verify_input(default: str = OFF, advanced: bool = False) -> io.Input:
    """Whether recognisers look at what was painted."""
    return io.Combo.Input(
        "verify",
        options=list(VERIFY),
        default=default,
        optional=True,
        advanced=advanced,
        tooltip="Two recognisers look at every painted face. One that either takes for the original is painted "
        "again, and covered in the end. auto: unless the model is a demonstration.",
    )


def choice_inputs() -> list:
    """Which of a face's paintings is taken: the last inputs of a node."""
    return [
        io.Combo.Input(
            "keep_traits",
            options=list(TRAITS),
            optional=True,
            advanced=True,
            tooltip="With verify: all attempts are painted, and of those that pass the one is taken that keeps this "
            "best. It costs all attempts for every face.",
        ),
        io.Combo.Input(
            "degree_mode",
            options=list(DEGREE_MODES),
            optional=True,
            advanced=True,
            tooltip="With verify. auto: the smallest degree, from 0.5 upwards in steps of 0.125, at which both "
            "recognisers clearly take the face for a stranger, with the same noise. Up to 9 paintings a face, and one "
            "less than attempts at 1.5 after them.",
        ),
    ]
