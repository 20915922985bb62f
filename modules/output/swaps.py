"""Whether the graph that ran paints somebody else's face: of another file, or another one of the same picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..faces.numbers import parse_numbers
from .upstream import Prompt, files_named, linked, nodes_upstream

_SEVERAL = ("batch", "repeat", "video", "frames", "list")  # in names of nodes that make more pictures of one
_CLIPS = (".gif", ".apng", ".tif", ".tiff", ".mpo")  # files of several pictures
_CHOICES = {"faces", "indices"}  # inputs of a node that chooses among faces


def is_swap(prompt: Prompt, node_id: str, input_name: str, content_of: Callable[[str], str] = str) -> bool:
    """Whether somebody else's face was painted: a node on the way has another source than driving picture, or another
    face of the same.

    Args:
        prompt, node_id, input_name: as for upstream.numbers_upstream.
        content_of: gives of a file, by the name that a node has for it, what is the same of two with the same content.
            Of one photo that two nodes load nobody else's face comes.
    """
    for number in nodes_upstream(prompt, node_id, input_name):
        inputs = prompt[number].get("inputs", {})
        for source, driving in (("source", "crops"), ("source_states", "driving_states")):
            if linked(prompt, inputs.get(source)) is not None and driving in inputs:
                theirs, ours = (_files(prompt, number, name, content_of) for name in (source, driving))
                shown = nodes_upstream(prompt, number, source)
                if not theirs <= ours or not (theirs or linked(prompt, inputs[driving]) in shown):
                    return True
                if _are_others(prompt, _crops(prompt, inputs[source]), _crops(prompt, inputs[driving])):
                    return True
    return False


def _files(prompt: Prompt, number: str, name: str, content_of: Callable[[str], str]) -> set[str]:
    """The contents of the files that an input's picture comes from."""
    return {content_of(file) for i in nodes_upstream(prompt, number, name) for file in files_named(prompt, i)}


def _crops(prompt: Prompt, value) -> set[str] | None:
    """The nodes that cut the faces that a link shows: the nearest on each way; None where one leads past them."""
    found: set[str] = set()
    visited: set[str] = set()
    waiting = [linked(prompt, value)]
    while waiting:
        number = waiting.pop()
        if number is None or number in visited:
            continue
        visited.add(number)
        inputs = prompt[number].get("inputs", {})
        if "crops" not in inputs and all(linked(prompt, inputs.get(name)) for name in ("image", "faces")):
            found.add(number)
        elif files_named(prompt, number):
            return None
        else:
            waiting += [linked(prompt, value) for value in inputs.values()]
    return found


def _are_others(prompt: Prompt, source: set[str] | None, driving: set[str] | None) -> bool:
    """Whether it is certain that some crops show nobody of others: of one still picture, by other numbers.

    Two choices by size or place may be the same face: that is no swap.
    """
    if not source or not driving:
        return False
    return all(_shows_others(prompt, one, other) for one in source for other in driving)


def _shows_others(prompt: Prompt, one: str, other: str) -> bool:
    ours, theirs = prompt[one]["inputs"], prompt[other]["inputs"]
    if not _is_one_still(prompt, one) or _shape(prompt, ours["image"]) != _shape(prompt, theirs["image"]):
        return False
    chosen = list(_choices(prompt, ours["faces"]))
    return any(_exclude(prompt, a, b) for a in chosen for b in _choices(prompt, theirs["faces"]))


def _is_one_still(prompt: Prompt, crop: str) -> bool:
    """Whether crops are of one picture of one file: in two pictures other numbers may be the same person."""
    nodes = nodes_upstream(prompt, crop, "image")
    names = [name.lower() for i in nodes for name in files_named(prompt, i)]
    kinds = " ".join(str(prompt[i].get("class_type", "")).lower() for i in nodes)
    return len(names) == 1 and not names[0].endswith(_CLIPS) and not any(word in kinds for word in _SEVERAL)


def _choices(prompt: Prompt, value) -> Iterator[list]:
    """The links before faces by which they were chosen, the last first."""
    visited: set[str] = set()
    while (number := linked(prompt, value)) is not None and number not in visited:
        visited.add(number)
        inputs = prompt[number].get("inputs", {})
        if not set(inputs) >= _CHOICES:
            return
        yield value
        value = inputs["faces"]


def _exclude(prompt: Prompt, one: list, other: list) -> bool:
    """Whether two choices of the same faces have none in common: the chosen ones and the rest, or other numbers."""
    ours, theirs = prompt[str(one[0])]["inputs"], prompt[str(other[0])]["inputs"]
    if one[1] != other[1]:
        return _shape(prompt, [one[0], 0]) == _shape(prompt, [other[0], 0])
    if one[1] != 0 or _shape(prompt, ours["faces"]) != _shape(prompt, theirs["faces"]):
        return False
    if any(inputs.get("invert", False) is not False for inputs in (ours, theirs)):
        return False
    numbers = [_numbers(inputs["indices"]) for inputs in (ours, theirs)]
    return all(numbers) and not any(a.start < b.stop and b.start < a.stop for a in numbers[0] for b in numbers[1])


def _numbers(text) -> list[range]:
    try:
        return parse_numbers(text) if isinstance(text, str) else []
    except ValueError:
        return []


def _shape(prompt: Prompt, value, visited: frozenset[str] = frozenset()) -> str:
    """What a value is, a link by the nodes behind it: two nodes that do the same to the same have one shape."""
    number = linked(prompt, value)
    if number is None or number in visited:
        return repr(value)
    inputs = prompt[number].get("inputs", {})
    parts = (f"{name}={_shape(prompt, inputs[name], visited | {number})}" for name in sorted(inputs))
    return f"{prompt[number].get('class_type')}({', '.join(parts)})[{value[1]}]"
