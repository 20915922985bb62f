"""What check_gpu lets the recognisers say of painted faces: held for a photograph, told for drawings."""

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.checking.recognised import DRAWN, Judge
from face_anonymizer.modules.checking.verdicts import FAIL, PASS, TOLD, Checks
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.types import FIVE_POINTS, Face, Faces
from face_anonymizer.modules.recognition.reader import FaceReader

PHOTO = ([172.0, 52, 272, 178], [[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])
DRAWING = ([381.0, 97, 512, 258], [[417.0, 150], [479, 151], [448, 186], [421, 208], [477, 209]])


def crop_of(root, name: str, box, points) -> tuple[torch.Tensor, Face]:
    picture = np.array(Image.open(root / "assets" / name).convert("RGB"))
    images = torch.from_numpy(picture).float()[None] / 255
    face = Face(0, np.array(box), 1.0, np.array(points), FIVE_POINTS, "test")
    crops, faces = crop_faces(images, Faces(1, *picture.shape[:2], (face,)), 256)
    return crops, faces.faces[0]


@pytest.fixture(scope="module")
def faces(request):
    root = request.config.rootpath
    return [crop_of(root, "astronaut.jpg", *PHOTO), crop_of(root, "synthetic_group.jpg", *DRAWING)]


@pytest.fixture(scope="module")
def judge(faces) -> Judge:
    crops = torch.cat([crop for crop, _ in faces])
    return Judge(crops, [face for _, face in faces], [False, True], FaceReader())


def said(check, *arguments) -> list:
    checks = Checks(lambda _: None)
    check(checks, "whose", *arguments)
    return checks.verdicts


def test_a_photograph_is_held_and_a_drawing_told(judge, faces):
    (photo, _), (drawing, _) = faces
    kept = torch.cat([photo, drawing])
    told, held = said(judge.check_same, kept)
    assert told.word == TOLD and DRAWN in told.found
    assert held.word == PASS and held.found.startswith("1 of 1 measurable faces: same person")
    told, held = said(judge.check_strangers, kept)
    assert told.word == TOLD and held.word == FAIL
    assert "0 of 1 measurable faces: stranger; same person: dlib's distance is 0.000, 0.6 is the least" in held.found


def test_another_face_is_a_stranger_and_none_at_all_has_failed(judge, faces):
    (photo, _), (drawing, _) = faces
    _, held = said(judge.check_strangers, torch.cat([drawing, photo]))
    assert held.word == PASS and "stranger: dlib's distance is" in held.found
    _, held = said(judge.check_strangers, torch.full_like(torch.cat([photo, drawing]), 0.5))
    assert held.word == FAIL and "failed: cannot be measured any more" in held.found


def test_a_swap_that_shows_its_source_is_nearer_to_it(judge, faces):
    (photo, _), (drawing, _) = faces
    (swapped,) = said(judge.tell_swaps, torch.cat([drawing, photo]), [1, 0])
    assert swapped.word == TOLD and swapped.found.startswith("2 of 2 nearer to the source")
    (kept,) = said(judge.tell_swaps, torch.cat([photo, drawing]), [1, 0])
    assert kept.found.startswith("0 of 2 nearer to the source")
