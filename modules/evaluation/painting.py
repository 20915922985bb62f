"""Pictures of every condition, painted by the method. Touches the host: runs its models.

The same steps as modules/model/painting.py, but what the conditions share (latents, embeddings, driving states) is
computed once for all of them, and the method can be reduced as in the paper's ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..model.embedding import encode_image
from ..model.loading import FaceAnonModel, load_model_folder
from ..model.references import References
from ..model.sampling import sample
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
    """model: loaded. seed, sampler: see sampling.sample. at_once: faces that go through the networks together."""

    model: FaceAnonModel
    seed: int
    sampler: SamplerSettings
    at_once: int = 50

    def paint(
        self,
        originals: np.ndarray,
        others: np.ndarray,
        conditions: Sequence[Condition],
        store: PictureStore,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Paint into `store` what it lacks of the conditions, and the VAE's reconstruction of the originals.

        originals, others: uint8 [N, S, S, 3]. progress: called with the number of pictures that were done.
        """
        for pictures, mine in _by_pictures(originals, others, conditions):
            for start in range(0, len(pictures), self.at_once):
                rows = range(start, min(start + self.at_once, len(pictures)))
                wanted = [
                    (condition, numbers)
                    for condition in mine
                    if (
                        numbers := [
                            row for row in rows if _is_in(condition, row) and not store.has(condition.name, row)
                        ]
                    )
                ]
                lacking = [row for row in rows if pictures is originals and not store.has(RECONSTRUCTION, row)]
                if not wanted and not lacking:
                    continue
                seen = _Seen(self.model, pictures, rows, any(condition.swaps for condition, _ in wanted))
                if lacking:
                    decoded = to_levels(self.model.vae.decode(seen.latents))
                    for row in lacking:
                        store.write(RECONSTRUCTION, row, decoded[row - start])
                for condition, numbers in wanted:
                    painted = self._paint(seen, condition, [number - start for number in numbers], numbers)
                    for number, picture in zip(numbers, painted, strict=True):
                        store.write(condition.name, number, picture)
                    progress(len(numbers))

    def _paint(self, seen: _Seen, condition: Condition, rows: list[int], numbers: list[int]) -> np.ndarray:
        latents, embeds = seen.source(condition.swaps, rows)
        source_states, source_embeds = source_references(
            self.model, latents, embeds, condition.degree, condition.reduction
        )
        states = {layer: state[rows] for layer, state in seen.driving_states.conditional.items()}
        driving = (replace(seen.driving_states, conditional=states), ImageEmbeds(seen.embeds[rows]))
        mixed = condition.reduction != FULL  # the ablation leaves the degree out of one of them
        references = References(source_states, driving[0], source_embeds, driving[1], mixed_degrees=mixed)
        seeds = [self.seed + condition.seed_offset(number) for number in numbers]
        drawn = sample(self.model.unet, references, seeds, self.sampler, lambda *_: None)
        return to_levels(self.model.vae.decode(drawn))


class _Seen:
    """What the networks say of one batch of driving images, and of the pictures of the people before them."""

    def __init__(self, model: FaceAnonModel, pictures: np.ndarray, rows: range, with_sources: bool):
        images = _images(pictures[rows.start : rows.stop])
        self.latents = model.vae.encode(images)
        self.embeds = encode_image(model.clip_vision, images, 0.0).embeds
        self.driving_states = model.driving_reference_net.states(self.latents, ImageEmbeds(self.embeds))
        if with_sources:
            before = swap_sources(len(pictures))
            images = _images(pictures[[before[row] for row in rows]])
            self._sources = model.vae.encode(images), encode_image(model.clip_vision, images, 0.0).embeds

    def source(self, swaps: bool, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents and unscaled embeddings of the sources of these rows of the batch."""
        latents, embeds = self._sources if swaps else (self.latents, self.embeds)
        return latents[rows], embeds[rows]


def source_references(
    model: FaceAnonModel, latents: torch.Tensor, embeds: torch.Tensor, degree: float, reduction: str = FULL
) -> tuple[ReferenceStates, ImageEmbeds]:
    """States and embeddings of the source at this degree, by the whole method or reduced (see conditions.REDUCTIONS).

    latents: [B, C, h, w]. embeds: [B, 1, C], unscaled. Equations (1) and (2) of the paper. Raises ValueError for
    another reduction.
    """
    if reduction not in (FULL, *REDUCTIONS):
        raise ValueError(f"There is no reduction {reduction!r}; those of the ablation are {', '.join(REDUCTIONS)}.")
    scale = 1.0 if reduction == EMBEDDINGS_UNMODIFIED else 1 - degree
    source_embeds = ImageEmbeds(embeds * scale, 1 - scale)
    states = model.source_reference_net.states(latents, source_embeds)
    if reduction == STATES_UNMODIFIED:
        return states, source_embeds
    if reduction == WITHOUT_UNCONDITIONAL:
        nothing = {layer: torch.zeros_like(state) for layer, state in states.unconditional.items()}
        scaled = interpolate_states(replace(states, unconditional=nothing), degree)
        return replace(scaled, unconditional=states.unconditional), source_embeds  # of the guidance's other half
    return interpolate_states(states, degree), source_embeds


def load_painter(
    folder: Path, seed: int, sampler: SamplerSettings, at_once: int, weight_dtype: str = "default"
) -> Painter:
    """A Painter of the model folder; raises what load_model_folder raises."""
    return Painter(load_model_folder(folder, weight_dtype=weight_dtype), seed, sampler, at_once)


def reconstruct(model: FaceAnonModel, images: torch.Tensor) -> torch.Tensor:
    """What the VAE makes of crops, float [N, S, S, 3]: the floor under every result."""
    return model.vae.decode(model.vae.encode(images)).float().cpu()


def _by_pictures(
    originals: np.ndarray, others: np.ndarray, conditions: Sequence[Condition]
) -> Iterator[tuple[np.ndarray, list[Condition]]]:
    yield originals, [condition for condition in conditions if condition.pictures != OTHER]
    yield others, [condition for condition in conditions if condition.pictures == OTHER]


def _is_in(condition: Condition, row: int) -> bool:
    return condition.count is None or row < condition.count


def _images(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).float() / 255
