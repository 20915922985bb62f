"""The shipped graphs for photos, and the list of all."""

from face_anonymizer.modules.recognition.settings import OFF
from face_anonymizer.tools.workflows.graph_parts import (
    ALIGNED_TITLE,
    CFG,
    CLEAN,
    IMAGE_SIZE,
    LIMITS,
    NOT_PASSED_TITLE,
    OWN,
    SOURCE_TITLE,
    WHOLE,
    compare,
    cover,
    cover_photo,
    crop,
    ddpm,
    degree,
    detect,
    group,
    ksampler,
    loader,
    note,
    notes,
    notes_below,
    paint_and_paste,
    paste_and_save,
    references,
    sample,
    save_image,
    seed,
)
from face_anonymizer.tools.workflows.simple_graphs import SIMPLE
from face_anonymizer.tools.workflows.video_graphs import long_video_graph, redact_video_graph, video_graph

_CHOSEN = """## Anonymize some faces, cover the others
*Select Faces* takes the largest face here; by number, size, score, place or a mask as well. The chosen one is painted
anew, all others are covered, and one report tells of both. Bypass *Redact Faces* to keep the others: the report then
lists them as kept.

"""
_VERIFY = """## Anonymize, and see that each face became a stranger
*Verify Faces* asks two recognisers whether each result is still the person of the original: green is a stranger, red
did not pass, grey cannot be measured. What did not pass is covered, and the report holds distances, thresholds and what
was kept. The recognisers were trained on photographs: of the demo model's drawn faces they say little.

"""
_REDACT = """## Cover every face of a photo
Without any model to download. *solid* leaves nothing of a face; *mosaic* and *blur* leave a few samples, which machines
may still recognise.

"""


def photo_graph(sampler, text: str, prefix: str, settings: tuple[str, ...]) -> dict:
    painted = sampler(1360, "interpolate")
    return {
        "nodes": {
            **notes_below(680, 620, text, *settings),
            "photo": sample([0, 80], "Photo"),
            "model": loader([0, 420]),
            "degree": degree([0, 770]),
            "seed": seed([0, 870]),
            "detect": detect([340, 80], "photo", thorough=True),
            "crop": crop([340, 560], "photo", "detect"),
            **references(680, ("crop", 0), ("crop", 0), degree=True),
            **painted,
            **paste_and_save(1700, prefix, painted),
        },
        "groups": [
            group("Photo and model", "#3f789e", [-30, -35, 330, 1195]),
            group("Faces", "#8A8", [310, -35, 330, 1195]),
            group("Read source and driving face (the same one)", "#88A", [650, -35, 670, 625]),
            group("Paint", "#A88", [1330, -35, 330, 1195]),
            group("Paste back and save", "#b58b2a", [1670, -35, 415, 1195]),
        ],
    }


def aligned_graph() -> dict:
    text = (
        "## Anonymize one aligned face\nThe paper's first example: a portrait that is a face crop already, such as "
        "FFHQ or CelebA-HQ. It is brought to the model's size, and all of it is painted anew.\n\nFor photos take "
        "*Anonymize a photo*.\n\n" + LIMITS
    )
    nodes = {
        **notes_below(680, 620, text, IMAGE_SIZE),
        "photo": sample([0, 80], ALIGNED_TITLE, "portrait"),
        "model": loader([0, 420]),
        "degree": degree([0, 770]),
        "seed": seed([0, 870]),
        "scale": {
            "type": "ImageScale",
            "pos": [340, 80],
            "width": 270,
            "inputs": {"image": ("photo", 0)},
            "widgets": {
                **{"upscale_method": "lanczos", "width": OWN.resolution, "height": OWN.resolution, "crop": "center"}
            },
        },
        **references(680, ("scale", 0), ("scale", 0), degree=True),
        **ddpm(1360, "interpolate"),
        "save": save_image([1700, 80], ("decode", 0), None, "anonymized_face"),
        "compare": compare([1700, 640], ("scale", 0), ("decode", 0), height=460),
    }
    groups = [
        group("Face and model", "#3f789e", [-30, -35, 670, 1195]),
        group("Read source and driving face (the same one)", "#88A", [650, -35, 670, 625]),
        group("Paint", "#A88", [1330, -35, 330, 1195]),
        group("Save", "#b58b2a", [1670, -35, 415, 1195]),
    ]
    return {"nodes": nodes, "groups": groups}


