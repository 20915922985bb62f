"""Measure how much of a face is left under each redaction, as independent samples across the face's width.

    python tools/run.py benchmarks.redaction

A redaction maps what stood in the columns of a face's box to what is seen afterwards. It does so linearly, so that the
map is a matrix, which is found by redacting gray with one cosine at a time. Each of its singular values is the contrast
that is left of one pattern across the face; patterns that come out with less than one level of the file are lost. The
number of values of at least 1/255 is therefore the number of independent samples that an 8-bit file still holds, that
of at least 1/65535 the same for 16 bits. An untouched face has its width. Rows are treated as columns are: a square
face holds the square of a figure.

Rows of other tools are computed here with their operators as published, not by running them:
- the paper's redact_faces.py: on the aligned 512 crop, a Gaussian of kernel 51 (sigma 8, as OpenCV derives it from the
  kernel) or blocks of 16 pixels. The face's width in that crop is that of assets/astronaut.jpg, whatever its size in
  the picture; a smaller face has no more than its pixels;
- deface 1.5.0: the box 1.3 times as wide, and there a box filter of half its width, or every twentieth pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces import alignment, types
from face_anonymizer.modules.faces.detect import centerface, detection
from face_anonymizer.modules.faces.paste import redaction
from face_anonymizer.modules.faces.settings import RedactSettings
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.busy import busy

WIDTHS = (16, 64, 200, 800, 2000)  # of the face's box, in pixels
LEVELS = (255, 65535)
STRIP_HEIGHT = 4  # of the picture and the box: rows do not matter to what is measured, and this many are fast
GRAY = 0.5  # and the amplitude of the cosines
MARGIN = 0.15  # of the face's width, the default; what is seen there counts too
PORTRAIT_FACE = 512  # crop side of the paper
PAPER_SIGMA = 0.3 * ((51 - 1) * 0.5 - 1) + 0.8  # OpenCV, getGaussianKernel
PAPER_BLOCK, DEFACE_BLOCK, DEFACE_SCALE = 16, 20, 1.3


def ours(width: int, mode: str, detail: float) -> np.ndarray:
    """What each orthonormal cosine on the columns of a face's box becomes on those of the picture: [picture, box]."""
    padding = math.ceil(2 * MARGIN * width)
    box = np.array([padding, 0, padding + width, STRIP_HEIGHT], float)
    face = types.Face(0, box, 1.0, np.zeros((0, 2)), types.BOX_ONLY, "benchmark")
    faces = types.Faces(1, STRIP_HEIGHT, width + 2 * padding, (face,))
    margin = MARGIN * width / math.sqrt(width * STRIP_HEIGHT)  # which is a share of the root of the box's area

    def seen(pattern: np.ndarray) -> np.ndarray:
        row = torch.from_numpy(np.pad(pattern, padding) + GRAY).float()
        picture = row.expand(1, STRIP_HEIGHT, -1)[..., None]
        redacted, _ = redaction.redact_faces(picture, faces, RedactSettings(mode, "box", detail, margin))
        return redacted[0, STRIP_HEIGHT // 2, :, 0].double().numpy()

    gray = seen(np.zeros(width))
    columns = []
    for order in range(width):
        cosine = np.cos(np.pi * order * (np.arange(width) + 0.5) / width)
        columns.append((seen(cosine * GRAY) - gray) / (GRAY * np.linalg.norm(cosine)))
    return np.stack(columns, 1)


def convolution(width: int, kernel: np.ndarray) -> np.ndarray:
    """The matrix of a filter of odd length on `width` columns, with what it spreads beyond them."""
    matrix = np.zeros((width + len(kernel) - 1, width))
    for column in range(width):
        matrix[column : column + len(kernel), column] = kernel
    return matrix


def gaussian(width: int, sigma: float) -> np.ndarray:
    reach = math.ceil(6 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return convolution(width, kernel / kernel.sum())


def deface_blur(width: int) -> np.ndarray:
    """The box filter on deface's enlarged box, which it continues by reflection: [enlarged box, face's box]."""
    enlarged = round(DEFACE_SCALE * width)
    kernel = enlarged // 2 | 1
    pixels = np.pad(np.eye(enlarged), ((kernel // 2, kernel // 2), (0, 0)), mode="reflect")
    sums = np.cumsum(np.pad(pixels, ((1, 0), (0, 0))), axis=0)
    start = (enlarged - width) // 2
    return ((sums[kernel:] - sums[:-kernel]) / kernel)[:, start : start + width]


def samples(matrix: np.ndarray, levels: int) -> int:
    squares = np.linalg.eigvalsh(matrix.T @ matrix)  # of the singular values; in float64 exact to 1e-8 of contrast
    return int((squares >= 1 / levels**2).sum())


def width_in_crop() -> float:
    """The width of the astronaut's box in the paper's crop, in pixels."""
    picture = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB")
    images = torch.from_numpy(np.array(picture)).float()[None] / 255
    (face,) = detection.detect_faces(centerface.load_centerface(), images)
    matrix = alignment.crop_matrix(face.points, face.layout, face.box, PORTRAIT_FACE)
    return float((face.box[2] - face.box[0]) * math.sqrt(np.linalg.det(matrix[:, :2])))


def by_rank(matrix_of: Callable[[int], np.ndarray]) -> Callable[[int], list[int]]:
    def count(width: int) -> list[int]:
        matrix = matrix_of(width)
        return [samples(matrix, levels) for levels in LEVELS]

    return count


def methods(crop_width: float) -> dict[str, Callable[[int], list[int]]]:
    """The samples at 8 and 16 bits by width, a method a name."""
    rows: dict[str, Callable[[int], list[int]]] = {"untouched": lambda width: [width] * 2}
    for mode, detail in [("solid", 6), *((mode, detail) for mode in ("mosaic", "blur") for detail in (2, 6, 32))]:
        name = mode if mode == "solid" else f"{mode}, detail {detail}" + (" (default)" if detail == 6 else "")
        rows[name] = by_rank(lambda width, mode=mode, detail=detail: ours(width, mode, detail))
    in_crop = [samples(gaussian(round(crop_width), PAPER_SIGMA), levels) for levels in LEVELS]
    rows["paper's code, blur"] = lambda width: [min(width, count) for count in in_crop]
    rows["paper's code, mosaic"] = lambda width: [min(width, math.ceil(crop_width / PAPER_BLOCK))] * 2
    rows["deface, blur (its default)"] = by_rank(deface_blur)
    rows["deface, mosaic"] = lambda width: [math.ceil(width / DEFACE_BLOCK)] * 2
    return rows


@busy()
def main() -> None:
    crop_width = width_in_crop()
    print("Independent samples left across the face's width, in a file of 8 bits / of 16 bits")
    print(f"(the face's width in the paper's crop is {crop_width:.0f} of {PORTRAIT_FACE} pixels):\n")
    print("| | " + " | ".join(f"{width} px" for width in WIDTHS) + " |")
    print("|---|" + "---|" * len(WIDTHS))
    for name, count in methods(crop_width).items():
        cells = ["{} / {}".format(*count(width)) for width in WIDTHS]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
