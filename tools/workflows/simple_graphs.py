"""The graphs to begin with: a sample, one node that does it all, and one that saves."""

from face_anonymizer.tools.workflows.graph_parts import (
    CLEAN,
    GO_ON,
    LIMITS,
    MODEL,
    SOURCE_TITLE,
    VIDEO,
    note,
    sample,
    save_image,
    save_video,
)

_NO_MODEL = "Needs no model. Put *Load Image* (or *Load Video*) in place of the sample for your own."
_FIXED = {"control_after_generate": "fixed"}

_WIDE = {"width": 380}


def _notes(about: str, go_on: str, below: str = "photo") -> dict:
    """What the graph does below what it begins with, and how to go on below the node that saves."""
    return {"about": note(about, [0, below], 380, 280), "go_on": note(go_on, [860, "save"], 640, 150)}


def simple_photo(title: str, text: str, prefix: str, **settings) -> dict:
    """Three nodes, three wires; a swap has a second picture.

    Args:
        title: of the note.
        text: of it.
        prefix: of the saved file.
        settings: of Anonymize Photo.
    """
    is_swap, is_cover = settings.get("what") == "swap", settings.get("what") == "cover"
    nodes = {
        **_notes(f"## {title}\n{text}\n\n{LIMITS} {CLEAN}", _NO_MODEL if is_cover else GO_ON + "."),
        "photo": sample([0, 80], "Photo" if not is_swap else "Photo whose faces change", height=290) | _WIDE,
        "anonymize": {
            "type": "FaceAnonAnonymizePhoto",
            "pos": [440, 80],
            "width": 360,
            "height": 1060,
            "inputs": {"image": ("photo", 0), **({"source": ("person", 0)} if is_swap else {})},
            "widgets": {"model": MODEL, **_FIXED, **settings},
        },
        "save": save_image([860, 80], ("anonymize", 0), ("anonymize", 4), prefix) | {"width": 640, "height": 720},
    }
    if is_swap:
        nodes["person"] = sample([0, "photo"], SOURCE_TITLE, "portrait", height=290) | _WIDE
        nodes["about"]["pos"] = [0, "person"]
    return {"nodes": nodes, "groups": []}


def simple_video(title: str, text: str, prefix: str, **settings) -> dict:
    """Three nodes, three wires; arguments as of simple_photo."""
    is_cover = settings.get("what") == "cover"
    nodes = {
        **_notes(f"## {title}\n{text}\n\n{LIMITS}", _NO_MODEL if is_cover else GO_ON + ".", below="video"),
        "video": {"type": VIDEO, "pos": [0, 80]} | _WIDE,
        "anonymize": {
            "type": "FaceAnonAnonymizeVideoFile",
            "pos": [440, 80],
            "width": 360,
            "height": 1040,
            "inputs": {"video": ("video", 0)},
            "widgets": {"model": MODEL, **_FIXED, **settings},
        },
        "save": save_video([860, 80], ("anonymize", 0), ("anonymize", 2), prefix) | {"width": 640, "height": 660},
    }
    return {"nodes": nodes, "groups": []}


SIMPLE = {
    "Anonymize a photo": simple_photo(
        "Anonymize a photo",
        "Press **Run**. Every face is found and painted as that of a stranger, with the same expression, pose, gaze "
        "and light. **degree** 1.25 anonymizes; less keeps more of the person. Another **seed** gives other strangers.",
        "anonymized",
    )
    | {"api": "photo_in_one_node"},
    "Cover all faces of a photo": simple_photo(
        "Cover all faces of a photo",
        "Press **Run**. Every face is found and covered. *solid* leaves nothing of it; under *advanced*, *mosaic* and "
        "*blur* leave a few samples, which machines may still recognise.",
        "covered",
        what="cover",
    )
    | {"api": "cover_photo_in_one_node"},
    "Swap a face": simple_photo(
        "Swap a face",
        "Press **Run**. The person of the lower picture is put on every face of the upper one; expression, pose, gaze "
        "and light stay. Only with the consent of the people in both pictures; tell viewers that the picture is made.",
        "swapped",
        what="swap",
    )
    | {"api": "swap_in_one_node"},
    "Anonymize a video": simple_video(
        "Anonymize a video",
        "Press **Run**. Every face is found, followed and painted as that of a stranger. Sound and times stay; a "
        "video of any length takes no more memory than a short one.",
        "video/anonymized",
    )
    | {"api": "video_in_one_node"},
    "Cover all faces of a video": simple_video(
        "Cover all faces of a video",
        "Press **Run**. Every face is found, followed and covered. Sound and times stay. The file is saved without the "
        "source's metadata.",
        "video/covered",
        what="cover",
    )
    | {"api": "cover_video_in_one_node"},
}
