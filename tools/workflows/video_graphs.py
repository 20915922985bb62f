"""The shipped graphs for clips and videos."""

from face_anonymizer.tools.workflows.graph_parts import (
    AUTO,
    CROP_SIZE,
    EXAMPLE_VIDEO,
    GUIDANCE,
    LIMITS,
    OWN,
    connected,
    crop,
    detect,
    group,
    loader,
    note,
    notes,
    paint_and_paste,
    seed,
)

_CLIP = """## Anonymize every face of a clip
The frames travel as one image batch, 25 MB a frame at 1920x1080: this is for short clips. Take *anonymize_long_video*
for others. *Track Faces* follows each person, fills frames in which the face was missed, and steadies the crop; a
person keeps one seed. *identity* same face swaps one synthetic face onto all frames of a person.

ComfyUI's *Save Video* writes the workflow, with the name of the source, into the file; *Save Video (clean)* does not.
"""
_LONG_VIDEO = """## Anonymize every face of a video of any length
Frames are read, painted and written a few at a time. Each frame keeps its time and the sound is copied as it is. The
file is written without the source's metadata.

"""
_REDACT = """## Cover every face of a video of any length
Without any model to download. *solid* leaves nothing of a face. Each frame keeps its time and the sound is copied as it
is.

"""


def load_video(pos) -> dict:
    return {"type": "LoadVideo", "pos": pos, "width": 320, "height": 340, "widgets": {"file": EXAMPLE_VIDEO}}


def track_video(pos) -> dict:
    return {"type": "FaceAnonTrackVideo", "pos": pos, "width": 320, "inputs": {"video": ("video", 0)}}


def save_clean_video(pos, source: str, prefix: str, painted: bool = True) -> dict:
    return {
        "type": "FaceAnonSaveVideo",
        "pos": pos,
        "width": 420,
        "height": 480,
        "inputs": {"video": (source, 0), "report": (source, 1)},
        "widgets": {"filename_prefix": prefix, "mark_as_ai": painted},
    }


def video_graph() -> dict:
    nodes = {
        **notes(_CLIP, CROP_SIZE, GUIDANCE),
        "video": load_video([0, 80]),
        "components": {"type": "GetVideoComponents", "pos": [0, 470], "inputs": {"video": ("video", 0)}},
        "model": loader([0, 640]),
        "seed": seed([0, 1030]),
        "detect": detect([400, 80], "components"),
        "track": {
            "type": "FaceAnonTrackFaces",
            "pos": [400, 600],
            "width": 320,
            "height": 420,
            "inputs": {"image": ("components", 0), "faces": ("detect", 0)},
        },
        "crop": crop([770, 80], "components", "track"),
        **paint_and_paste("components"),
        "report": {
            "type": "FaceAnonReport",
            "pos": [1140, 620],
            "width": 320,
            "inputs": {"report": ("paste", 2)},
        },
        "create": {
            "type": "CreateVideo",
            "pos": [1500, 80],
            "inputs": {"images": ("paste", 0), "audio": ("components", 1), "fps": ("components", 2)},
        },
        "save": {
            "type": "SaveVideo",
            "pos": [1500, 260],
            "width": 420,
            "height": 480,
            "inputs": {"video": ("create", 0)},
            "widgets": {"filename_prefix": "video/anonymized"},
        },
    }
    groups = [
        group("Clip and model", "#3f789e", [-20, -10, 390, 1140]),
        group("Faces, followed", "#8A8", [390, -10, 350, 1140]),
        group("Paint and paste back", "#A88", [760, -10, 710, 1140]),
        group("Save", "#b58b2a", [1490, -10, 450, 1140]),
    ]
    return {"nodes": nodes, "groups": groups}


def long_video_graph() -> dict:
    nodes = {
        **notes(_LONG_VIDEO + LIMITS, GUIDANCE),
        "video": load_video([0, 80]),
        "model": loader([0, 470]),
        "seed": seed([0, 860]),
        "track": track_video([400, 80]),
        "anonymize": {
            "type": "FaceAnonAnonymizeVideo",
            "pos": [760, 80],
            "width": 330,
            "inputs": {"video": ("video", 0), "faces": ("track", 0), **connected(), "seed": ("seed", 0)},
            "widgets": {"guidance_scale": OWN.guidance_scale, "verify": AUTO},
        },
        "save": save_clean_video([1130, 80], "anonymize", "video/anonymized"),
    }
    groups = [
        group("Video and model", "#3f789e", [-20, -10, 390, 970]),
        group("Find, paint, save", "#A88", [390, -10, 1190, 970]),
    ]
    return {"nodes": nodes, "groups": groups}


def redact_video_graph() -> dict:
    nodes = {
        "about": note(
            _REDACT + LIMITS,
            [0, -240],
            700,
            200,
        ),
        "video": load_video([0, 80]),
        "track": track_video([360, 80]),
        "redact": {
            "type": "FaceAnonRedactVideo",
            "pos": [720, 80],
            "width": 320,
            "inputs": {"video": ("video", 0), "faces": ("track", 0)},
        },
        "save": save_clean_video([1080, 80], "redact", "video/redacted", painted=False),
    }
    return {"nodes": nodes, "groups": [group("Cover every face", "#b58b2a", [-20, -10, 1540, 680])]}
