"""Find faces, choose among them, follow them through a clip."""

from comfy_api.latest import io

from ..modules.faces.adapters import faces_from_boxes, faces_from_landmarks
from ..modules.faces.report import FOUND, report_faces
from ..modules.faces.selection import POSITIONS, select_faces
from ..modules.faces.track.scene_cuts import find_cuts, thumbnail
from ..modules.faces.track.tracking import track_faces
from ..modules.faces.types import Faces
from ..modules.host.detector import detect
from .reporting import preview_faces, show_report, step_progress
from .types import CATEGORY, FaceLandmarksSocket, FacesSocket

_INSIDE, _OUTSIDE = "inside", "outside"


def min_score_input():
    return io.Float.Input(
        "min_score",
        default=0.3,
        min=0.05,
        max=1.0,
        step=0.01,
        tooltip="Lower finds more faces and more that are none. A missed face is a leak: prefer low.",
    )


def thorough_input():
    return io.Boolean.Input(
        "thorough",
        default=False,
        tooltip="Looks once more in overlapping tiles: finds faces of 12 pixels in large pictures, and takes longer.",
    )


def tracking_inputs() -> list:
    return [
        io.Int.Input(
            "max_gap",
            default=10,
            min=0,
            max=300,
            tooltip="Frames for which a face may be lost (hidden, turned away) and still is the same; they are filled.",
        ),
        io.Int.Input(
            "lead",
            default=3,
            min=0,
            max=60,
            tooltip="Frames that are covered before a face is first found and after it is last found.",
        ),
        io.Float.Input(
            "smoothing",
            default=2.5,
            min=0.0,
            max=30.0,
            step=0.5,
            tooltip="Frames over which the crop's motion is smoothed, so that it does not tremble. 0: not at all.",
        ),
    ]


class FaceAnonDetectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonDetectFaces",
            display_name="Detect Faces",
            category=CATEGORY,
            description="Finds every face of every image with the detector that ships with the pack (CenterFace), or "
            "takes faces that other nodes found. Look at the preview: a face without a box stays as it is.",
            search_aliases=["face detection", "find faces", "centerface"],
            inputs=[
                io.Image.Input("image"),
                min_score_input(),
                io.Int.Input(
                    "max_faces", default=0, min=0, max=1000, tooltip="The best-scored faces of each image; 0: all."
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
            ],
            outputs=[
                FacesSocket.Output(display_name="faces"),
                io.BoundingBox.Output(display_name="bboxes"),
                io.Image.Output(display_name="preview"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, image, min_score=0.3, max_faces=0, face_landmarks=None, bboxes=None, thorough=False
    ) -> io.NodeOutput:
        batch, height, width = image.shape[:3]
        if face_landmarks is not None and bboxes is not None:
            raise ValueError("Connect face_landmarks or bboxes, not both: each is used instead of detecting.")
        if face_landmarks is not None:
            faces = faces_from_landmarks(face_landmarks, batch, height, width)
        elif bboxes is not None:
            faces = faces_from_boxes(bboxes, batch, height, width)
        else:
            faces = detect(image, min_score, max_faces, thorough, step_progress(batch))
        preview, shown = preview_faces(cls, image, faces)
        return io.NodeOutput(
            faces, _bounding_boxes(faces), preview, ui=show_report(cls, report_faces(faces, FOUND)) | shown
        )


class FaceAnonSelectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSelectFaces",
            display_name="Select Faces",
            category=CATEGORY,
            description="Chooses which faces are changed. A face must meet every condition that is set; the others go "
            "to `rest` and stand in the report as kept. A person followed by Track Faces is chosen for the whole clip.",
            search_aliases=["choose faces", "filter faces", "keep face"],
            inputs=[
                FacesSocket.Input("faces"),
                io.String.Input(
                    "indices",
                    default="",
                    tooltip='Numbers in the preview, such as "1, 3-5". Empty: all.',
                ),
                io.Int.Input(
                    "largest", default=0, min=0, max=1000, tooltip="So many of the largest in each image. 0: all."
                ),
                io.Int.Input("min_size", default=0, min=0, max=16384, tooltip="Size of the face in pixels; 0: any."),
                io.Int.Input("max_size", default=0, min=0, max=16384, tooltip="Size of the face in pixels; 0: any."),
                io.Float.Input("min_score", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="Of the detector."),
                io.Combo.Input(
                    "position",
                    options=list(POSITIONS),
                    tooltip="The one face of each image that is nearest to that side, or to the centre.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Faces that lie in the mask, by half or more."),
                io.Combo.Input(
                    "mask_mode",
                    options=[_INSIDE, _OUTSIDE],
                    optional=True,
                    tooltip="Choose the faces inside the mask, or those outside.",
                ),
                io.Boolean.Input("invert", default=False, optional=True, tooltip="Choose all the others instead."),
            ],
            outputs=[FacesSocket.Output(display_name="faces"), FacesSocket.Output(display_name="rest")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        faces,
        indices="",
        largest=0,
        min_size=0,
        max_size=0,
        min_score=0.0,
        position=POSITIONS[0],
        mask=None,
        mask_mode=_INSIDE,
        invert=False,
    ) -> io.NodeOutput:
        selected, rest = select_faces(
            faces,
            indices=indices,
            largest=largest,
            min_size=min_size,
            max_size=max_size,
            min_score=min_score,
            position=position,
            mask=mask,
            mask_mode=mask_mode,
            invert=invert,
        )
        return io.NodeOutput(selected, rest, ui=show_report(cls, report_faces(selected, FOUND)))


class FaceAnonTrackFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonTrackFaces",
            display_name="Track Faces",
            category=CATEGORY,
            description="For clips: tells which faces of the frames are one person, fills frames in which a face was "
            "missed, covers a few frames before and after, and steadies the crops. A person keeps one seed.",
            search_aliases=["video faces", "face tracking", "stabilize faces"],
            inputs=[
                io.Image.Input("image", tooltip="The frames, in their order: to see where a new shot begins."),
                FacesSocket.Input("faces", tooltip="Of Detect Faces."),
                *tracking_inputs(),
            ],
            outputs=[FacesSocket.Output(display_name="faces"), io.Image.Output(display_name="preview")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, faces, max_gap=10, lead=3, smoothing=2.5) -> io.NodeOutput:
        progress = step_progress(len(image))
        thumbnails = []
        for number, frame in enumerate(image, 1):
            thumbnails.append(thumbnail(frame))
            progress(number, len(image))
        tracked = track_faces(faces, find_cuts(thumbnails), max_gap=max_gap, lead=lead, smoothing=smoothing)
        preview, shown = preview_faces(cls, image, tracked)
        return io.NodeOutput(tracked, preview, ui=show_report(cls, report_faces(tracked, FOUND)) | shown)


def _bounding_boxes(faces: Faces) -> list[list[dict]]:
    """The core's BOUNDING_BOX: per image a list of boxes (comfy_extras/nodes_mediapipe.py)."""
    boxes: list[list[dict]] = [[] for _ in range(faces.image_count)]
    for face in faces:
        x0, y0, x1, y1 = map(float, face.box)
        boxes[face.image_index].append(
            {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": "face", "score": float(face.score)}
        )
    return boxes
