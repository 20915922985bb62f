"""The colour match: known maps are undone, what is equal stays, and little data does no harm."""

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste import colour
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.settings import PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces

POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
BOX = np.array([182.0, 58, 270, 178])


@pytest.fixture(scope="module")
def astronaut(request):
    picture = Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")
    return torch.from_numpy(np.array(picture)).float()[None] / 255


@pytest.fixture(scope="module")
def face():
    return Face(0, BOX, 1.0, POINTS, FIVE_POINTS, "test")


def normal(count, covariance, mean, seed=0):
    values = np.random.default_rng(seed).standard_normal((count, 3))
    values = (values - values.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T, bias=True))).T
    return values @ np.linalg.cholesky(covariance).T + mean


def test_srgb_round_trip_and_known_values():
    values = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(colour.linear_to_srgb(colour.srgb_to_linear(values)), values, rtol=0, atol=1e-6)
    # IEC 61966-2-1: 50 % grey; where the straight part ends; clamped beyond
    known = torch.tensor([0.5, 0.04045, -1, 2])
    torch.testing.assert_close(
        colour.srgb_to_linear(known), torch.tensor([0.214041, 0.0031308, 0, 1]), rtol=0, atol=1e-6
    )


def test_the_map_gives_one_distribution_the_mean_and_covariance_of_another():
    first = np.array([[0.04, 0.01, 0], [0.01, 0.03, 0.005], [0, 0.005, 0.02]])
    second = np.array([[0.03, -0.005, 0.002], [-0.005, 0.05, 0.01], [0.002, 0.01, 0.03]])
    source, target = normal(500, first, (0.4, 0.5, 0.6)), normal(500, second, (0.5, 0.45, 0.3), 1)
    matrix, offset = colour.colour_map(source, target, np.ones(500))
    mapped = source @ matrix.T + offset
    np.testing.assert_allclose(mapped.mean(0), (0.5, 0.45, 0.3), atol=1e-9)
    np.testing.assert_allclose(np.cov(mapped.T, bias=True), second, atol=2e-6)
    # of all such maps the one that moves least: symmetric and positive
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_weights_decide_what_counts():
    source = normal(400, np.eye(3) * 0.02, (0.5, 0.5, 0.5))
    target = source * 0.8 + 0.05
    weights = np.r_[np.ones(200), np.zeros(200)]
    target[200:] = 7
    matrix, offset = colour.colour_map(source, target, weights)
    np.testing.assert_allclose(matrix, 0.8 * np.eye(3), atol=1e-4)
    np.testing.assert_allclose(offset, 0.05, atol=1e-4)


def test_few_pixels_move_the_mean_and_fewer_nothing():
    source = normal(100, np.eye(3) * 0.02, (0.5, 0.5, 0.5))
    target = source * 0.7 + 0.3
    for count, expected in ((7, "nothing"), (8, "mean"), (63, "mean"), (64, "all")):
        matrix, offset = colour.colour_map(source[:count], target[:count], np.full(count, 0.3))
        assert np.array_equal(matrix, np.eye(3)) == (expected != "all")
        moved = source[:count].mean(0) @ matrix.T + offset
        np.testing.assert_allclose(moved, (source if expected == "nothing" else target)[:count].mean(0), atol=1e-9)
    for weights in (np.zeros(100), np.r_[1.0, np.zeros(99)]):
        matrix, offset = colour.colour_map(source, target, weights)
        assert np.array_equal(matrix, np.eye(3)) and not offset.any()


def test_flat_rings_keep_their_gain_and_no_gain_is_extreme():
    flat = np.full((500, 3), 0.3)
    matrix, offset = colour.colour_map(flat, flat + 0.1, np.ones(500))
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(offset, 0.1, atol=1e-9)
    rich = normal(500, np.eye(3) * 0.05, (0.5, 0.5, 0.5))
    for source, target, gain in ((flat, rich, 2), (rich, flat, 0.5)):
        np.testing.assert_allclose(colour.colour_map(source, target, np.ones(500))[0], gain * np.eye(3), atol=1e-9)


