"""Make models/centerface_int8.safetensors: CenterFace's filters in integers of 8 bits. For development.

    python tools/run.py convert.centerface_int8 FACES [--check MORE]

FACES is a folder of pictures with faces, as benchmarks.detection takes; no labels are needed. What the float32 network
makes of them, and of pictures composed of their faces, is what the integers are fitted to, one filter after the other:

1. Channels are rescaled so that they share one step well, which changes nothing in float32 (Nagel et al.,
   arXiv 1906.04721, section 4.1; Xiao et al., arXiv 2211.10438, section 4).
2. Each filter's weights are fitted anew, by least squares, to what comes in after the filters before it were rounded;
   places where the network sees a face count more.
3. They are rounded one input channel after the other, each time the rest makes up for the error (Frantar et al.,
   arXiv 2210.17323, section 3).

--check compares on another folder's pictures.
"""

from __future__ import annotations

import argparse
import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.detect.centerface import TAPS, CenterFace, load_centerface
from face_anonymizer.modules.faces.detect.centerface_int8 import (
    WEIGHTS,
    IntegerFilters,
    Weights,
    folded_filter,
    integer_filters,
    names,
    walk,
)
from face_anonymizer.modules.faces.detect.integer_kernels import LARGEST_WEIGHT, LEVELS
from face_anonymizer.modules.faces.detect.onet import load_onet
from face_anonymizer.tools.benchmarks.detection import COUNTS, compose, given, pictures_in

COMPOSED, COMPOSED_SIDE = 24, 480
SIDES = (320, 512)  # at which each picture of the folder is looked at, its long side
FACE_FROM, FACE_WEIGHT = 0.1, 20.0  # where the heat map is above, errors count so much more
RIDGE = 0.01  # of the weights' mean variance, that holds them to those of float32
CLIPS = np.linspace(0.2, 1.0, 33)  # shares of a value's range that are tried
LEAST = 1e-4  # of what a channel is held to be able to, which is silent in these pictures
LARGEST_BIAS = 2.0**30  # in steps of the products: QNNPACK counts it in 32 bits
MOST_PLACES = 20_000  # of a picture, to which a filter is fitted

Pair = tuple[list[torch.Tensor], list[torch.Tensor]]


def tensor_of(picture: Image.Image, side: int) -> torch.Tensor:
    """float32 [1, 3, H, W], 0..255, its long side `side`, both multiples of 32."""
    size = [max(32, round(length * side / max(picture.size) / 32) * 32) for length in picture.size]
    return torch.from_numpy(np.array(picture.convert("RGB").resize(size))).permute(2, 0, 1)[None].float()


def pictures(folder: Path) -> list[torch.Tensor]:
    """Those of the folder at all sides, and composed ones."""
    networks = detection.FaceNetworks(load_centerface(), load_onet())  # not by the integers that are to be made
    portraits, photos = given(networks, folder, None)
    rng = np.random.default_rng(77)
    composed = [compose(rng, COUNTS[i % 6], portraits, photos)[0] for i in range(COMPOSED)]
    return [
        *(tensor_of(picture, COMPOSED_SIDE) for picture in composed),
        *(tensor_of(picture, side) for picture in pictures_in(folder) for side in SIDES),
    ]


