"""What the shipped graphs are made of, as tools/workflows/make.py builds them in ComfyUI's page.

A graph is {"nodes": name -> node, "groups": [...]}; a node says its type, place, widgets and inputs as (name of another
node, number of its output).
"""

from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.recognition.settings import AUTO

# The shipped graphs run as they stand, so they name the model that ships with the pack, with what it says of itself.
MODEL = checkpoint.DEMO
OWN = checkpoint.read_settings(checkpoint.PACK_MODELS / MODEL)
EXAMPLE = "example.png"  # stands in the input folder of every ComfyUI
EXAMPLE_VIDEO = "example.mp4"  # the user chooses one
SOURCE_TITLE = "Source: whose face"
ALIGNED_TITLE = "Aligned face"

LIMITS = """This lowers the chance that somebody is recognised; it is no guarantee. Look at the detector's preview: a
face without a box stays as it is. Body, clothes, text and voice are not touched."""
CLEAN = """The file is saved without the prompt, the workflow and the source's metadata, which name the original."""

# What to set for the published weights.
_PUBLISHED = checkpoint.ModelSettings()
CROP_SIZE = f"the size of *Crop Faces* to {_PUBLISHED.resolution}"
IMAGE_SIZE = f"width and height of *Upscale Image* to {_PUBLISHED.resolution}"
STEPS = f"steps to {_PUBLISHED.steps}"
GUIDANCE = f"guidance_scale to {_PUBLISHED.guidance_scale:g}"
CFG = f"cfg to {_PUBLISHED.guidance_scale:g}"

LOADED = ("model", "source_reference_net", "driving_reference_net", "clip_vision", "vae")


def note(text: str, pos, width: int, height: int) -> dict:
    return {"type": "MarkdownNote", "pos": pos, "width": width, "height": height, "widgets": {"text": text}}


def notes(text: str, *settings: str) -> dict:
    """What a graph does, and how to go on from the demo model to the published weights with these settings of it."""
    model = f"""### The model
*{MODEL}* ships with the pack, so that this runs as it is. It is a demonstration: **it paints synthetic faces of
nobody**. For real photos:
1. `python scripts/get_models.py`, run in the pack's folder, downloads 12 GB into `models/face_anon/face-anon-simple`;
it asks first. No node ever downloads anything.
2. Press R, choose *face-anon-simple* in the loader, and set {", ".join(settings)}.
"""
    return {"about": note(text, [0, -260], 700, 220), "model_note": note(model, [740, -260], 480, 220)}


def loader(pos) -> dict:
    # the height has room for what it says of the model
    return {"type": "FaceAnonLoadModel", "pos": pos, "width": 345, "height": 340, "widgets": {"model": MODEL}}


def group(title: str, color: str, bounding) -> dict:
    return {"title": title, "color": color, "bounding": bounding}


def references(x: int, source: tuple, driving: tuple, degree: bool) -> dict:
    """Embeddings, latents and states of a source and a driving batch of crops, from column x on."""
    same = source == driving
    nodes = {
        "encode_source": {
            "type": "FaceAnonEncodeImage",
            "title": "Encode source",
            "pos": [x, 80],
            "inputs": {"clip_vision": ("model", 3), "image": source, **({"degree": ("degree", 0)} if degree else {})},
        },
        "encode_driving": {
            "type": "FaceAnonEncodeImage",
            "title": "Encode driving",
            "pos": [x, 260],
            "inputs": {"clip_vision": ("model", 3), "image": driving},
        },
        "latent": {"type": "VAEEncode", "pos": [x, 440], "inputs": {"pixels": driving, "vae": ("model", 4)}},
        "source": {
            "type": "FaceAnonSourceReference",
            "pos": [x + 320, 80],
            "width": 330,
            "inputs": {
                "reference_net": ("model", 1),
                "latent": ("latent" if same else "source_latent", 0),
                "embeds": ("encode_source", 0),
            },
        },
        "driving": {
            "type": "FaceAnonDrivingReference",
            "pos": [x + 320, 440],
            "width": 330,
            "inputs": {"reference_net": ("model", 2), "latent": ("latent", 0), "embeds": ("encode_driving", 0)},
        },
    }
    if not same:
        nodes["source_latent"] = {
            "type": "VAEEncode",
            "title": "VAE Encode source",
            "pos": [x, 560],
            "inputs": {"pixels": source, "vae": ("model", 4)},
        }
    if degree:
        nodes["interpolate"] = {
            "type": "FaceAnonInterpolateStates",
            "pos": [x + 320, 260],
            "width": 330,
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
            "width": 320,
            "height": 480,
            "inputs": {**applied(states), "seed": ("seed", 0)},
            "widgets": {"steps": OWN.steps, "guidance_scale": OWN.guidance_scale},
        },
        "decode": {"type": "VAEDecode", "pos": [x, 620], "inputs": {"samples": ("sampler", 0), "vae": ("model", 4)}},
    }


