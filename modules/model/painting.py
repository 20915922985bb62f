"""The whole method on a batch of face crops, in chunks of bounded memory. Touches the host: runs its models."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import latent_preview
import torch

from .embedding import encode_image
from .loading import FaceAnonModel
from .references import References
from .sampling import sample
from .settings import PaintSettings
from .states import interpolate_states


def anonymize_crops(
    model: FaceAnonModel,
    crops: torch.Tensor,
    offsets: Sequence[int],
    settings: PaintSettings,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Crops with another identity: each crop is source and driving image at once (section 3.3 of the paper).

    crops: float [N, S, S, 3], 0..1, aligned. offsets: what each adds to the seed. progress: None shows one of its own.
    Returns float32 [N, S, S, 3] on the host's intermediate device. Raises ValueError for other counts or sizes.
    """
    return _paint(model, None, crops, offsets, settings, progress)


def swap_crops(
    model: FaceAnonModel,
    sources: torch.Tensor,
    crops: torch.Tensor,
    offsets: Sequence[int],
    settings: PaintSettings,
    *,
    progress: Progress | None = None,
    which: Sequence[int] | None = None,
) -> torch.Tensor:
    """Crops with the identity of `sources`: float [M, S', S', 3]. Else as anonymize_crops.

    which: index of the source of each crop; None: one source serves all, or each crop has its own.
    Degree 0 is a face swap: expression, pose, gaze and light are the crop's (section 3.3 of the paper).
    """
    if which is None:
        if len(sources) not in (1, len(crops)):
            raise ValueError(f"There are {len(sources)} source faces for {len(crops)} crops: give one, or one a crop.")
        which = [0] * len(crops) if len(sources) == 1 else range(len(crops))
    sources = _resized(sources, crops.shape[1])

    def chosen(part: slice) -> torch.Tensor:
        indices = list(which[part])
        return sources[indices[:1] if len(set(indices)) == 1 else indices]  # states of one source serve all crops

    return _paint(model, chosen, crops, offsets, settings, progress)


class Progress:
    """The progress bar and previews of a job of many sampler runs, as one run of KSampler shows them."""

    def __init__(self, model: FaceAnonModel, settings: PaintSettings, runs: int):
        self._steps = settings.sampler.steps
        self._all = self._steps * max(1, runs)
        self._show = latent_preview.prepare_callback(model.unet, self._all)
        self._done = 0

    def run_is_done(self) -> None:
        self._done += self._steps

    def step(self, step: int, denoised, x, steps: int) -> None:
        """A sampler's callback for step number `step` of the `steps` of the current run."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._show(self._done + step * self._steps // steps, denoised, x, self._all)


def runs(count: int, settings: PaintSettings) -> int:
    """How many sampler runs `count` crops take."""
    return -(-count // settings.faces_at_once)


def _paint(model, sources, crops, offsets, settings, progress) -> torch.Tensor:
    if len(offsets) != len(crops):
        raise ValueError(f"There are {len(crops)} crops but {len(offsets)} faces: connect the faces of these crops.")
    progress = progress or Progress(model, settings, runs(len(crops), settings))
    painted = []
    for start in range(0, len(crops), settings.faces_at_once):
        comfy.model_management.throw_exception_if_processing_interrupted()
        part = slice(start, start + settings.faces_at_once)
        chosen = None if sources is None else sources(part)
        painted.append(_paint_chunk(model, chosen, crops[part], offsets[part], settings, progress))
        progress.run_is_done()
    return torch.cat(painted) if painted else crops[..., :3].float()


def _paint_chunk(model, source, driving, offsets, settings, progress) -> torch.Tensor:
    driving_latents = model.vae.encode(driving[..., :3])
    driving_embeds = encode_image(model.clip_vision, driving, 0.0)
    driving_states = model.driving_reference_net.states(driving_latents, driving_embeds)
    if source is None:
        source, source_latents = driving, driving_latents
    else:
        source_latents = model.vae.encode(source[..., :3])
    source_embeds = encode_image(model.clip_vision, source, settings.degree)
    states = model.source_reference_net.states(source_latents, source_embeds)
    source_states = interpolate_states(states, settings.degree)
    references = References(source_states, driving_states, source_embeds, driving_embeds)
    seeds = [settings.seed + offset for offset in offsets]
    latents = sample(model.unet, references, seeds, settings.sampler, progress.step)
    return model.vae.decode(latents).float()


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    if images.shape[1:3] == (size, size):
        return images
    moved = images[..., :3].float().movedim(-1, 1)
    moved = torch.nn.functional.interpolate(moved, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return moved.clamp(0, 1).movedim(1, -1)
