"""Make the shipped workflows: build each graph in ComfyUI's real page, save what the page saves, run it, photograph it.

    python scripts/with_env.py scripts/make_workflows.py [NAME ...] [--model FOLDER]

Writes workflows/NAME.json (as the page saves it), workflows/api/NAME.json (as the page exports it for servers) and
workflows/NAME.jpg (before and after, of a run with the tiny random model or with --model). For developers: it needs a
Chromium and the tests' requirements, as the browser tests do.
"""

import argparse
import json
import sys
from pathlib import Path

from comfy_server import Server
from host import PACK
from PIL import Image

sys.path.insert(0, str(PACK / "tests" / "host"))
from frontend import Frontend, open_browser

WORKFLOWS = PACK / "workflows"
PHOTO = PACK / "assets" / "astronaut.jpg"
MODEL = "face-anon-simple"
EXAMPLE = "example.png"  # stands in the input folder of every ComfyUI

BUILD = """(spec) => {
    app.clean(); app.rootGraph.clear();
    const made = {};
    for (const [name, node] of Object.entries(spec.nodes)) {
        const built = LiteGraph.createNode(node.type);
        if (!built) throw new Error("no node " + node.type);
        app.rootGraph.add(built);
        built.pos = node.pos;
        if (node.title) built.title = node.title;
        Object.assign(built.properties, node.properties ?? {});
        for (const [key, value] of Object.entries(node.widgets ?? {})) {
            const named = built.widgets.find((widget) => widget.name === key);
            const widget = named ?? (node.type === "MarkdownNote" && built.widgets[0]);
            if (!widget) throw new Error(node.type + " has no widget " + key);
            widget.value = value;
        }
        built.size = [node.width ?? Math.max(built.size[0], 290), node.height ?? built.computeSize()[1]];
        made[name] = built;
    }
    for (const [name, node] of Object.entries(spec.nodes)) {
        for (const [key, [from, slot]] of Object.entries(node.inputs ?? {})) {
            const input = made[name].inputs.findIndex((input) => input.name === key);
            if (input < 0) throw new Error(node.type + " has no input " + key);
            if (!made[from].connect(slot, made[name], input))
                throw new Error(from + " does not fit " + name + "." + key);
        }
    }
    for (const {title, color, bounding} of spec.groups) {
        const group = new LiteGraph.LGraphGroup(title);
        group.color = color; group.pos = bounding.slice(0, 2); group.size = bounding.slice(2);
        app.rootGraph.add(group);
    }
}"""

MODEL_NOTE = f"""### The model
`python scripts/get_models.py`, run in the pack's folder, downloads 12 GB into
`models/face_anon/{MODEL}`; it asks first. No node ever downloads anything.
"""
LIMITS = """This lowers the chance that somebody is recognised; it is no guarantee. Look at the detector's preview: a
face without a box stays as it is. Body, clothes, text and voice are not touched."""


def note(text: str, pos, width: int, height: int) -> dict:
    return {"type": "MarkdownNote", "pos": pos, "width": width, "height": height, "widgets": {"text": text}}


