"""Which file a picture came from, by the graph that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_UPSTREAM_INPUTS = ("image", "images", "pixels", "samples", "latent_image", "latent")  # the first is followed first
_CARRY = (*_UPSTREAM_INPUTS, "destination", "source", "background", "foreground", "frames")  # and image1, images.image0
_KEEP_FRAME = ("FaceAnonPasteFaces", "FaceAnonRedactFaces", "FaceAnonAnonymizePhoto")


def source_image(prompt: Mapping[str, Mapping], node_id: str, input_name: str = "images") -> str | None:
    """The name of the file that the picture at a node's input was loaded from.

    Inputs that carry the picture itself are followed, `image` first; masks, models and second pictures are not.

    Args:
        prompt: the graph as ComfyUI runs it: node id -> {"inputs": {name: a value, or a link [node id, slot]}, ...}.
        node_id: of the node to start at.
        input_name: of the input to start at.

    Returns:
        The `image` widget of the first loader on the way, or None where there is none.
    """
    waiting = [_linked(prompt.get(node_id), input_name)]
    visited = {node_id}
    while waiting:
        upstream = waiting.pop()
        if upstream is None or upstream in visited or upstream not in prompt:
            continue
        visited.add(upstream)
        node = prompt[upstream]
        if isinstance(file := node["inputs"].get("image"), str):
            return file
        waiting += [_linked(node, name) for name in reversed(_UPSTREAM_INPUTS)]
    return None


class Origin(NamedTuple):
    """Where the pictures of a batch came from.

    Args:
        files: names, in the order in which a batch has them.
        joined: whether a node that makes no batch has pictures of several inputs, which may be in one picture then.
    """

    files: tuple[str, ...]
    joined: bool


def source_images(prompt: Mapping[str, Mapping], node_id: str, input_name: str = "images") -> Origin:
    """All files that pictures at a node's input may have been loaded from.

    Every input that carries pictures is followed, of batches and of pictures that are joined too.

    Args:
        prompt, node_id, input_name: as of source_image.
    """
    waiting = [_linked(prompt.get(node_id), input_name)]
    visited, found, joined = {node_id}, [], False
    while waiting:
        upstream = waiting.pop()
        if upstream is None or upstream in visited or upstream not in prompt:
            continue
        visited.add(upstream)
        node = prompt[upstream]
        if isinstance(file := node["inputs"].get("image"), str):
            found.append(file)
            continue
        ways = [way for name in node["inputs"] if name.startswith(_CARRY) and (way := _linked(node, name))]
        joined = joined or (len(set(ways)) > 1 and "Batch" not in node.get("class_type", ""))
        waiting += reversed(ways)
    return Origin(tuple(dict.fromkeys(found)), joined)


def keeps_frame(prompt: Mapping[str, Mapping], node_id: str, input_name: str = "images") -> bool:
    """Whether the pictures at a node's input are those of a loader of which nodes of this pack alone changed the faces:
    such a graph leaves every other pixel at its place.

    Args:
        prompt, node_id, input_name: as of source_image.
    """
    upstream = _linked(prompt.get(node_id), input_name)
    visited = {node_id}
    while upstream is not None and upstream in prompt and upstream not in visited:
        node = prompt[upstream]
        if isinstance(node["inputs"].get("image"), str):
            return len(visited) > 1
        if node.get("class_type") not in _KEEP_FRAME:
            return False
        visited.add(upstream)
        upstream = _linked(node, "image")
    return False


def alpha_is_a_mask(prompt: Mapping[str, Mapping], file: str) -> bool:
    """Whether the alpha of a photo is a mask that its user drew, and not what the photo hides.

    So it is where the page's mask editor wrote the file, or where a node loads its alpha as nothing but a mask. A node
    that merely reads the mask of Load Image does not say so: cut-outs have one, too.

    Args:
        prompt: as of source_image.
        file: the photo's name, of source_images.
    """
    loaders = [node for node in prompt.values() if node["inputs"].get("image") == file]
    masks = (
        "Mask" in node.get("class_type", "") and node["inputs"].get("channel", "alpha") == "alpha" for node in loaders
    )
    return file.startswith("clipspace/") or any(masks)


def _linked(node: Mapping | None, input_name: str) -> str | None:
    """The id of the node that an input is connected to, or None."""
    value = None if node is None else node["inputs"].get(input_name)
    return str(value[0]) if isinstance(value, list) and len(value) == 2 else None
