"""The shipped graphs with the settings of a command line, and what their nodes reported.

Nodes are found by their class. An input that is linked to a primitive node is set at that node. Only the standard
library.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

from .jobs import PHOTO, VIDEO

GRAPHS = {
    ("anonymize", PHOTO): "anonymize_photo",
    ("anonymize", VIDEO): "anonymize_long_video",
    ("redact", PHOTO): "redact_photo",
    ("redact", VIDEO): "redact_video",
}
_PAINTERS = ("FaceAnonDDPMSampler", "FaceAnonAnonymizeCrops", "FaceAnonAnonymizeVideo")
_REPORTERS = ("FaceAnonPasteFaces", "FaceAnonRedactFaces", "FaceAnonAnonymizeVideo", "FaceAnonRedactVideo")
_SAVERS = ("FaceAnonSaveImage", "FaceAnonSaveVideo")
_REDACTORS = ("FaceAnonRedactFaces", "FaceAnonRedactVideo")
# setting -> the nodes that have it as an input
_PLACES: Mapping[str, tuple[str, ...]] = {
    "model": ("FaceAnonLoadModel",),
    "degree": ("FaceAnonInterpolateStates", "FaceAnonAnonymizeCrops", "FaceAnonAnonymizeVideo"),
    "steps": _PAINTERS,
    "guidance_scale": _PAINTERS,
    "seed": _PAINTERS,
    "size": ("FaceAnonCropFaces",),
    "min_score": ("FaceAnonDetectFaces", "FaceAnonTrackVideo"),
    "thorough": ("FaceAnonDetectFaces", "FaceAnonTrackVideo"),
    "fallback": ("FaceAnonPasteFaces", "FaceAnonAnonymizeVideo"),
    "identity": ("FaceAnonAnonymizeVideo",),
    "mode": _REDACTORS,
    "shape": _REDACTORS,
    "detail": _REDACTORS,
    "format": ("FaceAnonSaveImage",),
    "quality": ("FaceAnonSaveImage",),
}


def load_prompt(folder: Path, task: str, kind: str, settings: Mapping) -> dict:
    """The graph for a task ("anonymize" or "redact") and a kind of source, with the settings that are not None.

    folder: of the graphs as prompts. settings: names as in _PLACES; those of other tasks and kinds are left aside.
    """
    prompt = json.loads((folder / f"{GRAPHS[task, kind]}.json").read_text(encoding="utf-8"))
    for node in prompt.values():
        if node["class_type"] in _SAVERS:
            node["inputs"].pop("report", None)  # it comes by the history: no second file on the server
            node["inputs"]["mark_as_ai"] = task == "anonymize"  # no trained model paints a redaction
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
    """A copy of the prompt that reads the uploaded file `loaded`."""
    prompt = copy.deepcopy(prompt)
    loader, name = ("LoadImage", "image") if kind == PHOTO else ("LoadVideo", "file")
    for node in prompt.values():
        if node["class_type"] == loader:
            node["inputs"][name] = loaded
    return prompt


def node_classes(prompt: Mapping) -> set[str]:
    return {node["class_type"] for node in prompt.values()}


def saved_files(prompt: Mapping, history: Mapping) -> list[dict]:
    """What the prompt's save node wrote, each with filename, subfolder and type."""
    return [
        file
        for number, output in history["outputs"].items()
        if prompt[number]["class_type"] in _SAVERS
        for file in output["images"]
    ]


def find_report(prompt: Mapping, history: Mapping) -> dict:
    """The report of the node that changed the faces (modules/faces/report.py has its schema)."""
    for number, output in history["outputs"].items():
        if prompt[number]["class_type"] in _REPORTERS and "face_anon_report" in output:
            return output["face_anon_report"][0]
    raise LookupError("The graph made no report.")
