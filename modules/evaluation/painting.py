"""Pictures of every condition, painted by the method: in whole, or reduced as in the paper's ablation.

The steps are those of modules/model/painting.py; what the conditions share (latents, embeddings, driving states) is
computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ..model.engine import Engine
from ..model.painting import paint_references
from ..model.references import EncodedImages, References, source_reference
from ..model.settings import SamplerSettings
from ..model.states import ImageEmbeds, ReferenceStates, interpolate_states
from .conditions import (
    EMBEDDINGS_UNMODIFIED,
    FULL,
    OTHER,
    RECONSTRUCTION,
    REDUCTIONS,
    STATES_UNMODIFIED,
    WITHOUT_UNCONDITIONAL,
    Condition,
)
from .store import PictureStore
from .synthetic_set import swap_sources, to_levels


@dataclass
class Painter:
    """Paints conditions into a store.

    Args:
        engine: of the model that is evaluated.
        seed: the offset of condition and picture is added to it.
        sampler: how the latents are sampled.
        at_once: the most faces that go through the networks together.
    """

    engine: Engine
    seed: int
    sampler: SamplerSettings
    at_once: int = 50

    def paint(
        self,
        originals: np.ndarray,
        others: np.ndarray,
        conditions: Sequence[Condition],
        store: PictureStore,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Paint what `store` lacks of the conditions, and the VAE's reconstruction of the originals.

        Args:
            originals: uint8 [N, S, S, 3].
            others: other pictures of the same N people, uint8 [N, S, S, 3].
            conditions: which pictures to paint.
            store: where they go.
            progress: called with the number of pictures that were painted since its last call.
        """
        for pictures, mine in _by_pictures(originals, others, conditions):
            for start in range(0, len(pictures), self.at_once):
                rows = range(start, min(start + self.at_once, len(pictures)))
                missing = ((condition, _missing(store, condition, rows)) for condition in mine)
                wanted = [(condition, numbers) for condition, numbers in missing if numbers]
                lacking = [row for row in rows if pictures is originals and not store.has(RECONSTRUCTION, row)]
                if not wanted and not lacking:
                    continue
                batch = _DrivingBatch(self.engine, pictures, rows)
                if lacking:
                    decoded = to_levels(self.engine.decode(batch.driving.latents))
                    for row in lacking:
                        store.write(RECONSTRUCTION, row, decoded[row - start])
                for condition, numbers in wanted:
                    for number, picture in zip(numbers, self._paint(batch, condition, numbers), strict=True):
                        store.write(condition.name, number, picture)
                    progress(len(numbers))

    def _paint(self, batch: _DrivingBatch, condition: Condition, numbers: list[int]) -> np.ndarray:
        """uint8 [len(numbers), S, S, 3]. numbers: of the pictures, all of them of the batch."""
        rows = [number - batch.rows.start for number in numbers]
        source = (batch.sources if condition.swaps else batch.driving).part(rows)
        states, embeds = reduced_source(self.engine, source, condition.degree, condition.reduction)
        references = References(
            source_states=states,
            driving_states=batch.driving_states.part(rows),
            source_embeds=embeds,
            driving_embeds=batch.driving.embeds.part(rows),
            mixed_degrees=condition.reduction != FULL,  # the ablation leaves the degree out of one of them
        )
        seeds = [self.seed + condition.seed_offset(number) for number in numbers]
        return to_levels(paint_references(self.engine, references, seeds, self.sampler, lambda *_: None))


class _DrivingBatch:
    """Some pictures as driving images, encoded once for all conditions, and the sources of their swaps."""

    def __init__(self, engine: Engine, pictures: np.ndarray, rows: range):
        self.engine = engine
        self.pictures = pictures
        self.rows = rows
        self.driving = EncodedImages.of(engine, _images(pictures[rows.start : rows.stop]))
        self.driving_states = engine.driving_states(self.driving.latents, self.driving.embeds)

    @cached_property
    def sources(self) -> EncodedImages:
        """Of each picture that of the person before: the sources of the swaps."""
        before = swap_sources(len(self.pictures))
        return EncodedImages.of(self.engine, _images(self.pictures[[before[row] for row in self.rows]]))


def reduced_source(
    engine: Engine, images: EncodedImages, degree: float, reduction: str = FULL
) -> tuple[ReferenceStates, ImageEmbeds]:
    """States and embeddings of source images, by the whole method or by a part of it.

    Args:
        engine: whose source ReferenceNet runs.
        images: of the sources.
        degree: of anonymization.
        reduction: FULL or one of conditions.REDUCTIONS, which leave one of the method's parts out.

    Raises:
        ValueError: for another reduction.
    """
    if reduction == FULL:
        return source_reference(engine, images, degree)
    if reduction not in REDUCTIONS:
        raise ValueError(f"There is no reduction {reduction!r}; those of the ablation are {', '.join(REDUCTIONS)}.")
    embeds = images.embeds if reduction == EMBEDDINGS_UNMODIFIED else images.embeds.scaled(degree)
    states = engine.source_states(images.latents, embeds)
    if reduction == STATES_UNMODIFIED:
        return states, embeds
    if reduction == WITHOUT_UNCONDITIONAL:
        nothing = {layer: torch.zeros_like(state) for layer, state in states.unconditional.items()}
        scaled = interpolate_states(replace(states, unconditional=nothing), degree)
        return replace(scaled, unconditional=states.unconditional), embeds  # of the guidance's other half
    return interpolate_states(states, degree), embeds


def reconstruct(engine: Engine, images: torch.Tensor) -> torch.Tensor:
    """Send crops through the VAE, without any sampling: the floor under every result.

    Args:
        engine: whose VAE it is.
        images: float [N, S, S, 3], 0..1.

    Returns:
        The same on the CPU.
    """
    return engine.decode(engine.encode(images)).cpu()


def _by_pictures(
    originals: np.ndarray, others: np.ndarray, conditions: Sequence[Condition]
) -> Iterator[tuple[np.ndarray, list[Condition]]]:
    yield originals, [condition for condition in conditions if condition.pictures != OTHER]
    yield others, [condition for condition in conditions if condition.pictures == OTHER]


def _missing(store: PictureStore, condition: Condition, rows: range) -> list[int]:
    """Numbers of the pictures among `rows` that the condition has and the store lacks."""
    last = rows.stop if condition.count is None else min(rows.stop, condition.count)
    return [row for row in range(rows.start, last) if not store.has(condition.name, row)]


def _images(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).float() / 255
