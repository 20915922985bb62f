"""Recall and false positives of the face detector on pictures of known truth, ordinary and thorough, beside deface.

    python tools/run.py benchmarks.detection [--faces FOLDER] [--backgrounds FOLDER] [--deface PYTHON]

Pictures: 1 to 40 faces of 12 to 400 pixels (root of the box's area, log-uniform), turned by any angle, a third of them
cut by the border by up to 40 % of their size, soft-edged, on noise, gradients, textures and parts of photos; and
pictures without a face. Faces: that of assets/astronaut.jpg, and with --faces those which the detector finds in the
pictures of a folder with a score of 0.8 at 50 pixels or more: the truth is made from what it sees large and upright.
--backgrounds: photos without faces. --deface: the Python of an environment that has deface 1.5.0
(python -m venv D && D/bin/pip install deface==1.5.0); it runs at its defaults on the same pictures, written as PNG.

A face counts as found when a box contains the middle of its visible part and has its size (root of the area of the
part inside the picture) within a factor of 1.6. One box serves one face; every other box is a false positive.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.busy import busy

CLASSES = (12, 16, 24, 48, 96, 200, 400)
COUNTS = (1, 2, 4, 8, 14, 40, 0)
MAX_CUT = 0.4  # share of the face's size that lies beyond the border
MAX_SIZE_RATIO = 1.6
PHOTO_WITHOUT_FACE = (0, 200, 512, 512)  # of the astronaut: suit, flag, shuttle
DEFACE = """
import json, sys, imageio.v2 as imageio
from deface.centerface import CenterFace
network = CenterFace()
for path in sys.argv[1:]:
    boxes, _ = network(imageio.imread(path), threshold=0.2)
    print(json.dumps([[float(v) for v in box[:4]] for box in boxes]))