CHANGES = {
    "shift": (lambda crop: crop + crop.new_tensor([12, 0, -8]) / 255, 1.0),
    "brighter": (lambda crop: crop + 10 / 255, 0.1),
    "contrast": (lambda crop: (crop - 0.5) * 0.8 + 0.5, 0.1),
    "gain": (lambda crop: crop * crop.new_tensor([1.1, 1, 0.9]), 0.6),
    "light": (lambda crop: colour.linear_to_srgb(colour.srgb_to_linear(crop) * crop.new_tensor([1.2, 1, 0.8])), 0.4),
    "none": (lambda crop: crop, 1e-3),
}


# Levels of 255 that are left, on average over the mask; what is left comes from values that were clipped. Measured: at
# most 0.75, 0.02, 0.01, 0.51, 0.32, 0.0002; before the match they are 6 to 13 (none: 0).
@pytest.mark.parametrize("region", ["crop", "oval", "box"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_crops_colour_is_undone(astronaut, face, name, region):
    change, most = CHANGES[name]
    crops, faces = crop_faces(astronaut, Faces(1, 512, 512, (face,)), 256)
    changed = change(crops).clamp(0, 1)
    truth, mask = paste_faces(astronaut, crops, faces, PasteSettings(region=region))
    inside = mask > 0.5
    left = []
    for strength in (0.0, 0.5, 1.0):
        result, _ = paste_faces(astronaut, changed, faces, PasteSettings(region=region, colour_match=strength))
        left.append(float((result - truth)[inside].abs().mean()) * 255)
    assert left[2] <= most
    if name != "none":
        assert left[0] > 6
        assert left[1] == pytest.approx(left[0] / 2, rel=0.12)


def test_grey_pictures(astronaut, face):
    grey = (astronaut * torch.tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
    crops, faces = crop_faces(grey, Faces(1, 512, 512, (face,)), 256)
    truth, mask = paste_faces(grey, crops, faces)
    colourful = (crops + torch.tensor([30, 10, -20]) / 255).clamp(0, 1)  # luma + 12.6
    result, _ = paste_faces(grey, colourful, faces, PasteSettings(colour_match=1.0))
    before, _ = paste_faces(grey, colourful, faces)
    assert float((before - truth)[mask > 0.5].abs().mean()) * 255 > 12
    assert float((result - truth)[mask > 0.5].abs().mean()) * 255 < 0.5
    same, _ = paste_faces(grey, crops, faces, PasteSettings(colour_match=1.0))
    assert float((same - truth).abs().max()) * 255 < 0.01


def test_the_white_beyond_the_picture_is_no_colour_of_it(astronaut):
    for box in ((-30, -30, 60, 60), (440, 430, 540, 560)):
        corner = Face(0, np.array(box, float), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")
        crops, faces = crop_faces(astronaut, Faces(1, 512, 512, (corner,)), 256)
        truth, mask = paste_faces(astronaut, crops, faces)
        changed = (crops * 0.9).clamp(0, 1)
        result, _ = paste_faces(astronaut, changed, faces, PasteSettings(colour_match=1.0))
        assert float((result - truth)[mask > 0.5].abs().mean()) * 255 < 1.0


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_never_nan(value):
    images = torch.full((1, 60, 60, 3), value)
    for box in ((20, 20, 40, 40), (-300, 10, -280, 30), (28, 28, 30, 30), (-20, -20, 4, 4)):
        subject = Face(0, np.array(box, float), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")
        for size in (1, 3, 64):
            crops, faces = crop_faces(images, Faces(1, 60, 60, (subject,)), size)
            for other in (crops * 0, crops * 0 + 1, torch.rand_like(crops) * 3 - 1):
                result, _ = paste_faces(images, other, faces, PasteSettings(region="oval", colour_match=1.0))
                assert torch.isfinite(result).all()


def test_refusal():
    crop = torch.zeros(4, 4, 3)
    with pytest.raises(ValueError, match=r"0\.\.1, got 1\.5"):
        colour.match_colour(crop, crop, torch.ones(4, 4), 1.5)
