"""The graph that runs, as a node of it sees it: with what other nodes have put in their own place."""

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io

from ..modules.host.origins import node_class

ASKED = [io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.dynprompt]  # of nodes that look at the graph
SHOWN = [io.Hidden.unique_id, io.Hidden.dynprompt]  # of nodes that show something


def graph_of(node: type[io.ComfyNode]) -> tuple[Mapping[str, Mapping], str]:
    """The nodes of the graph by their ids, and the id of this one.

    A node that was put there by another, as Anonymize Photo does, is no part of the prompt that came in; the host keeps
    such nodes beside it.

    Args:
        node: with the hidden inputs ASKED.

    Returns:
        ({}, "") where the node runs without a graph.
    """
    hidden = node.hidden
    if hidden is None or not hidden.prompt:
        return {}, ""
    put_there = getattr(getattr(hidden, "dynprompt", None), "ephemeral_prompt", {})
    return {**hidden.prompt, **put_there}, str(hidden.unique_id)


def link_or_value(node: type[io.ComfyNode], name: str, value: Any) -> Any:
    """What a node that puts others in its own place hands on of an input: its link, by which the host keeps them.

    Of a list the host calls a node once for each value, but nodes that are put there with the link get all of them each
    time, and their outputs are mixed up (execution.py, execute, of its pending_subgraph_results). So where a list may
    come the value itself is handed on; what is made of it is not kept.

    Args:
        node: with the hidden inputs SHOWN.
        name: of the input.
        value: that the host gave.
    """
    hidden = node.hidden
    dynprompt = getattr(hidden, "dynprompt", None)
    if dynprompt is None:
        return value
    link = dynprompt.get_node(hidden.unique_id)["inputs"].get(name)
    return link if _is_link(link) and not _may_be_list(dynprompt, link[0]) else value


def _may_be_list(dynprompt: Any, number: str) -> bool:
    """Whether a node, or any before it, gives lists."""
    seen: set[str] = set()
    waiting = [number]
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        one = dynprompt.get_node(number)
        if any(getattr(node_class(one["class_type"]), "OUTPUT_IS_LIST", None) or ()):
            return True
        waiting += [value[0] for value in one["inputs"].values() if _is_link(value)]
    return False


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def shown_at(node: type[io.ComfyNode]) -> str:
    """The id of the node of the page at which a node shows something: its own, or that of the one that put it there.

    Args:
        node: with the hidden inputs SHOWN.
    """
    dynprompt = getattr(node.hidden, "dynprompt", None)
    return node.hidden.unique_id if dynprompt is None else dynprompt.get_display_node_id(node.hidden.unique_id)
