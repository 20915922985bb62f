"""The O-Net port against outputs of the original (tools/convert/onet.py --check), and what it does to points."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect import detection, onet, refinement

# outputs of facenet-pytorch's ONet for fixed_picture()
PROBABILITY = 0.00020479434169828892
BOX = [0.020132049918174744, -0.08294996619224548, 0.05710341036319733, 0.08600693196058273]
POINTS = [
    [0.2730896770954132, 0.17652185261249542],
    [0.6061173677444458, 0.22334511578083038],
    [0.1966904103755951, 0.5325572490692139],
    [0.13972926139831543, 0.7797562479972839],
    [0.4052353799343109, 0.8185513019561768],
]
# read off assets/astronaut.jpg by eye, enlarged ten times: to a pixel, for the tip of the nose to two
BY_EYE = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])


@pytest.fixture(scope="module")
def network():
    return onet.load_onet()


@pytest.fixture(scope="module")
def networks():
    return detection.load_face_networks()


@pytest.fixture(scope="module")
def original(request):
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture(scope="module")
def face(networks, original):
    """The one of the photo, as both networks find it."""
    (found,) = detection.detect_faces(networks, tensor(original))
    return found


def tensor(picture):
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def fixed_picture():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    return torch.stack([0.5 + 0.5 * torch.sin(x / 5 + y / 7 * k + k) for k in (1, 2, 3)])[None]


def test_outputs_equal_the_original(network):
    with torch.inference_mode():
        probability, box, points = network(fixed_picture())
    torch.testing.assert_close(probability, torch.tensor([PROBABILITY]), rtol=0, atol=1e-6)
    torch.testing.assert_close(box, torch.tensor([BOX]), rtol=0, atol=1e-5)
    torch.testing.assert_close(points, torch.tensor([POINTS]), rtol=0, atol=1e-5)


def test_a_changed_weight_is_noticed():
    changed = onet.load_onet()
    changed.conv2.weight.mul_(1.01)
    with torch.inference_mode():
        assert (changed(fixed_picture())[2] - torch.tensor([POINTS])).abs().max() > 1e-4


@pytest.mark.parametrize("shape", [(1, 3, 47, 48), (1, 1, 48, 48), (3, 48, 48)])
def test_wrong_shapes_are_refused(network, shape):
    with pytest.raises(ValueError, match="48, 48"):
        network(torch.zeros(shape))


def test_face_and_no_face(network, face, original):
    x0, y0, x1, y1 = (round(v) for v in face.box)
    portrait = tensor(original.crop((x0, y0, x1, y1)).resize((48, 48))).permute(0, 3, 1, 2)
    cloth = tensor(original.crop((20, 400, 120, 500)).resize((48, 48))).permute(0, 3, 1, 2)
    probability = network(torch.cat([portrait, cloth]))[0]
    assert probability[0] > 0.99 and probability[1] < 0.1


def test_points_are_where_the_eye_sees_them(networks, face, original):
    (coarse,) = detection.detect_faces(networks.centerface, tensor(original))
    errors = [np.hypot(*(f.points - BY_EYE).T).mean() for f in (face, coarse)]
    assert errors[0] < 1.5 and errors[1] > 2  # measured 1.2 and 2.8
    np.testing.assert_array_equal(face.box, coarse.box)
    assert face.score == coarse.score


def test_a_face_taken_for_upside_down_is_turned(networks, face, original):
    picture = tensor(original).permute(0, 3, 1, 2)
    box = face.box[None]
    for quarters in (1, 2, 3):
        wrong = refinement.turn_points(face.points[None] + 0.5, box, 2 * quarters)
        points = refinement.refine_points(networks.centerface, networks.onet, picture, box, wrong)
        assert np.abs(points[0] - 0.5 - face.points).max() < 0.03 * math.sqrt(np.prod(box[0, 2:] - box[0, :2]))


def test_points_without_a_face_are_left(networks):
    picture = torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(0))
    points = np.array([[[40, 40], [60, 40], [50, 50], [42, 60], [58, 60]]], float)
    refined = refinement.refine_points(
        networks.centerface, networks.onet, picture, np.array([[30.0, 20, 70, 80]]), points
    )
    np.testing.assert_array_equal(refined, points)
