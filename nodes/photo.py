"""Anonymize Photo: the whole way in one node, which puts the single nodes in its own place."""

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder

from ..modules.attempts.settings import AttemptSettings
from ..modules.faces.outcomes import ANONYMIZED, SWAPPED
from ..modules.faces.settings import DetectSettings, PasteSettings, RedactSettings
from ..modules.model.own import OWN_SIZE
from ..modules.model.settings import PaintSettings
from ..modules.recognition.landmarks import LANDMARKS
from ..modules.recognition.settings import AUTO
from .detect import PASS, if_no_face_input, min_score_input, thorough_input
from .graph import SHOWN, link_or_value
from .model import check_model
from .painting_inputs import face_seeds_input, whole_model_input
from .presets import (
    ALL,
    BALANCED,
    check_choices,
    choose,
    first_inputs,
    kept_of_chosen,
    last_inputs,
    later_inputs,
    load,
    painting_of,
    seeds_of_chosen,
)
from .types import COVER, PHOTO, STRANGERS, SWAP, WHAT, FacesSocket, ReportSocket

_DETECT, _PASTE, _REDACT = DetectSettings(), PasteSettings(), RedactSettings()
_PAINT, _ATTEMPTS = PaintSettings(), AttemptSettings()
_THOROUGH = True  # as the graphs for photos and the command line have it
PHOTOS, CLIP = BATCHES = ("photos", "frames of a clip")


class FaceAnonAnonymizePhoto(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonAnonymizePhoto",
            display_name="Anonymize Photo",
            category=PHOTO,
            description="Finds every face of a photo and paints a stranger's in its place, covers it, or puts one "
            "person's face there. Everything else stays as it is. What the single nodes do, in one.",
            search_aliases=[
                "anonymize",
                "anonymise",
                "anonymize photo",
                "anonymize image",
                "deidentify",
                "de-identify",
                "privacy",
                "gdpr",
                "face swap",
                "inswapper",
                "synthetic face",
                "identity",
            ],
            inputs=[
                io.Image.Input("image", tooltip="A photo, several of one size, or the frames of a clip."),
                *first_inputs(WHAT),
                io.Image.Input(
                    "source",
                    optional=True,
                    lazy=True,
                    tooltip="With swap: a photo of the person whose face is put there. Its best face counts.",
                ),
                *later_inputs(),
                min_score_input(optional=True),
                thorough_input(optional=True, default=_THOROUGH),
                io.Combo.Input(
                    "batch_is",
                    options=list(BATCHES),
                    optional=True,
                    advanced=True,
                    tooltip="Of several pictures: photos, or a clip, in which a person is followed and gets one face.",
                ),
                if_no_face_input(),
                whole_model_input(
                    lazy=True, raw_link=True, tooltip="A model that is loaded already, in place of the one named here."
                ),
                face_seeds_input(),
                *last_inputs(),
            ],
            outputs=[
                io.Image.Output(tooltip="The finished pictures."),
                io.Mask.Output(tooltip="What was changed."),
                FacesSocket.Output(display_name="faces", tooltip="The faces that were changed, for Verify Faces."),
                io.Image.Output(
                    display_name="before_and_after",
                    tooltip="Both in one picture. It shows the original: not to publish.",
                ),
                ReportSocket.Output(display_name="report", tooltip="What became of every face, for the saving nodes."),
            ],
            hidden=SHOWN,
            enable_expand=True,
        )

    @classmethod
    def validate_inputs(cls, model, what=None):
        return True if what == COVER else check_model(model)

    @classmethod
    def check_lazy_status(cls, what=STRANGERS, **inputs):
        """As the host asks: what is connected and not evaluated yet is None, what is not connected is not there."""
        return ["source"] if what == SWAP and inputs.get("source", ...) is None else []

    @classmethod
    def execute(
        cls,
        image,
        what=STRANGERS,
        model="",
        degree=_PAINT.degree,
        seed=_PAINT.seed,
        preset=BALANCED,
        who=ALL,
        numbers="",
        source=None,
        cover_with=_REDACT.mode,
        region=_PASTE.region,
        verify=AUTO,
        attempts=_ATTEMPTS.attempts,
        min_score=_DETECT.min_score,
        thorough=_THOROUGH,
        batch_is=PHOTOS,
        if_no_face=PASS,
        face_anon_model=None,
        face_seeds="",
        keep_traits=_ATTEMPTS.traits,
        degree_mode=_ATTEMPTS.degree_mode,
        keep=_PASTE.keep_faces,
    ) -> io.NodeOutput:
        check_choices(what, WHAT, who, numbers)
        if what == SWAP and source is None:
            raise ValueError("A swap needs to know whose face: connect a photo of that person to source.")
        image, source = link_or_value(cls, "image", image), link_or_value(cls, "source", source)
        graph = GraphBuilder()
        looked = {"min_score": min_score, "thorough": thorough}
        found = graph.node("FaceAnonDetectFaces", "detect", image=image, if_no_face=if_no_face, **looked)
        faces = everybody = found.out(0)
        if batch_is == CLIP:
            faces = everybody = graph.node("FaceAnonTrackFaces", "track", image=image, faces=faces).out(0)
        faces = choose(graph, faces, who, numbers)
        if what == COVER:
            done = graph.node("FaceAnonRedactFaces", "cover", image=image, faces=faces, mode=cover_with)
        else:
            loaded = face_anon_model if face_anon_model is not None else load(graph, model)
            cut = {"size": OWN_SIZE, "align": LANDMARKS, "face_anon_model": loaded}
            crop = graph.node("FaceAnonCropFaces", "crop", image=image, faces=faces, **cut)
            painting: dict[str, Any] = {"degree": degree, **painting_of(preset)._asdict()}
            if what == SWAP:
                painting |= {"degree": 0.0, "source": _source_face(graph, source, cut, looked)}
            paint = graph.node(
                "FaceAnonAnonymizeCrops",
                "paint",
                **{"crops": crop.out(0), "faces": crop.out(1), "seed": seed, **painting},
                **{"verify": verify, "attempts": attempts, "face_anon_model": loaded},
                **{"keep_traits": keep_traits, "degree_mode": degree_mode},
                # people of a clip keep their numbers
                face_seeds=face_seeds if batch_is == CLIP else seeds_of_chosen(face_seeds, who, numbers),
                keep=keep if batch_is == CLIP else kept_of_chosen(keep, who, numbers),
            )
            faces = paint.out(1)
            done = graph.node(
                "FaceAnonPasteFaces",
                "paste",
                **{"image": image, "crops": paint.out(0), "faces": faces, "seed": seed, "region": region},
                **{"fallback": cover_with, "verify": verify, "action": SWAPPED if what == SWAP else ANONYMIZED},
            )
        both = graph.node(
            "FaceAnonBeforeAfter",
            "compare",
            **{"before": image, "after": done.out(0), "layout": "auto", "report": done.out(2), "faces": everybody},
        )
        return io.NodeOutput(done.out(0), done.out(1), faces, both.out(0), done.out(2), expand=graph.finalize())


def _source_face(graph: GraphBuilder, source, cut: dict, looked: dict):
    """The link of the crop of the one face that is put on all others."""
    found = graph.node("FaceAnonDetectFaces", "detect_source", image=source, max_faces=1, **looked)
    return graph.node("FaceAnonCropFaces", "crop_source", image=source, faces=found.out(0), **cut).out(0)
