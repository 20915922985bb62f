"""Painting the same people by many settings of a sampler: what no setting changes is computed once for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from face_anonymizer.modules.evaluation.conditions import Condition
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.evaluation.synthetic_set import swap_sources, to_levels
from face_anonymizer.modules.model.painting import paint_references
from face_anonymizer.modules.model.references import EncodedImages, References, source_reference
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.tools.benchmarks.shortcuts import runs_by, with_shortcut

if TYPE_CHECKING:
    from face_anonymizer.modules.model.comfy_engine import FaceAnonModel

_KEPT_BYTES = 4 << 30  # of references; what is more is computed again


@dataclass
class Work:
    """What the UNet was asked for while faces were painted.

    Args:
        faces: that were painted.
        halves: of the guidance, in all steps of all faces that the UNet did.
        whole: of these, which it did in whole; a shortcut may take the finest level alone.
        kinds: which halves there were at all.
        seconds: of the clock, for sampling and decoding.
    """

    faces: int = 0
    halves: int = 0
    whole: int = 0
    kinds: set[int] = field(default_factory=set)
    seconds: float = 0.0

    def add(self, halves: int, whole: int) -> None:
        """Count rows of a step."""
        self.halves += halves
        self.whole += whole


class _How(NamedTuple):
    setting: SamplerSettings
    shortcut: str


class SharedPainter:
    """Paints people under some conditions, by one setting after the other.

    Args:
        engine: of the model.
        originals: uint8 [N, S, S, 3]; a swap's source is the person before.
        conditions: which pictures to paint, all of them of the originals.
        batch: the most faces that go through the networks together.
        clock: seconds of it are told, such as time.process_time.
    """

    def __init__(
        self,
        engine: FaceAnonModel,
        originals: np.ndarray,
        conditions: Sequence[Condition],
        batch: int,
        clock: Callable[[], float] = time.process_time,
    ):
        self._engine, self._originals, self._conditions = engine, originals, conditions
        self._batch, self._clock = batch, clock
        # first person of a batch -> by condition its references, and its latents
        self._kept: dict[int, tuple[dict[str, References], torch.Tensor]] = {}
        self._bytes = 0
        self._shared_seconds: list[float] = []

    @property
    def shared_seconds(self) -> float:
        """What encoding a face and reading its references takes, whichever setting paints it; NaN before the first."""
        return float(np.mean(self._shared_seconds)) if self._shared_seconds else float("nan")

    def paint(
        self, setting: SamplerSettings, store: PictureStore, shortcut: str = "", people: int | None = None
    ) -> Work:
        """Paint what a store lacks, batch by batch, so that it may be killed at any time.

        Args:
            setting: of the sampler.
            store: of the pictures of this setting.
            shortcut: one of shortcuts.SHORTCUTS, or "" for none.
            people: the first so many; None: all.

        Returns:
            What it took; of no face where the store lacked none.
        """
        work = Work()
        for start, condition, numbers in self._missing(store, people or len(self._originals)):
            pictures = self._paint(start, condition, numbers, work, _How(setting, shortcut))
            for number, picture in zip(numbers, pictures, strict=True):
                store.write(condition.name, number, picture)
        return work

    def try_one(self, setting: SamplerSettings, shortcut: str = "") -> Work:
        """Paint one face and throw it away: what a setting asks for whose pictures are all there.

        Args:
            setting, shortcut: as for paint.
        """
        work = Work()
        self._paint(0, self._conditions[-1], [0], work, _How(setting, shortcut))
        return work

    def _missing(self, store: PictureStore, people: int) -> Iterator[tuple[int, Condition, list[int]]]:
        for start in range(0, people, self._batch):
            rows = range(start, min(start + self._batch, people))
            for condition in self._conditions:
                numbers = [number for number in rows if not store.has(condition.name, number)]
                if numbers:
                    yield start, condition, numbers

    def _paint(self, start: int, condition: Condition, numbers: list[int], work: Work, how: _How) -> np.ndarray:
        rows = [number - start for number in numbers]
        every, latents = self._read(start)
        references = every[condition.name].part(rows)
        seeds = [condition.seed_offset(number) for number in numbers]
        engine = self._engine._replace(unet=self._watched(with_shortcut(self._engine.unet, how.shortcut), work))
        network = self._engine.unet.model.diffusion_model
        counts = [network.out[0].register_forward_hook(lambda _, given, __: work.add(len(given[0]), 0))]
        counts.append(network.middle_block[0].register_forward_hook(lambda _, given, __: work.add(0, len(given[0]))))
        begun = self._clock()
        try:
            with runs_by(how.shortcut, latents[rows]):
                painted = paint_references(engine, references, seeds, how.setting, lambda *_: None)
        finally:
            for count in counts:
                count.remove()
        pictures = to_levels(painted)
        work.seconds += self._clock() - begun
        work.faces += len(numbers)
        return pictures

    def _watched(self, unet, work: Work):
        """A MODEL that tells which halves it is asked for."""
        unet = unet.clone()

        def watch(apply, given):
            work.kinds.update(given["cond_or_uncond"])
            return apply(given["input"], given["timestep"], **given["c"])

        unet.set_model_unet_function_wrapper(watch)
        return unet

    def _read(self, start: int) -> tuple[dict[str, References], torch.Tensor]:
        """References of one batch, by condition; and the latents of its pictures."""
        if start in self._kept:
            return self._kept[start]
        begun = self._clock()
        rows = range(start, min(start + self._batch, len(self._originals)))
        driving = EncodedImages.of(self._engine, _images(self._originals[list(rows)]))
        states = self._engine.driving_states(driving.latents, driving.embeds)
        found = {}
        for condition in self._conditions:
            source = driving
            if condition.swaps:
                before = swap_sources(len(self._originals))
                source = EncodedImages.of(self._engine, _images(self._originals[[before[row] for row in rows]]))
            source_states, embeds = source_reference(self._engine, source, condition.degree)
            found[condition.name] = References(source_states, states, embeds, driving.embeds)
        self._shared_seconds.append((self._clock() - begun) / (len(rows) * len(self._conditions)))
        size = _size(found.values())
        if self._bytes + size <= _KEPT_BYTES:
            self._kept[start] = found, driving.latents
            self._bytes += size
        return found, driving.latents


def _images(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).float() / 255


def _size(references) -> int:
    """Bytes of reference states; the driving ones of one batch are the same for all conditions."""
    several = list(references)
    source = sum(state.nbytes for one in several for state in one.source_states.conditional.values())
    return source + sum(state.nbytes for state in several[0].driving_states.conditional.values())
