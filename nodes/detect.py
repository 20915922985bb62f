"""Find faces and choose among them."""

import logging
from functools import partial
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..modules.faces.adapters import faces_from_boxes, faces_from_landmarks
from ..modules.faces.marks import know
from ..modules.faces.numbers import note_on_numbers
from ..modules.faces.outcomes import FOUND
from ..modules.faces.report import report_faces
from ..modules.faces.selection import select_faces
from ..modules.faces.settings import MASK_MODES, POSITIONS, DetectSettings, SelectSettings
from ..modules.faces.types import Faces
from ..modules.host.detector import detect
from .graph import SHOWN
from .reporting import preview_faces, show_chosen, show_report, step_progress, teller, warn
from .types import PHOTO, FaceLandmarksSocket, FacesSocket

logger = logging.getLogger("face_anonymizer")

PASS, STOP, ERROR = IF_NO_FACE = ("pass unchanged", "stop", "error")
_UNCHANGED = "the picture goes on as it is"
_LONG = 15  # seconds of a search from which on a user is told before it starts
_LOOK_CLOSER = "Look at the picture: a lower min_score or thorough finds more faces."
_DETECT = DetectSettings()
_SELECT = SelectSettings()


def min_score_input(optional: bool = False):
    """How sure the detector has to be; optional: one of the settings that most leave as they are."""
    return io.Float.Input(
        "min_score",
        **_behind(optional),
        default=_DETECT.min_score,
        min=0.05,
        max=1.0,
        step=0.01,
        tooltip="Lower finds more faces and more that are none. A missed face is a leak: prefer low.",
    )


def thorough_input(optional: bool = False, default: bool = _DETECT.thorough):
    """Whether small faces are looked for, too; optional: as of min_score_input."""
    return io.Boolean.Input(
        "thorough",
        **_behind(optional),
        default=default,
        tooltip="Looks once more in overlapping tiles: finds faces of 12 pixels in large pictures, and takes longer.",
    )


def if_no_face_input() -> io.Input:
    """What happens where there is none: the last input of a node that looks for faces."""
    return io.Combo.Input(
        "if_no_face",
        options=list(IF_NO_FACE),
        default=PASS,
        optional=True,
        advanced=True,
        tooltip="Where no picture has a face. pass unchanged: all goes on, with a warning. stop: nothing that comes "
        "after runs, so that nothing is saved. error: the run ends with an error.",
    )


def answer_no_face(node: type[io.ComfyNode], if_no_face: str, *outputs: Any) -> tuple:
    """What a node gives that found no face: its outputs, or what stops all nodes after it.

    Raises:
        ValueError: the user asked for an error.
    """
    if if_no_face not in IF_NO_FACE:
        raise ValueError(f"if_no_face is one of {', '.join(IF_NO_FACE)}; got {if_no_face!r}.")
    if if_no_face == ERROR:
        raise ValueError(f"No face found. {_LOOK_CLOSER}")
    warn(node, f"No face found: {'the run stops here' if if_no_face == STOP else _UNCHANGED}. {_LOOK_CLOSER}")
    return outputs if if_no_face == PASS else tuple(ExecutionBlocker(None) for _ in outputs)


def _foretell(node: type[io.ComfyNode], seconds: float) -> None:
    """Say on the node how long the search that begins will take, where that is long."""
    if seconds < _LONG:
        return
    longest = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    text = f"thorough, on the CPU: up to {longest}. Without thorough it takes seconds."
    logger.info("Detect Faces: %s", text)
    if (tell := teller(node)) is not None:
        tell(text)


def _behind(optional: bool) -> dict:
    return {"optional": True, "advanced": True} if optional else {}


class FaceAnonDetectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonDetectFaces",
            display_name="Detect Faces",
            category=PHOTO,
            description="Finds every face of every image with the detector that ships with the pack (CenterFace), or "
            "takes faces that other nodes found. Look at the preview: a face without a box stays as it is.",
            search_aliases=["face detection", "face detector", "find faces", "centerface"],
            inputs=[
                io.Image.Input("image", tooltip="A picture, several of one size, or the frames of a clip."),
                min_score_input(),
                io.Int.Input(
                    "max_faces",
                    default=_DETECT.max_faces,
                    min=0,
                    max=1000,
                    tooltip="The best-scored faces of each image; 0: all. The others stay as they are: reports name "
                    "them.",
                ),
                FaceLandmarksSocket.Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="From MediaPipe Face Landmarker: used instead of detecting.",
                ),
                io.BoundingBox.Input(
                    "bboxes",
                    optional=True,
                    force_input=True,
                    tooltip="Face boxes of another detector: used instead of detecting.",
                ),
                thorough_input(),
                if_no_face_input(),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="For Select, Track, Crop or Redact Faces."),
                io.BoundingBox.Output(display_name="bboxes", tooltip="For other nodes that take boxes."),
                io.Image.Output(
                    display_name="preview", tooltip="The originals with the faces drawn in: not to publish."
                ),
            ],
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls,
        image,
        min_score=_DETECT.min_score,
        max_faces=_DETECT.max_faces,
        face_landmarks=None,
        bboxes=None,
        thorough=_DETECT.thorough,
        if_no_face=PASS,
    ) -> io.NodeOutput:
        batch, height, width = image.shape[:3]
        if face_landmarks is not None and bboxes is not None:
            raise ValueError("Connect face_landmarks or bboxes, not both: each is used instead of detecting.")
        given = face_landmarks is not None or bboxes is not None
        if given and (min_score, max_faces, thorough) != (_DETECT.min_score, _DETECT.max_faces, _DETECT.thorough):
            logger.warning("Detect Faces: min_score, max_faces and thorough do not count for faces of another node.")
        if face_landmarks is not None:
            faces = faces_from_landmarks(face_landmarks, batch, height, width)
        elif bboxes is not None:
            faces = faces_from_boxes(bboxes, batch, height, width)
        else:
            settings = DetectSettings(min_score, max_faces, thorough)
            faces = detect(image, settings, step_progress(batch), partial(_foretell, cls))
        if faces.fingerprint is None:  # of another node's faces
            faces = know(image, faces)
        preview, shown = preview_faces(cls, image, faces)
        outputs = (faces, _bounding_boxes(faces), preview)
        if not len(faces):
            outputs = answer_no_face(cls, if_no_face, *outputs)
        return io.NodeOutput(*outputs, ui=show_report(cls, report_faces(faces, FOUND)) | shown)


class FaceAnonSelectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSelectFaces",
            display_name="Select Faces",
            category=PHOTO,
            description="Chooses which faces are changed. A face must meet every condition that is set; the others go "
            "to `rest` and stand in the report as kept. A person followed by Track Faces is chosen for the whole clip.",
            search_aliases=["choose faces", "filter faces", "keep face"],
            inputs=[
                FacesSocket.Input("faces", tooltip="Of Detect or Track Faces."),
                io.String.Input(
                    "indices",
                    default=_SELECT.indices,
                    tooltip='Numbers in the preview, such as "1, 3-5". Empty: all.',
                ),
                io.Int.Input(
                    "largest",
                    default=_SELECT.largest,
                    min=0,
                    max=1000,
                    tooltip="So many of the largest in each image. 0: all.",
                ),
                io.Int.Input(
                    "min_size",
                    default=_SELECT.min_size,
                    min=0,
                    max=16384,
                    tooltip="Size of the face in pixels; 0: any.",
                ),
                io.Int.Input(
                    "max_size",
                    default=_SELECT.max_size,
                    min=0,
                    max=16384,
                    tooltip="Size of the face in pixels; 0: any.",
                ),
                io.Float.Input(
                    "min_score", default=_SELECT.min_score, min=0.0, max=1.0, step=0.01, tooltip="Of the detector."
                ),
                io.Combo.Input(
                    "position",
                    options=list(POSITIONS),
                    tooltip="The one face of each image that is nearest to that side, or to the centre.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Faces that lie in the mask, by half or more."),
                io.Combo.Input(
                    "mask_mode",
                    options=list(MASK_MODES),
                    optional=True,
                    tooltip="Choose the faces inside the mask, or those outside.",
                ),
                io.Boolean.Input(
                    "invert", default=_SELECT.invert, optional=True, tooltip="Choose all the others instead."
                ),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="Those that are chosen."),
                FacesSocket.Output(display_name="rest", tooltip="All others, to be covered for example."),
            ],
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls,
        faces,
        indices=_SELECT.indices,
        largest=_SELECT.largest,
        min_size=_SELECT.min_size,
        max_size=_SELECT.max_size,
        min_score=_SELECT.min_score,
        position=_SELECT.position,
        mask=None,
        mask_mode=_SELECT.mask_mode,
        invert=_SELECT.invert,
    ) -> io.NodeOutput:
        settings = SelectSettings(indices, largest, min_size, max_size, min_score, position, mask_mode, invert)
        nobody = note_on_numbers(faces, indices, "indices") if len(faces) else ()
        if nobody:
            raise ValueError(f"{nobody[0]}. Look at the preview of Detect or Track Faces.")
        selected, rest = select_faces(faces, settings, mask)
        shown = show_report(cls, report_faces(selected, FOUND)) | show_chosen(cls, faces, selected)
        return io.NodeOutput(selected, rest, ui=shown)


def _bounding_boxes(faces: Faces) -> list[list[dict]]:
    """The core's BOUNDING_BOX: per image a list of boxes (comfy_extras/nodes_mediapipe.py)."""
    boxes: list[list[dict]] = [[] for _ in range(faces.image_count)]
    for face in faces:
        x0, y0, x1, y1 = map(float, face.box)
        boxes[face.image_index].append(
            {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": "face", "score": float(face.score)}
        )
    return boxes
