"""FaceAnonCropFaces and FaceAnonPasteFaces: crops of faces, and painted ones put back in their place."""

import math

import torch
from comfy_api.latest import io

from ..modules.faces.alignment import check_faces, crop_faces
from ..modules.faces.numbers import note_on_numbers
from ..modules.faces.outcomes import ANONYMIZED, SWAPPED
from ..modules.faces.paste.look import Look
from ..modules.faces.paste.paste_or_redact import replace_faces
from ..modules.faces.paste.verdicts import STILL_ORIGINAL, UNCHANGED, Judge
from ..modules.faces.report import Report
from ..modules.faces.settings import FALLBACKS, PARTS, REGIONS, PasteSettings
from ..modules.faces.types import Faces
from ..modules.host.detector import looker
from ..modules.host.landmarks import landmark_faces
from ..modules.host.origins import content_of
from ..modules.host.reader import face_reader
from ..modules.model.own import OWN_SIZE
from ..modules.output.repaints import kept_by_blends, refinements
from ..modules.output.starts import noise_at_start
from ..modules.output.swaps import is_swap
from ..modules.output.upstream import nodes_upstream, numbers_upstream
from ..modules.recognition.clip_people import meet
from ..modules.recognition.landmarks import ALIGNMENTS, DETECTED, LANDMARKS
from ..modules.recognition.pairs import identity_judge
from ..modules.recognition.settings import AUTO, OFF, VERIFY
from ..modules.recognition.verdict import SAME_PERSON
from ..modules.terminal import shown
from .graph import ASKED, graph_of
from .model import models_upstream, note_drawn_faces
from .painting_inputs import whole_model_input
from .reporting import show_report, step_progress
from .types import PHOTO, FacesSocket, ReportSocket, picture_outputs

_PASTE = PasteSettings()
_PAINTERS = {"FaceAnonPasteFaces", "FaceAnonAnonymizePhoto"}
_PAINTED_BY = ("crops", "image")  # as degree and denoise: what made the picture is not what painted its faces
_LEAST_SIZE = 64  # pixels of a crop


def pasting_inputs() -> list:
    """How crops are pasted, for every node that does."""
    return [
        io.Float.Input(
            "feather",
            default=_PASTE.feather,
            min=0.0,
            max=0.5,
            step=0.01,
            tooltip="Width of the soft border, as a share of the region's side. At most 0.25 (crop), 0.12 (oval) or "
            "0.05 (box) is used: more would let the original show through.",
        ),
        io.Combo.Input(
            "region",
            options=list(REGIONS),
            optional=True,
            tooltip="What is replaced: the whole crop with hair and ears (safest), the oval of the face, or its box.",
        ),
        io.Float.Input(
            "colour_match",
            default=_PASTE.colour_match,
            min=0.0,
            max=1.0,
            step=0.05,
            optional=True,
            tooltip="Brings the crop's colours to those around it. 0: as painted.",
        ),
    ]


def fallback_inputs() -> list:
    """What becomes of faces that cannot be pasted, for every node that pastes."""
    return [
        io.Combo.Input(
            "fallback",
            options=list(FALLBACKS),
            optional=True,
            tooltip="For faces that are refused when the result is looked at: too small, still the original, kept in "
            "part, broken. They are redacted. keep leaves them as they are, which is a leak.",
        ),
        io.Int.Input(
            "min_size",
            default=_PASTE.min_size,
            min=0,
            max=512,
            optional=True,
            advanced=True,
            tooltip="Faces of fewer pixels are too small for the model: the fallback takes them.",
        ),
    ]


def keep_input(how: str = "stay as they came, whatever is seen on them"):
    """Which faces stay although they are refused, for every node where faces are covered: its last input."""
    return io.String.Input(
        "keep",
        default=_PASTE.keep_faces,
        optional=True,
        advanced=True,
        tooltip=f'Numbers of faces, such as "1, 3-5", that {how}: the report says kept by the user. They count the '
        "faces that come in here. Empty: none.",
    )


class FaceAnonCropFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonCropFaces",
            display_name="Crop Faces",
            category=PHOTO,
            description="Aligned square crops of all faces as one batch, as the method was trained on.",
            search_aliases=["face crop", "align faces"],
            inputs=[
                io.Image.Input("image", tooltip="The picture in which the faces were found."),
                FacesSocket.Input("faces", tooltip="Of Detect, Select or Track Faces."),
                io.Int.Input(
                    "size",
                    default=512,
                    min=OWN_SIZE,
                    max=2048,
                    step=8,
                    tooltip="Side in pixels: the model's own, 512 of the published one, 128 of demo. 0: that of "
                    "face_anon_model.",
                ),
                io.Combo.Input(
                    "align",
                    options=list(ALIGNMENTS),
                    default=DETECTED,
                    optional=True,
                    advanced=True,
                    tooltip="What the crops are turned and scaled by: the detector's five points, or 68 landmarks, "
                    "which are nearer to the paper's alignment. Masks of the oval go by them, too.",
                ),
                whole_model_input(lazy=True, tooltip="Of Load Face Anonymizer Model: its size is taken at size 0."),
            ],
            outputs=[
                io.Image.Output(display_name="crops", tooltip="The faces, upright squares of one size."),
                FacesSocket.Output(
                    display_name="faces", tooltip="For Paste Faces: they know where each crop came from."
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, faces=None, size=512, **inputs):
        is_asked = size == OWN_SIZE and faces is not None and len(faces)
        return [name for name, value in inputs.items() if name == "face_anon_model" and value is None and is_asked]

    @classmethod
    def execute(cls, image, faces, size=512, align=DETECTED, face_anon_model=None) -> io.NodeOutput:
        if size == OWN_SIZE and face_anon_model is None and len(faces):
            raise ValueError(
                "size 0 is the model's own: connect face_anon_model of Load Face Anonymizer Model, or set a size."
            )
        if size != OWN_SIZE and size < _LEAST_SIZE:
            raise ValueError(f"size is {_LEAST_SIZE} pixels or more, or {OWN_SIZE} for the model's own; got {size}.")
        if size == OWN_SIZE:
            size = 512 if face_anon_model is None else face_anon_model.resolution  # of no face any size will do
        if align == LANDMARKS and len(faces):
            faces = landmark_faces(image, faces)
        return io.NodeOutput(*crop_faces(image, faces, size))


class FaceAnonPasteFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonPasteFaces",
            display_name="Paste Faces",
            category=PHOTO,
            description="Puts the changed crops back at full resolution, without a seam. Outside the mask no pixel "
            "changes. The result is looked at: a face that still shows the original, of which too little was replaced, "
            "or that is broken, is redacted. Without a face the picture passes as it is, and nothing before this node "
            "is run for the crops.",
            search_aliases=["color match", "colour match", "paste back", "blend faces"],
            inputs=[
                io.Image.Input("image", tooltip="The picture that the crops were taken from."),
                # lazy, so that no diffusion runs, nor meets an empty batch, when there is no face
                io.Image.Input("crops", lazy=True, tooltip="The changed crops, in the order of Crop Faces."),
                FacesSocket.Input("faces", tooltip="Of Crop Faces."),
                *pasting_inputs(),
                *(
                    io.Boolean.Input(
                        f"keep_{part}",
                        default=False,
                        optional=True,
                        advanced=True,
                        tooltip=f"Keeps the original {part} of every face, which helps to recognise a person.",
                    )
                    for part in PARTS
                ),
                io.Mask.Input(
                    "protect", optional=True, tooltip="Pixels that stay as they are: glasses, hands, hair in front."
                ),
                *fallback_inputs(),
                io.Combo.Input(
                    "action",
                    options=[ANONYMIZED, SWAPPED],
                    optional=True,
                    advanced=True,
                    tooltip="What the report says was done.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    optional=True,
                    force_input=True,
                    tooltip="The sampler's, for the report.",
                ),
                ReportSocket.Input("report", optional=True, tooltip="Of an earlier step on the same picture."),
                keep_input(),
                io.Combo.Input(
                    "verify",
                    options=list(VERIFY),
                    default=OFF,
                    optional=True,
                    tooltip="Two recognisers look at each result: one that either takes for the original, or that can "
                    "no more be measured, is refused. auto: unless a demonstration model painted it.",
                ),
            ],
            outputs=picture_outputs(),
            hidden=ASKED,
        )

    @classmethod
    def check_lazy_status(cls, image, faces, crops=None, **_others):
        return ["crops"] if len(faces) and crops is None else []

    @classmethod
    def execute(
        cls,
        image,
        faces,
        crops=None,
        feather=_PASTE.feather,
        region=_PASTE.region,
        colour_match=_PASTE.colour_match,
        keep_eyes=False,
        keep_nose=False,
        keep_mouth=False,
        protect=None,
        fallback=_PASTE.fallback,
        min_size=_PASTE.min_size,
        action=ANONYMIZED,
        seed=None,
        report=None,
        keep=_PASTE.keep_faces,
        verify=OFF,
    ) -> io.NodeOutput:
        if crops is None:
            crops = image.new_empty((0, 8, 8, 3))
        chosen = zip(PARTS, (keep_eyes, keep_nose, keep_mouth), strict=True)
        parts = tuple(part for part, kept in chosen if kept)
        settings = PasteSettings(feather, region, colour_match, parts, fallback, min_size, keep)
        swap = action == SWAPPED or _is_swap(cls)
        degree, denoise = (None, None) if swap else _painted(cls)
        is_verified, note = _verification(cls, verify) if len(faces) else (False, "")
        judges = (_identity_judge(image, faces, swap, report),) if is_verified else ()
        look = Look(action, seed, degree, denoise, looker(), judges=judges, swap=swap, blended=_blended(cls))
        progress = step_progress(len(image))
        *pasted, done = replace_faces(
            image, crops, faces, settings, look=look, protect=protect, earlier=report, progress=progress
        )
        notes = (*([note] if note else []), *_note_on_second_pass(cls, report, done))
        if is_verified:
            done = note_drawn_faces(done, models_upstream(cls, *_PAINTED_BY))
        done = done.noting(*notes, *note_on_numbers(faces, keep, "keep")).continued(report, image, pasted[0])
        return io.NodeOutput(*pasted, done, ui=show_report(cls, done))


