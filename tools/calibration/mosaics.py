"""Photos of the calibration and their mosaics, in two folders with labels: an example for scripts/evaluate.py.

    python tools/run.py calibration.mosaics FOLDER OUTPUT
    python scripts/with_env.py scripts/evaluate.py OUT --originals OUTPUT/before --results OUTPUT/after \\
        --labels OUTPUT/labels.csv --no-plots

FOLDER as of calibration.reading. The first photos of everybody of the sources dlib and krasserm: fifteen people, whom
their folders name. Every face that the detector finds is reduced to some cells across and enlarged again, smoothly.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings

from .reading import MIN_SCORE, read_list

SOURCES = ("dlib", "krasserm")
MARGIN = 8  # pixels around a face's box


def mosaic(picture: Image.Image, box: np.ndarray, cells: int) -> None:
    """Reduce a face of a picture, in place, to so many cells across, and enlarge it again."""
    x0, y0, x1, y1 = (round(value) for value in box.tolist())
    place = (
        max(0, x0 - MARGIN),
        max(0, y0 - MARGIN),
        min(picture.width, x1 + MARGIN),
        min(picture.height, y1 + MARGIN),
    )
    face = picture.crop(place)
    side = max(1, round(face.width / cells))
    small = face.resize((max(1, face.width // side), max(1, face.height // side)), Image.Resampling.BOX)
    picture.paste(small.resize(face.size, Image.Resampling.BICUBIC), place[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--cells", type=int, default=18, help="across a face")
    parser.add_argument("--photos", type=int, default=4, help="of each person")
    arguments = parser.parse_args()
    before, after = arguments.output / "before", arguments.output / "after"
    for folder in (before, after):
        folder.mkdir(parents=True)
    networks, seen, labels = load_face_networks(), Counter(), []
    for line in read_list():
        path = arguments.folder / line.picture
        if line.source not in SOURCES or seen[line.person] == arguments.photos or not path.is_file():
            continue
        seen[line.person] += 1
        name = f"{line.person}_{seen[line.person]}"
        picture = Image.open(path).convert("RGB")
        picture.save(before / f"{name}.png")
        images = torch.from_numpy(np.array(picture)).float()[None] / 255
        for face in detect_faces(networks, images, DetectSettings(min_score=MIN_SCORE)):
            mosaic(picture, face.box, arguments.cells)
        picture.save(after / f"{name}.png")
        labels.append((name, line.person))
    with open(arguments.output / "labels.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "identity"), *labels])
