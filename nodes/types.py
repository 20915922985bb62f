"""Sockets and names that several nodes share."""

from comfy_api.latest import io

CATEGORY = "face anonymizer"
PHOTO, VIDEO, METHOD, TOOLS = (f"{CATEGORY}/{room}" for room in ("photo", "video", "method", "tools"))
MODEL_FOLDER = "face_anon"
STRANGERS, COVER, SWAP = WHAT = ("strangers", "cover", "swap")  # what becomes of faces, in the nodes that do it all

ModelSocket = io.Custom("FACE_ANON_MODEL")  # modules/model/comfy_engine.py, FaceAnonModel
ReferenceNetSocket = io.Custom("FACE_ANON_REFERENCE_NET")  # modules/model/reference_net.py, ReferenceNet
EmbedsSocket = io.Custom("FACE_ANON_EMBEDS")  # modules/model/states.py, ImageEmbeds
StatesSocket = io.Custom("FACE_ANON_STATES")  # modules/model/states.py, ReferenceStates
FacesSocket = io.Custom("FACE_ANON_FACES")  # modules/faces/types.py, Faces
ReportSocket = io.Custom("FACE_ANON_REPORT")  # modules/faces/report.py, Report

FaceLandmarksSocket = io.Custom("FACE_LANDMARKS")  # the core's own, of MediaPipe Face Landmarker


def picture_outputs() -> list:
    """Of nodes that change faces of pictures."""
    return [
        io.Image.Output(tooltip="The finished pictures."),
        io.Mask.Output(tooltip="What was changed."),
        _report_output(),
    ]


def video_outputs() -> list:
    """Of nodes that change faces of a video."""
    return [io.Video.Output(tooltip="For Save Video (clean)."), _report_output()]


def _report_output():
    told = "What became of every face: for the next step, or a node that saves."
    return ReportSocket.Output(display_name="report", tooltip=told)
