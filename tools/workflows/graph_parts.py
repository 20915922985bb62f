"""What the shipped graphs are made of, as tools/workflows/make.py builds them in ComfyUI's page.

A graph is {"nodes": name -> node, "groups": [...]}; a node says its type, place, widgets and inputs as (name of another
node, number of its output).
"""

from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.own import OWN_GUIDANCE, OWN_SIZE, OWN_STEPS
from face_anonymizer.modules.recognition.settings import AUTO

# The shipped graphs run as they stand, so they name the model that ships with the pack, with what it says of itself.
MODEL = checkpoint.DEMO
OWN = checkpoint.read_settings(checkpoint.PACK_MODELS / MODEL)
EXAMPLE = "example.png"  # stands in the input folder of every ComfyUI: what prompts for servers load
EXAMPLE_VIDEO = "example.mp4"
SAMPLE_FILE = "face_anonymizer_sample.jpg"  # which the page puts there for the apps (web/js/opening.js)
SOURCE_TITLE = "Source: whose face"
ALIGNED_TITLE = "Aligned face"
NOT_PASSED_TITLE = "Cover what did not pass"

LIMITS = """This lowers the chance that somebody is recognised; it is no guarantee. Look at the detector's preview: a
face without a box stays as it is. Body, clothes, text and voice are not touched."""
CLEAN = """The file is saved without the prompt, the workflow and the source's metadata, which name the original."""

GO_ON = f"""### Your own photo, the real model
Put *Load Image* (or *Load Video*) in place of the sample. *{MODEL}* ships with the pack and **paints synthetic faces of
nobody**. For real photos run `python scripts/get_models.py` in the pack's folder (12 GB into `models/face_anon`; it
asks first), press R, and choose *face-anon-simple* as model"""

# What to set for the published weights, where a node of ComfyUI cannot ask the model.
_PUBLISHED = checkpoint.ModelSettings()
IMAGE_SIZE = f"width and height of *Upscale Image* to {_PUBLISHED.resolution}"
CFG = f"cfg to {_PUBLISHED.guidance_scale:g}"

WHOLE = {"face_anon_model": ("model", 5)}
PICTURE, VIDEO = "FaceAnonSamplePicture", "FaceAnonSampleVideo"
COMPARE = "FaceAnonBeforeAfter"  # ComfyUI's own Compare Images shows nothing but in its new way to draw nodes


def note(text: str, pos, width: int, height: int) -> dict:
    return {"type": "MarkdownNote", "pos": pos, "width": width, "height": height, "widgets": {"text": text}}


def notes_below(x: int, y: int, text: str, *settings: str) -> dict:
    """The same below the nodes of the two columns that begin at x."""
    both = notes(text, *settings)
    return {
        "about": both["about"] | {"pos": [x, y], "width": 610, "height": 270},
        "model_note": both["model_note"] | {"pos": [x, y + 290], "width": 610, "height": 230},
    }


def notes(text: str, *settings: str) -> dict:
    """What a graph does, and how to go on from the sample and the demo model to one's own picture and real weights."""
    more = f", and set {', '.join(settings)}" if settings else ""
    return {"about": note(text, [0, -220], 760, 200), "model_note": note(GO_ON + more + ".", [790, -220], 500, 200)}


def loader(pos) -> dict:
    # the height has room for what it says of the model
    return {"type": "FaceAnonLoadModel", "pos": pos, "width": 270, "height": 310, "widgets": {"model": MODEL}}


def group(title: str, color: str, bounding) -> dict:
    return {"title": title, "color": color, "bounding": bounding}


