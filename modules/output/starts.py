"""How much of a picture a sampler leaves where it starts from that picture's own latent, by the graph that ran.

A sampler that starts at less than full noise keeps a part of what its latent shows: by `denoise`, by a later first
step, by the lower part of its sigmas, or because no noise is added at all. All of them are told as a denoise here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

import numpy as np

from .upstream import Prompt, find_number, linked, nodes_upstream

_LATENTS = ("latent_image", "latent", "samples", "latents")
_ENDLESS = 50  # nodes between a sampler and its latent or its sigmas


def noise_at_start(
    prompt: Prompt, node_id: str, input_name: str, beside: str | None = None, left_out: Collection[str] = ()
) -> list[float]:
    """The share of noise, 0..1, at which the samplers start that begin with an encoded picture.

    Args:
        prompt, node_id, input_name, beside, left_out: as for upstream.numbers_upstream.
    """
    before = nodes_upstream(prompt, node_id, beside) if beside else set()
    samplers = [i for i in nodes_upstream(prompt, node_id, input_name) - before if is_sampler(prompt, i)]
    samplers = [i for i in samplers if i not in left_out]
    return [noise_of(prompt, i) for i in samplers if starts_with_picture(prompt, i)]


def is_painted_in_place(prompt: Prompt, node_id: str, input_name: str) -> bool:
    """Whether a picture is what one sampler made of a file's picture as it was loaded, and nothing else.

    Encoded, with a noise mask perhaps, sampled, decoded: what was painted then lies where the file's own pixels lay.

    Args:
        prompt, node_id, input_name: as for upstream.numbers_upstream.
    """
    number = linked(prompt, prompt[node_id].get("inputs", {}).get(input_name)) if node_id in prompt else None
    is_sampled = False
    for _ in range(_ENDLESS):
        if number is None:
            return False
        inputs = prompt[number].get("inputs", {})
        ways = [link for name in (*_LATENTS, "pixels", "image") if (link := linked(prompt, inputs.get(name)))]
        if not ways:
            return is_sampled
        is_encoder = linked(prompt, inputs.get("vae")) is not None
        is_this_sampler = is_sampler(prompt, number)
        if len(ways) > 1 or not (is_encoder or is_this_sampler or linked(prompt, inputs.get("mask"))):
            return False
        if not is_encoder and not is_this_sampler and "samples" not in inputs:  # a picture is changed by a mask
            return False
        if is_this_sampler and is_sampled:
            return False
        is_sampled = is_sampled or is_this_sampler
        number = ways[0]
    return False


def is_sampler(prompt: Prompt, number: str) -> bool:
    """Whether a node samples a latent that it is given."""
    inputs = prompt[number].get("inputs", {})
    steers = {"steps", "sigmas", "denoise", "start_at_step"} & set(inputs)
    return bool(steers) and any(linked(prompt, inputs.get(name)) for name in _LATENTS)


def starts_with_picture(prompt: Prompt, number: str, depth: int = 0) -> bool:
    """Whether the latent of a node comes from an encoder of pictures, with no sampler that did anything between."""
    inputs = prompt[number].get("inputs", {})
    ways = [link for name in inputs if name.startswith(_LATENTS) and (link := linked(prompt, inputs[name]))]
    for way in ways if depth < _ENDLESS else ():
        before = prompt[way].get("inputs", {})
        if linked(prompt, before.get("vae")) and any(linked(prompt, before.get(name)) for name in ("pixels", "image")):
            return True
        idle = not is_sampler(prompt, way) or find_number(prompt, before.get("end_at_step"), 1) <= 0
        if idle and starts_with_picture(prompt, way, depth + 1):
            return True
    return False


def noise_of(prompt: Prompt, number: str) -> float:
    """The share of noise, 0..1, at which a sampler starts."""
    inputs = prompt[number].get("inputs", {})
    noise = linked(prompt, inputs.get("noise"))
    if inputs.get("add_noise") in ("disable", False):
        return 0.0
    if noise and {"disable", "empty"} & set(_words(prompt[noise].get("class_type", ""))):
        return 0.0
    share = min(1.0, find_number(prompt, inputs.get("denoise"), 1.0))
    share = min(share, _left(inputs, prompt, "start_at_step", find_number(prompt, inputs.get("steps"), 0)))
    return min(share, _share_of_sigmas(prompt, inputs.get("sigmas")))


def _left(inputs: Mapping, prompt: Prompt, name: str, steps: float) -> float:
    """What is left of so many steps behind the one that an input names: 0..1."""
    first = find_number(prompt, inputs.get(name), 0)
    return min(1.0, max(0.0, 1 - first / steps)) if steps > 0 else 1.0


def _share_of_sigmas(prompt: Prompt, value, depth: int = 0) -> float:
    """The share of noise at which sigmas begin that come by a link; 1 where it is not known."""
    number = linked(prompt, value)
    if number is None or depth > _ENDLESS:
        return 1.0
    inputs = prompt[number].get("inputs", {})
    if "flip" in _words(prompt[number].get("class_type", "")):
        return 0.0  # it samples towards noise: what comes back from there is the picture itself
    if isinstance(inputs.get("sigmas"), str):
        first = inputs["sigmas"].replace(";", ",").split(",")[0].strip()
        return share_of_sigma(float(first)) if first.replace(".", "", 1).isdigit() else 1.0
    share = _share_of_sigmas(prompt, inputs.get("sigmas"), depth + 1)
    lower = linked(prompt, inputs.get("sigmas")) is None or value[1] == 1
    for name in ("sigma", "sigma_max"):
        if name in inputs:
            share = min(share, share_of_sigma(find_number(prompt, inputs[name], np.inf)))
    if lower:
        share = min(share, find_number(prompt, inputs.get("denoise"), 1.0))
        share = min(share, share * _left(inputs, prompt, "step", _steps(prompt, number)))
    return share


def _steps(prompt: Prompt, number: str) -> float:
    """The steps of the nearest scheduler before a node."""
    for _ in range(_ENDLESS):
        inputs = prompt[number].get("inputs", {})
        if "steps" in inputs:
            return find_number(prompt, inputs["steps"], 0)
        number = linked(prompt, inputs.get("sigmas")) or ""
        if not number:
            break
    return 0


@lru_cache(maxsize=1)
def _sigmas() -> np.ndarray:
    """Those of the 1000 steps of Stable Diffusion, ascending."""
    alphas = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    return np.sqrt((1 - alphas) / alphas)


def share_of_sigma(sigma: float) -> float:
    """The share of Stable Diffusion's steps whose sigma is not above this one: as a denoise."""
    return float(np.searchsorted(_sigmas(), sigma * 1.001, side="right")) / 1000


def _words(class_type: str) -> list[str]:
    """The words of a class name such as FlipSigmas, in small letters."""
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in class_type)
    return spaced.replace("_", " ").lower().split()
