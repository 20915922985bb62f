"""What the nodes before an input were set to, by the graph that ran."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TypeVar

Prompt = Mapping[str, Mapping]
T = TypeVar("T")
_WEIGHTS = ("vae_name", "ckpt_name", "vae")  # inputs that name a file with a VAE
_FILES = ("image", "video", "file", "url", "path")  # inputs that name a picture's origin


def numbers_upstream(
    prompt: Prompt,
    node_id: str,
    input_name: str,
    wanted: str,
    beside: str | None = None,
    *,
    left_out: Collection[str] = (),
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
    before = nodes_upstream(prompt, node_id, beside) if beside else set()
    numbers = nodes_upstream(prompt, node_id, input_name) - before - set(left_out)
    found = (find_number(prompt, prompt[number].get("inputs", {}).get(wanted), None) for number in numbers)
    return [value for value in found if value is not None]


def find_number(prompt: Prompt, value, otherwise: T) -> float | T:
    """The number that an input has.

    Args:
        prompt: as of numbers_upstream.
        value: of the input: a number, or a link.
        otherwise: what is given where it is no number.

    Returns:
        By a wire that of a primitive, or infinity where another node works it out.
    """
    if (primitive := linked(prompt, value)) is not None:
        value = prompt[primitive].get("inputs", {}).get("value")
        value = math.inf if not isinstance(value, int | float) else value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def nodes_upstream(prompt: Prompt, node_id: str, input_name: str) -> set[str]:
    """The ids of all nodes that a node's input comes from.

    Args:
        prompt, node_id, input_name: as for numbers_upstream.
    """
    visited: set[str] = set()
    waiting = [linked(prompt, prompt.get(node_id, {}).get("inputs", {}).get(input_name))]
    while waiting:
        number = waiting.pop()
        if number is not None and number not in visited and number != node_id:
            visited.add(number)
            waiting += [linked(prompt, value) for value in prompt[number].get("inputs", {}).values()]
    return visited


def files_named(prompt: Prompt, number: str) -> set[str]:
    """The files, as a node's inputs name them, that it loads a picture from.

    Args:
        prompt: as for numbers_upstream.
        number: id of the node.
    """
    inputs = prompt[number].get("inputs", {})
    named = (inputs.get(key) for key in _FILES)
    return {name.removesuffix(" [input]").strip() for name in named if isinstance(name, str)}


def weights_upstream(prompt: Prompt, node_id: str, input_name: str) -> set[str]:
    """The files of weights that the nodes load that a node's input comes from, as their inputs name them.

    Args:
        prompt, node_id, input_name: as for numbers_upstream.
    """
    inputs = (prompt[number].get("inputs", {}) for number in nodes_upstream(prompt, node_id, input_name))
    return {name for each in inputs for key in _WEIGHTS if isinstance(name := each.get(key), str)}


def linked(prompt: Prompt, value) -> str | None:
    """The id of the node that a value links to, or None."""
    linked = str(value[0]) if isinstance(value, list) and len(value) == 2 else None
    return linked if linked in prompt else None