def references(x: int, source: tuple, driving: tuple, degree: bool) -> dict:
    """Embeddings, latents and states of a source and a driving batch of crops, in two columns from x on."""
    same = source == driving
    nodes = {
        "encode_source": {
            "type": "FaceAnonEncodeImage",
            "title": "Encode source",
            "pos": [x, 80],
            "width": 270,
            "inputs": {"clip_vision": ("model", 3), "image": source, **({"degree": ("degree", 0)} if degree else {})},
        },
        "encode_driving": {
            "type": "FaceAnonEncodeImage",
            "title": "Encode driving",
            "pos": [x, 240],
            "width": 270,
            "inputs": {"clip_vision": ("model", 3), "image": driving},
        },
        "latent": {
            **{"type": "VAEEncode", "pos": [x, 400], "width": 270},
            "inputs": {"pixels": driving, "vae": ("model", 4)},
        },
        "source": {
            "type": "FaceAnonSourceReference",
            "pos": [x + 340, 80],
            "width": 270,
            "inputs": {
                "reference_net": ("model", 1),
                "latent": ("latent" if same else "source_latent", 0),
                "embeds": ("encode_source", 0),
            },
        },
        "driving": {
            "type": "FaceAnonDrivingReference",
            "pos": [x + 340, 400],
            "width": 270,
            "inputs": {"reference_net": ("model", 2), "latent": ("latent", 0), "embeds": ("encode_driving", 0)},
        },
    }
    if not same:
        nodes["source_latent"] = {
            "type": "VAEEncode",
            "title": "VAE Encode source",
            "pos": [x, 500],
            "width": 270,
            "inputs": {"pixels": source, "vae": ("model", 4)},
        }
    if degree:
        nodes["interpolate"] = {
            "type": "FaceAnonInterpolateStates",
            "pos": [x + 340, 240],
            "width": 270,
            "inputs": {"source_states": ("source", 0), "degree": ("degree", 0)},
        }
    return nodes


def applied(states: str) -> dict:
    return {
        "model": ("model", 0),
        "source_states": (states, 0),
        "driving_states": ("driving", 0),
        "source_embeds": ("encode_source", 0),
        "driving_embeds": ("encode_driving", 0),
    }


def ddpm(x: int, states: str) -> dict:
    return {
        "sampler": {
            "type": "FaceAnonDDPMSampler",
            "pos": [x, 80],
            "width": 270,
            "height": 440,
            "inputs": {**applied(states), "seed": ("seed", 0)},
            "widgets": {"steps": OWN_STEPS, "guidance_scale": OWN_GUIDANCE},
        },
        "decode": {
            **{"type": "VAEDecode", "pos": [x, 560], "width": 270},
            "inputs": {"samples": ("sampler", 0), "vae": ("model", 4)},
        },
    }


def ksampler(x: int, states: str) -> dict:
    return {
        "apply": {"type": "FaceAnonApply", "pos": [x, 80], "width": 270, "inputs": applied(states)},
        "sampler": {
            "type": "KSampler",
            "pos": [x, 250],
            "width": 270,
            "height": 480,
            "inputs": {
                "model": ("apply", 0),
                "positive": ("apply", 1),
                "negative": ("apply", 2),
                "latent_image": ("apply", 3),
                "seed": ("seed", 0),
            },
            "widgets": {
                "steps": 25,
                "cfg": OWN.guidance_scale,
                "sampler_name": "dpmpp_2m",
                "scheduler": "karras",
            },
        },
        "decode": {
            **{"type": "VAEDecode", "pos": [x, 770], "width": 270},
            "inputs": {"samples": ("sampler", 0), "vae": ("model", 4)},
        },
    }


def sample(pos, title: str, picture: str = "group", height: int = 300) -> dict:
    """A picture that the pack brings; the node shows it after a run."""
    return {
        **{"type": PICTURE, "title": title, "pos": pos, "width": 270, "height": height},
        "widgets": {"picture": picture},
    }


def detect(pos, image: str, height: int = 420, **widgets) -> dict:
    return {
        "type": "FaceAnonDetectFaces",
        "pos": pos,
        "width": 270,
        "height": height,
        "inputs": {"image": (image, 0)},
        "widgets": widgets,
    }


def crop(pos, image: str, faces: str) -> dict:
    return {
        "type": "FaceAnonCropFaces",
        "pos": pos,
        "width": 270,
        "inputs": {"image": (image, 0), "faces": (faces, 0), **WHOLE},
        "widgets": {"size": OWN_SIZE},
    }


def cover(pos, picture: tuple, faces: tuple, report: tuple | None = None, **more) -> dict:
    """Redact Faces; report: of an earlier step; more: what the node has besides, a title or another width."""
    inputs = {"image": picture, "faces": faces, **({"report": report} if report else {})}
    return {"type": "FaceAnonRedactFaces", "pos": pos, "width": 270, "inputs": inputs, **more}


def cover_photo() -> dict:
    """All nodes of a photo whose faces are covered: the sample, and what finds, covers and saves."""
    return {
        "photo": sample([0, 80], "Photo"),
        "detect": detect([340, 80], "photo", thorough=True),
        "redact": cover([680, 80], ("photo", 0), ("detect", 0)),
        "save": save_image([1020, 80], ("redact", 0), ("redact", 2), "redacted"),
    }


