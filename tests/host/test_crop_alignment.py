"""Crop Faces, aligned by what was detected or by 68 landmarks, in the host."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces.types import FIVE_POINTS, IBUG_68, Face, Faces
from face_anonymizer.modules.recognition.landmarks import DETECTED, LANDMARKS
from face_anonymizer.nodes.paste import FaceAnonCropFaces

ASSETS = Path(__file__).resolve().parents[2] / "assets"
# of assets/astronaut.jpg, as the pack's detector finds them
BOX = np.array([172.0, 52, 272, 178])
POINTS = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])


def test_crops_go_by_landmarks_where_that_is_wished_and_else_stay_as_they_were():
    picture = np.array(Image.open(ASSETS / "astronaut.jpg").convert("RGB"))
    image = torch.from_numpy(picture).float()[None] / 255
    faces = Faces(1, 512, 512, (Face(0, BOX, 0.9, POINTS, FIVE_POINTS, "test"),))
    before, kept = FaceAnonCropFaces.execute(image, faces, 128).result
    same, _ = FaceAnonCropFaces.execute(image, faces, 128, DETECTED).result
    crops, found = FaceAnonCropFaces.execute(image, faces, 128, LANDMARKS).result
    assert torch.equal(before, same) and kept.faces[0].layout == FIVE_POINTS
    assert found.faces[0].layout == IBUG_68 and found.fingerprint is faces.fingerprint
    assert 0.001 < (crops - before).abs().mean() < 0.1  # another place of the crop, by little
    nobody, none = FaceAnonCropFaces.execute(image, Faces(1, 512, 512), 128, LANDMARKS).result
    assert nobody.shape == (0, 128, 128, 3) and not len(none)
