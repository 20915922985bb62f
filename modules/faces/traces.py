"""What a step made of each face, as a few pixels: by them a later step knows whether it got that step's picture.

A report alone may be connected to a later step together with the picture as it was before: then the faces that the
report calls anonymized are open in the result. The pixels stay in memory: no report, log or file has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .area_means import area_means
from .fingerprint import unexplained
from .insets import FaceSquare, take_square
from .originals import Remembered
from .placing import to_square

MEANS = 24  # means along each side of the box
SAMPLES = 16  # pixels along each side of a face's box
LEAST_CHANGE = 1.0  # levels, root mean square: a face that was changed by less has no two states to tell apart
SURE = 0.5  # of the deviation of a picture's pixels: what the original does not explain of them must be less
_CLEARLY = 0.5  # of what the original leaves unexplained: what a picture with the result leaves at most
_MOST_VIEWS = 256  # of a film: 8 MB
FLAT = 2.0  # levels of deviation, below which pixels show nothing
_ONE_COLOUR = 2.5 / 255  # between the least and the most of a channel: a cover, and what rounding makes of it

Key = tuple[int, tuple[float, float, float, float]]  # number of the picture, and box: how reports name a face


class Trace(NamedTuple):
    """A face before and after a step.

    Args:
        image: number of the picture, from 0.
        box: x0 y0 x1 y1 in pixels, as in the report.
        before, after: uint8 [16, 16], luma of pixels in the box.
        original: what the face remembers of the first picture, where it is known.
        means: uint8 [2, 24, 24], mean luma of the box's parts, before and after.
    """

    image: int
    box: tuple[float, float, float, float]
    before: np.ndarray
    after: np.ndarray
    original: Remembered | None = None
    means: np.ndarray | None = None

    @property
    def key(self) -> Key:
        """As reports name the face."""
        return self.image, self.box


def take_traces(
    before: torch.Tensor, after: torch.Tensor, keys: Iterable[Key], originals: Mapping[Key, Remembered] | None = None
) -> tuple[Trace, ...]:
    """The traces of a step.

    Args:
        before: float [B, H, W, C], 0..1, what went into it.
        after: of the same size, what came out.
        keys: its faces.
        originals: what they remember of the first picture, as far as it is known.
    """
    known = originals or {}
    return tuple(
        Trace(
            image,
            box,
            samples_of(before[image], box),
            samples_of(after[image], box),
            known.get((image, box)),
            np.stack([means_of(one[image], box) for one in (before, after)]),
        )
        for image, box in keys
    )


class View(NamedTuple):
    """A picture before and after a step, by which it is found in another one.

    Args:
        image: its number, from 0.
        before, after: uint8 [128, 128], of placing.to_square, in levels.
        faces: those that were changed, as they were before.
    """

    image: int
    before: np.ndarray
    after: np.ndarray
    faces: tuple[FaceSquare, ...] = ()


def take_views(
    before: torch.Tensor, after: torch.Tensor, numbers: Iterable[int], keys: Iterable[Key] = ()
) -> tuple[View, ...]:
    """The views of some pictures of a step.

    Args:
        before: float [B, H, W, C], 0..1, what went into it.
        after: of the same size, what came out.
        numbers: of the pictures.
        keys: the faces that it changed.
    """
    boxes: dict[int, list[Key]] = {}
    for key in keys:
        boxes.setdefault(key[0], []).append(key)

    def square(picture: torch.Tensor) -> np.ndarray:
        return np.rint(to_square(picture) * 255).astype(np.uint8)

    return tuple(
        View(
            number,
            square(before[number]),
            square(after[number]),
            tuple(take_square(before[number], box) for _, box in boxes.get(number, ())),
        )
        for number in numbers
    )


def some_views(views: Sequence[View]) -> tuple[View, ...]:
    """Of the many views of a long film as many as are kept, evenly over it."""
    return tuple(views[:: math.ceil(len(views) / _MOST_VIEWS) or 1])


def join_views(earlier: Iterable[View], later: Iterable[View]) -> tuple[View, ...]:
    """The views of two steps: of a picture of both what was before the first and after the second."""
    joined = {view.image: view for view in earlier}
    for view in later:
        first = joined.get(view.image)
        if first is None:
            joined[view.image] = view
            continue
        known = {face.box for face in first.faces}
        faces = (*first.faces, *(face for face in view.faces if face.box not in known))
        joined[view.image] = view._replace(before=first.before, faces=faces)
    return tuple(joined.values())


def join_traces(earlier: Iterable[Trace], later: Iterable[Trace]) -> tuple[Trace, ...]:
    """The traces of two steps: of a face of both what was before the first and after the second."""
    joined = {trace.key: trace for trace in earlier}
    for trace in later:
        first = joined.get(trace.key)
        original = trace.original if first is None or first.original is None else first.original
        if first is not None:
            means = None if first.means is None or trace.means is None else np.stack([first.means[0], trace.means[1]])
            trace = trace._replace(before=first.before, original=original, means=means)
        joined[trace.key] = trace
    return tuple(joined.values())


def by_image(traces: Iterable[Trace]) -> dict[int, list[Trace]]:
    """The traces of each picture."""
    found: dict[int, list[Trace]] = {}
    for trace in traces:
        found.setdefault(trace.image, []).append(trace)
    return found


def open_faces(images: torch.Tensor, traces: Mapping[int, list[Trace]], first: int = 0) -> set[Key]:
    """The faces that pictures show as they were before the step that changed them.

    Args:
        images: float [B, H, W, C], 0..1, of the size of that step's.
        traces: of by_image.
        first: number of the first of these pictures, as the traces count them.
    """
    return {
        trace.key
        for index, image in enumerate(images)
        for trace in traces.get(first + index, ())
        if shows_original(image, trace)
    }


def made_faces(images: torch.Tensor, traces: Mapping[int, list[Trace]], first: int = 0) -> set[Key]:
    """The faces that pictures show as the step made them that changed them.

    Args:
        images, traces, first: as for open_faces.
    """
    return {
        trace.key
        for index, image in enumerate(images)
        for trace in traces.get(first + index, ())
        if shows_result(image, trace)
    }


def shows_original(image: torch.Tensor, trace: Trace) -> bool:
    """Whether a picture shows rather what was before than what came after, apart from a gain and an offset."""
    return _shows(image, trace, trace.before, trace.after, 1.0)


def shows_result(image: torch.Tensor, trace: Trace) -> bool:
    """Whether a picture shows clearly what came after, apart from a gain and an offset."""
    return _shows(image, trace, trace.after, trace.before, _CLEARLY)


def shows_cover(image: torch.Tensor, key: Key, trace: Trace | None) -> bool:
    """Whether a picture shows nothing in a face's box, or what came out of the step that covered it.

    Args:
        image: float [H, W, C], 0..1.
        key: of the face.
        trace: of the step; None: not known.
    """
    return _is_one_colour(image, key[1]) or (trace is not None and shows_result(image, trace))


def _is_one_colour(image: torch.Tensor, box: tuple[float, float, float, float]) -> bool:
    """Whether all pixels of a box are alike: a dim or pale face is none, nor one in colours of one lightness."""
    x0, y0, x1, y1 = box
    height, width = image.shape[:2]
    rows = slice(max(0, math.floor(y0)), min(height, max(math.ceil(y1), math.floor(y0) + 1)))
    columns = slice(max(0, math.floor(x0)), min(width, max(math.ceil(x1), math.floor(x0) + 1)))
    pixels = image[rows, columns, :3].float().reshape(-1, min(3, image.shape[2]))
    if not len(pixels):
        return True
    spread = pixels.amax(0) - pixels.amin(0)
    return bool((spread <= _ONE_COLOUR).all())


def _shows(image: torch.Tensor, trace: Trace, one: np.ndarray, other: np.ndarray, share: float) -> bool:
    """Whether one state leaves of a picture's pixels less unexplained than a share of what the other leaves."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    now = samples_of(image, trace.box).astype(np.float64)
    if np.sqrt(np.mean((one - other) ** 2)) < LEAST_CHANGE or now.std() < FLAT:
        return False
    left = unexplained(now, one)
    return left < SURE * now.std() and left < share * unexplained(now, other)