def degree(pos) -> dict:
    return {
        "type": "PrimitiveFloat",
        "title": "degree",
        "pos": pos,
        "width": 270,
        "properties": {"min": 0, "max": 2, "step": 0.05, "precision": 2},
        "widgets": {"value": 1.25},
    }


def seed(pos) -> dict:
    return {
        "type": "PrimitiveInt",
        "title": "seed",
        "pos": pos,
        "width": 270,
        "widgets": {"value": 0},
    }


def save_image(pos, image: tuple, report: tuple | None, prefix: str) -> dict:
    return {
        "type": "FaceAnonSaveImage",
        "pos": pos,
        "width": 360,
        "height": 500,
        "inputs": {"images": image, **({"report": report} if report else {})},
        "widgets": {"filename_prefix": prefix},
    }


def save_video(pos, video: tuple, report: tuple, prefix: str) -> dict:
    return {
        "type": "FaceAnonSaveVideo",
        "pos": pos,
        "width": 360,
        "height": 480,
        "inputs": {"video": video, "report": report},
        "widgets": {"filename_prefix": prefix},
    }


def compare(pos, before: tuple, after: tuple, **more) -> dict:
    """Before and After of two pictures; more: another width or height."""
    inputs = {"before": before, "after": after}
    return {
        "type": COMPARE,
        "title": "Before and after",
        "pos": pos,
        "width": 360,
        "height": 330,
        "inputs": inputs,
    } | more


def paste_and_save(x: int, prefix: str, painted: dict, action: str = "anonymized") -> dict:
    """Paste Faces, and below it the node that saves; one that compares, below those that paint.

    Paste Faces grows by its report when it has run, and a node that saves by its pictures: between two of them in one
    column there would be no room for a third.

    Args:
        x: where the column begins.
        prefix: of the files' names.
        painted: the nodes that paint, with VAE Decode, "decode", as the last of their column.
        action: of Paste Faces.
    """
    left, top = painted["decode"]["pos"]
    top += 110
    return {
        "paste": {
            "type": "FaceAnonPasteFaces",
            "pos": [x, 80],
            "width": 360,
            "inputs": {"image": ("photo", 0), "crops": ("decode", 0), "faces": ("crop", 1), "seed": ("seed", 0)},
            "widgets": {"action": action, "verify": AUTO},
        },
        "save": save_image([x, 620], ("paste", 0), ("paste", 2), prefix) | {"height": 520},
        "compare": compare([left, top], ("photo", 0), ("paste", 0), width=270, height=1140 - top),
    }


def paint_and_paste(image: str, x: int, verify: str = AUTO, top: int = 260) -> dict:
    """The crops of node "crop" painted in one node and pasted back into output 0 of node `image`.

    Args:
        image: name of the node that gives the picture.
        x: where the two columns begin.
        verify: of Paste Faces.
        top: where the first one begins.
    """
    return {
        "paint": {
            "type": "FaceAnonAnonymizeCrops",
            "pos": [x, top],
            "width": 270,
            "inputs": {**WHOLE, "crops": ("crop", 0), "faces": ("crop", 1), "seed": ("seed", 0)},
            "widgets": {"steps": OWN_STEPS, "guidance_scale": OWN_GUIDANCE, "verify": AUTO},
        },
        "paste": {
            "type": "FaceAnonPasteFaces",
            "pos": [x + 340, 80],
            "width": 270,
            "inputs": {"image": (image, 0), "crops": ("paint", 0), "faces": ("paint", 1), "seed": ("seed", 0)},
            "widgets": {"verify": verify},
        },
    }


def for_servers(prompt: dict) -> dict:
    """The prompt of a graph, with a file in place of each sample: the user's photo, or a video.

    Without what only shows something in the page.
    """
    loads = {PICTURE: ("LoadImage", {"image": EXAMPLE}), VIDEO: ("LoadVideo", {"file": EXAMPLE_VIDEO})}

    def loaded(node: dict) -> dict:
        if node["class_type"] not in loads:
            return node
        kind, inputs = loads[node["class_type"]]
        return node | {"class_type": kind, "inputs": dict(inputs)}

    return {number: loaded(node) for number, node in prompt.items() if node["class_type"] != COMPARE}