"""


@dataclass(frozen=True)
class Portrait:
    """A face to paste: its surroundings, and the middle and size of its box in them, in pixels."""

    picture: Image.Image
    centre: np.ndarray
    size: float


@dataclass(frozen=True)
class Shown:
    """A face in a picture: its size, angle and cut as pasted; the visible part of a square of its size as a box."""

    size: float
    degrees: float
    cut: float
    box: np.ndarray


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


def pictures_in(folder: Path) -> list[Image.Image]:
    paths = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in paths]


def portraits_of(networks, pictures: list[Image.Image]) -> list[Portrait]:
    portraits = []
    for picture in pictures:
        for face in detection.detect_faces(networks, to_tensor(picture), DetectSettings(min_score=0.8)):
            size = math.sqrt(np.prod(face.box[2:] - face.box[:2]))
            if size >= 50:
                portraits.append(Portrait(picture, face.box.reshape(2, 2).mean(0), size))
    return portraits


def background(rng: np.random.Generator, width: int, height: int, photos: list[Image.Image]) -> Image.Image:
    kind = rng.integers(5)
    if kind == 0:
        noise = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        return ImageOps.autocontrast(noise.filter(ImageFilter.GaussianBlur(float(rng.choice([0, 1, 4, 12])))))
    y, x = np.mgrid[0:height, 0:width].astype(float)
    colours = rng.uniform(0, 255, (2, 3))
    if kind == 1:
        mix = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) / (width + height) + 0.5
    elif kind == 2:
        mix = 0.5 + 0.5 * np.sin(x / rng.uniform(3, 30) + rng.uniform(0, 3) * np.sin(y / rng.uniform(3, 30)))
    else:
        photo = photos[rng.integers(len(photos))]
        scale = max(width / photo.width, height / photo.height, rng.uniform(0.3, 1.2))
        photo = photo.resize((math.ceil(photo.width * scale), math.ceil(photo.height * scale)))
        left, top = rng.integers(photo.width - width + 1), rng.integers(photo.height - height + 1)
        return photo.crop((left, top, left + width, top + height))
    return Image.fromarray((colours[0] + (colours[1] - colours[0]) * mix[..., None]).clip(0, 255).astype(np.uint8))


def place(canvas: Image.Image, portrait: Portrait, centre: np.ndarray, size: float, degrees: float) -> None:
    """Paste a head with a soft edge; the source is reduced first, so that nothing aliases."""
    half = 0.9 * portrait.size
    window = [round(v) for v in (*(portrait.centre - half), *(portrait.centre + half))]
    inside = (max(0, window[0]), max(0, window[1]), *np.minimum(window[2:], portrait.picture.size).tolist())
    part = portrait.picture.crop(inside)
    mask = Image.new("L", part.size, 0)
    edge = round(0.12 * portrait.size)
    ImageDraw.Draw(mask).rounded_rectangle((edge, edge, part.width - edge, part.height - edge), 4 * edge, fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(edge / 2))
    scale = size / portrait.size
    small = [max(1, round(side * min(1.0, scale))) for side in part.size]
    angle = math.radians(degrees)
    # from the canvas to the reduced part: turn back, scale, move
    linear = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / scale
    offset = portrait.centre - linear @ centre - np.array(inside[:2])
    shrink = np.array(small) / np.array(part.size)
    inverse = np.column_stack([linear, offset]) * shrink[:, None]
    warped = [
        image.resize(small, Image.Resampling.LANCZOS).transform(
            canvas.size, Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BICUBIC
        )
        for image in (part, mask)
    ]
    canvas.paste(warped[0], mask=warped[1])


def compose(
    rng: np.random.Generator, count: int, portraits: list[Portrait], photos: list[Image.Image]
) -> tuple[Image.Image, list[Shown]]:
    """A picture with up to `count` faces that do not overlap, the largest first."""
    width, height = (int(v) for v in rng.integers(480, 961, 2))
    canvas, shown, taken = background(rng, width, height, photos), [], []
    largest = 400 if count <= 2 else 160 if count <= 8 else 70
    for size in sorted(np.exp(rng.uniform(math.log(12), math.log(largest), count)), reverse=True):
        for _ in range(50):
            degrees, cut = rng.uniform(-180, 180), rng.uniform(0, MAX_CUT) if rng.random() < 1 / 3 else 0.0
            room = min(0.75 * size, min(width, height) / 2)
            centre = np.array([rng.uniform(room, width - room), rng.uniform(room, height - room)])
            if cut:
                axis, near = rng.integers(2), size * (0.5 - cut)
                centre[axis] = near if rng.random() < 0.5 else (width, height)[axis] - near
            if all(np.hypot(*(centre - other)) > 0.95 * (size + other_size) for other, other_size in taken):
                break
        else:
            continue
        taken.append((centre, size))
        place(canvas, portraits[rng.integers(len(portraits))], centre, size, degrees)
        box = np.clip(np.concatenate([centre - size / 2, centre + size / 2]), 0, [width, height] * 2)
        shown.append(Shown(float(size), degrees, cut, box))
    return canvas, shown


def judge(boxes: np.ndarray, shown: list[Shown]) -> tuple[list[bool], int]:
    """Which faces are found, and how many boxes serve none."""
    left, found = list(np.asarray(boxes, float).reshape(-1, 4)), []
    for face in shown:
        middle, size = face.box.reshape(2, 2).mean(0), math.sqrt(np.prod(face.box[2:] - face.box[:2]))
        fits = [
            (np.hypot(*(box.reshape(2, 2).mean(0) - middle)), i)
            for i, box in enumerate(left)
            if (box[:2] <= middle).all()
            and (middle <= box[2:]).all()
            and abs(math.log(math.sqrt(max(1e-9, np.prod(box[2:] - box[:2]))) / size)) <= math.log(MAX_SIZE_RATIO)
        ]
        found.append(bool(fits))
        if fits:
            left.pop(min(fits)[1])
    return found, len(left)


def deface_boxes(python: str, pictures: list[Image.Image]) -> list[np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i}.png") for i in range(len(pictures))]
        for picture, path in zip(pictures, paths, strict=True):
            picture.save(path)
        run = subprocess.run([python, "-c", DEFACE, *paths], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]
    # its own drawing clips boxes to the picture
    return [
        np.clip(np.reshape(row, (-1, 4)), 0, [*picture.size] * 2) for row, picture in zip(rows, pictures, strict=True)
    ]


def table(results: dict[str, list[np.ndarray]], truths: list[list[Shown]]) -> None:
    faces = [face for shown in truths for face in shown]
    judged = {name: [judge(b, shown) for b, shown in zip(rows, truths, strict=True)] for name, rows in results.items()}
    hits = {name: np.array([hit for found, _ in rows for hit in found]) for name, rows in judged.items()}
    rows = [(f"recall, {low} to {high} px", [low <= f.size < high for f in faces]) for low, high in pairwise(CLASSES)]
    over = [f.size >= 16 for f in faces]
    rows.append(("recall, 16 px and more", over))
    rows.append(("- of these whole", [o and not f.cut for o, f in zip(over, faces, strict=True)]))
    rows.append(("- of these cut by the border", [o and f.cut > 0 for o, f in zip(over, faces, strict=True)]))
    rows.append(("- of these turned by over 45", [o and abs(f.degrees) > 45 for o, f in zip(over, faces, strict=True)]))
    print("| | faces | " + " | ".join(results) + " |\n|---|--:|" + "--:|" * len(results))
    for title, chosen in rows:
        if any(chosen):
            print(f"| {title} | {sum(chosen)} | " + " | ".join(f"{h[chosen].mean():.3f}" for h in hits.values()) + " |")
    for title, empty in (("with faces", False), ("without a face", True)):
        which = [i for i, shown in enumerate(truths) if (not shown) == empty]
        if which:
            wrong = [np.mean([r[i][1] for i in which]) for r in judged.values()]
            print(f"| false positives a picture {title} | | " + " | ".join(f"{w:.2f}" for w in wrong) + " |")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """The options that `given` takes."""
    parser.add_argument("--faces", type=Path, help="a folder of further pictures with faces")
    parser.add_argument("--backgrounds", type=Path, help="a folder of further pictures without faces")


def given(networks, faces: Path | None, backgrounds: Path | None) -> tuple[list[Portrait], list[Image.Image]]:
    """What pictures are made of: portraits, and photos without a face; of the sample photo, and of two folders."""
    astronaut = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB")
    portraits = portraits_of(networks, [astronaut, *(pictures_in(faces) if faces else [])])
    return portraits, [astronaut.crop(PHOTO_WITHOUT_FACE), *(pictures_in(backgrounds) if backgrounds else [])]


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folders(parser)
    parser.add_argument("--deface", metavar="PYTHON", help="the Python of an environment with deface 1.5.0")
    parser.add_argument("--pictures", type=int, default=28)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--min-score", type=float, default=DetectSettings().min_score)
    arguments = parser.parse_args()
    networks = detection.load_face_networks()
    portraits, photos = given(networks, arguments.faces, arguments.backgrounds)
    rng = np.random.default_rng(arguments.seed)
    made = [compose(rng, COUNTS[i % len(COUNTS)], portraits, photos) for i in range(arguments.pictures)]
    pictures, truths = [picture for picture, _ in made], [shown for _, shown in made]
    print(f"{len(portraits)} different faces; {len(pictures)} pictures with {sum(map(len, truths))} faces\n")
    results: dict[str, list[np.ndarray]] = {}
    for name, thorough in (("ordinary", False), ("thorough", True)):
        results[name] = []
        for picture in pictures:
            faces = detection.detect_faces(
                networks, to_tensor(picture), DetectSettings(min_score=arguments.min_score, thorough=thorough)
            )
            results[name].append(np.array([face.box for face in faces]))
    if arguments.deface:
        results["deface 1.5.0"] = deface_boxes(arguments.deface, pictures)
    table(results, truths)
    large = to_tensor(compose(rng, 4, portraits, photos)[0].resize((1920, 1080)))
    for name, thorough in (("ordinary", False), ("thorough", True)):
        start = time.perf_counter()
        detection.detect_faces(networks, large, DetectSettings(thorough=thorough))
        print(f"\n{name}: {time.perf_counter() - start:.1f} s for 1920x1080, {torch.get_num_threads()} threads")
