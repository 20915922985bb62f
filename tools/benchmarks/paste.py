"""Measure pasted crops: seams, colours and memory, on pictures made from assets/astronaut.jpg.

    python tools/run.py benchmarks.paste

Prints three Markdown tables. Seams: an unchanged 512 crop is pasted; the mean difference between neighbour pixels on
the two sides of the mask's border, over the original picture's, at the mask's outer edge (0 | above 0) and at its half.
Colours: how far a crop with another colour is from the unchanged one before and after the colour match, in levels of
255, where the mask is above a half (inside) and in the rest of the crop (ring). Memory: seconds and the growth of the
process's largest resident size beyond the returned images and mask, 40 faces in a picture of 7680x4320.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces import alignment, types
from face_anonymizer.modules.faces.paste import compositing
from face_anonymizer.modules.faces.paste.edge import Edge
from face_anonymizer.modules.faces.paste.placement import Placement
from face_anonymizer.modules.faces.paste.resampling import prepare, sample
from face_anonymizer.modules.faces.settings import REGIONS, PasteSettings
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.benchmarks.detection import to_tensor
from face_anonymizer.tools.busy import busy

BOX = np.array([182.0, 58, 270, 178])  # of the astronaut's face
POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
SIZE = math.sqrt(88 * 120)
PORTRAIT = (96, 0, 352, 256)  # the astronaut's head and shoulders
# face's size, degrees, width and height of the picture
SEAM_CASES = (
    (16, 0, 320, 240),
    (32, 20, 320, 240),
    (64, 90, 640, 480),
    (103, 0, 640, 480),
    (103, 45, 640, 480),
    (200, 180, 1280, 960),
    (400, 30, 1920, 1080),
    (1000, 0, 3840, 2160),
    (1000, 15, 3840, 2160),
    (2400, 0, 7680, 4320),
)
CHANGES = {
    "+12 R, -8 B": lambda crop: crop + crop.new_tensor([12, 0, -8]) / 255,
    "+10 all": lambda crop: crop + 10 / 255,
    "times 1.1, 1, 0.9": lambda crop: crop * crop.new_tensor([1.1, 1, 0.9]),
    "times 0.85": lambda crop: crop * 0.85,
    "contrast 0.8, +6 G": lambda crop: (crop - 0.5) * 0.8 + 0.5 + crop.new_tensor([0, 6, 0]) / 255,
    "none": lambda crop: crop,
}


def similarity(scale: float, degrees: float, source: tuple[float, float], target: tuple[float, float]) -> np.ndarray:
    """The (2, 3) matrix that turns and scales about `source` and moves it to `target`."""
    angle = math.radians(degrees)
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.column_stack([linear, np.array(target) - linear @ np.array(source)])


def draw(canvas: Image.Image, original: Image.Image, matrix: np.ndarray) -> None:
    """Draw the original's portrait part through the matrix; the source is reduced first, so that nothing aliases."""
    part = original.crop(PORTRAIT)
    factor = min(1.0, math.sqrt(np.linalg.det(matrix[:, :2])))
    small = part.resize([max(1, round(side * factor)) for side in part.size], Image.Resampling.LANCZOS)
    shrink = np.array([small.width / part.width, small.height / part.height])
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    inverse = (inverse - np.array([[0, 0, PORTRAIT[0]], [0, 0, PORTRAIT[1]]])) * shrink[:, None]
    warped = small.transform(canvas.size, Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BICUBIC)
    mask = Image.new("L", small.size, 255).transform(canvas.size, Image.Transform.AFFINE, inverse.ravel().tolist())
    canvas.paste(warped, mask=mask)