class Float:
    """Steps of walk in float32; the largest value of each channel is kept."""

    def __init__(self, layers: dict[str, nn.Conv2d]):
        self.layers = layers
        self.largest: dict[str, torch.Tensor] = {}

    def _keep(self, name: str, value: torch.Tensor) -> torch.Tensor:
        largest = value.abs().amax((0, 2, 3))
        self.largest[name] = torch.maximum(largest, self.largest.get(name, largest))
        return value

    def filter(self, name: str, value: torch.Tensor, relu: bool) -> torch.Tensor:
        value = self.layers[name](value)
        return self._keep(name, F.relu(value) if relu else value)

    def add(self, name: str, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self._keep(name, one + other)

    def merge(self, up: nn.Module, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        return F.relu(up(coarse)) + fine

    def levels(self, name: str, value: torch.Tensor) -> torch.Tensor:
        return value


def rescale(network: CenterFace, layers: dict[str, nn.Conv2d], largest: dict[str, torch.Tensor]) -> None:
    """Rescale what passes between the layers, in place, so that their results stay.

    What a filter of one channel takes gets a largest value of 1 in every channel, as each has a scale of its own there;
    else the root of largest value and largest weight is shared out between both sides.
    """

    def divide(name: str, by: torch.Tensor) -> None:
        layers[name].weight.div_(by[:, None, None, None])
        layers[name].bias.div_(by)

    def share(source: str, users: list[str], values: list[str]) -> None:
        value = torch.stack([largest[name] for name in values]).amax(0).clamp_min(LEAST)
        weight = torch.stack([layers[user].weight.abs().amax((0, 2, 3)) for user in users]).amax(0).clamp_min(1e-6)
        by = (value / weight).sqrt()
        by /= by.log().mean().exp()
        for name in [source] + [v for v in values if v in layers and v != source]:
            divide(name, by)
        for user in users:
            layers[user].weight.mul_(by[None, :, None, None])

    filters, _ = names(network)
    for before, name in pairwise(filters):
        if name.endswith("depthwise"):
            by = largest[before].clamp_min(LEAST)
            divide(before, by)
            layers[name].weight.mul_(by[:, None, None, None])
    for name, after in pairwise(filters):
        if name.endswith("depthwise"):
            share(name, [after], [name])
    for source, users, values in streams(network):
        share(source, users, values)


def streams(network: CenterFace) -> list[tuple[str, list[str], list[str]]]:
    """Values that residuals hold together: the projection that begins each, the filters that take it, and all names."""
    found: list[tuple[str, list[str], list[str]]] = []
    for i, stage in enumerate(network.stages):
        for j, block in enumerate(stage):
            name = f"stages.{i}.{j}"
            if found and block.expand is not None:
                found[-1][1].append(f"{name}.expand")
            if f"{name}.project" not in names(network)[0]:
                continue
            if block.residual:
                found[-1][2].extend((f"{name}.project", f"{name}.sum"))
            else:
                found.append((f"{name}.project", [], [f"{name}.project"]))
        if i in TAPS:
            level = TAPS.index(i)
            found[-1][1].append("top" if level == len(TAPS) - 1 else f"merges.{len(TAPS) - 2 - level}.lateral")
    return found


def best_levels(values: list[torch.Tensor]) -> tuple[float, int]:
    """Step and zero of the levels that hold values with the least squared error."""
    generator = torch.Generator().manual_seed(0)
    flat = [value.flatten() for value in values]
    few = [value[torch.randint(len(value), (6000,), generator=generator)] for value in flat]
    low, high = (min(0.0, *(float(v.min()) for v in flat)), max(0.0, *(float(v.max()) for v in flat)))
    sample = torch.cat([*few, torch.tensor([low, high])])
    tried = []
    for clip in CLIPS:
        step = max((high - low) * clip / LEVELS, 1e-9)
        zero = round(-low * clip / step)
        tried.append((float((in_levels(sample, step, zero) - sample).square().mean()), step, zero))
    return min(tried)[1:]


def in_levels(value: torch.Tensor, step: float, zero: int) -> torch.Tensor:
    return (((value / step).round() + zero).clamp(0, LEVELS) - zero) * step


def rounded(weight: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers [..., O, K] and what 1 of them is worth [..., O].

    Args:
        weight: [..., O, K].
        variance: of what comes in, [..., K, K].
    """
    scale = weight.abs().amax(-1).clamp_min(1e-8) / LARGEST_WEIGHT
    count = weight.shape[-1]
    damping = variance.diagonal(dim1=-2, dim2=-1).mean(-1) * RIDGE + 1e-9
    inverse = torch.linalg.inv(variance + damping[..., None, None] * torch.eye(count, dtype=weight.dtype))
    factor = torch.linalg.cholesky(inverse).mT
    left, integers = weight.clone(), torch.zeros_like(weight)
    for k in range(count):
        integers[..., k] = (left[..., k] / scale).round().clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
        error = (left[..., k] - integers[..., k] * scale) / factor[..., k, k][..., None]
        left[..., k + 1 :] -= error[..., None] * factor[..., k, k + 1 :][..., None, :]
    return integers, scale


class Fitted:
    """Steps of walk on pairs: pictures as the integers see them, and in float32. Fills the weights on the way.

    Args:
        layers: filters in float32, rescaled.
        weights: what is filled.
        places: for each picture how much an error counts where, float32 [1, 1, h, w].
    """

    def __init__(self, layers: dict[str, nn.Conv2d], weights: Weights, places: list[torch.Tensor]):
        self.layers, self.weights, self.places = layers, weights, places

    def _to_levels(self, name: str, pair: Pair) -> Pair:
        step, zero = best_levels(pair[1])
        self.weights.of(name, "step").fill_(step)
        self.weights.of(name, "zero").fill_(zero)
        return [in_levels(value, step, zero) for value in pair[0]], pair[1]

    def filter(self, name: str, value: Pair, relu: bool) -> Pair:
        layer = self.layers[name]
        wanted = [layer(x) for x in value[1]]
        integers, scale, bias = self._fit(layer, value[0], wanted)
        for part, tensor in (("weight", integers), ("scale", scale), ("bias", bias)):
            self.weights.of(name, part).copy_(tensor)
        weight = integers * scale[:, None, None, None]
        got = [F.conv2d(x, weight, bias, layer.stride, layer.padding, 1, layer.groups) for x in value[0]]
        cut = F.relu if relu else torch.clone
        print(name, flush=True)
        return self._to_levels(name, ([cut(x) for x in got], [cut(x) for x in wanted]))

    def _fit(
        self, layer: nn.Conv2d, inputs: list[torch.Tensor], wanted: list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Integers, their scale and the bias with which the inputs give what is wanted, as nearly as they can."""
        groups, taps = layer.groups, int(np.prod(layer.kernel_size))
        rows = [
            self._rows(layer, x, y, place) for x, y, place in zip(inputs, wanted, self.places, strict=True)
        ]  # [G, K, N], [G, O / G, N], [N]
        total = sum(float(place.sum()) for _, _, place in rows)
        mean_x = sum((x * place).sum(-1) for x, _, place in rows) / total
        mean_y = sum((y * place).sum(-1) for _, y, place in rows) / total
        variance = covariance = 0
        for x, y, place in rows:
            centred = x - mean_x[..., None]
            weighted = (centred * place).mT
            variance = variance + centred @ weighted / total
            covariance = covariance + (y - mean_y[..., None]) @ weighted / total
        before = layer.weight.double().reshape(groups, -1, layer.in_channels // groups * taps)
        damping = variance.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None] * RIDGE + 1e-9
        eye = torch.eye(variance.shape[-1], dtype=torch.double)
        weight = torch.linalg.solve(variance + damping * eye, (covariance + damping * before).mT).mT
        integers, scale = rounded(weight, variance)
        bias = mean_y - (integers * scale[..., None] @ mean_x[..., None])[..., 0]
        product = max(float(x.abs().max()) for x in inputs) / LEVELS
        silent = scale < bias.abs() / product / LARGEST_BIAS
        integers[silent], scale[silent], bias[silent] = 0, 1.0, mean_y[silent]
        return integers.reshape(layer.weight.shape).float(), scale.flatten().float(), bias.flatten().float()

    def _rows(
        self, layer: nn.Conv2d, x: torch.Tensor, y: torch.Tensor, place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        place = F.interpolate(place, size=y.shape[2:], mode="area").flatten()
        columns = F.unfold(x, layer.kernel_size, padding=layer.padding, stride=layer.stride)[0]
        results = y[0].flatten(1)
        if len(place) > MOST_PLACES:
            some = torch.randperm(len(place), generator=torch.Generator().manual_seed(0))[:MOST_PLACES]
            columns, results, place = columns[:, some], results[:, some], place[some]
        split = (layer.groups, -1, len(place))
        return columns.double().reshape(split), results.double().reshape(split), place.double()

    def add(self, name: str, one: Pair, other: Pair) -> Pair:
        sums = ([a + b for a, b in zip(x, y, strict=True)] for x, y in zip(one, other, strict=True))
        return self._to_levels(name, tuple(sums))

    def merge(self, up: nn.Module, coarse: Pair, fine: Pair) -> Pair:
        return tuple([F.relu(up(a)) + b for a, b in zip(x, y, strict=True)] for x, y in zip(coarse, fine, strict=True))

    def levels(self, name: str, value: Pair) -> Pair:
        return self._to_levels(name, value)


@torch.no_grad()
def fitted(network: CenterFace, seen: list[torch.Tensor]) -> Weights:
    """The weights in integers that do on the pictures what the network does."""
    layers = {name: copy.deepcopy(folded_filter(network, name)) for name in names(network)[0]}
    observed = Float(layers)
    for x in seen:
        walk(network, x, observed)
    rescale(network, layers, observed.largest)
    heat = [(network(x)[0] > FACE_FROM).float() for x in seen]
    places = [1 + FACE_WEIGHT * F.max_pool2d(each, 5, 1, 2) for each in heat]
    weights = Weights(network)
    walk(network, ([x.round() for x in seen], seen), Fitted(layers, weights, places))
    return weights


@torch.inference_mode()
def compare(network: CenterFace, integers: CenterFace, seen: list[torch.Tensor]) -> str:
    """How far scores and sizes of faces move, and what is seen elsewhere, as a line of text."""
    moved, sizes, beside = [], [], []
    for x in seen:
        one, other = network(x), integers(x)
        face = one[0] > 0.25
        moved.append((other[0] - one[0])[face])
        beside.append(float((other[0] - one[0])[~face].max()))
        sizes.append((other[1] - one[1]).abs()[face.expand_as(one[1])])
    score, size = torch.cat(moved), torch.cat(sizes)
    return (
        f"{len(seen)} pictures: scores of faces move by {score.abs().mean():.4f} (mean {score.mean():+.4f}, "
        f"most {score.abs().max():.3f}), log sizes by {size.mean():.4f}; elsewhere by {max(beside):+.3f} at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, help="a folder of pictures")
    parser.add_argument("--check", type=Path, help="another one, for comparing")
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    network = load_centerface()
    weights = fitted(network, pictures(arguments.faces))
    metadata = {
        "source": "CenterFace in integers, fitted to models/centerface.safetensors by tools/convert/centerface_int8.py",
        "licence": "MIT",
    }
    save_file({key: value.contiguous() for key, value in weights.state_dict().items()}, arguments.output, metadata)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")
    if arguments.check is not None:
        integers = load_centerface()
        integers.integers = integer_filters(integers, arguments.output)
        assert isinstance(integers.integers, IntegerFilters)
        print(compare(network, integers, pictures(arguments.check)))
