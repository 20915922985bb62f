"""Measure the face detector on pictures of known truth, made from assets/astronaut.jpg.

    python scripts/benchmark_detection.py

Prints, a row a case: faces shown, recall, false positives, mean error of the five points (in per cent of the root of
the box's area; truth = the points found on the original picture, mapped), and mean error of the aligned crop
(rotation, scale).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from _pack import ROOT, import_pack
from PIL import Image, ImageFilter

alignment = import_pack("modules.faces.alignment")
centerface = import_pack("modules.faces.centerface")
detection = import_pack("modules.faces.detection")

PORTRAIT = (96, 0, 352, 256)  # the astronaut's head and shoulders
Case = tuple[str, Image.Image, list[np.ndarray]]  # name, picture, matrices (2, 3) from the original to the picture


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


def similarity(scale: float, degrees: float, source: tuple[float, float], target: tuple[float, float]) -> np.ndarray:
    """The (2, 3) matrix that turns and scales about `source` and moves it to `target`."""
    angle = math.radians(degrees)
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.column_stack([linear, np.array(target) - linear @ np.array(source)])


def place(canvas: Image.Image, original: Image.Image, matrix: np.ndarray) -> None:
    """Draw the original's portrait part through the matrix; the source is reduced first, so that nothing aliases."""
    scale = math.sqrt(np.linalg.det(matrix[:, :2]))
    part = original.crop(PORTRAIT)
    factor = min(1.0, scale)
    small = part.resize([max(1, round(side * factor)) for side in part.size], Image.Resampling.LANCZOS)
    shrink = np.array([small.width / part.width, small.height / part.height])
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    inverse = (inverse - np.array([[0, 0, PORTRAIT[0]], [0, 0, PORTRAIT[1]]])) * shrink[:, None]
    warped = small.transform(canvas.size, Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BICUBIC)
    mask = Image.new("L", small.size, 255).transform(canvas.size, Image.Transform.AFFINE, inverse.ravel().tolist())
    canvas.paste(warped, mask=mask)


def cases(original: Image.Image, box: np.ndarray) -> Iterator[Case]:
    """All pictures, with the truth of each."""
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    extent = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))

    def one(name: str, side: int, pixels: float, degrees: float) -> Case:
        canvas = Image.new("RGB", (side, side), (110, 120, 115))
        matrix = similarity(pixels / extent, degrees, centre, (side / 2, side / 2))
        place(canvas, original, matrix)
        return name, canvas, [matrix]

    for pixels in (16, 32, 64, 200, 400, 800):
        yield one(f"face of {pixels} px", max(640, 3 * pixels), pixels, 0)
    for degrees in range(0, 181, 15):
        yield one(f"turned by {degrees} degrees", 400, 90, degrees)
    rng = np.random.default_rng(0)
    for columns, rows in ((3, 2), (5, 4)):
        canvas, matrices = Image.new("RGB", (columns * 200, rows * 200), (110, 120, 115)), []
        for cell in range(columns * rows):
            target = (cell % columns * 200 + 100, cell // columns * 200 + 100)
            matrices.append(similarity(rng.uniform(20, 70) / extent, rng.uniform(-40, 40), centre, target))
            place(canvas, original, matrices[-1])
        yield f"{columns * rows} faces in one picture", canvas, matrices
    noise = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    yield "white noise", Image.fromarray(noise), []
    for radius in (2, 8, 24):
        smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(radius)), dtype=float)
        smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
        yield f"smooth noise, radius {radius}", Image.fromarray(smooth.astype(np.uint8)), []
    y, x = np.mgrid[0:480, 0:640]
    for name, texture in (
        ("checkerboard", ((x // 20 + y // 20) % 2) * 255),
        ("stripes", 128 + 100 * np.sin(x / 9)),
        ("rings", 128 + 100 * np.sin(np.hypot(x - 320, y - 240) / 6)),
        ("gradient", x * 255 / 640),
    ):
        yield name, Image.fromarray(texture.astype(np.uint8)), []


def judge(faces, matrices: list[np.ndarray], truth) -> tuple[int, int, list[float], list[float], list[float]]:
    """Faces found, false positives, and for each found one the errors of points (%), rotation (degrees) and scale
    (%).
    """
    left = list(faces)
    points_off, turn_off, scale_off = [], [], []
    for matrix in matrices:
        expected = (truth.points + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5  # the matrix is for pixel edges
        extent = math.sqrt(np.linalg.det(matrix[:, :2]) * np.prod(truth.box[2:] - truth.box[:2]))
        near = [f for f in left if np.hypot(*(f.points.mean(0) - expected.mean(0))) < extent / 2]
        if not near:
            continue
        face = max(near, key=lambda f: f.score)
        left = [f for f in left if f is not face]
        points_off.append(100 * np.hypot(*(face.points - expected).T).mean() / extent)
        aligned = [alignment.crop_matrix(p, "five", truth.box, 512)[:, :2] for p in (face.points, expected)]
        relative = aligned[0] @ np.linalg.inv(aligned[1])
        turn_off.append(abs(math.degrees(math.atan2(relative[1, 0], relative[0, 0]))))
        scale_off.append(100 * abs(math.sqrt(np.linalg.det(relative)) - 1))
    return len(points_off), len(left), points_off, turn_off, scale_off


def main() -> None:
    network = centerface.load_centerface()
    original = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB")
    (truth,) = detection.detect_faces(network, to_tensor(original))
    columns = (
        ("picture", -28),
        ("faces", 5),
        ("recall", 6),
        ("false", 5),
        ("points %", 8),
        ("turn", 5),
        ("scale %", 7),
    )
    print(" ".join(name.ljust(-w) if w < 0 else name.rjust(w) for name, w in (*columns, ("s", 5))))
    shown = total = false = 0
    for name, picture, matrices in cases(original, truth.box):
        start = time.perf_counter()
        faces = detection.detect_faces(network, to_tensor(picture))
        seconds = time.perf_counter() - start
        found, wrong, points_off, turn_off, scale_off = judge(faces, matrices, truth)
        shown, total, false = shown + len(matrices), total + found, false + wrong
        recall = f"{found / len(matrices):6.2f}" if matrices else "     -"
        errors = " ".join(
            f"{np.mean(v):{w}.1f}" if v else "-".rjust(w) for v, w in ((points_off, 8), (turn_off, 5), (scale_off, 7))
        )
        print(f"{name:28s} {len(matrices):5d} {recall} {wrong:5d} {errors} {seconds:5.2f}")
    print(f"{'all':28s} {shown:5d} {total / shown:6.2f} {false:5d}")


if __name__ == "__main__":
    main()
