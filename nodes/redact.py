"""FaceAnonRedactFaces: faces of pictures covered, and the inputs of every node that covers."""

from comfy_api.latest import io

from ..modules.faces.numbers import note_on_numbers
from ..modules.faces.outcomes import REDACTED
from ..modules.faces.paste.cover_and_look import cover_and_look
from ..modules.faces.paste.look import Look
from ..modules.faces.settings import MODES, SHAPES, RedactSettings
from ..modules.host.detector import looker
from .graph import SHOWN
from .paste import keep_input
from .reporting import show_report, step_progress
from .types import PHOTO, FacesSocket, ReportSocket, picture_outputs

_REDACT = RedactSettings()

# For nodes that cover: a face that is named is covered all the same. Select Faces leaves faces out.
COVERED_BUT_KEPT = "are covered by the shape alone, even where it leaves too much open"


def redaction_inputs() -> list:
    """How faces are redacted, for every node that does."""
    return [
        io.Combo.Input(
            "mode",
            options=list(MODES),
            tooltip="solid leaves nothing of the face. mosaic and blur leave a few samples, which machines may still "
            "recognise: weak blur can be undone.",
        ),
        io.Combo.Input(
            "shape",
            options=list(SHAPES),
            tooltip="The ellipse in the box, the box, the face's oval, or the crop: the head with its hair.",
        ),
        io.Float.Input(
            "detail",
            default=_REDACT.detail,
            min=2.0,
            max=32.0,
            step=0.5,
            tooltip="Samples left across the face's width, at any size. solid leaves none.",
        ),
        io.Float.Input(
            "margin",
            default=_REDACT.margin,
            min=0.0,
            max=1.0,
            step=0.05,
            advanced=True,
            tooltip="How far it reaches beyond the face, as a share of its size.",
        ),
    ]


class FaceAnonRedactFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonRedactFaces",
            display_name="Redact Faces (pixelate, mask faces)",
            category=PHOTO,
            description="Covers faces, without any model. solid, the default, leaves nothing. A blur that is weak for "
            "the face's size can be undone by machines: here its strength follows the face.",
            search_aliases=[
                "blur face",
                "blur faces",
                "hide face",
                "mask face",
                "cover faces",
                "pixelate",
                "mosaic",
                "censor",
                "redact",
            ],
            inputs=[
                io.Image.Input("image", tooltip="The picture in which the faces were found."),
                FacesSocket.Input("faces", tooltip="Those that are covered: of Detect, Select or Track Faces."),
                *redaction_inputs(),
                ReportSocket.Input("report", optional=True, tooltip="Of an earlier step on the same picture."),
                keep_input(COVERED_BUT_KEPT),
            ],
            outputs=picture_outputs(),
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls,
        image,
        faces,
        mode=_REDACT.mode,
        shape=_REDACT.shape,
        detail=_REDACT.detail,
        margin=_REDACT.margin,
        report=None,
        keep=_REDACT.keep_faces,
    ) -> io.NodeOutput:
        settings = RedactSettings(mode, shape, detail, margin, keep)
        look = Look(REDACTED, find=looker())
        *redacted, done = cover_and_look(
            image, faces, settings, look=look, earlier=report, progress=step_progress(len(image))
        )
        done = done.noting(*note_on_numbers(faces, keep, "keep")).continued(report, image, redacted[0])
        return io.NodeOutput(*redacted, done, ui=show_report(cls, done))
