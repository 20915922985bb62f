"""Read the faces of the calibration once: descriptors into a file outside of the repository.

    python tools/run.py calibration.reading OUTPUT.npz FOLDER

FOLDER has a folder for each source of tools/calibration/pictures.csv, under its short name: a clone of the repository
at its commit, or the pictures of the unpacked package, as tools/calibration/sources.csv says. A picture that is missing
or has another digest than the list is left out, by name. The output has a row a face: its number in the list, why it is
not measurable, or "", and both descriptors. It is personal data: delete it when the calibration is done.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.faces.types import Faces
from face_anonymizer.modules.files import replaced_whole, sha256_of
from face_anonymizer.modules.recognition.reader import FaceReader

LIST = Path(__file__).with_name("pictures.csv")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")  # of pictures that such lists hold
LONG_SIDE = 640  # larger pictures are reduced: faces above some 200 pixels gain nothing
MIN_SCORE = 0.5  # of the detector; below, many are drawings


class Listed(NamedTuple):
    """A face of the list.

    Args:
        source: short name of where its picture comes from.
        path: of the picture within the source.
        sha256: of the picture's file.
        x: of the middle of its box, in shares of the picture's width.
        y: likewise, of its height.
        person: who it is; the same word for the same person.
    """

    source: str
    path: str
    sha256: str
    x: float
    y: float
    person: str

    @property
    def picture(self) -> str:
        """Source and path."""
        return f"{self.source}/{self.path}"


def read_list(path: Path = LIST) -> list[Listed]:
    """The faces of the calibration, in the order of the list."""
    with open(path, encoding="utf-8", newline="") as file:
        return [Listed(**{**row, "x": float(row["x"]), "y": float(row["y"])}) for row in csv.DictReader(file)]


def load(path: Path) -> torch.Tensor:
    """A picture (of animated ones the first frame) as float32 [1, H, W, 3], 0..1, upright, at most LONG_SIDE long."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def place_of(faces: Faces, listed: Listed) -> int | None:
    """Which of the found faces a line of the list means: the one whose box has the middle in it."""
    x, y = listed.x * faces.width, listed.y * faces.height
    inside = [i for i, face in enumerate(faces) if face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3]]
    return min(inside, key=lambda i: abs(faces.faces[i].box[[0, 2]].mean() - x), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", type=Path, default=LIST, help="of the faces")
    arguments = parser.parse_args()
    networks, reader = load_face_networks(), FaceReader()
    rows: dict[str, list] = {name: [] for name in ("number", "reason", "dlib", "faceres")}
    of_picture: dict[str, list[int]] = {}
    listed = read_list(arguments.list)
    for number, line in enumerate(listed):
        of_picture.setdefault(line.picture, []).append(number)
    for picture, numbers in of_picture.items():
        path = arguments.folder / picture
        if not path.is_file() or sha256_of(path) != listed[numbers[0]].sha256:
            print(f"{picture}: left out, it is {'another file' if path.is_file() else 'missing'}")
            continue
        images = load(path)
        faces = detect_faces(networks, images, DetectSettings(min_score=MIN_SCORE))
        places = {number: place_of(faces, listed[number]) for number in numbers}
        for number, place in places.items():
            if place is None:
                print(f"{picture}: no face is found at {listed[number].x:.2f}, {listed[number].y:.2f}")
                continue
            (reading,) = reader.read(images, Faces(1, faces.height, faces.width, (faces.faces[place],)))
            for name, value in zip(rows, (number, reading.reason, reading.dlib, reading.faceres), strict=True):
                rows[name].append(value)
        print(picture, flush=True)
    with replaced_whole(arguments.output) as part, open(part, "wb") as file:
        np.savez_compressed(file, **{name: np.array(values) for name, values in rows.items()})
