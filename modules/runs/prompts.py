"""The shipped graphs with the settings of a command line, and what their nodes reported.

Nodes are found by their class. An input that is linked to a primitive node is set at that node. Only the standard
library.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

from ..output.formats import QUALITY
from ..recognition.settings import OFF
from .jobs import PHOTO, VIDEO
from .one_node import paint_in_one_node

GRAPHS = {
    ("anonymize", PHOTO): "anonymize_photo",
    ("anonymize", VIDEO): "anonymize_long_video",
    ("redact", PHOTO): "redact_photo",
    ("redact", VIDEO): "redact_video",
}
_PAINTERS = ("FaceAnonDDPMSampler", "FaceAnonAnonymizeCrops", "FaceAnonAnonymizeVideo")
_PROVERS = ("FaceAnonAnonymizeCrops", "FaceAnonAnonymizeVideo")
_REPORTERS = ("FaceAnonPasteFaces", "FaceAnonRedactFaces", "FaceAnonAnonymizeVideo", "FaceAnonRedactVideo")
NOT_KNOWN = "not known"
_LONGEST = 1000  # characters that are taken of what a server tells of itself
_SAVERS = ("FaceAnonSaveImage", "FaceAnonSaveVideo")
_REDACTORS = ("FaceAnonRedactFaces", "FaceAnonRedactVideo")
# setting -> the nodes that have it as an input
_PLACES: Mapping[str, tuple[str, ...]] = {
    "model": ("FaceAnonLoadModel",),
    "degree": ("FaceAnonInterpolateStates", "FaceAnonAnonymizeCrops", "FaceAnonAnonymizeVideo"),
    "steps": _PAINTERS,
    "guidance_scale": _PAINTERS,
    "guidance_from": _PAINTERS,
    "guidance_to": _PAINTERS,
    "seed": _PAINTERS,
    "size": ("FaceAnonCropFaces",),
    "min_score": ("FaceAnonDetectFaces", "FaceAnonTrackVideo"),
    "thorough": ("FaceAnonDetectFaces", "FaceAnonTrackVideo"),
    "fallback": ("FaceAnonPasteFaces", "FaceAnonAnonymizeVideo"),
    "identity": ("FaceAnonAnonymizeVideo",),
    "verify": (*_PROVERS, "FaceAnonPasteFaces"),
    "attempts": _PROVERS,
    "keep_traits": _PROVERS,
    "degree_mode": _PROVERS,
    "mode": _REDACTORS,
    "shape": _REDACTORS,
    "detail": _REDACTORS,
    "format": ("FaceAnonSaveImage",),
    "quality": ("FaceAnonSaveImage",),
}


def load_prompt(folder: Path, task: str, kind: str, settings: Mapping) -> dict:
    """Load the graph for a task and a kind of source, with settings.

    Args:
        folder: of the graphs as prompts.
        task: "anonymize" or "redact".
        kind: PHOTO or VIDEO.
        settings: by the names in _PLACES; None leaves the graph's own, and those of other tasks and kinds do not count.
    """
    if task == "anonymize":
        settings = {"verify": OFF, **settings}  # also where a graph has it on
    prompt = json.loads((folder / f"{GRAPHS[task, kind]}.json").read_text(encoding="utf-8"))
    if task == "anonymize" and kind == PHOTO and settings.get("verify", OFF) != OFF:
        prompt = paint_in_one_node(prompt)
    for node in prompt.values():
        if node["class_type"] in _SAVERS:
            node["inputs"].pop("report", None)  # it comes by the history: no second file on the server
            node["inputs"]["mark_as_ai"] = task == "anonymize"  # no trained model paints a redaction; but see marked
    for name, classes in _PLACES.items():
        value = settings.get(name)
        for node in prompt.values():
            if value is not None and node["class_type"] in classes:
                _set(prompt, node["inputs"], name, value)
    return prompt


def _set(prompt: Mapping, inputs: dict, name: str, value) -> None:
    current = inputs.get(name)
    if isinstance(current, list):
        prompt[current[0]]["inputs"]["value"] = value
    else:
        inputs[name] = value


def with_source(prompt: dict, kind: str, loaded: str) -> dict:
    """A copy of a prompt that reads an uploaded file.

    Args:
        prompt: of load_prompt; it stays as it is.
        kind: PHOTO or VIDEO.
        loaded: the file's name on the server, as Client.upload gives it.
    """
    prompt = copy.deepcopy(prompt)
    loader, name = ("LoadImage", "image") if kind == PHOTO else ("LoadVideo", "file")
    for node in prompt.values():
        if node["class_type"] == loader:
            node["inputs"][name] = loaded
    return prompt


def saving_as(prompt: dict, format: str) -> dict:
    """A copy of a prompt whose photo is saved in a format, without loss, for what finishes it here.

    Args:
        prompt: of load_prompt; it stays as it is.
        format: one of EXTENSIONS.
    """
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        if node["class_type"] == "FaceAnonSaveImage":
            node["inputs"] |= {"format": format, "quality": 100}
    return prompt


def marked(prompt: dict) -> dict:
    """A copy of a prompt whose result says that a trained model made a part of it, as its source does.

    Args:
        prompt: of load_prompt; it stays as it is.
    """
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        if node["class_type"] in _SAVERS:
            node["inputs"]["mark_as_ai"] = True
    return prompt


def photo_settings(prompt: Mapping) -> dict:
    """The inputs of the prompt's node that saves a photo: format, quality, mark_as_ai."""
    inputs = next((node["inputs"] for node in prompt.values() if node["class_type"] == "FaceAnonSaveImage"), {})
    return {"format": "png", "quality": QUALITY, "mark_as_ai": False} | inputs


def node_classes(prompt: Mapping) -> set[str]:
    """The classes of the nodes of a prompt, which a server must have."""
    return {node["class_type"] for node in prompt.values()}


def saved_files(prompt: Mapping, history: Mapping) -> list[dict]:
    """What the prompt's save node wrote, each with filename, subfolder and type."""
    return [
        file
        for number, output in history["outputs"].items()
        if prompt[number]["class_type"] in _SAVERS
        for file in output["images"]
    ]


def find_makers(prompt: Mapping, history: Mapping) -> dict[str, str]:
    """What made a result, as the server's node that saved it tells: `comfyui` and `pack`, their versions, and for a
    painting `model_sha256`, of the model's folder. What it does not tell is NOT_KNOWN.

    Args:
        prompt: that ran.
        history: its entry.
    """
    told: dict = {}
    for number, output in history["outputs"].items():
        if prompt[number]["class_type"] in _SAVERS:
            told = next(iter(output.get("face_anon_makers", ())), {})
    paints = any(isinstance(node["inputs"].get("model"), str) for node in prompt.values())
    names = ("comfyui", "pack", *(("model_sha256",) if paints else ()))
    known = {name: told.get(name) if isinstance(told, dict) else None for name in names}
    return {name: value[:_LONGEST] if isinstance(value, str) and value else NOT_KNOWN for name, value in known.items()}


def find_report(prompt: Mapping, history: Mapping) -> dict:
    """The report of the node that changed the faces (modules/faces/report.py has its schema).

    Raises:
        LookupError: there is none.
    """
    for number, output in history["outputs"].items():
        if prompt[number]["class_type"] in _REPORTERS and "face_anon_report" in output:
            return output["face_anon_report"][0]
    raise LookupError("The graph made no report.")
