"""What was done to a face after it was painted, by the graph that ran: refined once more, or mixed with the original.

A second pass at little noise keeps most of what it starts with. Where that is a face that was painted anew, it keeps a
stranger. Where an original comes back beside what was painted, a part of it is in the result, however much was painted.
"""

from __future__ import annotations

from collections.abc import Collection

from .starts import is_sampler, noise_of, starts_with_picture
from .upstream import Prompt, find_number, linked, nodes_upstream

# how inputs that carry pictures or latents of them begin; masks, models and prompts carry none
_PICTURES = ("image", "pixels", "samples", "latent", "crops", "destination", "source")
_LEAST_NOISE = 0.5  # above it what a sampler starts with is gone


def refinements(prompt: Prompt, node_id: str, input_name: str, beside: str) -> set[str]:
    """The samplers before an input that start with a face that was painted anew, and what gives them their noise.

    Args:
        prompt, node_id, input_name: as for upstream.numbers_upstream.
        beside: name of the node's input that has the picture as it was.

    Returns:
        The ids of their nodes.
    """
    before = nodes_upstream(prompt, node_id, beside)
    samplers = {i for i in nodes_upstream(prompt, node_id, input_name) - before if is_sampler(prompt, i)}
    refining = {i for i in samplers if starts_with_picture(prompt, i) and _starts_with_painted(prompt, i, before)}
    theirs, others = (
        set().union(*(nodes_upstream(prompt, i, "sigmas") for i in some)) for some in (refining, samplers - refining)
    )
    return refining | (theirs - others)


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
        painted = [_is_painted(prompt, linked(prompt, inputs[name]), before, frozenset()) for name in pair]
        # an image is blended towards the second, a latent towards the first
        shares = (1 - factor, factor) if pair[0] == "image1" else (factor, 1 - factor)
        if any(painted) and not all(painted):
            found.append(
                (str(prompt[number].get("class_type", number)), min(1.0, max(0.0, shares[painted.index(False)])))
            )
    return found


def _starts_with_painted(prompt: Prompt, sampler: str, before: Collection[str]) -> bool:
    ways = _pictures(prompt, sampler)
    return bool(ways) and all(_is_painted(prompt, way, before, frozenset({sampler})) for way in ways)


def _is_painted(prompt: Prompt, number: str | None, before: Collection[str], visited: frozenset[str]) -> bool:
    """Whether every way from a node back to the picture leads through a sampler that paints anew."""
    if number is None or number in before or number in visited:
        return False
    inputs = prompt[number].get("inputs", {})
    if "driving_states" in inputs or {"crops", "degree"} <= set(inputs):
        return True  # the nodes of this pack that paint: they start with noise
    if is_sampler(prompt, number) and (
        not starts_with_picture(prompt, number) or noise_of(prompt, number) > _LEAST_NOISE
    ):
        return True
    ways = _pictures(prompt, number)
    return bool(ways) and all(_is_painted(prompt, way, before, visited | {number}) for way in ways)


def _pictures(prompt: Prompt, number: str) -> list[str]:
    """The nodes that a node's pictures and latents come from."""
    inputs = prompt[number].get("inputs", {})
    links = (linked(prompt, value) for name, value in inputs.items() if name.startswith(_PICTURES))
    return [link for link in links if link is not None]