def swap_graph() -> dict:
    text = (
        "## Put one person's face on every face of a photo\nDegree 0 and another source: the source gives the "
        "identity, the photo gives expression, pose, gaze, light and background. One source serves all faces.\n\n"
        "Only with the consent of the people in both pictures; tell viewers that the picture is made."
    )
    painted = ddpm(1360, "source")
    nodes = {
        **notes_below(680, 660, text),
        "photo": sample([0, 80], "Photo whose faces change", height=270),
        "source_photo": sample([0, 390], SOURCE_TITLE, "portrait", height=270),
        "model": loader([0, 700]),
        "seed": seed([0, 1050]),
        "detect": detect([340, 80], "photo", height=380, thorough=True),
        "crop": crop([340, 500], "photo", "detect"),
        "detect_source": detect([340, 660], "source_photo", height=310, max_faces=1, thorough=True),
        "crop_source": crop([340, 1010], "source_photo", "detect_source"),
        **references(680, ("crop_source", 0), ("crop", 0), degree=False),
        **painted,
        **paste_and_save(1700, "swapped", painted, "swapped"),
    }
    groups = [
        group("Pictures and model", "#3f789e", [-30, -45, 330, 1225]),
        group("Faces", "#8A8", [310, -45, 330, 1225]),
        group("Read source and driving face", "#88A", [650, -45, 670, 675]),
        group("Paint", "#A88", [1330, -45, 330, 1225]),
        group("Paste back and save", "#b58b2a", [1670, -45, 415, 1225]),
    ]
    return {"nodes": nodes, "groups": groups}


def chosen_graph() -> dict:
    nodes = {
        **notes(_CHOSEN + LIMITS),
        "photo": sample([0, 80], "Photo"),
        "model": loader([0, 420]),
        "seed": seed([0, 770]),
        "detect": detect([340, 80], "photo", thorough=True),
        "select": {
            "type": "FaceAnonSelectFaces",
            "pos": [340, 540],
            "width": 270,
            "inputs": {"faces": ("detect", 0)},
            "widgets": {"largest": 1},
        },
        "crop": crop([680, 80], "photo", "select"),
        **paint_and_paste("photo", 680),
        "redact": cover([1360, 80], ("paste", 0), ("select", 1), ("paste", 2), width=360),
        "save": save_image([1360, 420], ("redact", 0), ("redact", 2), "anonymized") | {"height": 510},
        "compare": compare([1020, 640], ("photo", 0), ("redact", 0), width=270, height=290),
    }
    groups = [
        group("Photo and model", "#3f789e", [-30, -10, 330, 960]),
        group("Faces: found and chosen", "#8A8", [310, -10, 330, 960]),
        group("Paint the chosen one", "#A88", [650, -10, 670, 960]),
        group("Cover the others and save", "#b58b2a", [1330, -10, 415, 960]),
    ]
    return {"nodes": nodes, "groups": groups}


def verify_graph() -> dict:
    nodes = {
        **notes(_VERIFY + LIMITS),
        "photo": sample([0, 80], "Before"),
        "model": loader([0, 420]),
        "seed": seed([0, 770]),
        "detect": detect([340, 80], "photo", thorough=True),
        "crop": crop([340, 560], "photo", "detect"),
        **paint_and_paste("photo", 680, verify=OFF, top=80),  # Verify Faces does
        "verify": {
            "type": "FaceAnonVerifyFaces",
            "pos": [1360, 80],
            "width": 310,
            "height": 740,
            "inputs": {"before": ("photo", 0), "after": ("paste", 0), "faces": ("crop", 1), "report": ("paste", 2)},
        },
        "redact": cover([1730, 80], ("paste", 0), ("verify", 2), ("verify", 3), title=NOT_PASSED_TITLE, width=340),
        "save": {
            **save_image([1730, 420], ("redact", 0), ("redact", 2), "anonymized"),
            **{"title": "After", "width": 340, "height": 510},
        },
        "compare": compare([1020, 640], ("photo", 0), ("redact", 0), width=270, height=290),
    }
    groups = [
        group("Photo and model", "#3f789e", [-30, -10, 330, 960]),
        group("Faces", "#8A8", [310, -10, 330, 960]),
        group("Paint", "#A88", [650, -10, 670, 960]),
        group("Verify", "#88A", [1330, -10, 355, 960]),
        group("Cover what did not pass, and save", "#b58b2a", [1695, -10, 395, 960]),
    ]
    return {"nodes": nodes, "groups": groups}


