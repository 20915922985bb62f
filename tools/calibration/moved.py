"""One person in different photos, one face of them moved, scaled and turned in its place: is it a stranger then?

    python tools/run.py calibration.moved PHOTO PHOTO [PHOTO ...]

All photos show the same person, as the largest face. Each is the original once and each other one the result, moved in
nine ways; printed are those that the first reading takes for a stranger, with its figures and those of the verdict.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.types import Face, Faces
from face_anonymizer.modules.recognition.pairs import read_pairs
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.recognition.verdict import STRANGER, verify
from face_anonymizer.tools.calibration.reading import load

# to the right and down in face sizes, scale, degrees
MOVES = [
    *((0, 0, 1, 0), (0.18, 0, 1, 0), (0, 0.18, 1, 0), (0, -0.15, 1, 0), (0, 0, 1.5, 0), (0, 0, 0.7, 0)),
    *((0, 0, 1, 30), (0, 0, 1, 45), (0, 0.1, 1.3, 20)),
]


def moved(image: torch.Tensor, face: Face, move: tuple[float, float, float, float]) -> torch.Tensor:
    """The picture [1, H, W, 3], moved so that the face is elsewhere in its place."""
    right, down, scale, degrees = move
    angle, middle = np.deg2rad(degrees), (face.box[:2] + face.box[2:]) / 2
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
    shift = middle - back @ (middle + np.array([right, down]) * face.size)
    picture = Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8))
    matrix = (*back[0], shift[0], *back[1], shift[1])
    turned = picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(turned)).float()[None] / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    networks, reader = load_face_networks(), FaceReader()
    people = []
    for path in parser.parse_args().photos:
        image = load(path)
        face = max(detect_faces(networks, image), key=lambda face: face.size)
        faces = Faces(1, image.shape[1], image.shape[2], (face,))
        people.append((path.name, image, faces, reader.read(image, faces)))
    counted = np.zeros(3, int)
    for (first, _, _, original), (second, image, faces, _) in permutations(people, 2):
        for move in MOVES:
            (pair,) = read_pairs(original, moved(image, faces.faces[0], move), faces, reader.read)
            alone = verify(original[0], pair.after)
            counted += (1, alone.verdict == STRANGER, pair.verification.verdict == STRANGER)
            if alone.verdict == STRANGER:
                print(f"{first}, {second} {move}: {alone.reason} | {pair.verification.reason}")
    print(f"of {counted[0]} pairs strangers by the first reading {counted[1]}, by the verdict {counted[2]}")


if __name__ == "__main__":
    main()
