"""Read the faces of many pictures once, for the calibration: descriptors into a file outside of the repository.

    python tools/run.py calibration.reading OUTPUT.npz FOLDER [FOLDER ...]

Pictures are .jpg, .jpeg, .png and .webp (of animated ones the first frame). The output has a row a face: picture, box,
measurable or not, both descriptors. It is personal data: delete it when the calibration is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.files import replaced_whole
from face_anonymizer.modules.recognition.reader import FaceReader

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LONG_SIDE = 1024  # larger pictures are reduced: faces above some 200 pixels gain nothing


def load(path: Path) -> torch.Tensor:
    """A picture as float32 [1, H, W, 3], 0..1, upright, at most LONG_SIDE pixels long."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--min-score", type=float, default=0.5, help="of the detector; below, many are drawings")
    arguments = parser.parse_args()
    networks, reader = load_face_networks(), FaceReader()
    rows: dict[str, list] = {name: [] for name in ("picture", "box", "reason", "age", "unsteady", "dlib", "faceres")}
    paths = sorted(p for folder in arguments.folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    for number, path in enumerate(paths, 1):
        try:
            images = load(path)
        except (OSError, Image.DecompressionBombError) as error:
            print(f"{path}: left out ({error})")
            continue
        faces = detect_faces(networks, images, DetectSettings(min_score=arguments.min_score))
        for face, reading in zip(faces, reader.read(images, faces), strict=True):
            for name, value in (
                ("picture", str(path)),
                ("box", face.box),
                ("reason", reading.reason),
                ("age", reading.age),
                ("unsteady", reading.unsteady),
                ("dlib", reading.dlib),
                ("faceres", reading.faceres),
            ):
                rows[name].append(value)
        print(f"{number}/{len(paths)} {path.name}: {len(faces)}", flush=True)
    with replaced_whole(arguments.output) as part, open(part, "wb") as file:
        np.savez_compressed(file, **{name: np.array(values) for name, values in rows.items()})
