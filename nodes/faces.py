"""Faces in photos: detect, crop, paste back."""

import comfy.model_management
import comfy.utils
from comfy_api.latest import io, ui
from server import PromptServer

from ..modules.detector import detect
from ..modules.faces.adapters import faces_from_boxes, faces_from_landmarks
from ..modules.faces.alignment import crop_faces
from ..modules.faces.compositing import paste_faces
from ..modules.faces.drawing import draw_faces
from ..modules.faces.types import Faces
from .types import CATEGORY, FaceLandmarksSocket, FacesSocket


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
                io.Float.Input(
                    "min_score",
                    default=0.35,
                    min=0.05,
                    max=1.0,
                    step=0.01,
                    tooltip="Lower finds more faces and more that are none. A missed face is a leak: prefer low.",
                ),
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
            ],
            outputs=[
                FacesSocket.Output(display_name="faces"),
                io.BoundingBox.Output(display_name="bboxes"),
                io.Image.Output(display_name="preview"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, min_score=0.35, max_faces=0, face_landmarks=None, bboxes=None) -> io.NodeOutput:
        batch, height, width = image.shape[:3]
        if face_landmarks is not None and bboxes is not None:
            raise ValueError("Connect face_landmarks or bboxes, not both: each is used instead of detecting.")
        if face_landmarks is not None:
            faces = faces_from_landmarks(face_landmarks, batch, height, width)
        elif bboxes is not None:
            faces = faces_from_boxes(bboxes, batch, height, width)
        else:
            faces = detect(image, min_score, max_faces, _progress(batch))
        preview = draw_faces(image, faces)
        shown = _report(cls, faces, "found")
        if batch:  # the host cannot save a preview of no image
            shown |= ui.PreviewImage(preview, cls=cls).as_dict()
        return io.NodeOutput(faces, _bounding_boxes(faces), preview, ui=shown)


class FaceAnonCropFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonCropFaces",
            display_name="Crop Faces",
            category=CATEGORY,
            description="Aligned square crops of all faces as one batch, as the method was trained on.",
            inputs=[
                io.Image.Input("image"),
                FacesSocket.Input("faces"),
                io.Int.Input(
                    "size", default=512, min=64, max=2048, step=8, tooltip="Side in pixels: the model's own, 512."
                ),
            ],
            outputs=[io.Image.Output(display_name="crops"), FacesSocket.Output(display_name="faces")],
        )

    @classmethod
    def execute(cls, image, faces, size=512) -> io.NodeOutput:
        return io.NodeOutput(*crop_faces(image, faces, size))


class FaceAnonPasteFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonPasteFaces",
            display_name="Paste Faces",
            category=CATEGORY,
            description="Puts the changed crops back at full resolution, without a seam. Outside the mask no pixel "
            "changes. Without a face the picture passes as it is, and nothing before this node is run for the crops.",
            inputs=[
                io.Image.Input("image", tooltip="The picture that the crops were taken from."),
                # lazy, so that no diffusion runs, nor meets an empty batch, when there is no face
                io.Image.Input("crops", lazy=True, tooltip="The changed crops, in the order of Crop Faces."),
                FacesSocket.Input("faces", tooltip="Of Crop Faces."),
                io.Float.Input(
                    "feather",
                    default=0.1,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="Width of the soft border, as a share of the crop's side.",
                ),
            ],
            outputs=[io.Image.Output(), io.Mask.Output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def check_lazy_status(cls, image, faces, crops=None, feather=0.1):
        return ["crops"] if len(faces) and crops is None else []

    @classmethod
    def execute(cls, image, faces, crops=None, feather=0.1) -> io.NodeOutput:
        if crops is None:
            crops = image.new_empty((0, 8, 8, 3))
        return io.NodeOutput(*paste_faces(image, crops, faces, feather), ui=_report(cls, faces, "replaced"))


def _progress(images: int):
    """A callback for detect_faces that moves the node's progress bar and lets the user interrupt."""
    bar = comfy.utils.ProgressBar(images)

    def done(image: int, _images: int):
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(image)

    return done


def _bounding_boxes(faces: Faces) -> list[list[dict]]:
    """The core's BOUNDING_BOX: per image a list of boxes (comfy_extras/nodes_mediapipe.py)."""
    boxes: list[list[dict]] = [[] for _ in range(faces.image_count)]
    for face in faces:
        x0, y0, x1, y1 = map(float, face.box)
        boxes[face.image_index].append(
            {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": "face", "score": float(face.score)}
        )
    return boxes


def _report(node: type[io.ComfyNode], faces: Faces, verb: str) -> dict:
    """What happened, as text on the node and as data in /history, where the command line reads it."""
    rows = [
        {
            "image": face.image_index,
            "box": [round(float(edge), 1) for edge in face.box],
            "score": round(float(face.score), 3),
            "source": face.source,
        }
        for face in faces
    ]
    if rows:
        text = f"{len(rows)} {'face' if len(rows) == 1 else 'faces'} {verb}"
    elif verb == "found":
        text = "No face found"
    else:
        text = "No face found: the picture is unchanged"
    server = getattr(PromptServer, "instance", None)  # none when a node is called without a server
    if server is not None and node.hidden is not None:
        server.send_progress_text(text, node.hidden.unique_id)
    return {"text": (text,), "face_anon_faces": rows}
