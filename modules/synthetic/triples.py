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
    """What N triples show. Numbers: int64 [N], of the identities A and B, as sample_identities counts."""

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
    """The parameters of triples by their indices; a count stands for 0..count-1.

    seed: 0 or more; it, an index and `identities` give the same triple always. identities: the numbers that A and B are
    drawn from, always different ones; None takes new ones for each triple, 2 i and 2 i + 1, so that no person comes
    twice. Attributes are new in each. Raises ValueError for negative numbers, or fewer than two identities.
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
    """The pictures of triples; size, device and errors as in render."""
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
    """sample_triples and render_triples in one."""
    return render_triples(sample_triples(indices, seed, identities), size, device)


def _pair(seed: int, index: int, count: int) -> tuple[int, int]:
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, _STREAM, index]))
    first, second = int(generator.integers(count)), int(generator.integers(count - 1))
    return first, second + (second >= first)