def redact_photo_graph() -> dict:
    nodes = {
        "about": note(_REDACT + LIMITS + " " + CLEAN, [0, -200], 700, 180),
        **cover_photo(),
        "compare": compare([1450, 80], ("photo", 0), ("redact", 0), height=500),
    }
    return {"nodes": nodes, "groups": [group("Cover every face", "#b58b2a", [-30, -10, 1870, 620])]}


_VARIATIONS = """## One face over degrees and seeds
A row a **degree**, a column a **seed**, and below each what two recognisers say of it: how much of a person a degree
leaves, as in Figures 4 and 5 of the paper. The sheet shows the original: do not publish it without that person's
consent.

"""


def variations_graph() -> dict:
    nodes = {
        **notes(_VARIATIONS + LIMITS),
        "photo": sample([0, 80], "Photo", "portrait"),
        "model": loader([0, 420]),
        "detect": detect([340, 80], "photo", max_faces=1, thorough=True),
        "crop": crop([340, 560], "photo", "detect"),
        "vary": {
            "type": "FaceAnonVariations",
            "pos": [680, 80],
            "width": 270,
            "height": 460,
            "inputs": {"crops": ("crop", 0), "faces": ("crop", 1), **WHOLE},
            "widgets": {"control_after_generate": "fixed"},
        },
        "save": save_image([1020, 80], ("vary", 0), None, "variations") | {"height": 640},
    }
    groups = [
        group("Photo and model", "#3f789e", [-30, -10, 330, 760]),
        group("One face", "#8A8", [310, -10, 330, 760]),
        group("Degrees and seeds", "#A88", [650, -10, 775, 760]),
    ]
    return {"nodes": nodes, "groups": groups}


_PAPER = """## Anonymize every face of a photo, step by step
Faces are found, cropped, painted as strangers with the same expression, pose, gaze and light, and pasted back at full
resolution. **degree** 1.25 anonymizes; less keeps more of the person. The paper's sampler.

"""
_KSAMPLER = """## Anonymize every face of a photo, with ComfyUI's own KSampler
As *Anonymize a photo, step by step*, with a fast sampler: 25 steps do where the paper's takes 200. *Apply* gives MODEL,
conditionings and an empty latent for any sampler node.

"""
# Names as people read them in the page; "api" is that of the prompt for servers, which is a promise.
GRAPHS = {
    **SIMPLE,
    "Anonymize a photo, step by step": photo_graph(ddpm, _PAPER + LIMITS, "anonymized", ())
    | {"api": "anonymize_photo"},
    "Anonymize a photo with KSampler": photo_graph(ksampler, _KSAMPLER + LIMITS, "anonymized", (CFG,))
    | {"api": "anonymize_with_ksampler"},
    "Anonymize some faces, cover the others": chosen_graph() | {"api": "anonymize_chosen_faces"},
    "Anonymize and verify": verify_graph() | {"api": "anonymize_and_verify"},
    "Anonymize one aligned face": aligned_graph() | {"api": "anonymize_aligned_face"},
    "Anonymize a short clip, step by step": video_graph() | {"api": "anonymize_video"},
    "Anonymize a video, step by step": long_video_graph() | {"api": "anonymize_long_video"},
    "Cover all faces of a photo, step by step": redact_photo_graph() | {"api": "redact_photo"},
    "Cover all faces of a video, step by step": redact_video_graph() | {"api": "redact_video"},
    "Swap faces, step by step": swap_graph() | {"api": "swap_faces"},
    "Variations of a face": variations_graph() | {"api": "variations"},
}
