"""The graph that runs, as a node of it sees it: with what other nodes have put in their own place."""

from collections.abc import Mapping

from comfy_api.latest import io

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


def shown_at(node: type[io.ComfyNode]) -> str:
    """The id of the node of the page at which a node shows something: its own, or that of the one that put it there.

    Args:
        node: with the hidden inputs SHOWN.
    """
    dynprompt = getattr(node.hidden, "dynprompt", None)
    return node.hidden.unique_id if dynprompt is None else dynprompt.get_display_node_id(node.hidden.unique_id)