def scene(size: float, degrees: float, width: int, height: int):
    """The astronaut's head on a canvas [1, height, width, 3], the face `size` pixels large, and its Faces."""
    original = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB")
    scale, centre = size / SIZE, ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2)
    matrix = similarity(scale, degrees, centre, (width / 2, height / 2))
    canvas = Image.new("RGB", (width, height), (110, 120, 115))
    draw(canvas, original, matrix)
    points = (POINTS + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5
    turned = np.abs(matrix[:, :2]) @ (BOX[2:] - BOX[:2])
    half = turned * size / math.sqrt(turned.prod()) / 2
    middle = np.array([width / 2, height / 2])
    face = types.Face(0, np.r_[middle - half, middle + half], 1.0, points, types.FIVE_POINTS, "benchmark")
    return to_tensor(canvas), types.Faces(1, height, width, (face,))


def across(image: torch.Tensor, mask: torch.Tensor, level: float) -> float:
    """Mean difference of neighbour pixels of image [H, W, C] of which only one has a mask [H, W] above the level."""
    total, count = 0.0, 0
    for axis in (0, 1):
        border = (mask > level).int().diff(dim=axis) != 0
        total += float(image.diff(dim=axis)[border].abs().mean(-1).sum())
        count += int(border.sum())
    return total / count


def seams() -> None:
    print("\n| face | turned by | picture | region | outer edge | half |\n|---|---|---|---|---|---|")
    for size, degrees, width, height in SEAM_CASES:
        images, faces = scene(size, degrees, width, height)
        crops, faces = alignment.crop_faces(images, faces, 512)
        for region in REGIONS:
            result, mask = compositing.paste_faces(images, crops, faces, PasteSettings(region=region))
            ratios = [across(result[0], mask[0], level) / across(images[0], mask[0], level) for level in (0.0, 0.5)]
            print(
                f"| {size} px | {degrees} degrees | {width}x{height} | {region} | {ratios[0]:.3f} | {ratios[1]:.3f} |",
                flush=True,
            )


def colours() -> None:
    print("\n| change of the crop | region | ring before | ring after | inside before | inside after |")
    print("|---|---|---|---|---|---|")
    images, faces = scene(200, 10, 1280, 960)
    crops, faces = alignment.crop_faces(images, faces, 512)
    (face,) = faces
    whole = Edge("crop", 0.0)

    def shown(crop, edge, colour_match):
        placement = Placement(images[0], crop, face)
        return sample(prepare(placement, edge, colour_match), placement.square, edge)

    for name, change in CHANGES.items():
        for region in REGIONS:
            edge = Edge(region, 0.1)
            truth, alpha, _ = shown(crops[0], edge, 0.0)
            ring = (1 - alpha) * shown(crops[0], whole, 0.0)[1]
            cells = []
            for weight in (ring, (alpha > 0.5).float()):
                for colour_match in (0.0, 1.0):
                    values = shown(change(crops[0]).clamp(0, 1), edge, colour_match)[0]
                    error = (values - truth).abs().mean(-1) * 255
                    cells.append(float((error * weight).sum() / weight.sum()))
            print(f"| {name} | {region} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


def crowd(options: dict) -> None:
    """Paste 40 faces into one picture and print the figures as JSON. Runs in a process of its own."""
    height, width = 4320, 7680
    rng = np.random.default_rng(0)
    members = []
    for index in range(40):
        size = float(np.geomspace(40, 1200, 40)[index])
        x, y = rng.uniform(size, width - size), rng.uniform(size, height - size)
        points = (POINTS - (BOX[:2] + BOX[2:]) / 2) * size / SIZE + (x, y)
        half = (BOX[2:] - BOX[:2]) * size / SIZE / 2
        members.append(
            types.Face(
                0,
                np.r_[x - half[0], y - half[1], x + half[0], y + half[1]],
                1.0,
                points,
                types.FIVE_POINTS,
                "benchmark",
            )
        )
    torch.manual_seed(0)
    images = torch.rand(1, height, width, 3)
    crops, faces = alignment.crop_faces(images, types.Faces(1, height, width, tuple(members)), 512)
    protect = None
    if options.pop("protect", False):
        protect = torch.zeros(1, height, width)
        protect[:, :, ::64] = 1
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    result, mask = compositing.paste_faces(images, crops, faces, PasteSettings(**options), protect=protect)
    seconds = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB on Linux
    returned = (result.nbytes + mask.nbytes) / 2**20
    print(json.dumps({"seconds": seconds, "beyond": grown / 2**10 - returned, "returned": returned}))


def memory() -> None:
    print("| options | seconds | returned, MiB | beyond, MiB |\n|---|---|---|---|")
    for options in (
        {},
        {"region": "oval"},
        {"region": "oval", "colour_match": 1.0, "keep": ["eyes", "mouth"], "protect": True},
    ):
        command = [sys.executable, str(PACK / "tools" / "run.py"), "benchmarks.paste", "--crowd", json.dumps(options)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        figures = json.loads(output.splitlines()[-1])
        name = ", ".join(f"{key} {value}" for key, value in options.items()) or "defaults"
        print(
            f"| {name} | {figures['seconds']:.1f} | {figures['returned']:.0f} | {figures['beyond']:.0f} |", flush=True
        )


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crowd", type=json.loads, metavar="OPTIONS", help="measure one row of the table of memory")
    options = parser.parse_args()
    if options.crowd is not None:
        crowd(options.crowd)
        return
    memory()  # first: a child's largest size starts at its parent's
    seams()
    colours()
