"""What a graph was set to, as far as the place knows it where its pictures are saved: by the prompt that ran.

A prompt is full of names: of photos, of files that are saved, of what somebody wrote into a text. Of the nodes of this
pack every setting is told but the names of files; of others only numbers and switches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..faces.notes import ORIGINAL_LATER, Doubt
from ..output.upstream import nodes_upstream

_OURS = "FaceAnon"
_PRIMITIVE = "Primitive"
_FILES = ("image", "video", "file", "url", "path")  # inputs that name a picture's origin
_SAMPLES = "FaceAnonSample"  # give pictures as they are
_NAMES = ("filename_prefix", "image", "file", "video", "audio", "upload")  # inputs that name files
_MODEL = "model"
_WHOLE_MODEL = "face_anon_model"  # where it is connected, a name beside it does not count
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class GraphSettings(NamedTuple):
    """What is known of a graph.

    Args:
        models: names of the folders under models/face_anon that its loaders were set to; None where nothing tells.
        settings: a heading for each node, and its settings.
        remarks: what is not known, and what happened to the pictures after the report, a line each; of class Doubt
            where a picture from before the report may have come into the result once more.
    """

    models: tuple[str, ...] | None
    settings: tuple[tuple[str, Mapping[str, object]], ...]
    remarks: tuple[str, ...]


def read_graph(
    prompt: Mapping[str, Mapping] | None, node_id: str, picture: str, report: str = "report"
) -> GraphSettings:
    """What a graph was set to before one of its nodes.

    Args:
        prompt: the graph as ComfyUI runs it: node id -> {"class_type": ..., "inputs": {name: a value, or a link}}; None
            where it is not known.
        node_id: of the node that saves.
        picture: name of its input for the picture; "" where it has none.
        report: name of its input for the report.
    """
    if not prompt or node_id not in prompt:
        return GraphSettings(None, (), ("The graph is not known to this report, and so neither are its settings.",))
    told = nodes_upstream(prompt, node_id, report)
    seen = nodes_upstream(prompt, node_id, picture) if picture else set()
    before = [id for id in prompt if id in told | seen or id == node_id]
    settings = [(_title(prompt[id]), found) for id in before if (found := _settings(prompt, id))]
    models = [value for id in before if isinstance(value := _model(prompt, id), str)]
    remarks = []
    later = [id for id in before if id in seen - told and not _is_ours(prompt[id])]
    if later:
        named = _listed([_title(prompt[id]) for id in later])
        remark = (
            f"The pictures also came from nodes that the report did not: {named}. What those did to them after the "
            "last look is not known to this report."
        )
        given = {id for node in later for id in _links(prompt[node]) if id in told}
        passed = any(_is_source(prompt[id]) for id in given) or any(_opens_a_file(prompt[id]) for id in later)
        remarks.append(Doubt(remark, ORIGINAL_LATER) if passed else remark)
    others = [_title(prompt[id]) for id in before if not _is_ours(prompt[id]) and _has_texts(prompt[id])]
    if others:
        remarks.append(f"Of nodes that are not of this pack only numbers are told, no texts: {_listed(others)}.")
    return GraphSettings(tuple(dict.fromkeys(models)) or None, tuple(settings), tuple(remarks))


def _is_ours(node: Mapping) -> bool:
    return str(node.get("class_type", "")).startswith(_OURS)


def _is_source(node: Mapping) -> bool:
    """Whether a node before the report gives what nobody looked at, such as the photo itself."""
    name = str(node.get("class_type", ""))
    return name.startswith(_SAMPLES) or not name.startswith((_OURS, _PRIMITIVE))


def _opens_a_file(node: Mapping) -> bool:
    """Whether a node gives a picture of its own."""
    return any(isinstance(node.get("inputs", {}).get(name), str) for name in _FILES)


def _links(node: Mapping) -> list[str]:
    """The ids of the nodes that a node is connected to."""
    values = node.get("inputs", {}).values()
    return [str(value[0]) for value in values if isinstance(value, list | tuple) and len(value) == 2]


def _title(node: Mapping) -> str:
    """The class of a node in words; titles are its user's, and may say anything."""
    return _WORD.sub(" ", str(node.get("class_type", "a node")).removeprefix(_OURS))


def _settings(prompt: Mapping[str, Mapping], id: str) -> dict[str, object]:
    node = prompt[id]
    found: dict[str, object] = {}
    for name in node.get("inputs", {}):
        value = _value(prompt, node["inputs"][name])
        if isinstance(value, bool | int | float) or (isinstance(value, str) and _is_ours(node) and name not in _NAMES):
            found[name] = value
    return found


def _value(prompt: Mapping[str, Mapping], value: object) -> object:
    """A setting, or that of the primitive node that it comes from; None for another link."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    node = prompt.get(str(value[0])) if len(value) == 2 else None
    told = (
        node.get("inputs", {}).get("value") if node and str(node.get("class_type", "")).startswith(_PRIMITIVE) else None
    )
    return told if isinstance(told, bool | int | float | str) else None


def _model(prompt: Mapping[str, Mapping], id: str) -> object:
    inputs = prompt[id].get("inputs", {})
    return _value(prompt, inputs.get(_MODEL)) if _is_ours(prompt[id]) and _WHOLE_MODEL not in inputs else None


def _has_texts(node: Mapping) -> bool:
    return any(isinstance(value, str) for value in node.get("inputs", {}).values())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