def loader(pos) -> dict:
    return {"type": "FaceAnonLoadModel", "pos": pos, "width": 345, "widgets": {"model": MODEL}}


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
            "inputs": applied(states),
            "widgets": {"seed": 0, "control_after_generate": "fixed", "steps": 200},
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
            },
            "widgets": {
                "seed": 0,
                "control_after_generate": "fixed",
                "steps": 25,
                "cfg": 4.0,
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
    return {"type": "FaceAnonCropFaces", "pos": pos, "inputs": {"image": (image, 0), "faces": (faces, 0)}}


def degree(pos) -> dict:
    return {
        "type": "PrimitiveFloat",
        "title": "degree",
        "pos": pos,
        "width": 250,
        "properties": {"min": 0, "max": 2, "step": 0.05, "precision": 2},
        "widgets": {"value": 1.25},
    }


def paste_and_save(x: int, prefix: str) -> dict:
    return {
        "paste": {
            "type": "FaceAnonPasteFaces",
            "pos": [x, 80],
            "inputs": {"image": ("photo", 0), "crops": ("decode", 0), "faces": ("crop", 1)},
        },
        "save": {
            "type": "SaveImage",
            "pos": [x, 280],
            "width": 420,
            "height": 460,
            "inputs": {"images": ("paste", 0)},
            "widgets": {"filename_prefix": prefix},
        },
    }


def photo_graph(sampler, text: str, prefix: str) -> dict:
    return {
        "nodes": {
            "about": note(text, [0, -240], 700, 200),
            "model_note": note(MODEL_NOTE, [740, -240], 480, 200),
            "photo": load_image([0, 80], "Photo"),
            "model": loader([0, 470]),
            "degree": degree([0, 760]),
            "detect": detect([400, 80], "photo"),
            "crop": crop([400, 560], "photo", "detect"),
            **references(770, ("crop", 0), ("crop", 0), degree=True),
            **sampler(1460, "interpolate"),
            **paste_and_save(1830, prefix),
        },
        "groups": [
            group("Photo and model", "#3f789e", [-20, -10, 390, 900]),
            group("Faces", "#8A8", [390, -10, 350, 900]),
            group("Read source and driving face (the same one)", "#88A", [760, -10, 660, 900]),
            group("Paint", "#A88", [1450, -10, 340, 900]),
            group("Paste back and save", "#b58b2a", [1820, -10, 450, 900]),
        ],
    }


def aligned_graph() -> dict:
    nodes = {
        "about": note(
            "## Anonymize one aligned face\nThe paper's first example: a portrait that is a face crop already, such as "
            "FFHQ or CelebA-HQ. It is brought to 512x512, and all of it is painted anew.\n\nFor photos take "
            "*anonymize_photo*.\n\n" + LIMITS,
            [0, -240],
            700,
            200,
        ),
        "model_note": note(MODEL_NOTE, [740, -240], 480, 200),
        "photo": load_image([0, 80], "Aligned face"),
        "model": loader([0, 470]),
        "degree": degree([0, 760]),
        "scale": {
            "type": "ImageScale",
            "pos": [400, 80],
            "inputs": {"image": ("photo", 0)},
            "widgets": {"upscale_method": "lanczos", "width": 512, "height": 512, "crop": "center"},
        },
        **references(740, ("scale", 0), ("scale", 0), degree=True),
        **ddpm(1430, "interpolate"),
        "save": {
            "type": "SaveImage",
            "pos": [1800, 80],
            "width": 420,
            "height": 460,
            "inputs": {"images": ("decode", 0)},
            "widgets": {"filename_prefix": "anonymized_face"},
        },
    }
    groups = [
        group("Face and model", "#3f789e", [-20, -10, 720, 900]),
        group("Read source and driving face (the same one)", "#88A", [730, -10, 660, 900]),
        group("Paint", "#A88", [1420, -10, 340, 900]),
        group("Save", "#b58b2a", [1790, -10, 450, 900]),
    ]
    return {"nodes": nodes, "groups": groups}


def swap_graph() -> dict:
    nodes = {
        "about": note(
            "## Put one person's face on every face of a photo\nDegree 0 and another source: the source gives the "
            "identity, the photo gives expression, pose, gaze, light and background. One source serves all faces.\n\n"
            "Only with the consent of the people in both pictures; tell viewers that the picture is made.",
            [0, -240],
            700,
            200,
        ),
        "model_note": note(MODEL_NOTE, [740, -240], 480, 200),
        "photo": load_image([0, 80], "Photo whose faces change"),
        "source_photo": load_image([0, 470], "Source: whose face"),
        "model": loader([0, 860]),
        "detect": detect([400, 80], "photo"),
        "crop": crop([400, 550], "photo", "detect"),
        "detect_source": detect([400, 690], "source_photo", max_faces=1),
        "crop_source": crop([400, 1160], "source_photo", "detect_source"),
        **references(770, ("crop_source", 0), ("crop", 0), degree=False),
        **ddpm(1460, "source"),
        **paste_and_save(1830, "swapped"),
    }
    groups = [
        group("Pictures and model", "#3f789e", [-20, -10, 390, 1310]),
        group("Faces", "#8A8", [390, -10, 350, 1310]),
        group("Read source and driving face", "#88A", [760, -10, 660, 900]),
        group("Paint", "#A88", [1450, -10, 340, 900]),
        group("Paste back and save", "#b58b2a", [1820, -10, 450, 900]),
    ]
    return {"nodes": nodes, "groups": groups}


GRAPHS = {
    "anonymize_aligned_face": aligned_graph(),
    "anonymize_photo": photo_graph(
        ddpm,
        "## Anonymize every face of a photo\nFaces are found, cropped, painted as strangers with the same expression, "
        "pose, gaze and light, and pasted back at full resolution. **degree** 1.25 anonymizes; less keeps more of the "
        "person. The paper's sampler, 200 steps.\n\n" + LIMITS,
        "anonymized",
    ),
    "anonymize_with_ksampler": photo_graph(
        ksampler,
        "## Anonymize every face of a photo, with ComfyUI's own KSampler\nAs *anonymize_photo*, in 25 steps of a fast "
        "sampler instead of 200. *Apply* gives MODEL, conditionings and an empty latent for any sampler node.\n\n"
        + LIMITS,
        "anonymized",
    ),
    "swap_faces": swap_graph(),
}


# For a model of another size, in few steps.
ADAPT = """([model, size]) => {
    for (const node of app.rootGraph.nodes) {
        const set = (name, value) => { node.widgets.find((widget) => widget.name === name).value = value; };
        if (node.type === "FaceAnonLoadModel") set("model", model);
        if (node.type === "FaceAnonCropFaces") set("size", size);
        if (node.type === "ImageScale") { set("width", size); set("height", size); }
        if (["FaceAnonDDPMSampler", "KSampler"].includes(node.type)) set("steps", 8);
    }
}"""


def thumbnail(before: Image.Image, after: Image.Image) -> Image.Image:
    """Before and after side by side, 800 x 400."""
    pair = Image.new("RGB", (800, 400))
    for i, picture in enumerate((before, after)):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, 0
        square = picture.convert("RGB").crop((left, top, left + side, top + side))
        pair.paste(square.resize((400, 400), Image.Resampling.LANCZOS), (400 * i, 0))
    return pair


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*GRAPHS, []], help="which workflows; all by default")
    parser.add_argument("--model", type=Path, default=PACK / "tests" / "fixtures" / "face_anon" / "tiny")
    parser.add_argument("--screenshots", type=Path, help="also photograph each graph after its run, into this folder")
    options = parser.parse_args()
    settings = options.model / "face_anon.json"
    size = json.loads(settings.read_text())["resolution"] if settings.is_file() else 512

    with Server(models={"face_anon": options.model.parent}) as server, open_browser() as browser:
        server.upload(PHOTO, name=EXAMPLE)
        page = Frontend(browser, server, width=2560, height=1440)  # below half size the page draws no text
        for name in options.names or GRAPHS:
            page.clear()
            page.page.evaluate(BUILD, GRAPHS[name])
            page.load(page.serialize())  # as a user opens it
            write_json(WORKFLOWS / f"{name}.json", page.serialize())
            prompt = page.to_api()
            write_json(WORKFLOWS / "api" / f"{name}.json", prompt)
            server.post("/free", {"free_memory": True})  # else nodes answer from the cache, without their previews
            page.page.evaluate(ADAPT, [options.model.name, size])
            history = server.wait(page.queue())
            saved = {node for node, output in prompt.items() if output["class_type"] == "SaveImage"}
            after = next(image for node, image in server.images(history) if node in saved)
            thumbnail(Image.open(PHOTO), after).save(WORKFLOWS / f"{name}.jpg", quality=85)
            if options.screenshots:
                page.screenshot(options.screenshots / f"{name}.png")
            print(name, "errors:", page.errors() or "none")


if __name__ == "__main__":
    main()
