"""Whether a trained model may have made a part of a picture: by the graph that ran, and by the files it began with."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from . import provenance
from .upstream import Prompt, nodes_upstream

_OURS = "FaceAnon"
_COVER = "cover"  # of the nodes that do it all in one: what becomes of the faces, by no model
# IPTC's two kinds of media, and the graph that ComfyUI writes into its results
_WORDS = (b"rainedAlgorithmicMedia", b'"class_type"')


class Host(provenance.Host, Protocol):
    """What a graph does not say of its nodes itself."""

    def may_paint(self, class_type: str) -> bool:
        """Whether a node of another pack or of the host may make pictures by a trained model, or gives one."""
        ...


def may_be_generated(prompt: Prompt, node_id: str, input_name: str, host: Host) -> bool:
    """Whether a trained model may have made a part of what comes to an input; True where nobody knows.

    Args:
        prompt: the graph as ComfyUI runs it: node id -> {"class_type": ..., "inputs": {name: a value, or a link}}.
        node_id: of the node to start at.
        input_name: of its input for pictures or a video.
        host: of the graph.
    """
    before = nodes_upstream(prompt, node_id, input_name)
    if not before or any(_paints(prompt[number], host) for number in before):
        return True
    origin = provenance.source_images(prompt, node_id, input_name, host)
    return bool(origin.unseen) or any(map(_says_so, (*origin.files, *origin.asides)))


def _paints(node: Mapping, host: Host) -> bool:
    inputs, name = node.get("inputs", {}), str(node.get("class_type", ""))
    if name.startswith(_OURS):  # one without a model's name has its model from another node
        return "model" in inputs and inputs.get("what") != _COVER
    return host.may_paint(name)


def _says_so(path: Path) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(word) >= 0 for word in _WORDS)
    except (OSError, ValueError):  # empty, or gone
        return True
