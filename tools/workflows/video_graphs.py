"""The shipped graphs for clips and videos, step by step."""

from face_anonymizer.modules.model.own import OWN_GUIDANCE, OWN_STEPS
from face_anonymizer.tools.workflows.graph_parts import (
    AUTO,
    LIMITS,
    VIDEO,
    WHOLE,
    crop,
    detect,
    group,
    loader,
    note,
    notes,
    paint_and_paste,
    save_video,
    seed,
)

_CLIP = """## Anonymize every face of a clip, step by step
The frames travel as one image batch, 25 MB a frame at 1920x1080: this is for short clips. Take *Anonymize a video* for
others. *Track Faces* follows each person, fills frames in which the face was missed, and steadies the crop; a person
keeps one seed. *identity* same face swaps one synthetic face onto all frames of a person.

"""
_LONG_VIDEO = """## Anonymize every face of a video of any length, step by step
Frames are read, painted and written a few at a time. Each frame keeps its time and the sound is copied as it is. The
file is written without the source's metadata.

"""
_REDACT = """## Cover every face of a video of any length, step by step
Without any model to download. *solid* leaves nothing of a face. Each frame keeps its time and the sound is copied as it
is.

"""


def sample_video(pos) -> dict:
    return {"type": VIDEO, "pos": pos, "width": 270}


def track_video(pos) -> dict:
    return {"type": "FaceAnonTrackVideo", "pos": pos, "width": 270, "height": 510, "inputs": {"video": ("video", 0)}}


def video_graph() -> dict:
    nodes = {
        **notes(_CLIP + LIMITS, x=-350, y=80, width=300, height=330),
        "video": sample_video([0, 80]),
        "components": {
            **{"type": "GetVideoComponents", "pos": [0, "video"], "width": 270},
            "inputs": {"video": ("video", 0)},
        },
        "model": loader([0, "components"]),
        "seed": seed([0, "model"]),
        "detect": detect([340, 80], "components"),
        "track": {
            "type": "FaceAnonTrackFaces",
            "pos": [340, "detect"],
            "width": 270,
            "height": 430,
            "inputs": {"image": ("components", 0), "faces": ("detect", 0)},
        },
        "crop": crop([680, 80], "components", "track"),
        **paint_and_paste("components", 680, y="crop"),
        "create": {
            "type": "CreateVideo",
            "pos": [1360, 80],
            "width": 360,
            "inputs": {"images": ("paste", 0), "audio": ("components", 1), "fps": ("components", 2)},
        },
        "save": save_video([1360, "create"], ("create", 0), ("paste", 2), "video/anonymized"),
    }
    groups = [
        group("Clip and model", "#3f789e", "video", "components", "model", "seed"),
        group("Faces, followed", "#8A8", "detect", "track"),
        group("Paint and paste back", "#A88", "crop", "paint", "paste"),
        group("Save", "#b58b2a", "create", "save", short=True),
    ]
    return {"nodes": nodes, "groups": groups}


def long_video_graph() -> dict:
    nodes = {
        **notes(_LONG_VIDEO + LIMITS, x=-400, y=80, width=350, height=260),
        "video": sample_video([0, 80]),
        "model": loader([0, "video"]),
        "seed": seed([0, "model"]),
        "track": track_video([340, 80]),
        "anonymize": {
            "type": "FaceAnonAnonymizeVideo",
            "pos": [680, 80],
            "width": 330,
            "height": 1020,
            "inputs": {"video": ("video", 0), "faces": ("track", 0), **WHOLE, "seed": ("seed", 0)},
            "widgets": {"steps": OWN_STEPS, "guidance_scale": OWN_GUIDANCE, "verify": AUTO},
        },
        "save": save_video([1080, 80], ("anonymize", 0), ("anonymize", 1), "video/anonymized"),
    }
    groups = [
        group("Video and model", "#3f789e", "video", "model", "seed"),
        group("Find and paint", "#A88", "track", "anonymize"),
        group("Save", "#b58b2a", "save", short=True),
    ]
    return {"nodes": nodes, "groups": groups}


def redact_video_graph() -> dict:
    nodes = {
        "about": note(_REDACT + LIMITS, [0, -240], 700, 170),
        "video": sample_video([0, 80]),
        "track": track_video([340, 80]) | {"widgets": {"points": False}},
        "redact": {
            "type": "FaceAnonRedactVideo",
            "pos": [680, 80],
            "width": 270,
            "height": 510,
            "inputs": {"video": ("video", 0), "faces": ("track", 0)},
        },
        "save": save_video([1020, 80], ("redact", 0), ("redact", 1), "video/redacted"),
    }
    return {"nodes": nodes, "groups": [group("Cover every face", "#b58b2a", "video", "track", "redact", "save")]}
