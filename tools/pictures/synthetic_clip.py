"""A clip of known truth, made from the face in assets/astronaut.jpg: copies that move, scale, turn, cross, hide, enter
and leave, and one scene cut.

Shot 1 (frames 0 to 59): `front` and `rear` pass each other, the rear one hidden for several frames; `behind_post`
swings, grows and disappears behind a post; `visitor` enters at the left and leaves at the bottom.
Shot 2 (frames 60 to 89): `left` and `right` stand where faces stood before the cut, and turn and swing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from face_anonymizer.modules.faces import types
from face_anonymizer.modules.host.location import PACK

WIDTH, HEIGHT, LENGTH, CUT = 640, 360, 90, 60
POST = (505, 549)  # x of its edges

# The astronaut's face as the detector of the pack finds it, in pixels of assets/astronaut.jpg.
_BOX = np.array([181.8, 58.1, 269.7, 178.0])
_POINTS = np.array([[203.2, 100.4], [246.4, 103.4], [223.0, 124.4], [204.1, 142.4], [240.6, 144.9]])
_PORTRAIT = (96, 0, 352, 256)
_EXTENT = math.sqrt(np.prod(_BOX[2:] - _BOX[:2]))
_FACE_HALF = (_BOX[2:] - _BOX[:2]) / 2
_MIDDLE = (_BOX[:2] + _BOX[2:]) / 2
_HEAD_HALF = _FACE_HALF * (1.25, 1.3)  # what is drawn: the face and the hair around it


@dataclass(frozen=True)
class Actor:
    """A copy of the face. place: frame -> x, y (pixels), root of the box's area (pixels), angle (degrees)."""

    name: str
    shot: int
    place: Callable[[float], tuple[float, float, float, float]]
    mirrored: bool = False
    tint: tuple[float, float, float] = (1, 1, 1)


@dataclass(frozen=True)
class Shown:
    """An actor in a frame. face: its true box (not clipped) and points. visible: share of its face that is seen."""

    actor: str
    face: types.Face
    visible: float


# From back to front within each shot; the post stands before behind_post alone.
ACTORS = (
    Actor("behind_post", 0, lambda t: (500 + 95 * math.sin(t / 13 - 1.2), 255 + 12 * math.sin(t / 7), 45 + 0.6 * t, 0)),
    Actor("rear", 0, lambda t: (420 - 5.5 * t, 112 + 0.3 * t, 72, 5), mirrored=True, tint=(1, 0.85, 0.75)),
    Actor("front", 0, lambda t: (70 + 4.5 * t, 122 + 6 * math.sin(t / 9), 92, -4)),
    Actor("visitor", 0, lambda t: (-110 + 6.5 * t, 215 + 0.075 * t**2, 66, 10 * math.sin(t / 8)), tint=(0.8, 0.95, 1)),
    Actor("left", 1, lambda t: (170 + 14 * math.sin(t / 5), 130, 95, 25 * math.sin(t / 7)), tint=(0.75, 0.9, 1)),
    Actor("right", 1, lambda t: (430 + 1.5 * (t - CUT), 150 + 20 * math.sin(t / 8), 120 - t, 0), mirrored=True),
)


def shot_of(frame: int) -> int:
    return int(frame >= CUT)


def _matrix(actor: Actor, frame: float) -> np.ndarray:
    """Pixel edges of the photo, or of its mirror image about the face's middle -> pixel edges of the frame, (2, 3)."""
    x, y, extent, degrees = actor.place(frame)
    angle, scale = math.radians(degrees), extent / _EXTENT
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if actor.mirrored:
        linear = linear * (-1, 1)
    return np.column_stack([linear, np.array([x, y]) - linear @ _MIDDLE])


def true_face(actor: Actor, frame: float) -> types.Face:
    """Box and points at any time, fractions of a frame included."""
    matrix = _matrix(actor, frame)
    points = (_POINTS + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5
    if actor.mirrored:
        points = points[[1, 0, 2, 4, 3]]
    half = np.sqrt((matrix[:, :2] ** 2) @ _FACE_HALF**2)  # of the ellipse in the box, turned
    middle = matrix[:, :2] @ _MIDDLE + matrix[:, 2]
    box = np.concatenate([middle - half, middle + half])
    return types.Face(int(frame), box, 1.0, points, types.FIVE_POINTS, "truth")


def _face_samples() -> np.ndarray:
    """Points of the photo spread evenly over the ellipse of the face, (N, 2)."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 33), np.linspace(-1, 1, 33)), -1).reshape(-1, 2)
    return grid[(grid**2).sum(1) <= 1] * _FACE_HALF + _MIDDLE


def truth() -> list[list[Shown]]:
    """For every frame the actors of its shot that have a part in the picture, from back to front."""
    samples = _face_samples()
    result = []
    for frame in range(LENGTH):
        cast = [actor for actor in ACTORS if actor.shot == shot_of(frame)]
        shown = []
        for order, actor in enumerate(cast):
            matrix = _matrix(actor, frame)
            x, y = seen = matrix[:, :2] @ samples.T + matrix[:, 2:]
            hidden = (x < 0) | (y < 0) | (x >= WIDTH) | (y >= HEIGHT)
            if actor.name == "behind_post":
                hidden |= (x >= POST[0]) & (x < POST[1])
            for other in (_matrix(nearer, frame) for nearer in cast[order + 1 :]):
                offset = (np.linalg.solve(other[:, :2], seen - other[:, 2:]).T - _MIDDLE) / _HEAD_HALF
                hidden |= (offset**2).sum(1) <= 1
            if not hidden.all():
                shown.append(Shown(actor.name, true_face(actor, frame), float(1 - hidden.mean())))
        result.append(shown)
    return result


def background(shot: int, frame: int) -> Image.Image:
    """Two rooms of one mean colour; the first one's camera moves slowly."""
    rng = np.random.default_rng(shot)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 9, 3), dtype=np.uint8))
    wide = np.asarray(coarse.resize((WIDTH + 120, HEIGHT), Image.Resampling.BICUBIC), np.float64)
    wide = 118 + (wide - wide.mean((0, 1))) * 0.35
    offset = frame if shot == 0 else 40
    return Image.fromarray(np.clip(wide[:, offset : offset + WIDTH], 0, 255).astype(np.uint8))