def samples_of(image: torch.Tensor, box: tuple[float, float, float, float]) -> np.ndarray:
    """The luma of 16 x 16 pixels in a box of a picture: uint8 [16, 16]."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    share = (np.arange(SAMPLES) + 0.5) / SAMPLES
    columns = np.clip(np.floor(x0 + share * (x1 - x0)), 0, width - 1).astype(np.int64)
    rows = np.clip(np.floor(y0 + share * (y1 - y0)), 0, height - 1).astype(np.int64)
    rows, columns = (torch.from_numpy(places).to(image.device) for places in (rows, columns))
    pixels = image[rows[:, None], columns]
    levels = np.nan_to_num(pixels[..., :3].float().cpu().numpy()).clip(0, 1)
    luma = levels @ np.array((0.299, 0.587, 0.114)) if levels.shape[2] == 3 else levels[..., 0]
    return np.rint(luma * 255).astype(np.uint8)


def means_of(image: torch.Tensor, box: tuple[float, float, float, float]) -> np.ndarray:
    """The mean luma of 24 x 24 parts of a box of a picture, as far as it lies in it: uint8 [24, 24]."""
    height, width = image.shape[:2]
    x0, y0 = (min(max(0, math.floor(edge)), most - 1) for edge, most in zip(box[:2], (width, height), strict=True))
    x1, y1 = (max(low + 1, math.ceil(edge)) for low, edge in zip((x0, y0), box[2:], strict=True))
    means = area_means(image[y0:y1, x0:x1, :3], MEANS, MEANS).numpy()
    luma = means @ np.array((0.299, 0.587, 0.114), np.float32) if means.shape[2] == 3 else means[..., 0]
    return np.rint(luma.clip(0, 1) * 255).astype(np.uint8)
