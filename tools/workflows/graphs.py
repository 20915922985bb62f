"""The shipped graphs for photos, and the list of all."""

from face_anonymizer.modules.recognition.settings import OFF
from face_anonymizer.tools.workflows.graph_parts import (
    ALIGNED_TITLE,
    CFG,
    CLEAN,
    IMAGE_SIZE,
    LAST,
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

_AT_MAP = {"pos": [1700, 580], "width": 360, "height": 250}  # below the node that saves, above the page's map
_SAME = "Read source and driving face (the same one)"


def photo_graph(sampler, text: str, prefix: str, settings: tuple[str, ...]) -> dict:
    painted = sampler(1360, "interpolate")
    # the others of the column leave no room for it
    applies = {"apply": painted.pop("apply") | {"pos": [1020, "driving"]}} if "apply" in painted else {}
    if applies:
        painted["sampler"]["pos"] = [1360, 80]
    read = ("encode_source", "encode_driving", "latent", "source", "driving", *applies)
    below = 750 if applies else 650
    about, model_note = notes(text, *settings).values()
    return {
        "nodes": {
            "about": about | {"pos": [680, below], "width": 270, "height": 330},
            "model_note": model_note | _AT_MAP,
            "photo": sample([0, 80], "Photo"),
            "model": loader([0, "photo"]),
            "degree": degree([0, "model"]),
            "seed": seed([0, "degree"]),
            "detect": detect([340, 80], "photo", thorough=True),
            "crop": crop([340, "detect"], "photo", "detect"),
            **references(680, ("crop", 0), ("crop", 0), degree=True),
            **applies,
            **painted,
            **paste_and_save(1700, below, prefix),
        },
        "groups": [
            group("Photo and model", "#3f789e", "photo", "model", "degree", "seed"),
            group("Faces", "#8A8", "detect", "crop"),
            group(_SAME, "#88A", *read, short=True),
            group("Paint and paste back", "#A88", *painted, "paste"),
            group("Save", "#b58b2a", "save", short=True),
        ],
    }


def aligned_graph() -> dict:
    text = (
        "## Anonymize one aligned face\nThe paper's first example: a portrait that is a face crop already, such as "
        "FFHQ or CelebA-HQ. It is brought to the model's size, and all of it is painted anew.\n\nFor photos take "
        "*Anonymize a photo*.\n\n" + LIMITS
    )
    painted = ddpm(1360, "interpolate")
    nodes = {
        **notes(text, IMAGE_SIZE, x=680, y=650, width=610, height=240),
        "photo": sample([0, 80], ALIGNED_TITLE, "portrait"),
        "model": loader([0, "photo"]),
        "degree": degree([0, "model"]),
        "seed": seed([0, "degree"]),
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
        **painted,
        "save": save_image([1700, 80], ("decode", 0), None, "anonymized_face"),
        "compare": compare([1360, "decode"], ("scale", 0), ("decode", 0), width=270),
    }
    groups = [
        group("Face and model", "#3f789e", "photo", "model", "degree", "seed", "scale"),
        group(_SAME, "#88A", "encode_source", "encode_driving", "latent", "source", "driving", short=True),
        group("Paint and compare", "#A88", *painted, "compare"),
        group("Save", "#b58b2a", "save", short=True),
    ]
    return {"nodes": nodes, "groups": groups}


def swap_graph() -> dict:
    text = (
        "## Put one person's face on every face of a photo\nDegree 0 and another source: the source gives the "
        "identity, the photo gives expression, pose, gaze, light and background. One source serves all faces.\n\n"
        "Only with the consent of the people in both pictures; tell viewers that the picture is made."
    )
    painted = ddpm(1360, "source")
    about, model_note = notes(text).values()
    nodes = {
        "about": about | {"pos": [680, 860], "width": 270, "height": 330},
        "model_note": model_note | _AT_MAP,
        "photo": sample([0, 80], "Photo whose faces change", height=220),
        "source_photo": sample([0, "photo"], SOURCE_TITLE, "portrait", height=220),
        "model": loader([0, "source_photo"]),
        "seed": seed([0, "model"]),
        "detect": detect([340, 80], "photo", thorough=True),
        "crop": crop([680, 640], "photo", "detect"),
        "detect_source": detect([340, "detect"], "source_photo", max_faces=1, thorough=True),
        "crop_source": crop([1020, 640], "source_photo", "detect_source"),
        **references(680, ("crop_source", 0), ("crop", 0), degree=False),
        **painted,
        **paste_and_save(1700, 860, "swapped", "swapped"),
    }
    nodes["source_latent"]["pos"] = [1020, 240]  # where others interpolate
    read = ("encode_source", "encode_driving", "latent", "source_latent", "source", "driving")
    groups = [
        group("Pictures and model", "#3f789e", "photo", "source_photo", "model", "seed"),
        group("Faces", "#8A8", "detect", "detect_source"),
        group("Read source and driving face", "#88A", *read, short=True),
        group("Crops of all faces and of the source", "#8A8", "crop", "crop_source", short=True),
        group("Paint and paste back", "#A88", *painted, "paste"),
        group("Save", "#b58b2a", "save", short=True),
    ]
    return {"nodes": nodes, "groups": groups}


def chosen_graph() -> dict:
    nodes = {
        **notes(_CHOSEN + LIMITS, x=-378, y=80, width=300, height=330),
        "photo": sample([0, 80], "Photo"),
        "model": loader([0, "photo"]),
        "seed": seed([0, "model"]),
        "detect": detect([340, 80], "photo", thorough=True),
        "select": {
            "type": "FaceAnonSelectFaces",
            "pos": [340, "detect"],
            "width": 270,
            "height": 470,
            "inputs": {"faces": ("detect", 0)},
            "widgets": {"largest": 1},
        },
        "crop": crop([680, 80], "photo", "select"),
        **paint_and_paste("photo", 680, y="crop"),
        "redact": cover([1360, 80], ("paste", 0), ("select", 1), ("paste", 2), width=360),
        "save": save_image([1360, 425], ("redact", 0), ("redact", 2), "anonymized") | {"height": LAST},
        "compare": compare([1020, "paste"], ("photo", 0), ("redact", 0), width=270),
    }
    groups = [
        group("Photo and model", "#3f789e", "photo", "model", "seed"),
        group("Faces: found and chosen", "#8A8", "detect", "select"),
        group("Paint the chosen one", "#A88", "crop", "paint", "paste", "compare"),
        group("Cover the others and save", "#b58b2a", "redact", "save", short=True),
    ]
    return {"nodes": nodes, "groups": groups}


def verify_graph() -> dict:
    about, model_note = notes(_VERIFY + LIMITS).values()
    nodes = {
        "about": about | {"pos": [680, 1080], "width": 640, "height": 130},
        "model_note": model_note | {"pos": [1350, 1080], "width": 360, "height": 130},
        "photo": sample([0, 80], "Before"),
        "model": loader([0, "photo"]),
        "seed": seed([0, "model"]),
        "detect": detect([340, 80], "photo", thorough=True),
        "crop": crop([340, "detect"], "photo", "detect"),
        **paint_and_paste("photo", 680, verify=OFF),  # Verify Faces does
        "verify": {
            "type": "FaceAnonVerifyFaces",
            "pos": [1360, 80],
            "width": 310,
            "height": 880,
            "inputs": {"before": ("photo", 0), "after": ("paste", 0), "faces": ("crop", 1), "report": ("paste", 2)},
        },
        "redact": cover([1748, 80], ("paste", 0), ("verify", 2), ("verify", 3), title=NOT_PASSED_TITLE, width=320),
        "save": {
            **save_image([1748, 425], ("redact", 0), ("redact", 2), "anonymized"),
            **{"title": "After", "width": 320, "height": LAST},
        },
        "compare": compare([1020, "paste"], ("photo", 0), ("redact", 0), width=270),
    }
    groups = [
        group("Photo and model", "#3f789e", "photo", "model", "seed"),
        group("Faces", "#8A8", "detect", "crop"),
        group("Paint", "#A88", "paint", "paste", "compare", short=True),
        group("Verify", "#88A", "verify", short=True),
        group("Cover what did not pass, and save", "#b58b2a", "redact", "save", short=True),
    ]
    return {"nodes": nodes, "groups": groups}


def redact_photo_graph() -> dict:
    nodes = {
        "about": note(_REDACT + LIMITS + " " + CLEAN, [0, -240], 700, 170),
        **cover_photo(),
        "compare": compare([1450, 80], ("photo", 0), ("redact", 0), height=500),
    }
    group_of_all = group("Cover every face", "#b58b2a", "photo", "detect", "redact", "save", "compare")
    return {"nodes": nodes, "groups": [group_of_all]}


_VARIATIONS = """## One face over degrees and seeds
A row a **degree**, a column a **seed**, and below each what two recognisers say of it: how much of a person a degree
leaves, as in Figures 4 and 5 of the paper. The sheet shows the original: do not publish it without that person's
consent.

"""


def variations_graph() -> dict:
    nodes = {
        **notes(_VARIATIONS + LIMITS),
        "photo": sample([0, 80], "Photo", "portrait"),
        "model": loader([0, "photo"]),
        "detect": detect([340, 80], "photo", max_faces=1, thorough=True),
        "crop": crop([340, "detect"], "photo", "detect"),
        "vary": {
            "type": "FaceAnonVariations",
            "pos": [680, 80],
            "width": 270,
            "height": 480,
            "inputs": {"crops": ("crop", 0), "faces": ("crop", 1), **WHOLE},
            "widgets": {"control_after_generate": "fixed"},
        },
        "save": save_image([1020, 80], ("vary", 0), None, "variations") | {"height": 750},
    }
    groups = [
        group("Photo and model", "#3f789e", "photo", "model"),
        group("One face", "#8A8", "detect", "crop"),
        group("Degrees and seeds", "#A88", "vary", "save"),
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