def render(frames: range = range(LENGTH)) -> torch.Tensor:
    """The frames as float32 [B, 360, 640, 3], 0..1."""
    portrait = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB").crop(_PORTRAIT)
    head = Image.new("L", portrait.size)
    middle = _MIDDLE - _PORTRAIT[:2]
    ImageDraw.Draw(head).ellipse([*(middle - _HEAD_HALF), *(middle + _HEAD_HALF)], fill=255)
    head = head.filter(ImageFilter.GaussianBlur(3))
    pictures = []
    for frame in frames:
        canvas = background(shot_of(frame), frame)
        for actor in ACTORS:
            if actor.shot != shot_of(frame):
                continue
            tinted = Image.fromarray((np.asarray(portrait) * np.array(actor.tint)).astype(np.uint8))
            matrix = _matrix(actor, frame)
            factor = min(1.0, 1.2 * math.sqrt(abs(np.linalg.det(matrix[:, :2]))))  # reduced first: nothing aliases
            size = [max(1, round(side * factor)) for side in portrait.size]
            inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
            inverse[:, 2] -= _PORTRAIT[:2]
            inverse *= (np.array(size) / portrait.size)[:, None]
            warped, mask = (
                image.resize(size, Image.Resampling.LANCZOS).transform(
                    canvas.size, Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BICUBIC
                )
                for image in (tinted, head)
            )
            canvas.paste(warped, mask=mask)
            if actor.name == "behind_post":
                ImageDraw.Draw(canvas).rectangle([POST[0], 0, POST[1] - 1, HEIGHT], fill=(96, 88, 80))
        pictures.append(np.array(canvas))
    return torch.from_numpy(np.stack(pictures)).float() / 255


def simulate(
    shown: list[list[Shown]],
    seed: int = 0,
    *,
    noise: float = 0.015,
    dropouts: float = 0.1,
    false_positives: float = 0.1,
    bad: float = 0.02,
    least_visible: float = 0.5,
) -> types.Faces:
    """Detections as a detector might give them: a face visible to less than least_visible is not found, of the others
    a share of `dropouts`, independently; noise: standard deviation of points, and half that of box edges, in roots of
    the box's area; bad: share of detections that are shifted by a third of a face; false_positives: a frame.
    """
    rng = np.random.default_rng(seed)
    limit = np.tile([WIDTH, HEIGHT], 2)
    faces = []
    for frame, entries in enumerate(shown):
        for entry in entries:
            draw, wrong = rng.random(2)
            points_noise, box_noise, direction = rng.normal(size=(5, 2)), rng.normal(size=4), rng.uniform(0, 2 * np.pi)
            if entry.visible < least_visible or draw < dropouts:
                continue
            extent = math.sqrt(np.prod(entry.face.box[2:] - entry.face.box[:2]))
            shift = extent / 3 * np.array([np.cos(direction), np.sin(direction)]) * (wrong < bad)
            box = np.clip(entry.face.box + np.tile(shift, 2) + 2 * noise * extent * box_noise, 0, limit)
            points = entry.face.points + shift + noise * extent * points_noise
            faces.append(replace(entry.face, box=box, score=0.9, points=points, source="simulated"))
        for _ in range(rng.poisson(false_positives)):
            middle, half = rng.uniform((40, 40), (WIDTH - 40, HEIGHT - 40)), rng.uniform(10, 40)
            box = np.concatenate([middle - half, middle + half])
            points = middle + half * np.array([[-0.5, -0.4], [0.5, -0.4], [0, 0], [-0.4, 0.5], [0.4, 0.5]])
            faces.append(types.Face(frame, box, 0.4, points, types.FIVE_POINTS, "simulated"))
    return types.Faces(len(shown), HEIGHT, WIDTH, tuple(faces))
