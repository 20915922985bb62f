"""The shipped graphs for photos, and the list of all."""

from face_anonymizer.modules.recognition.settings import OFF
from face_anonymizer.tools.workflows.graph_parts import (
    ALIGNED_TITLE,
    CFG,
    CLEAN,
    CROP_SIZE,
    GUIDANCE,
    IMAGE_SIZE,
    LIMITS,
    OWN,
    SOURCE_TITLE,
    STEPS,
    crop,
    ddpm,
    degree,
    detect,
    group,
    ksampler,
    load_image,
    loader,
    note,
    notes,
    paint_and_paste,
    paste_and_save,
    references,
    save_image,
    seed,
)
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
    return {
        "nodes": {
            **notes(text, *settings),
            "photo": load_image([0, 80], "Photo"),
            "model": loader([0, 470]),
            "degree": degree([0, 860]),
            "seed": seed([0, 960]),
            "detect": detect([400, 80], "photo", thorough=True),
            "crop": crop([400, 560], "photo", "detect"),
            **references(770, ("crop", 0), ("crop", 0), degree=True),
            **sampler(1460, "interpolate"),
            **paste_and_save(1830, prefix),
        },
        "groups": [
            group("Photo and model", "#3f789e", [-20, -10, 390, 1070]),
            group("Faces", "#8A8", [390, -10, 350, 1070]),
            group("Read source and driving face (the same one)", "#88A", [760, -10, 660, 1070]),
            group("Paint", "#A88", [1450, -10, 340, 1070]),
            group("Paste back and save", "#b58b2a", [1820, -10, 800, 1070]),
        ],
    }


def aligned_graph() -> dict:
    nodes = {
        **notes(
            "## Anonymize one aligned face\nThe paper's first example: a portrait that is a face crop already, such "
            "as "
            "FFHQ or CelebA-HQ. It is brought to the model's size, and all of it is painted anew.\n\nFor photos take "
            "*anonymize_photo*.\n\n" + LIMITS,
            IMAGE_SIZE,
            STEPS,
            GUIDANCE,
        ),
        "photo": load_image([0, 80], ALIGNED_TITLE),
        "model": loader([0, 470]),
        "degree": degree([0, 860]),
        "seed": seed([0, 960]),
        "scale": {
            "type": "ImageScale",
            "pos": [400, 80],
            "inputs": {"image": ("photo", 0)},
            "widgets": {
                **{"upscale_method": "lanczos", "width": OWN.resolution, "height": OWN.resolution, "crop": "center"}
            },
        },
        **references(740, ("scale", 0), ("scale", 0), degree=True),
        **ddpm(1430, "interpolate"),
        "save": save_image([1800, 80], ("decode", 0), None, "anonymized_face"),
    }
    groups = [
        group("Face and model", "#3f789e", [-20, -10, 720, 1070]),
        group("Read source and driving face (the same one)", "#88A", [730, -10, 660, 1070]),
        group("Paint", "#A88", [1420, -10, 340, 1070]),
        group("Save", "#b58b2a", [1790, -10, 450, 1070]),
    ]
    return {"nodes": nodes, "groups": groups}


def swap_graph() -> dict:
    nodes = {
        **notes(
            "## Put one person's face on every face of a photo\nDegree 0 and another source: the source gives the "
            "identity, the photo gives expression, pose, gaze, light and background. One source serves all faces.\n\n"
            "Only with the consent of the people in both pictures; tell viewers that the picture is made.",
            f"{CROP_SIZE} (both)",
            STEPS,
            GUIDANCE,
        ),
        "photo": load_image([0, 80], "Photo whose faces change"),
        "source_photo": load_image([0, 470], SOURCE_TITLE),
        "model": loader([0, 860]),
        "seed": seed([0, 1250]),
        "detect": detect([400, 80], "photo", thorough=True),
        "crop": crop([400, 550], "photo", "detect"),
        "detect_source": detect([400, 690], "source_photo", max_faces=1, thorough=True),
        "crop_source": crop([400, 1160], "source_photo", "detect_source"),
        **references(770, ("crop_source", 0), ("crop", 0), degree=False),
        **ddpm(1460, "source"),
        **paste_and_save(1830, "swapped", "swapped"),
    }
    groups = [
        group("Pictures and model", "#3f789e", [-20, -10, 390, 1360]),
        group("Faces", "#8A8", [390, -10, 350, 1360]),
        group("Read source and driving face", "#88A", [760, -10, 660, 1070]),
        group("Paint", "#A88", [1450, -10, 340, 1070]),
        group("Paste back and save", "#b58b2a", [1820, -10, 800, 1070]),
    ]
    return {"nodes": nodes, "groups": groups}


