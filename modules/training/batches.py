"""Batches of encoded triples, in an order that is a pure function of (seed, step): nothing to save, exact to resume."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ..model.diffusers_engine.encoders import ClipInput, Encoders
from .cache import Encoded
from .triples import Triples, UnusablePicture, load_picture

MicroSteps = Callable[[int], np.ndarray]  # micro-step -> its triples, as an Order gives them


class Batch(NamedTuple):
    """Scaled latents [B, C, h, w] and embeddings [B, 1, width] of B triples, float32."""

    source_latents: torch.Tensor
    driving_latents: torch.Tensor
    truth_latents: torch.Tensor
    source_embeds: torch.Tensor
    driving_embeds: torch.Tensor


def in_parts(triples: Triples, encoders: Encoders, count: int, at_once: int, resolution: int) -> list[Batch]:
    """Encode the first triples of a list as they stand, in batches.

    Args:
        triples: a list.
        encoders: of its pictures.
        count: how many triples; all of a shorter list.
        at_once: the most triples of a batch.
        resolution: side of all pictures in pixels.

    Raises:
        UnusablePicture: one cannot be read, or has another size.
    """
    count = min(count, len(triples))
    parts = [np.arange(first, min(first + at_once, count)) for first in range(0, count, at_once)]
    return list(itertools.islice(read_batches(triples, encoders, parts.__getitem__, 0, resolution), len(parts)))


class Order:
    """Which triples a process gets in a micro-step: all of a list once, shuffled, before any comes again."""

    def __init__(self, triples: int, batch: int, seed: int, rank: int = 0, processes: int = 1):
        self.triples, self.batch, self.seed, self.rank, self.processes = triples, batch, seed, rank, processes
        self._epoch, self._shuffled = -1, np.empty(0, dtype=np.int64)

    def __call__(self, micro_step: int) -> np.ndarray:
        """int64 [batch] of triples. micro_step: counts all batches of this process since the training began."""
        first = (micro_step * self.processes + self.rank) * self.batch
        return np.array([self._at(place) for place in range(first, first + self.batch)])

    def _at(self, place: int) -> int:
        epoch, place = divmod(place, self.triples)
        if epoch != self._epoch:
            self._epoch, self._shuffled = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.triples)
        return self._shuffled[place]


def cached_batches(triples: Triples, encoded: Encoded, order: Order, start: int, device) -> Iterator[Batch]:
    """Batches from micro-step `start` on, without end, out of tensors that hold every picture.

    Args:
        triples: a list.
        encoded: of all its pictures.
        order: which triples a micro-step has.
        start: the first micro-step, from 0.
        device: where the batches lie.
    """
    for micro_step in itertools.count(start):
        rows = torch.from_numpy(triples.indices[order(micro_step)])
        latents = encoded.latents[rows.flatten()].view(*rows.shape, *encoded.latents.shape[1:]).to(device).float()
        embeds = encoded.embeds[rows[:, :2].flatten()].view(len(rows), 2, 1, -1).to(device).float()
        yield Batch(*latents.unbind(1), *embeds.unbind(1))


def read_batches(
    triples: Triples, encoders: Encoders, order: MicroSteps, start: int, resolution: int, *, workers: int = 0
) -> Iterator[Batch]:
    """Batches as of cached_batches, from the picture files, which are encoded here.

    Args:
        triples: a list.
        encoders: of its pictures; the batches lie on their device.
        order: which triples a micro-step has.
        start: the first micro-step, from 0.
        resolution: side of all pictures in pixels.
        workers: processes that read pictures; 0 reads them here.

    Raises:
        UnusablePicture: one cannot be read, or has another size.
    """
    pictures = _Pictures(triples, resolution, encoders.clip_input)
    loader = DataLoader(pictures, batch_sampler=_Sampler(order, start), num_workers=workers, collate_fn=_collate)
    for loaded in loader:
        if isinstance(loaded, UnusablePicture):
            raise loaded
        images, clip_pixels = loaded
        latents = encoders.latents(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        embeds = encoders.embeds(clip_pixels.flatten(0, 1)).unflatten(0, clip_pixels.shape[:2])
        yield Batch(*latents.unbind(1), *embeds.float().unbind(1))


class _Pictures(Dataset):
    """Triple -> (uint8 [3, H, W, 3], what CLIP sees of source and driving image [2, 3, size, size])."""

    def __init__(self, triples: Triples, resolution: int, clip_input: ClipInput):
        self.triples, self.resolution, self.clip_input = triples, resolution, clip_input

    def __getitem__(self, triple: int) -> tuple[torch.Tensor, torch.Tensor] | UnusablePicture:
        numbers = self.triples.indices[triple]
        try:
            images = np.stack([load_picture(self.triples.pictures[number], self.resolution) for number in numbers])
        except UnusablePicture as error:  # raised in a loader process, it would come with that one's traceback
            return error
        images = torch.from_numpy(images)
        return images, self.clip_input(images[:2])


def _collate(items: list):
    unusable = next((item for item in items if isinstance(item, UnusablePicture)), None)
    return unusable or default_collate(items)


class _Sampler:
    def __init__(self, order: MicroSteps, start: int):
        self.order, self.start = order, start

    def __iter__(self) -> Iterator[list[int]]:
        return (self.order(micro_step).tolist() for micro_step in itertools.count(self.start))
