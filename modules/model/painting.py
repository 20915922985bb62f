"""The whole method: face crops become crops, by whichever engine, in parts of bounded memory. Pure: no ComfyUI here.

Section 3.3 of the paper (Kung et al., WACV 2025). What the engine does is in engine.py, what it reads in references.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch

from .engine import Engine, Progress
from .references import EncodedImages, References, source_reference
from .settings import PaintSettings, SamplerSettings
from .sources import SourceFaces, Sources
from .states import ImageEmbeds, ReferenceStates


def anonymize_crops(
    engine: Engine,
    crops: torch.Tensor,
    offsets: Sequence[int],
    settings: PaintSettings,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Paint crops with another identity: each crop is source and driving image at once.

    Args:
        engine: of the model.
        crops: aligned faces, float [N, S, S, 3 or 4], 0..1.
        offsets: N numbers, which crop adds what to the seed.
        settings: see PaintSettings.
        progress: of the job that this is a part of; None shows that of this call.

    Returns:
        The new crops, float32 [N, S, S, 3].

    Raises:
        ValueError: for another number of offsets than of crops.
    """
    return _paint(engine, crops, offsets, settings, progress=progress)


def swap_crops(
    engine: Engine,
    sources: torch.Tensor | Sources,
    crops: torch.Tensor,
    offsets: Sequence[int],
    settings: PaintSettings,
    *,
    progress: Progress | None = None,
    which: Sequence[int] | None = None,
) -> torch.Tensor:
    """Paint crops with the identity of other faces.

    With degree 0 it is a face swap: expression, pose, gaze and light are the crop's.

    Args:
        engine: of the model.
        sources: aligned faces, float [M, S', S', 3 or 4], 0..1; or Sources of the crops' size, of which each face is
            read once for all calls.
        crops, offsets, settings, progress: see anonymize_crops.
        which: N indices, which crop gets which source. None: one source serves all, or each crop has its own.

    Returns:
        The new crops, float32 [N, S, S, 3].

    Raises:
        ValueError: for another number of offsets or sources than of crops.
    """
    sources_of = sources_for(engine, sources, crops, which)
    return _paint(engine, crops, offsets, settings, progress=progress, sources_of=sources_of)


def sources_for(
    engine: Engine, sources: torch.Tensor | Sources, crops: torch.Tensor, which: Sequence[int] | None = None
) -> Callable[[Sequence[int]], SourceFaces]:
    """A function that gives the sources of the crops at some places.

    Args:
        engine, sources, crops, which: see swap_crops.

    Raises:
        ValueError: for another number of sources than of crops.
    """
    if which is None:
        if len(sources) not in (1, len(crops)):
            raise ValueError(f"There are {len(sources)} source faces for {len(crops)} crops: give one, or one a crop.")
        which = [0] * len(crops) if len(sources) == 1 else range(len(crops))
    faces = sources if isinstance(sources, Sources) else Sources(engine, sources, crops.shape[1])
    return lambda places: faces.of([which[place] for place in places])


def paint_references(
    engine: Engine,
    references: References,
    seeds: Sequence[int],
    sampler: SamplerSettings,
    on_step: Callable | None = None,
) -> torch.Tensor:
    """Paint the faces of references.

    Args:
        engine: of the model.
        references: of N faces.
        seeds: N of them, one a face.
        sampler: how latents are sampled.
        on_step: called after each step, see Engine.sample.

    Returns:
        Crops, float32 [N, S, S, 3].

    Raises:
        ValueError: as Engine.sample does.
    """
    return engine.decode(engine.sample(references, seeds, sampler, on_step))


def runs(count: int, settings: PaintSettings) -> int:
    """How many sampler runs `count` crops take."""
    return -(-count // settings.faces_at_once)


class Sitting:
    """A few crops that go through the networks together: read once, painted as often as need be.

    They are encoded at the first painting. Another degree runs the source ReferenceNet again, as its states depend on
    the degree, and for those crops alone.

    Args:
        engine: of the model.
        crops: aligned faces, float [N, S, S, 3 or 4], 0..1, as many as may go through at once.
        sampler: how the latents are sampled.
        sources: whose identity they get, N of them or one for all; None: each crop is its own source.
    """

    def __init__(
        self, engine: Engine, crops: torch.Tensor, sampler: SamplerSettings, sources: SourceFaces | None = None
    ):
        self._engine, self._crops, self._sampler, self._sources = engine, crops, sampler, sources
        self._first: References | None = None

    def paint(
        self,
        seeds: Sequence[int],
        degree: float,
        on_step: Callable | None = None,
        which: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Paint the crops, or some of them.

        Args:
            seeds: one a crop that is painted.
            degree: of anonymization.
            on_step: called after each step, see Engine.sample.
            which: their places among the crops; None: all.

        Returns:
            float32, as many crops as seeds.

        Raises:
            ValueError: as Engine.sample does.
        """
        return paint_references(self._engine, self._references(degree, which), seeds, self._sampler, on_step)

    def _references(self, degree: float, which: Sequence[int] | None) -> References:
        driving = self._driving
        if self._first is None:
            states, embeds = self._source(degree, None)
            driving_states = self._engine.driving_states(driving.latents, driving.embeds)
            self._first = References(states, driving_states, embeds, driving.embeds)
        mine = self._first if which is None else self._first.part(which)
        if mine.source_embeds.degree == degree:
            return mine
        states, embeds = self._source(degree, which)
        return replace(mine, source_states=states, source_embeds=embeds)

    def _source(self, degree: float, which: Sequence[int] | None) -> tuple[ReferenceStates, ImageEmbeds]:
        if self._sources is not None:
            return self._sources.part(which).read(degree)
        source = self._driving
        if which is not None and source.embeds.batch > 1:
            source = source.part(which)
        return source_reference(self._engine, source, degree)

    @cached_property
    def _driving(self) -> EncodedImages:
        """The crops as driving images."""
        return EncodedImages.of(self._engine, self._crops)


def _paint(
    engine: Engine,
    crops: torch.Tensor,
    offsets: Sequence[int],
    settings: PaintSettings,
    *,
    progress: Progress | None,
    sources_of: Callable[[Sequence[int]], SourceFaces] | None = None,
) -> torch.Tensor:
    """anonymize_crops, or swap_crops where sources_of gives the sources of a part of the crops."""
    if len(offsets) != len(crops):
        raise ValueError(f"There are {len(crops)} crops but {len(offsets)} faces: connect the faces of these crops.")
    progress = progress or engine.progress(settings, runs(len(crops), settings), len(crops))
    painted = []
    for start in range(0, len(crops), settings.faces_at_once):
        part = slice(start, start + settings.faces_at_once)
        progress.start_run(len(crops[part]))
        sources = None if sources_of is None else sources_of(range(len(crops))[part])
        sitting = Sitting(engine, crops[part], settings.sampler, sources)
        seeds = [settings.seed_of(offset) for offset in offsets[part]]
        painted.append(sitting.paint(seeds, settings.degree, progress.step))
    return torch.cat(painted) if painted else crops[..., :3].float()