def chosen_graph() -> dict:
    nodes = {
        **notes(_CHOSEN + LIMITS, CROP_SIZE, GUIDANCE),
        "photo": load_image([0, 80], "Photo"),
        "model": loader([0, 470]),
        "seed": seed([0, 860]),
        "detect": detect([400, 80], "photo", thorough=True),
        "select": {
            "type": "FaceAnonSelectFaces",
            "pos": [400, 560],
            "width": 320,
            "inputs": {"faces": ("detect", 0)},
            "widgets": {"largest": 1},
        },
        "crop": crop([770, 80], "photo", "select"),
        **paint_and_paste("photo"),
        "redact": {
            "type": "FaceAnonRedactFaces",
            "pos": [1500, 80],
            "width": 320,
            "inputs": {"image": ("paste", 0), "faces": ("select", 1), "report": ("paste", 2)},
        },
        "save": save_image([1860, 80], ("redact", 0), ("redact", 2), "anonymized"),
    }
    groups = [
        group("Photo and model", "#3f789e", [-20, -10, 390, 1070]),
        group("Faces: found and chosen", "#8A8", [390, -10, 350, 1070]),
        group("Paint the chosen one", "#A88", [760, -10, 710, 1070]),
        group("Cover the others and save", "#b58b2a", [1490, -10, 800, 1070]),
    ]
    return {"nodes": nodes, "groups": groups}


def verify_graph() -> dict:
    nodes = {
        **notes(_VERIFY + LIMITS, CROP_SIZE, GUIDANCE),
        "photo": load_image([0, 80], "Before"),
        "model": loader([0, 470]),
        "seed": seed([0, 860]),
        "detect": detect([400, 80], "photo", thorough=True),
        "crop": crop([770, 80], "photo", "detect"),
        **paint_and_paste("photo", verify=OFF),  # Verify Faces does
        "verify": {
            "type": "FaceAnonVerifyFaces",
            "pos": [1500, 80],
            "width": 520,
            "height": 760,
            "inputs": {"before": ("photo", 0), "after": ("paste", 0), "faces": ("crop", 1), "report": ("paste", 2)},
        },
        "redact": {
            "type": "FaceAnonRedactFaces",
            "title": "Cover what did not pass",
            "pos": [2060, 80],
            "width": 320,
            "inputs": {"image": ("paste", 0), "faces": ("verify", 2), "report": ("verify", 3)},
        },
        "save": {**save_image([2420, 80], ("redact", 0), ("redact", 2), "anonymized"), "title": "After"},
    }
    groups = [
        group("Photo and model", "#3f789e", [-20, -10, 390, 1070]),
        group("Faces", "#8A8", [390, -10, 350, 1070]),
        group("Paint", "#A88", [760, -10, 710, 1070]),
        group("Verify", "#88A", [1490, -10, 550, 1070]),
        group("Cover what did not pass, and save", "#b58b2a", [2050, -10, 800, 1070]),
    ]
    return {"nodes": nodes, "groups": groups}


def redact_photo_graph() -> dict:
    nodes = {
        "about": note(
            _REDACT + LIMITS + " " + CLEAN,
            [0, -240],
            700,
            200,
        ),
        "photo": load_image([0, 80], "Photo"),
        "detect": detect([340, 80], "photo", thorough=True),
        "redact": {
            "type": "FaceAnonRedactFaces",
            "pos": [700, 80],
            "width": 320,
            "inputs": {"image": ("photo", 0), "faces": ("detect", 0)},
        },
        "save": save_image([1060, 80], ("redact", 0), ("redact", 2), "redacted", painted=False),
    }
    return {"nodes": nodes, "groups": [group("Cover every face", "#b58b2a", [-20, -10, 1520, 680])]}


GRAPHS = {
    "anonymize_aligned_face": aligned_graph(),
    "anonymize_photo": photo_graph(
        ddpm,
        "## Anonymize every face of a photo\nFaces are found, cropped, painted as strangers with the same "
        "expression, "
        "pose, gaze and light, and pasted back at full resolution. **degree** 1.25 anonymizes; less keeps more of "
        "the "
        "person. The paper's sampler.\n\n" + LIMITS,
        "anonymized",
        (CROP_SIZE, STEPS, GUIDANCE),
    ),
    "anonymize_with_ksampler": photo_graph(
        ksampler,
        "## Anonymize every face of a photo, with ComfyUI's own KSampler\nAs *anonymize_photo*, with a fast "
        "sampler: 25 steps do where the paper's takes 200. *Apply* gives MODEL, conditionings and an empty latent for "
        "any sampler node.\n\n" + LIMITS,
        "anonymized",
        (CROP_SIZE, CFG),
    ),
    "anonymize_and_verify": verify_graph(),
    "anonymize_chosen_faces": chosen_graph(),
    "anonymize_video": video_graph(),
    "anonymize_long_video": long_video_graph(),
    "redact_photo": redact_photo_graph(),
    "redact_video": redact_video_graph(),
    "swap_faces": swap_graph(),
}
