"""Follow faces through the frames of a clip."""

from comfy_api.latest import io

from ..modules.faces.outcomes import FOUND
from ..modules.faces.report import report_faces
from ..modules.faces.settings import TrackSettings
from ..modules.faces.track.following import follow_faces
from .graph import SHOWN
from .reporting import preview_faces, show_report, step_progress
from .types import VIDEO, FacesSocket

_TRACK = TrackSettings()


def tracking_inputs() -> list:
    """How faces are followed, for every node that does."""
    return [
        io.Int.Input(
            "max_gap",
            default=_TRACK.max_gap,
            min=0,
            max=300,
            tooltip="Frames for which a face may be lost (hidden, turned away) and still is the same; they are filled.",
        ),
        io.Int.Input(
            "lead",
            default=_TRACK.lead,
            min=0,
            max=60,
            tooltip="Frames that are covered before a face is first found and after it is last found.",
        ),
        io.Float.Input(
            "smoothing",
            default=_TRACK.smoothing,
            min=0.0,
            max=30.0,
            step=0.5,
            tooltip="Frames over which the crop's motion is smoothed, so that it does not tremble. 0: not at all.",
        ),
    ]


class FaceAnonTrackFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonTrackFaces",
            display_name="Track Faces",
            category=VIDEO,
            description="For clips: tells which faces of the frames are one person, fills frames in which a face was "
            "missed, covers a few frames before and after, and steadies the crops. A person keeps one seed.",
            search_aliases=["face tracking", "stabilize faces", "follow faces"],
            inputs=[
                io.Image.Input("image", tooltip="The frames, in their order: to see where a new shot begins."),
                FacesSocket.Input("faces", tooltip="Of Detect Faces."),
                *tracking_inputs(),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="For Crop, Select or Redact Faces."),
                io.Image.Output(
                    display_name="preview", tooltip="The originals with the faces drawn in: not to publish."
                ),
            ],
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls, image, faces, max_gap=_TRACK.max_gap, lead=_TRACK.lead, smoothing=_TRACK.smoothing
    ) -> io.NodeOutput:
        progress = step_progress(len(image))

        def frames():
            for number, frame in enumerate(image, 1):
                progress(number, len(image))
                yield frame

        tracked = follow_faces([(frames(), faces)], faces.image_count, TrackSettings(max_gap, lead, smoothing))
        preview, shown = preview_faces(cls, image, tracked)
        return io.NodeOutput(tracked, preview, ui=show_report(cls, report_faces(tracked, FOUND)) | shown)