def ksampler(x: int, states: str) -> dict:
    return {
        "apply": {"type": "FaceAnonApply", "pos": [x, 80], "width": 320, "inputs": applied(states)},
        "sampler": {
            "type": "KSampler",
            "pos": [x, 260],
            "width": 320,
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
        "decode": {"type": "VAEDecode", "pos": [x, 790], "inputs": {"samples": ("sampler", 0), "vae": ("model", 4)}},
    }


def load_image(pos, title: str) -> dict:
    return {
        "type": "LoadImage",
        "title": title,
        "pos": pos,
        "width": 300,
        "height": 340,
        "widgets": {"image": EXAMPLE},
    }


def detect(pos, image: str, **widgets) -> dict:
    return {
        "type": "FaceAnonDetectFaces",
        "pos": pos,
        "width": 320,
        "height": 420,
        "inputs": {"image": (image, 0)},
        "widgets": widgets,
    }


def crop(pos, image: str, faces: str) -> dict:
    return {
        "type": "FaceAnonCropFaces",
        "pos": pos,
        "inputs": {"image": (image, 0), "faces": (faces, 0)},
        "widgets": {"size": OWN.resolution},
    }


def degree(pos) -> dict:
    return {
        "type": "PrimitiveFloat",
        "title": "degree",
        "pos": pos,
        "width": 250,
        "properties": {"min": 0, "max": 2, "step": 0.05, "precision": 2},
        "widgets": {"value": 1.25},
    }


def seed(pos) -> dict:
    return {
        "type": "PrimitiveInt",
        "title": "seed",
        "pos": pos,
        "width": 250,
        "widgets": {"value": 0},
    }


def save_image(pos, image: tuple, report: tuple | None, prefix: str, painted: bool = True) -> dict:
    return {
        "type": "FaceAnonSaveImage",
        "pos": pos,
        "width": 420,
        "height": 520,
        "inputs": {"images": image, **({"report": report} if report else {})},
        "widgets": {"filename_prefix": prefix, "mark_as_ai": painted},
    }


def paste_and_save(x: int, prefix: str, action: str = "anonymized") -> dict:
    return {
        "paste": {
            "type": "FaceAnonPasteFaces",
            "pos": [x, 80],
            "width": 320,
            "inputs": {"image": ("photo", 0), "crops": ("decode", 0), "faces": ("crop", 1), "seed": ("seed", 0)},
            "widgets": {"action": action, "verify": AUTO},
        },
        "save": save_image([x + 350, 80], ("paste", 0), ("paste", 2), prefix),
    }


def connected() -> dict:
    """The five outputs of the loader, for nodes that run the whole method."""
    return {name: ("model", i) for i, name in enumerate(LOADED)}


def paint_and_paste(image: str, verify: str = AUTO) -> dict:
    """The crops of node "crop" painted in one node and pasted back into output 0 of node `image`."""
    return {
        "paint": {
            "type": "FaceAnonAnonymizeCrops",
            "pos": [770, 230],
            "width": 330,
            "inputs": {**connected(), "crops": ("crop", 0), "faces": ("crop", 1), "seed": ("seed", 0)},
            "widgets": {"guidance_scale": OWN.guidance_scale, "verify": AUTO},
        },
        "paste": {
            "type": "FaceAnonPasteFaces",
            "pos": [1140, 80],
            "width": 320,
            "inputs": {"image": (image, 0), "crops": ("paint", 0), "faces": ("paint", 1), "seed": ("seed", 0)},
            "widgets": {"verify": verify},
        },
    }
