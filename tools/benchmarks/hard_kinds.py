"""Recall of the face detector on what makes faces hard to find, a row a kind: dark, blurred, masked, behind a hand ...

    python tools/run.py benchmarks.hard_kinds [--faces FOLDER] [--backgrounds FOLDER] [--seeds 5] [--thorough]

Faces, backgrounds and what counts as found are those of benchmarks.detection. Every kind has the same faces in the
same places as the first row, which changes nothing: six in a picture, 24 to 160 pixels, turned by up to 20 degrees.
Faces behind something are drawn over before they are pasted; the light, the lens and the pixels of a whole picture are
changed after it is made. Not here, as it cannot be made from a frontal portrait: faces seen from the side.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.tools.benchmarks.detection import (
    Portrait,
    Shown,
    add_folders,
    background,
    given,
    judge,
    place,
    to_tensor,
)
from face_anonymizer.tools.busy import busy

SIZES = (24, 160)  # pixels
PICTURE = (960, 720)  # pixels
FACES = 6  # of a picture
MAX_DEGREES = 20
SQUEEZED = 0.5  # width of a picture whose pixels were meant to be shown twice as wide
SKIN, CLOTH, FELT = (224, 172, 140), (150, 190, 215), (60, 45, 40)

Draw = Callable[[ImageDraw.ImageDraw, Callable[..., tuple]], None]


def covered(portrait: Portrait, draw: Draw) -> Portrait:
    """A portrait with something drawn over it.

    Args:
        portrait: it is not changed.
        draw: is given what draws, and a function from x y x y ..., in sizes of the face from its middle, to pixels.
    """

    def at(*sizes: float) -> tuple:
        pairs = np.array(sizes).reshape(-1, 2) * portrait.size + portrait.centre
        return tuple(pairs.ravel().tolist())

    picture = portrait.picture.copy()
    draw(ImageDraw.Draw(picture), at)
    return replace(portrait, picture=picture)


def sunglasses(pen: ImageDraw.ImageDraw, at: Callable[..., tuple]) -> None:
    pen.ellipse(at(-0.36, -0.22, -0.04, 0.04), fill=(15, 15, 18))
    pen.ellipse(at(0.04, -0.22, 0.36, 0.04), fill=(15, 15, 18))
    pen.rectangle(at(-0.45, -0.16, 0.45, -0.12), fill=(15, 15, 18))


def medical_mask(pen: ImageDraw.ImageDraw, at: Callable[..., tuple]) -> None:
    pen.polygon(at(-0.42, 0.04, 0, -0.02, 0.42, 0.04, 0.34, 0.42, 0, 0.58, -0.34, 0.42), fill=CLOTH)


def hand(pen: ImageDraw.ImageDraw, at: Callable[..., tuple]) -> None:
    for finger in range(4):
        left = -0.34 + 0.15 * finger
        pen.rounded_rectangle(at(left, 0.02 - 0.03 * finger, left + 0.13, 0.62), 6, fill=SKIN, outline=(190, 135, 105))


def pillar(pen: ImageDraw.ImageDraw, at: Callable[..., tuple]) -> None:
    pen.rectangle(at(0, -0.9, 0.9, 0.9), fill=(120, 118, 110))


def flower(pen: ImageDraw.ImageDraw, at: Callable[..., tuple]) -> None:
    for leaf in range(7):
        x, y = 0.2 + 0.2 * math.cos(leaf * math.tau / 7), 0.1 + 0.2 * math.sin(leaf * math.tau / 7)
        pen.ellipse(at(x - 0.14, y - 0.14, x + 0.14, y + 0.14), fill=(205, 40, 70), outline=(120, 10, 40))
    pen.ellipse(at(0.1, 0, 0.3, 0.2), fill=(240, 200, 40))


def hat(pen: ImageDraw.ImageDraw, at: Callable[..., tuple]) -> None:
    pen.rectangle(at(-0.38, -0.85, 0.38, -0.28), fill=FELT)
    pen.ellipse(at(-0.75, -0.34, 0.75, -0.18), fill=FELT)


COVERED: dict[str, Draw] = {
    "sunglasses": sunglasses,
    "medical mask": medical_mask,
    "behind a hand": hand,
    "half behind a pillar": pillar,
    "behind a flower": flower,
    "hat": hat,
}


def dark(picture: Image.Image) -> Image.Image:
    """A tenth of the light, with the noise of a camera that waits for more."""
    values = np.asarray(picture, np.float32) * 0.1
    noise = np.random.default_rng(0).normal(0, 2.5, values.shape)
    return Image.fromarray((values + noise).clip(0, 255).astype(np.uint8))


def blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(3))


def shaken(picture: Image.Image) -> Image.Image:
    """Moved by twelve pixels while the shutter was open."""
    moved = [np.asarray(ImageChops.offset(picture, shift - 6, 0), np.float32) for shift in range(13)]
    return Image.fromarray(np.mean(moved, 0).round().astype(np.uint8))


def coloured(light: tuple[float, float, float]) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: Image.fromarray((np.asarray(picture) * np.array(light)).astype(np.uint8))


def painting(picture: Image.Image) -> Image.Image:
    """Strokes of one colour each."""
    return ImageOps.posterize(picture.filter(ImageFilter.ModeFilter(7)), 4)


def pencil(picture: Image.Image) -> Image.Image:
    """A drawing: grey divided by its own blurred negative."""
    grey = np.asarray(picture.convert("L"), np.float32)
    shade = np.asarray(ImageOps.invert(picture.convert("L")).filter(ImageFilter.GaussianBlur(4)), np.float32)
    return Image.fromarray((grey * 255 / (256 - shade)).clip(0, 255).astype(np.uint8)).convert("RGB")


def poster(picture: Image.Image) -> Image.Image:
    """Printed in two inks."""
    return ImageOps.colorize(picture.convert("L"), (20, 40, 90), (240, 225, 190))


WHOLE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "dark": dark,
    "blurred by 3 px": blurred,
    "shaken by 12 px": shaken,
    "red light": coloured((1, 0.15, 0.1)),
    "blue light": coloured((0.1, 0.2, 1)),
    "painted": painting,
    "drawn with a pencil": pencil,
    "printed in two inks": poster,
}


def compose(
    seed: int, portraits: list[Portrait], photos: list[Image.Image], draw: Draw | None
) -> tuple[Image.Image, list[Shown]]:
    """One picture of a seed: the same faces at the same places, whatever is drawn over them."""
    rng = np.random.default_rng(seed)
    canvas, shown, taken = background(rng, *PICTURE, photos), [], []
    for size in sorted(np.exp(rng.uniform(*np.log(SIZES), FACES)), reverse=True):
        for _ in range(50):
            centre = np.array([rng.uniform(0.8 * size, side - 0.8 * size) for side in canvas.size])
            if all(np.hypot(*(centre - other)) > 0.93 * (size + other_size) for other, other_size in taken):
                break
        else:
            continue
        taken.append((centre, size))
        degrees, portrait = rng.uniform(-MAX_DEGREES, MAX_DEGREES), portraits[rng.integers(len(portraits))]
        place(canvas, covered(portrait, draw) if draw else portrait, centre, size, degrees)
        shown.append(Shown(float(size), degrees, 0.0, np.concatenate([centre - size / 2, centre + size / 2])))
    return canvas, shown


def squeezed(picture: Image.Image, shown: list[Shown]) -> tuple[Image.Image, list[Shown]]:
    narrow = picture.resize((round(picture.width * SQUEEZED), picture.height), Image.Resampling.BOX)
    return narrow, [replace(face, box=face.box * [SQUEEZED, 1, SQUEEZED, 1]) for face in shown]


def pictures_of(
    kind: str, seed: int, portraits: list[Portrait], photos: list[Image.Image]
) -> tuple[Image.Image, list[Shown]]:
    picture, shown = compose(seed, portraits, photos, COVERED.get(kind))
    if kind == "squeezed to half the width":
        return squeezed(picture, shown)
    return WHOLE.get(kind, lambda same: same)(picture), shown


def sheet_of(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of any size, half as large as PICTURE, four in a row."""
    width, height = (side // 2 for side in PICTURE)
    sheet = Image.new("RGB", (4 * width, math.ceil(len(pictures) / 4) * height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture.resize((width, height)), (number % 4 * width, number // 4 * height))
    return sheet


KINDS = ("as they are", *COVERED, *WHOLE, "squeezed to half the width")


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folders(parser)
    parser.add_argument("--seeds", type=int, default=5, help="pictures of each kind")
    parser.add_argument("--thorough", action="store_true", help="the thorough search beside the ordinary one")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write the first picture of each kind there, as one")
    arguments = parser.parse_args()
    networks = detection.load_face_networks()
    portraits, photos = given(networks, arguments.faces, arguments.backgrounds)
    searches = {"ordinary": DetectSettings()}
    if arguments.thorough:
        searches["thorough"] = DetectSettings(thorough=True)
    if arguments.sheet:
        sheet_of([pictures_of(kind, 0, portraits, photos)[0] for kind in KINDS]).save(arguments.sheet)
    print(f"{len(portraits)} different faces, {arguments.seeds} pictures a kind\n")
    print("| | faces | " + " | ".join(f"{name} | false a picture" for name in searches) + " |")
    print("|---|--:|" + "--:|--:|" * len(searches))
    for kind in KINDS:
        made = [pictures_of(kind, seed, portraits, photos) for seed in range(arguments.seeds)]
        row = []
        for settings in searches.values():
            judged = [
                judge(np.array([face.box for face in detection.detect_faces(networks, to_tensor(p), settings)]), shown)
                for p, shown in made
            ]
            recall = np.mean([hit for found, _ in judged for hit in found])
            row.append(f"{recall:.3f} | {np.mean([wrong for _, wrong in judged]):.2f}")
        print(f"| {kind} | {sum(len(shown) for _, shown in made)} | " + " | ".join(row) + " |", flush=True)
