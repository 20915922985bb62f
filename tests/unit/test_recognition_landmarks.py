"""68 landmarks in the place of five points: crops go by them, and faces that they cannot be believed of keep theirs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.types import FIVE_POINTS, IBUG_68, Face, Faces
from face_anonymizer.modules.recognition.face_api import load_landmark_net
from face_anonymizer.modules.recognition.landmarks import with_landmarks

# of assets/astronaut.jpg, as the pack's detector finds them
BOX = np.array([172.0, 52, 272, 178])
POINTS = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])
FIVE = Face(0, BOX, 0.9, POINTS, FIVE_POINTS, "test")


@pytest.fixture(scope="module")
def net():
    return load_landmark_net()


@pytest.fixture(scope="module")
def photo(request) -> torch.Tensor:
    picture = np.array(Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB"))
    return torch.from_numpy(picture).float()[None] / 255


def turn_of(face: Face) -> float:
    return float(np.rad2deg(np.arctan2(face.matrix[1, 0], face.matrix[0, 0])))


def test_points_are_on_the_face_and_the_crop_is_about_the_same(net, photo):
    before = Faces(1, 512, 512, (FIVE,))
    after = with_landmarks(net, photo, before)
    (face,) = after
    assert face.layout == IBUG_68 and face.points.shape == (68, 2)
    found = np.stack([face.points[36:42].mean(0), face.points[42:48].mean(0), *(face.points[i] for i in (30, 48, 54))])
    assert np.hypot(*(found - POINTS).T).max() < 4  # pixels, of a face of 112
    (old,), (new,) = (crop_faces(photo, faces, 128)[1] for faces in (before, after))
    sizes = [np.sqrt(np.linalg.det(one.matrix[:, :2])) for one in (old, new)]
    assert abs(sizes[1] / sizes[0] - 1) < 0.06 and abs(turn_of(new) - turn_of(old)) < 3


def test_a_turned_picture_gives_the_turned_crop(net, photo):
    upright = crop_faces(photo, with_landmarks(net, photo, Faces(1, 512, 512, (FIVE,))), 128)
    turned = photo.rot90(1, (1, 2))
    points = np.stack([POINTS[:, 1], 511 - POINTS[:, 0]], 1)
    face = replace(FIVE, points=points, box=np.array([BOX[1], 512 - BOX[2], BOX[3], 512 - BOX[0]]))
    crops, faces = crop_faces(turned, with_landmarks(net, turned, Faces(1, 512, 512, (face,))), 128)
    assert abs(abs(turn_of(faces.faces[0]) - turn_of(upright[1].faces[0])) - 90) < 1
    assert (crops - upright[0]).abs().mean() < 0.01


def test_what_has_better_points_or_does_not_show_keeps_its_own(net, photo):
    covered = photo.clone()
    covered[:, 80:120, 172:272] = 0.15  # the eyes
    tracked = replace(FIVE, alignment=np.eye(2, 3))
    landmarks = replace(FIVE, points=np.zeros((68, 2)), layout=IBUG_68)
    faces = Faces(2, 512, 512, (FIVE, tracked, landmarks, replace(FIVE, image_index=1)))
    found = with_landmarks(net, torch.cat([covered, photo]), faces)
    assert found.faces[:3] == faces.faces[:3] and found.faces[3].layout == IBUG_68
    assert with_landmarks(net, photo, Faces(1, 512, 512)).faces == ()


def test_a_face_has_the_same_points_whatever_else_is_looked_at(net, photo):
    (alone,) = with_landmarks(net, photo, Faces(1, 512, 512, (FIVE,)))
    many = with_landmarks(net, photo, Faces(1, 512, 512, (FIVE,) * 17))
    for face in many:
        np.testing.assert_allclose(face.points, alone.points, atol=1e-3)
