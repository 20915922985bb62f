"""Clips of known truth for finding and covering faces: copies of a photographed face and of drawn ones that move, cross
ways, enter, leave, turn, flash up for one frame, before backgrounds that stand, pan, zoom, change or are noise.

Each clip is made for a size and a seed; nothing is read but assets/astronaut.jpg and assets/synthetic_group.jpg.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from face_anonymizer.modules.host.location import PACK

# Middle and size (width, height) of each face, in pixels of its picture, as the pack's detector finds them.
_ASTRONAUT = ((225.8, 118.1), (87.9, 119.9))
_GROUP = (
    ((234.6, 183.6), (122.3, 154.9)),
    ((446.5, 177.3), (130.0, 160.8)),
    ((658.6, 187.4), (136.3, 157.8)),
    ((333.4, 402.0), (135.1, 162.5)),
    ((580.4, 390.0), (152.3, 159.0)),
)
_HEAD = 1.3  # what is drawn of a face: so many half widths and heights of its box


@dataclass(frozen=True)
class Actor:
    """A face that moves. place: frame -> x, y (pixels), size (root of the box's area, pixels), degrees clockwise; None
    in frames in which it is not there.

    face: 0 the photographed one, 1 to 5 the drawn ones. mirrored: left for right. drawn: not in the background already.
    """

    name: str
    face: int
    place: Callable[[int], tuple[float, float, float, float] | None]
    mirrored: bool = False
    drawn: bool = True


@dataclass(frozen=True)
class Shown:
    """A face in a frame: its box (x0 y0 x1 y1, pixels, not clipped), and the share of it that is seen."""

    actor: str
    box: np.ndarray
    visible: float


@dataclass(frozen=True)
class Clip:
    """Frames of known truth. backgrounds: frame -> RGB picture. actors: from back to front. noise: levels."""

    name: str
    length: int
    fps: int
    size: tuple[int, int]  # width, height
    background: Callable[[int], Image.Image]
    actors: tuple[Actor, ...]
    noise: float = 0.0

    def frame(self, number: int) -> np.ndarray:
        """uint8 [H, W, 3]."""
        canvas = self.background(number).copy()
        for actor in self.actors:
            if actor.drawn and (place := actor.place(number)) is not None:
                _draw(canvas, actor, place)
        pixels = np.asarray(canvas)
        if self.noise:
            rng = np.random.default_rng(number)
            pixels = np.clip(pixels + rng.normal(0, self.noise, pixels.shape), 0, 255).astype(np.uint8)
        return pixels

    def truth(self, number: int) -> list[Shown]:
        """The faces of a frame that have a part in it."""
        placed = [(actor, place) for actor in self.actors if (place := actor.place(number)) is not None]
        shown = []
        for order, (actor, place) in enumerate(placed):
            points = _samples(place)
            hidden = (points < 0).any(1) | (points >= self.size).any(1)
            for _, (x, y, size, _) in placed[order + 1 :]:
                hidden |= (((points - (x, y)) / (0.56 * size, 0.72 * size)) ** 2).sum(1) <= 1
            if not hidden.all():
                low, high = points.min(0), points.max(0)
                shown.append(Shown(actor.name, np.concatenate([low, high]), float(1 - hidden.mean())))
        return shown


def _samples(place: tuple[float, float, float, float]) -> np.ndarray:
    """Points spread over the ellipse of a face, (N, 2)."""
    x, y, size, degrees = place
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-1, 1, 25)), -1).reshape(-1, 2)
    grid = grid[(grid**2).sum(1) <= 1] * (0.43 * size, 0.58 * size)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return grid @ turn.T + (x, y)


_PORTRAITS: dict[int, tuple[Image.Image, Image.Image, float]] = {}


def _portrait(face: int) -> tuple[Image.Image, Image.Image, float]:
    """The head of a face, its soft mask, and the size of the face in it, in pixels."""
    if face not in _PORTRAITS:
        name, (middle, extent) = ("astronaut", _ASTRONAUT) if not face else ("synthetic_group", _GROUP[face - 1])
        picture = Image.open(PACK / "assets" / f"{name}.jpg").convert("RGB")
        half = np.array(extent) / 2 * _HEAD
        side = round(half.max() * 1.25)
        part = picture.crop(
            [round(v) for v in (middle[0] - side, middle[1] - side, middle[0] + side, middle[1] + side)]
        )
        mask = Image.new("L", part.size)
        ImageDraw.Draw(mask).ellipse([*(side - half), *(side + half)], fill=255)
        _PORTRAITS[face] = part, mask.filter(ImageFilter.GaussianBlur(side / 40)), math.sqrt(extent[0] * extent[1])
    return _PORTRAITS[face]


def _draw(canvas: Image.Image, actor: Actor, place: tuple[float, float, float, float]) -> None:
    part, mask, size = _portrait(actor.face)
    x, y, wanted, degrees = place
    side = max(2, round(part.width * wanted / size))
    left, top = math.floor(x - side / 2), math.floor(y - side / 2)
    shift = (x - side / 2 - left, y - side / 2 - top)
    for_canvas = []
    for image in (part, mask):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if actor.mirrored else image
        image = image.resize((side, side), Image.Resampling.LANCZOS)
        for_canvas.append(image.rotate(-degrees, Image.Resampling.BICUBIC, translate=shift))
    canvas.paste(for_canvas[0], (left, top), for_canvas[1])


def _wall(size: tuple[int, int], seed: int, fine: float = 0.0) -> Image.Image:
    """A soft coloured wall; fine: levels of a pattern on it, so that its motion can be seen."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(70, 190, (5, 9, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    if not fine:
        return coarse
    pattern = Image.fromarray(rng.integers(0, 256, (size[1] // 8, size[0] // 8), dtype=np.uint8))
    pattern = np.asarray(pattern.resize(size, Image.Resampling.BICUBIC), float)[..., None] - 128
    return Image.fromarray(np.clip(np.asarray(coarse) + pattern * fine / 64, 50, 255).astype(np.uint8))


def _line(
    x0: float, y0: float, dx: float, dy: float, size: float, degrees: float = 0.0, start: int = 0, stop: int = 10**6
):
    """A place that goes in a straight line, from frame `start` until before `stop`."""

    def place(t: int):
        return (x0 + dx * (t - start), y0 + dy * (t - start), size, degrees) if start <= t < stop else None

    return place


def _walk(scale: float, rng: np.random.Generator) -> tuple[Actor, ...]:
    """Six people of 30 to 100 pixels who walk about."""
    actors = []
    for i, size in enumerate((30, 38, 48, 60, 76, 100)):
        x, y = (60 + 104 * i) * scale, (110 + 130 * (i % 2) + rng.uniform(-20, 20)) * scale
        speed, phase = rng.uniform(-1.5, 1.5) * scale, rng.uniform(0, 6)

        def place(t: int, x=x, y=y, size=size * scale, speed=speed, phase=phase):
            return x + speed * t, y + 4 * scale * math.sin(t / 4 + phase), size, 8 * math.sin(t / 9 + phase)

        actors.append(Actor(f"walker {i}", i, place, bool(rng.integers(2))))
    return tuple(actors)


def _entries(rng: np.random.Generator, length: int) -> tuple[Actor, ...]:
    """A face that enters every third frame, somewhere else each time, and leaves after ten."""
    actors = []
    for i, start in enumerate(range(1, length, 3)):
        left, row, size = bool(i % 2), i % 4, float(rng.uniform(24, 52))
        x0, dx = (-0.4 * size, 9.0) if left else (640 + 0.4 * size, -9.0)
        actors.append(Actor(f"guest {i}", i % 6, _line(x0, 55 + 82 * row, dx, 0, size, 0, start, start + 10)))
    return tuple(actors)


def known_clips(seed: int = 0, length: int = 40) -> dict[str, Clip]:
    """All clips at 640x360, by name; at every seed others.

    Args:
        seed: of places, speeds and walls.
        length: frames.
    """
    rng = np.random.default_rng(seed)
    size = (640, 360)
    wall, fine = _wall(size, seed), _wall(size, seed + 1, 14)
    group = Image.open(PACK / "assets" / "synthetic_group.jpg").convert("RGB")

    def make(
        name: str, actors: tuple[Actor, ...], background=lambda t: wall, fps: int = 30, noise: float = 0.0
    ) -> Clip:
        return Clip(name, length, fps, size, background, actors, noise)

    walkers = _walk(1.0, rng)
    tiny = tuple(
        Actor(f"tiny {i}", i, _line(50 + 100 * i, 60 + 45 * i, 1.3 * (-1) ** i, 0.4, (12, 13, 14, 16, 18, 20)[i]))
        for i in range(6)
    )
    crossing = tuple(
        Actor(f"crossing {i}", i, _line(*((60, 110 + 55 * i, 12) if i % 2 else (580, 110 + 55 * i, -12)), 0, 70))
        for i in range(4)
    )
    turned = tuple(
        Actor(
            f"turned {i}", i, _line(80 + 120 * i, 90 + 45 * (i % 3), 1.5, 0.5, 44, (90, 180, 200, 270, 135)[i], 3 * i)
        )
        for i in range(5)
    )
    walls = [_wall(size, seed + 10 + i, 20) for i in range(length // 7 + 1)]
    cut_faces = tuple(
        Actor(
            f"shot {i}",
            i % 6,
            _line(80 + 97 * (i % 6), 120 + 23 * (i % 5), 1, 0, 34 + 6 * (i % 7), 0, 7 * i, 7 * i + 7),
        )
        for i in range(length // 7 + 1)
    )
    flash = length // 2 + 1
    flash_wall = _wall(size, seed + 50, 20)
    flashes = (
        Actor("flash", 0, _line(400, 200, 0, 0, 40, 0, flash, flash + 1)),
        Actor("small flash", 3, _line(150, 100, 0, 0, 18, 0, flash, flash + 1)),
        replace(walkers[4], place=lambda t: None if t == flash else walkers[4].place(t)),
    )
    lapse = tuple(
        Actor(f"lapse {t}.{k}", int(rng.integers(6)), _line(*at, 0, 0, float(rng.uniform(16, 60)), 0, t, t + 1))
        for t in range(length)
        for k, at in enumerate(
            ((rng.uniform(60, 280), rng.uniform(60, 300)), (rng.uniform(360, 580), rng.uniform(60, 300)))
        )
    )

    def window(t: int) -> tuple[float, float, float]:
        """Corner and pixels a frame's pixel of the group: a pan, then a zoom."""
        part = t / max(length - 1, 1)
        scale = 0.9 + 0.45 * part
        return (900 - 640 * scale) * (0.5 + 0.5 * math.sin(5 * part)), (600 - 360 * scale) * part, scale

    def pan(t: int) -> Image.Image:
        x, y, scale = window(t)
        return group.transform(size, Image.Transform.AFFINE, (scale, 0, x, 0, scale, y), Image.Resampling.BICUBIC)

    def in_group(face: int):
        (x, y), (width, height) = _GROUP[face]

        def place(t: int):
            left, top, scale = window(t)
            return (x - left) / scale, (y - top) / scale, math.sqrt(width * height) / scale, 0.0

        return place

    people = tuple(Actor(f"of the group {i}", i + 1, in_group(i), drawn=False) for i in range(5))
    clips = [
        make("six walkers", walkers),
        make("faces of 12 to 20 pixels", tiny),
        make("entries every third frame", _entries(rng, length), lambda t: fine),
        make("crossings", crossing),
        make("turned faces", turned),
        make("a cut every seventh frame", cut_faces, lambda t: walls[t // 7]),
        make("one frame flashes", flashes, lambda t: flash_wall if t == flash else wall),
        make("pan and zoom", people, pan),
        make("time lapse, 1 fps", lapse, fps=1),
        make("noise, no face", (), lambda t: _static(size, seed * 1000 + t)),
        make("walkers in noise", walkers, noise=18.0),
        make("frozen", tuple(replace(walker, place=lambda t, walker=walker: walker.place(0)) for walker in walkers)),
    ]
    return {clip.name: clip for clip in clips}


def large_clip(seed: int = 0, length: int = 12) -> Clip:
    """Six walkers at 1920x1080."""
    size = (1920, 1080)
    wall = _wall(size, seed)
    return Clip("1920x1080", length, 30, size, lambda t: wall, _walk(3.0, np.random.default_rng(seed)))


def _static(size: tuple[int, int], seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).filter(
        ImageFilter.GaussianBlur(1.0)
    )
