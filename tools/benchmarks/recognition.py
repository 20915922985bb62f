"""CPU seconds a face of the reader, all networks together and each alone, on one core.

python tools/run.py benchmarks.recognition
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.recognition import dlib_resnet, face_api, faceres, iris
from face_anonymizer.modules.recognition.reader import FaceReader

GOAL = 0.3  # seconds a face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    reader = FaceReader()
    print(f"loading: {time.process_time() - start:.2f} s")
    picture = np.array(Image.open(PACK / "assets" / "synthetic_group.jpg").convert("RGB"))
    images = torch.from_numpy(picture).float()[None] / 255
    faces = detect_faces(load_face_networks(), images)
    networks = reader.networks
    with torch.inference_mode():
        for name, network, side, count in (
            ("dlib", networks.dlib, dlib_resnet.SIDE, 1),
            ("faceres", networks.faceres, faceres.SIDE, 1),
            ("landmarks, of it and its mirror image", networks.landmarks, face_api.SIDE, 2),
            ("expression", networks.expression, face_api.SIDE, 1),
            ("age and gender", networks.age_gender, face_api.SIDE, 1),
            ("irises", networks.iris, iris.SIDE, 2),
        ):
            seen = torch.rand(count, 3, side, side)
            network(seen)
            start = time.process_time()
            for _ in range(arguments.times):
                network(seen)
            print(f"{name}: {(time.process_time() - start) / arguments.times:.3f} s a face")
    reader.read(images, faces)
    rounds = max(1, arguments.times // len(faces))
    start = time.process_time()
    for _ in range(rounds):
        reader.read(images, faces)
    seconds = (time.process_time() - start) / rounds / len(faces)
    print(f"all, with cutting and fitting: {seconds:.3f} s a face; the goal is {GOAL}")
