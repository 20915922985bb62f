"""What was done to a face after it was painted, by the graph that ran: refined once more, or mixed with the original.

A second pass at little noise keeps most of what it starts with. Where that is a face that was painted anew, it keeps a
stranger. Where an original comes back beside what was painted, a part of it is in the result, however much was painted.
"""

from __future__ import annotations

from collections.abc import Collection

from .starts import is_sampler, noise_of, starts_with_picture
from .upstream import Prompt, files_named, find_number, linked, nodes_upstream

# how inputs begin that carry pictures or latents of them for sure ...
_PICTURES = ("image", "pixels", "samples", "latent", "crops", "destination", "source")
# ... and how those end that carry none; of all others nobody knows, and they may carry one
_WEIGHTS = {"model", "vae", "clip", "vision", "net", "lora", "pipe", "detector", "hook"}
_STEERS = {"positive", "negative", "conditioning", "cond", "embeds", "states", "text", "prompt", "guider"}
_SAMPLING = {"sigmas", "sigma", "noise", "sampler", "scheduler", "seed", "steps", "cfg", "denoise", "degree"}
_PLACES = {"mask", "masks", "faces", "report", "bboxes", "landmarks"}
_NUMBERS = {"width", "height", "size", "by", "factor", "scale", "strength", "amount", "index", "count", "length", "fps"}
_NO_PICTURES = _WEIGHTS | _STEERS | _SAMPLING | _PLACES | _NUMBERS
_LEAST_NOISE = 0.5  # above it what a sampler starts with is gone
_ORIGINAL, _PAINTED, _ANOTHER, _UNKNOWN = "this picture", "painted", "another picture", "unknown"


def refinements(prompt: Prompt, node_id: str, input_name: str, beside: str) -> set[str]:
    """The nodes before an input that refine a face that was painted anew, or another picture, by little noise.

    Samplers, and whatever else has a denoise of its own: detailers, upscalers. What nothing of this picture goes into
    keeps nothing of it.

    Args:
        prompt, node_id, input_name: as for upstream.numbers_upstream.
        beside: name of the node's input that has the picture as it was.

    Returns:
        Their ids, and those of the nodes that give them alone their noise.
    """
    before = nodes_upstream(prompt, node_id, beside)
    between = nodes_upstream(prompt, node_id, input_name) - before
    samplers = {i for i in between if is_sampler(prompt, i)}
    others = {i for i in between if find_number(prompt, prompt[i].get("inputs", {}).get("denoise"), None) is not None}
    refining = {
        i for i in samplers | others if (origins := _origins(prompt, i, before)) and origins <= {_PAINTED, _ANOTHER}
    }
    theirs, kept = (
        set().union(*(nodes_upstream(prompt, i, "sigmas") for i in some)) for some in (refining, samplers - refining)
    )
    return refining | (theirs - kept)


def kept_by_blends(prompt: Prompt, node_id: str, input_name: str, beside: str) -> list[tuple[str, float]]:
    """How much of the original comes back beside what was painted: by nodes that blend two pictures or latents.

    Args:
        prompt, node_id, input_name, beside: as for refinements.

    Returns:
        The class of each such node, and the original's share in what it gives, 0..1.
    """
    before = nodes_upstream(prompt, node_id, beside)
    found = []
    for number in sorted(nodes_upstream(prompt, node_id, input_name) - before):
        inputs = prompt[number].get("inputs", {})
        factor = find_number(prompt, inputs.get("blend_factor"), None)
        pair = next(
            (both for both in (("image1", "image2"), ("samples1", "samples2")) if set(both) <= set(inputs)), None
        )
        if factor is None or pair is None:
            continue
        painted = [_is_painted(prompt, linked(prompt, inputs[name]), before) for name in pair]
        # an image is blended towards the second, a latent towards the first
        shares = (1 - factor, factor) if pair[0] == "image1" else (factor, 1 - factor)
        if any(painted) and not all(painted):
            found.append(
                (str(prompt[number].get("class_type", number)), min(1.0, max(0.0, shares[painted.index(False)])))
            )
    return found


def _is_painted(prompt: Prompt, number: str | None, before: Collection[str]) -> bool:
    """Whether a node shows a face that was painted anew, and nothing of the picture."""
    origins = _origins(prompt, number, before, with_it=True) if number is not None else set()
    return _PAINTED in origins and origins <= {_PAINTED, _ANOTHER}


def _origins(prompt: Prompt, start: str, before: Collection[str], with_it: bool = False) -> set[str]:
    """What a node's pictures and latents come from: _ORIGINAL, _PAINTED, _ANOTHER, _UNKNOWN.

    Args:
        prompt: as for upstream.numbers_upstream.
        start: id of the node.
        before: the nodes that made the picture, as it was.
        with_it: the node itself counts, too.
    """
    its_files = set().union(*(files_named(prompt, i) for i in before))
    found, visited = set(), set()
    waiting = [(start, True)] if with_it else _pictures(prompt, start)
    while waiting:
        number, is_sure = waiting.pop()
        if number in visited:
            continue
        visited.add(number)
        files = files_named(prompt, number)
        if number in before or files & its_files:
            found.add(_ORIGINAL)
        elif _paints(prompt, number):
            found.add(_PAINTED)
        elif ways := _pictures(prompt, number):
            waiting += [(way, is_sure and known) for way, known in ways]
        elif is_sure:  # by an input that nobody knows, a file of weights may come as well
            found.add(_ANOTHER if files else _UNKNOWN)
    return found


def _paints(prompt: Prompt, number: str) -> bool:
    """Whether a node paints a face anew, so that what it starts with is gone."""
    inputs = prompt[number].get("inputs", {})
    if {"driving_states", "steps"} <= set(inputs) or {"crops", "degree"} <= set(inputs):
        return True  # the nodes of this pack that paint: they start with noise
    return is_sampler(prompt, number) and (
        not starts_with_picture(prompt, number) or noise_of(prompt, number) > _LEAST_NOISE
    )


def _pictures(prompt: Prompt, number: str) -> list[tuple[str, bool]]:
    """The nodes that a node's pictures and latents come from, and whether it is sure that they carry some."""
    inputs = prompt[number].get("inputs", {})
    links = ((name, linked(prompt, value)) for name, value in inputs.items())
    return [(link, name.startswith(_PICTURES)) for name, link in links if link is not None and _may_show(name)]


def _may_show(name: str) -> bool:
    return name.lower().removesuffix("_opt").split("_")[-1] not in _NO_PICTURES
