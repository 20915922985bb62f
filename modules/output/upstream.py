"""What the nodes before an input were set to, by the graph that ran."""

from __future__ import annotations

import math
from collections.abc import Mapping


def numbers_upstream(
    prompt: Mapping[str, Mapping], node_id: str, input_name: str, wanted: str, beside: str | None = None
) -> list[float]:
    """The numbers that an input has in all nodes that a node's input comes from.

    Args:
        prompt: the graph as ComfyUI runs it: node id -> {"inputs": {name: a value, or a link [node id, slot]}, ...}.
        node_id: of the node to start at.
        input_name: of its input to start at.
        wanted: name of the inputs whose numbers are wanted, such as "degree"; one that comes by a wire is read where it
            is a primitive's `value`, and is infinite where it comes from another node and is not known.
        beside: name of another input of the node: what that comes from too is left out, as it made the picture, not
            what was done to it.
    """
    found: list[float] = []
    before = nodes_upstream(prompt, node_id, beside) if beside else set()
    for number in nodes_upstream(prompt, node_id, input_name) - before:
        value = prompt[number].get("inputs", {}).get(wanted)
        if (primitive := _linked(prompt, value)) is not None:
            value = prompt[primitive].get("inputs", {}).get("value")
            value = math.inf if not isinstance(value, int | float) else value
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(value))
    return found


def nodes_upstream(prompt: Mapping[str, Mapping], node_id: str, input_name: str) -> set[str]:
    """The ids of all nodes that a node's input comes from.

    Args:
        prompt, node_id, input_name: as for numbers_upstream.
    """
    visited: set[str] = set()
    waiting = [_linked(prompt, prompt.get(node_id, {}).get("inputs", {}).get(input_name))]
    while waiting:
        number = waiting.pop()
        if number is not None and number not in visited and number != node_id:
            visited.add(number)
            waiting += [_linked(prompt, value) for value in prompt[number].get("inputs", {}).values()]
    return visited


def is_swap(prompt: Mapping[str, Mapping], node_id: str, input_name: str) -> bool:
    """Whether somebody else's face was painted: a node on the way has another source than driving picture.

    Args:
        prompt, node_id, input_name: as for numbers_upstream.
    """

    def pictures(number: str, name: str) -> set[str]:
        return {i for i in nodes_upstream(prompt, number, name) if "image" in prompt[i].get("inputs", {})}

    for number in nodes_upstream(prompt, node_id, input_name):
        inputs = prompt[number].get("inputs", {})
        if _linked(prompt, inputs.get("source")) is not None:
            return True
        if "source_states" in inputs and "driving_states" in inputs:
            sides = pictures(number, "source_states"), pictures(number, "driving_states")
            loaders = [{i for i in side if not isinstance(prompt[i]["inputs"]["image"], list)} for side in sides]
            if loaders[0] != loaders[1]:
                return True
    return False


def _linked(prompt: Mapping[str, Mapping], value) -> str | None:
    """The id of the node that a value links to, or None."""
    linked = str(value[0]) if isinstance(value, list) and len(value) == 2 else None
    return linked if linked in prompt else None
