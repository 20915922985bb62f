"""Triples of pictures as the method is trained with: source, driving image and ground truth (section 3.1 of the paper,
arXiv 2411.00762).

The source is identity A under attributes 1, the driving image identity B under attributes 2, the truth identity A under
attributes 2. So source and truth share the person, driving image and truth everything else: pose, expression, gaze,
light, background, clothing, glasses, framing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from .parameters import Parameters, sample_attributes, sample_identities
from .renderer import Rendered, render

_STREAM = 2  # 0 and 1 are those of identities and attributes


@dataclass(frozen=True)
class TripleParameters:
    """What N triples show.

    Attributes:
        source_numbers: int64 [N], of the identities A, as sample_identities counts.
        driving_numbers: int64 [N], of the identities B.
        source_identity: N identities A.
        driving_identity: N identities B.
        source_attributes: N attributes 1.
        driving_attributes: N attributes 2.
    """

    source_numbers: np.ndarray
    driving_numbers: np.ndarray
    source_identity: Parameters
    driving_identity: Parameters
    source_attributes: Parameters
    driving_attributes: Parameters

    def __len__(self) -> int:
        return len(self.source_numbers)


@dataclass(frozen=True)
class RenderedTriples:
    """N triples and what they show."""

    source: Rendered
    driving: Rendered
    truth: Rendered
    parameters: TripleParameters


def sample_triples(indices: int | Iterable[int], seed: int, identities: range | None = None) -> TripleParameters:
    """The parameters of triples by their indices. The attributes are new in each triple.

    Args:
        indices: 0 or more each; a count stands for 0..count-1.
        seed: 0 or more; a seed, an index and `identities` give the same triple always.
        identities: the numbers that A and B are drawn from, always different ones; None takes new ones for each triple,
            2 i and 2 i + 1, so that no person comes twice.

    Raises:
        ValueError: an index or the seed is negative, or there are fewer than two identities.
    """
    if isinstance(indices, int):
        indices = range(max(indices, 0))
    indices = np.array(list(indices), np.int64)
    if seed < 0 or (indices < 0).any():
        raise ValueError(f"Seeds and indices of triples are 0 or more; got seed {seed}, indices {indices.tolist()}.")
    if identities is None:
        numbers = np.stack([2 * indices, 2 * indices + 1])
    else:
        if len(identities) < 2:
            raise ValueError(f"A triple needs two different identities, but {len(identities)} were given: widen them.")
        places = (
            np.array([_pair(seed, index, len(identities)) for index in indices.tolist()], np.int64).reshape(-1, 2).T
        )
        numbers = np.array(identities, np.int64)[places]
    return TripleParameters(
        numbers[0],
        numbers[1],
        sample_identities(numbers[0], seed),
        sample_identities(numbers[1], seed),
        sample_attributes(2 * indices, seed),
        sample_attributes(2 * indices + 1, seed),
    )


def render_triples(
    parameters: TripleParameters, size: int = 128, device: torch.device | str | None = None
) -> RenderedTriples:
    """Render the three pictures of each triple.

    Args:
        parameters: what N triples show.
        size: side of the pictures in pixels, 16 to 4096.
        device: where to render and leave the results; None is where the parameters are.

    Raises:
        ValueError: another size.
    """
    p = parameters
    return RenderedTriples(
        render(p.source_identity, p.source_attributes, size, device),
        render(p.driving_identity, p.driving_attributes, size, device),
        render(p.source_identity, p.driving_attributes, size, device),
        p,
    )


def triples(
    indices: int | Iterable[int],
    seed: int,
    size: int = 128,
    device: torch.device | str | None = None,
    identities: range | None = None,
) -> RenderedTriples:
    """Draw triples and render them: sample_triples and render_triples in one.

    Args:
        indices: 0 or more each; a count stands for 0..count-1.
        seed: 0 or more; it decides who and what the triples show.
        size: side of the pictures in pixels, 16 to 4096.
        device: where to render and leave the results; None is the CPU.
        identities: the numbers that people are drawn from; None takes new people for each triple.

    Raises:
        ValueError: as sample_triples and render.
    """
    return render_triples(sample_triples(indices, seed, identities), size, device)


def _pair(seed: int, index: int, count: int) -> tuple[int, int]:
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, _STREAM, index]))
    first, second = int(generator.integers(count)), int(generator.integers(count - 1))
    return first, second + (second >= first)
