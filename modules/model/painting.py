"""The whole method: face crops become crops, by whichever engine, in parts of bounded memory. Pure: no ComfyUI here.

Section 3.3 of the paper (Kung et al., WACV 2025). What the engine does is in engine.py, what it reads in references.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .engine import Engine, Progress
from .references import EncodedImages, References
from .settings import PaintSettings, SamplerSettings


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
    sources: torch.Tensor,
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
        sources: aligned faces, float [M, S', S', 3 or 4], 0..1.
        crops, offsets, settings, progress: see anonymize_crops.
        which: N indices, which crop gets which source. None: one source serves all, or each crop has its own.

    Returns:
        The new crops, float32 [N, S, S, 3].

    Raises:
        ValueError: for another number of offsets or sources than of crops.
    """
    if which is None:
        if len(sources) not in (1, len(crops)):
            raise ValueError(f"There are {len(sources)} source faces for {len(crops)} crops: give one, or one a crop.")
        which = [0] * len(crops) if len(sources) == 1 else range(len(crops))
    sources = _resize(sources, crops.shape[1])

    def sources_of(part: slice) -> torch.Tensor:
        indices = list(which[part])
        return sources[indices[:1] if len(set(indices)) == 1 else indices]  # states of one source serve all crops

    return _paint(engine, crops, offsets, settings, progress=progress, sources_of=sources_of)


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


def _paint(
    engine: Engine,
    crops: torch.Tensor,
    offsets: Sequence[int],
    settings: PaintSettings,
    *,
    progress: Progress | None,
    sources_of: Callable[[slice], torch.Tensor] | None = None,
) -> torch.Tensor:
    """anonymize_crops, or swap_crops where sources_of gives the sources of a part of the crops."""
    if len(offsets) != len(crops):
        raise ValueError(f"There are {len(crops)} crops but {len(offsets)} faces: connect the faces of these crops.")
    progress = progress or engine.progress(settings, runs(len(crops), settings))
    painted = []
    for start in range(0, len(crops), settings.faces_at_once):
        progress.start_run()
        part = slice(start, start + settings.faces_at_once)
        driving = EncodedImages.of(engine, crops[part])
        source = driving if sources_of is None else EncodedImages.of(engine, sources_of(part))
        references = References.of(engine, source, driving, settings.degree)
        seeds = [settings.seed + offset for offset in offsets[part]]
        painted.append(paint_references(engine, references, seeds, settings.sampler, progress.step))
    return torch.cat(painted) if painted else crops[..., :3].float()


def _resize(images: torch.Tensor, size: int) -> torch.Tensor:
    if images.shape[1:3] == (size, size):
        return images
    moved = images[..., :3].float().movedim(-1, 1)
    moved = torch.nn.functional.interpolate(moved, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return moved.clamp(0, 1).movedim(1, -1)
