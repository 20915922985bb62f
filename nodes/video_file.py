"""Anonymize Video File: one node for the whole way, which puts the single nodes for videos in its own place."""

from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder

from ..modules.attempts.settings import AttemptSettings
from ..modules.faces.settings import IDENTITIES, SAME_NOISE, DetectSettings, PasteSettings, RedactSettings
from ..modules.model.settings import PaintSettings
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
    last_inputs,
    later_inputs,
    load,
    painting_of,
)
from .types import COVER, STRANGERS, VIDEO, FacesSocket, ReportSocket

_DETECT, _PASTE, _REDACT = DetectSettings(), PasteSettings(), RedactSettings()
_PAINT, _ATTEMPTS = PaintSettings(), AttemptSettings()


class FaceAnonAnonymizeVideoFile(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonAnonymizeVideoFile",
            display_name="Anonymize Video File",
            category=VIDEO,
            description="Finds and follows every face of a video of any length and paints a stranger's in its place, "
            "or covers it. Sound and times stay. What the single nodes for videos do, in one.",
            search_aliases=["anonymize video", "video privacy", "anonymize clip"],
            inputs=[
                io.Video.Input("video", tooltip="Of Load Video, also trimmed."),
                *first_inputs((STRANGERS, COVER)),
                *later_inputs(),
                min_score_input(optional=True),
                thorough_input(optional=True),
                io.Combo.Input(
                    "identity",
                    options=list(IDENTITIES),
                    optional=True,
                    advanced=True,
                    tooltip="same noise: every frame is anonymized by itself, from the person's one start noise. same "
                    "face: the person's best frame is anonymized once, and that face is put on every frame.",
                ),
                if_no_face_input(),
                whole_model_input(
                    lazy=True, raw_link=True, tooltip="A model that is loaded already, in place of the one named here."
                ),
                face_seeds_input(),
                *last_inputs(),
            ],
            outputs=[
                io.Video.Output(tooltip="For Save Video (clean)."),
                FacesSocket.Output(display_name="faces", tooltip="The faces that were changed, of all frames."),
                ReportSocket.Output(display_name="report", tooltip="What became of every face, for the saving nodes."),
            ],
            hidden=SHOWN,
            enable_expand=True,
        )

    @classmethod
    def validate_inputs(cls, model, what=None):
        return True if what == COVER else check_model(model)

    @classmethod
    def execute(
        cls,
        video,
        what=STRANGERS,
        model="",
        degree=_PAINT.degree,
        seed=_PAINT.seed,
        preset=BALANCED,
        who=ALL,
        numbers="",
        cover_with=_REDACT.mode,
        region=_PASTE.region,
        verify=AUTO,
        attempts=_ATTEMPTS.attempts,
        min_score=_DETECT.min_score,
        thorough=_DETECT.thorough,
        identity=SAME_NOISE,
        if_no_face=PASS,
        face_anon_model=None,
        face_seeds="",
        keep_traits=_ATTEMPTS.traits,
        degree_mode=_ATTEMPTS.degree_mode,
        keep=_PASTE.keep_faces,
    ) -> io.NodeOutput:
        check_choices(what, (STRANGERS, COVER), who, numbers)
        video = link_or_value(cls, "video", video)
        graph = GraphBuilder()
        looked = {"min_score": min_score, "thorough": thorough, "if_no_face": if_no_face, "points": what != COVER}
        faces = graph.node("FaceAnonTrackVideo", "track", video=video, **looked).out(0)
        faces = choose(graph, faces, who, numbers)
        if what == COVER:
            done = graph.node("FaceAnonRedactVideo", "cover", video=video, faces=faces, mode=cover_with)
        else:
            loaded = face_anon_model if face_anon_model is not None else load(graph, model)
            done = graph.node(
                "FaceAnonAnonymizeVideo",
                "paint",
                **{"video": video, "faces": faces, "degree": degree, "seed": seed, **painting_of(preset)._asdict()},
                **{"identity": identity, "region": region, "fallback": cover_with, "verify": verify},
                **{"attempts": attempts, "face_anon_model": loaded, "face_seeds": face_seeds},
                **{"keep_traits": keep_traits, "degree_mode": degree_mode, "keep": keep},
            )
        return io.NodeOutput(done.out(0), faces, done.out(1), expand=graph.finalize())
