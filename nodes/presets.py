"""What the nodes that do it all in one ask for, and which single nodes and settings it stands for."""

from typing import NamedTuple

from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder

from ..modules.faces.numbers import as_ranges, parse_numbers, parse_seeds, rank
from ..modules.faces.settings import MODES, REGIONS, PasteSettings, RedactSettings
from ..modules.model.loading import FROM_MODEL_FOLDER
from ..modules.model.own import OWN_GUIDANCE, OWN_STEPS
from ..modules.model.settings import DDPM, PaintSettings
from ..modules.recognition.settings import AUTO
from .model import model_choice
from .painting_inputs import attempts_input, choice_inputs, degree_input, seed_input, verify_input
from .types import COVER, STRANGERS, SWAP

ALL, LARGEST, LISTED = WHO = ("all", "largest", "list")
FAST, BALANCED, PAPER = PRESETS = ("fast", "balanced", "paper")
_FAST_STEPS, _BALANCED_STEPS = 4, 6  # by docs/curve.md, to whose table a test holds them
_MOST_KEPT = 10_000  # faces of a range that are counted anew
_INSTEAD = {"face_seeds": ", or change seed", "keep": ""}
_PAINT, _PASTE, _REDACT = PaintSettings(), PasteSettings(), RedactSettings()


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
        BALANCED: Painting(_BALANCED_STEPS, OWN_GUIDANCE, usual.name, usual.scheduler),
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
        degree_input(f"Of {STRANGERS}. "),
        seed_input(),
        io.Combo.Input(
            "preset",
            options=list(PRESETS),
            default=BALANCED,
            tooltip=f"{FAST}: {_FAST_STEPS} steps. {BALANCED}: {_BALANCED_STEPS} steps. {PAPER}: the paper's "
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
        verify_input(AUTO, advanced=True),
        attempts_input(advanced=True),
    ]


def last_inputs() -> list:
    """Which of a face's paintings leaves: the last inputs of a node."""
    return [
        *choice_inputs(),
        io.String.Input(
            "keep",
            default=_PASTE.keep_faces,
            optional=True,
            advanced=True,
            tooltip='With verify: numbers of the preview, such as "1, 3-5". The best attempt of these faces leaves '
            "although none passed: the report says kept by the user. Empty: none.",
        ),
    ]


def check_choices(what: str, choices: tuple[str, ...], who: str, listed: str) -> None:
    """Raise ValueError where a choice came by a wire that there is not, or a list is asked for and is empty."""
    if what not in choices or who not in WHO:
        raise ValueError(f"what is one of {', '.join(choices)}, who one of {', '.join(WHO)}; got {what!r} and {who!r}.")
    if who == LISTED and not listed.strip():
        raise ValueError('who is "list", but numbers is empty: name faces by the numbers of the preview, as in 1, 3-5.')


def choose(graph: GraphBuilder, faces, who: str, listed: str):
    """The link of those faces that change.

    Args:
        graph: that is being built.
        faces: the link of all faces.
        who: one of WHO.
        listed: numbers of faces, for LISTED.
    """
    if who == ALL:
        return faces
    chosen = {"largest": 1} if who == LARGEST else {"indices": listed}
    return graph.node("FaceAnonSelectFaces", "select", faces=faces, **chosen).out(0)


def seeds_of_chosen(face_seeds: str, who: str, listed: str) -> str:
    """Seeds of single faces by their numbers among the chosen ones: those that go on are counted anew.

    Args:
        face_seeds: by the numbers of the preview.
        who: one of WHO.
        listed: numbers of faces, for LISTED.

    Raises:
        ValueError: another form, or seeds of faces that nobody chose, or that cannot be known before the run.
    """
    seeds = parse_seeds(face_seeds)
    if not seeds or who == ALL:
        return face_seeds
    ranges = _chosen_numbers("face_seeds", who, listed)
    return ", ".join(f"{rank(number, ranges)}: {seed}" for number, seed in seeds.items())


def kept_of_chosen(keep: str, who: str, listed: str) -> str:
    """Numbers of faces that are kept, by their numbers among the chosen ones, as seeds_of_chosen.

    Args:
        keep: by the numbers of the preview.
        who, listed: as of seeds_of_chosen.

    Raises:
        ValueError: as seeds_of_chosen.
    """
    asked = parse_numbers(keep, "keep")
    if not asked or who == ALL:
        return keep
    ranges = _chosen_numbers("keep", who, listed)
    numbers = {number for some in asked for number in some[:_MOST_KEPT]}
    return as_ranges(rank(number, ranges, "keep names it") for number in numbers)


def _chosen_numbers(name: str, who: str, listed: str) -> list[range]:
    if who == LARGEST:
        raise ValueError(f"{name} goes by the numbers of the preview: choose who all or list{_INSTEAD[name]}.")
    return parse_numbers(listed, "numbers")


def load(graph: GraphBuilder, model: str):
    """The link of a whole model, by its name."""
    usual = {"clip_vision": FROM_MODEL_FOLDER, "vae": FROM_MODEL_FOLDER, "weight_dtype": "default"}
    return graph.node("FaceAnonLoadModel", "load", model=model, **usual).out(5)
