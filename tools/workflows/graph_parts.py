"""What the shipped graphs are made of, as tools/workflows/make.py builds them in ComfyUI's page.

A graph is {"nodes": name -> node, "groups": [...]}; a node says its type, place, widgets and inputs as (name of another
node, number of its output). A place is [x, y], or [x, name of the node that it stands below].

Nodes have the height here that they have after a run, with their pictures and texts: one that grows hides what lies
below it (tests/host/test_after_a_run.py).
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
LAST = 410  # height of a node that saves, where the page's map of the graph stands below it
COMPARE = "FaceAnonBeforeAfter"  # ComfyUI's own Compare Images shows nothing but in its new way to draw nodes


def note(text: str, pos, width: int, height: int) -> dict:
    return {"type": "MarkdownNote", "pos": pos, "width": width, "height": height, "widgets": {"text": text}}


def notes(text: str, *settings: str, x: float = 0, y: float | str = -220, width: int = 0, height: int = 150) -> dict:
    """What a graph does, and how to go on from the sample and the demo model to one's own picture and real weights.

    Args:
        text: what it does.
        settings: what else is to be set for the real weights.
        x: where the notes begin.
        y: where they begin, or the name of the node below which they stand.
        width: of both in a column; 0 for one beside the other.
        height: of the first one.
    """
    go_on = GO_ON + (f", and set {', '.join(settings)}" if settings else "") + "."
    if width:
        return {"about": note(text, [x, y], width, height), "model_note": note(go_on, [x, "about"], width, 170)}
    return {"about": note(text, [x, y], 760, height), "model_note": note(go_on, [x + 790, y], 500, height)}


def loader(pos) -> dict:
    return {"type": "FaceAnonLoadModel", "pos": pos, "width": 270, "height": 390, "widgets": {"model": MODEL}}


def group(title: str, color: str, *nodes: str, short: bool = False) -> dict:
    """A frame around nodes.

    Args:
        title: of it.
        color: of it.
        nodes: their names.
        short: it ends below its own nodes, and not as deep as all others.
    """
    return {"title": title, "color": color, "nodes": nodes, "short": short}


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
            **{"type": "VAEDecode", "pos": [x, "sampler"], "width": 270},
            "inputs": {"samples": ("sampler", 0), "vae": ("model", 4)},
        },
    }


def ksampler(x: int, states: str) -> dict:
    return {
        "apply": {"type": "FaceAnonApply", "pos": [x, 80], "width": 270, "inputs": applied(states)},
        "sampler": {
            "type": "KSampler",
            "pos": [x, "apply"],
            "width": 270,
            "height": 400,
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
            **{"type": "VAEDecode", "pos": [x, "sampler"], "width": 270},
            "inputs": {"samples": ("sampler", 0), "vae": ("model", 4)},
        },
    }


def sample(pos, title: str, picture: str = "group", height: int = 300) -> dict:
    """A picture that the pack brings; the node shows it after a run."""
    return {
        **{"type": PICTURE, "title": title, "pos": pos, "width": 270, "height": height},
        "widgets": {"picture": picture},
    }


def detect(pos, image: str, **widgets) -> dict:
    return {
        "type": "FaceAnonDetectFaces",
        "pos": pos,
        "width": 270,
        "height": 440,
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
    return {"type": "FaceAnonRedactFaces", "pos": pos, "width": 270, "height": 290, "inputs": inputs, **more}


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


def paste_and_save(x: int, y: int, prefix: str, action: str = "anonymized") -> dict:
    """Paste Faces, below VAE Decode, "decode"; a column behind it the node that saves; before it the one that compares.

    Args:
        x: where the column of the node that saves begins.
        y: where the node that compares begins.
        prefix: of the files' names.
        action: of Paste Faces.
    """
    return {
        "paste": {
            **paste([x - 340, "decode"], "photo", ("decode", 0), ("crop", 1), AUTO),
            **{"widgets": {"action": action, "verify": AUTO}},
        },
        "save": save_image([x, 80], ("paste", 0), ("paste", 2), prefix) | {"height": LAST},
        "compare": compare([x - 680, y], ("photo", 0), ("paste", 0), width=270),
    }


def paste(pos, image: str, crops: tuple, faces: tuple, verify: str) -> dict:
    inputs = {"image": (image, 0), "crops": crops, "faces": faces, "seed": ("seed", 0)}
    widgets = {"verify": verify}
    return {"type": "FaceAnonPasteFaces", "pos": pos, "width": 270, "height": 500, "inputs": inputs, "widgets": widgets}


def paint_and_paste(image: str, x: int, verify: str = AUTO, y: float | str = 80) -> dict:
    """The crops of node "crop" painted in one node and pasted back into output 0 of node `image`.

    Args:
        image: name of the node that gives the picture.
        x: where the two columns begin.
        verify: of Paste Faces.
        y: where the first one begins, or the name of the node above.
    """
    return {
        "paint": {
            "type": "FaceAnonAnonymizeCrops",
            "pos": [x, y],
            "width": 270,
            "height": 880,
            "inputs": {**WHOLE, "crops": ("crop", 0), "faces": ("crop", 1), "seed": ("seed", 0)},
            "widgets": {"steps": OWN_STEPS, "guidance_scale": OWN_GUIDANCE, "verify": AUTO},
        },
        "paste": paste([x + 340, 80], image, ("paint", 0), ("paint", 1), verify),
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
