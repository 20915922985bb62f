"""Whether a trained model may have made a part of a picture: by the graph that ran, and by the files it began with."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from . import provenance
from .png import SIGNATURE, read_chunks
from .upstream import Prompt, nodes_upstream

_OURS = "FaceAnon"
_COVER = "cover"  # of the nodes that do it all in one: what becomes of the faces, by no model
# IPTC's two kinds of media, the graph that ComfyUI writes into its results, and the settings that other programs do
_SAID = ("rainedAlgorithmicMedia", '"class_type"', ", Sampler: ")
# as EXIF has them, in two bytes a letter of either order: without the first or the last zero they are the same
_WORDS = tuple(word for text in _SAID for word in (text.encode(), text.encode("utf-16-le")[:-1]))
_COMPRESSED = {b"zTXt", b"iTXt"}  # texts of PNG that may be
_MOST_HEAD, _MOST_TEXT = 1000, 1 << 24  # bytes before what is compressed, and of it, that are read


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
    origin = provenance.source_images(prompt, node_id, input_name, host, ends=())
    return bool(origin.unseen) or any(map(file_says_so, (*origin.files, *origin.asides)))


def _paints(node: Mapping, host: Host) -> bool:
    inputs, name = node.get("inputs", {}), str(node.get("class_type", ""))
    if name.startswith(_OURS):  # one without a model's name has its model from another node
        return "model" in inputs and inputs.get("what") != _COVER
    return host.may_paint(name)


def file_says_so(path: Path) -> bool:
    """Whether a file says that a trained model made a part of it; True where it cannot be read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return says_so(data)
    except (OSError, ValueError):  # empty, or gone
        return True


def says_so(data: bytes | mmap.mmap) -> bool:
    """Whether a file says that a trained model made a part of it.

    Args:
        data: all of it.
    """
    if any(data.find(word) >= 0 for word in _WORDS):
        return True
    if data[: len(SIGNATURE)] != SIGNATURE:
        return False
    texts = (content for name, content in read_chunks(data[:]) if name in _COMPRESSED)
    return any(word in text for content in texts for text in _inflated(content) for word in _WORDS)


def _inflated(content: bytes) -> Iterator[bytes]:
    """What a compressed text of a PNG says: behind its name, its kinds and its language, each of which ends with 0."""
    for place in range(min(len(content), _MOST_HEAD)):
        if content[place] != 0x78 or content[place - 1 : place] != b"\0":  # as zlib begins
            continue
        try:
            yield zlib.decompressobj().decompress(content[place:], _MOST_TEXT)
        except zlib.error:
            continue