def _identity_judge(image: torch.Tensor, faces: Faces, swap: bool, earlier: Report | None) -> Judge:
    """Who looks at identities: of the frames of a clip, in which people are followed, everybody of it counts."""
    read = face_reader()
    is_clip = not swap and any(face.track is not None for face in faces)
    if is_clip:
        check_faces(image, faces)
    is_about = earlier is not None and image.shape[:3] == (earlier.images, earlier.height, earlier.width)
    traces = earlier.traces if earlier is not None and is_about else ()
    people = meet(image, faces, read, earlier=traces) if is_clip else None
    return identity_judge(
        read,
        swap=swap,
        among=faces,
        against=None if people is None else people.against,
        earlier=traces,
    )


def _verification(node: type[io.ComfyNode], verify: str) -> tuple[bool, str]:
    """Whether a node's faces are verified, and what the report says about that."""
    models = models_upstream(node, *_PAINTED_BY)
    if verify == AUTO and models and all(models.values()):
        names = ", ".join(sorted(map(shown, models)))
        return False, f"not verified: {names} is a demonstration and paints drawn faces"
    if verify == OFF:
        names = sorted(shown(name) for name, is_demonstration in models.items() if is_demonstration)
        return False, f"{', '.join(names)} is a demonstration: it paints drawn faces of nobody" if names else ""
    return True, ""


def _note_on_second_pass(node: type[io.ComfyNode], earlier: Report | None, done: Report) -> list[str]:
    """What to connect where a stranger's face was refused for being as it came."""
    as_it_came = any(entry.verdict in (STILL_ORIGINAL, UNCHANGED, SAME_PERSON) for entry in done.entries)
    prompt, number = graph_of(node)
    before = {prompt[i].get("class_type") for i in nodes_upstream(prompt, number, "image")}
    if earlier is not None or not as_it_came or not before & _PAINTERS:
        return []
    return ["the picture comes from a step that had painted faces: connect its report, and they count as strangers"]


def _is_swap(node: type[io.ComfyNode]) -> bool:
    """Whether the graph paints somebody else's face onto a node's crops."""
    return is_swap(*graph_of(node), "crops", content_of)


def _painted(node: type[io.ComfyNode]) -> tuple[float | None, float | None]:
    """Degree and denoise that a node's crops were painted with; None where the graph does not say it.

    What a second pass starts with is a painted face, or another picture: its denoise counts for nothing. The driving
    side is always encoded at 0, so that the largest degree is the source's.
    """
    prompt, number = graph_of(node)
    place = (number, "crops")
    again = refinements(prompt, *place, "image")
    degrees = numbers_upstream(prompt, *place, "degree", "image")
    denoise = numbers_upstream(prompt, *place, "denoise", "image", left_out=again)
    denoise += noise_at_start(prompt, *place, "image", again)
    degree, denoise = max(degrees, default=math.inf), min(denoise, default=math.inf)
    return None if math.isinf(degree) else degree, None if math.isinf(denoise) else denoise


def _blended(node: type[io.ComfyNode]) -> tuple[str, float] | None:
    """Which node gave most of the original back to a node's crops, and its share, 0..1; None for none."""
    found = kept_by_blends(*graph_of(node), "crops", "image")
    return max(found, key=lambda blend: blend[1], default=None)
