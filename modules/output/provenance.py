"""Which file a picture came from, by the graph that made it."""

from __future__ import annotations

from collections.abc import Mapping

_UPSTREAM_INPUTS = ("image", "images", "pixels", "samples", "latent_image", "latent")  # the first is followed first


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


def alpha_is_a_mask(prompt: Mapping[str, Mapping], file: str) -> bool:
    """Whether the alpha of a photo is a mask for the graph, and not what the photo hides.

    So it is where the page's mask editor wrote the file, or where a node reads the mask.

    Args:
        prompt: as of source_image.
        file: the photo's name, of source_image.
    """
    loaders = {id for id, node in prompt.items() if node["inputs"].get("image") == file}
    links = [value for node in prompt.values() for value in node["inputs"].values()]
    read = any(isinstance(link, list) and len(link) == 2 and str(link[0]) in loaders and link[1] == 1 for link in links)
    return read or file.startswith("clipspace/") or any("Mask" in prompt[id].get("class_type", "") for id in loaders)


def _linked(node: Mapping | None, input_name: str) -> str | None:
    """The id of the node that an input is connected to, or None."""
    value = None if node is None else node["inputs"].get(input_name)
    return str(value[0]) if isinstance(value, list) and len(value) == 2 else None
