"""Graphs that are run node by node, as ComfyUI does, and saved by the nodes of this pack."""

import contextlib
import importlib
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from face_anonymizer.modules.faces.sheet import before_and_after
from face_anonymizer.modules.host.loading import run_node
from face_anonymizer.nodes import output as saving

EXTRAS = (
    "images",
    "mask",
    "post_processing",
    "compositing",
    "logic",
    "dataset",
    "video",
    "primitive",
    "canny",
    "morphology",
)


@contextlib.contextmanager
def nodes_of_the_core():
    """The nodes of ComfyUI's own packs that these graphs have."""
    import nodes

    before = dict(nodes.NODE_CLASS_MAPPINGS)
    for name in EXTRAS:
        module = importlib.import_module(f"comfy_extras.nodes_{name}")
        kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, io.ComfyNode)]
        for kind in kinds:
            if "define_schema" in vars(kind) and getattr(kind, "node_id", "") is not None:
                nodes.NODE_CLASS_MAPPINGS[kind.GET_SCHEMA().node_id] = kind
    try:
        yield
    finally:
        nodes.NODE_CLASS_MAPPINGS.clear()
        nodes.NODE_CLASS_MAPPINGS.update(before)


def node(kind, **inputs):
    return {"class_type": kind, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def load(name):
    return node("LoadImage", image=name)


def cover(image, **more):
    return node("FaceAnonAnonymizePhoto", image=image, **more)


def value(prompt, link):
    """What an output gives; of Anonymize Photo the picture with all but a border covered, as of a close portrait."""
    import nodes

    at = prompt[str(link[0])]
    inputs = {name: value(prompt, one) if isinstance(one, list) else one for name, one in at["inputs"].items()}
    if at["class_type"] == "FaceAnonAnonymizePhoto":
        image = inputs["image"].clone()
        height, width = image.shape[1:3]
        image[:, height // 8 : height // 2, width // 4 : -width // 4] = 0.4
        return image
    if at["class_type"] == "FaceAnonBeforeAfter":
        return before_and_after(inputs["before"], inputs["after"])
    outputs = run_node(nodes.NODE_CLASS_MAPPINGS[at["class_type"]], inputs)
    output = outputs[link[1]]
    return output[0] if isinstance(output, list) else output


def save(prompt, last, kind=saving.FaceAnonSaveImage, given=None, **more):
    name = "images" if kind is saving.FaceAnonSaveImage else "video"
    prompt = prompt | {"9": node(kind.__name__, **{name: last})}
    hidden = {io.Hidden.prompt: prompt, io.Hidden.unique_id: "9"}
    images = value(prompt, last) if given is None else given
    output = kind.PREPARE_CLASS_CLONE({"hidden_inputs": hidden}).execute(images, "origins/x", **more)
    entries = output.ui.as_dict()["images"]
    paths = [Path(folder_paths.get_output_directory()) / one["subfolder"] / one["filename"] for one in entries]
    return paths, images
