"""Pasting crops back: what changes, what must not, and how much an unchanged crop costs."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste import compositing
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.settings import PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces

TILTED = [
    (40.0, 62.0),
    (61.0, 50.0),
    (57.0, 65.0),
    (55.0, 80.0),
    (71.0, 70.0),
]  # a face of 60 pixels turned by 30 degrees


def boxed(box, index=0):
    return Face(index, np.asarray(box, float), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")


def tilted(shift=(0, 0), index=0):
    points = np.array(TILTED) + shift
    return Face(index, np.r_[points.min(0), points.max(0)], 1.0, points, FIVE_POINTS, "test")


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def prepare(images, *members, size=64):
    faces = Faces(*images.shape[:3], members)
    return crop_faces(images, faces, size)


@pytest.fixture(scope="module")
def astronaut(request):
    picture = Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")
    return torch.from_numpy(np.array(picture)).float()[None] / 255


ASTRONAUT = Face(
    0,
    np.array([182.0, 58, 270, 178]),
    0.93,
    np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)]),
    FIVE_POINTS,
    "test",
)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [24, 64, 300])
@pytest.mark.parametrize("feather", [0, 0.1, 0.5])
def test_nothing_changes_outside_the_mask(channels, size, feather):
    images = noise(2, 111, 97, channels)
    before = images.clone()
    crops, faces = prepare(images, tilted(index=1), size=size)
    result, mask = paste_faces(images, 1 - crops, faces, PasteSettings(feather))
    assert torch.equal(images, before)
    assert result.shape == images.shape and result.dtype == images.dtype and mask.shape == (2, 111, 97)
    assert torch.equal(result[mask == 0], images[mask == 0])
    assert torch.equal(result[0], images[0]) and not mask[0].any()
    assert (result[1][mask[1] > 0.5] != images[1][mask[1] > 0.5]).float().mean() > 0.7
    assert mask.min() >= 0 and mask.max() <= 1
    if channels == 4:
        assert torch.equal(result[..., 3], images[..., 3])


# In levels of 255; measured 4.533, 2.521, 2.522. The crop is bilinear, as in the paper: part is lost there.
@pytest.mark.parametrize(("size", "rms"), [(128, 4.6), (512, 2.6), (1024, 2.6)])
def test_an_unchanged_crop_changes_little(astronaut, size, rms):
    crops, faces = prepare(astronaut, ASTRONAUT, size=size)
    result, mask = paste_faces(astronaut, crops, faces)
    error = ((result - astronaut)[mask > 0.5] * 255).square().mean().sqrt()
    assert error <= rms


def test_an_unchanged_crop_of_a_smooth_picture_changes_nothing_visible():
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(130.0), indexing="ij")
    images = torch.stack([x / 130, y / 120, (x + y) / 250], -1)[None]
    crops, faces = prepare(images, tilted((10, 10)), size=128)
    result, _ = paste_faces(images, crops, faces)
    error = (result - images).abs() * 255
    assert error[:, 4:-4, 4:-4].max() < 0.13  # measured 0.124
    assert error.max() < 2.1  # at the picture's border, where the crop has nothing beyond; measured 2.004


def test_a_crop_lands_where_it_was_cut():
    images = torch.zeros(1, 120, 120, 3)
    images[0, 60:64, 50:54] = 1  # its middle is (51.5, 61.5)
    crops, faces = prepare(images, tilted(), size=256)
    result, _ = paste_faces(torch.zeros_like(images), crops, faces, PasteSettings(0))
    weight = result[0, ..., 0].double()
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
    centre = [float((weight * axis).sum() / weight.sum()) for axis in (x, y)]
    np.testing.assert_allclose(centre, [51.5, 61.5], atol=0.03)
    assert weight.sum() == pytest.approx(16, rel=0.02)


@pytest.mark.parametrize("ratio", [0.5, 2, 3])
def test_crops_of_another_resolution(ratio):
    images = torch.zeros(1, 120, 120, 3)
    images[0, 60:70, 50:60] = 1
    crops, faces = prepare(images, tilted(), size=128)
    other = torch.nn.functional.interpolate(
        crops.permute(0, 3, 1, 2), size=round(128 * ratio), mode="bilinear", antialias=True
    ).permute(0, 2, 3, 1)
    same, mask = paste_faces(torch.zeros_like(images), crops, faces)
    result, other_mask = paste_faces(torch.zeros_like(images), other, faces)
    assert torch.equal(mask, other_mask)
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
    for axis in (x, y):
        middles = [float((r[0, ..., 0] * axis).sum() / r[0, ..., 0].sum()) for r in (same, result)]
        assert abs(middles[0] - middles[1]) < 0.05


def test_feather():
    images = torch.zeros(1, 200, 200, 3)
    crops, faces = prepare(images, boxed([70, 70, 130, 130]), size=64)
    side = 1.56 * 60
    hard = paste_faces(images, torch.ones_like(crops), faces, PasteSettings(0))[1]
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert hard.sum() == pytest.approx(side**2, rel=0.02)
    masks = [
        paste_faces(images, torch.ones_like(crops), faces, PasteSettings(feather))[1]
        for feather in (0.05, 0.1, 0.3, 0.5)
    ]
    for mask in masks:
        assert (mask[hard == 0] == 0).all()
        assert (mask[0].diff(dim=0).abs().max() < 0.6) and mask[0, 100, 100] > 0.99
    sums = [float(mask.sum()) for mask in (hard, *masks)]
    assert sums == sorted(sums, reverse=True)
    # half of the way through the feather the mask is a half
    row = masks[2][0, 101]
    left = 99.5 - side / 2 - side / 128  # the middle of crop pixel 0 is the corner of the square
    at = left + 0.15 * side
    assert np.interp(at, np.arange(200), row.numpy()) == pytest.approx(0.5, abs=0.02)


def test_white_crop_fully_replaces_the_middle():
    images = noise(1, 150, 150, 3)
    crops, faces = prepare(images, boxed([50, 50, 100, 100]), size=32)
    result, mask = paste_faces(images, torch.full_like(crops, 0.25), faces, PasteSettings(0.1))
    assert (result[mask == 1] == 0.25).all() and (mask == 1).sum() > 3000


@pytest.mark.parametrize("size", [48, 256])
@pytest.mark.parametrize("shift", [(-60, 0), (60, 0), (0, -65), (0, 55), (-55, -60), (60, 55)])
def test_what_lies_beyond_the_picture_never_bleeds_in(size, shift):
    images = torch.full((1, 120, 110, 3), 0.5)
    crops, faces = prepare(images, tilted(shift), size=size)
    assert crops.max() == 1  # there is a white border
    result, mask = paste_faces(images, crops, faces, PasteSettings(0))
    assert mask.any()
    assert (result - 0.5).abs().max() < 1e-6


def test_a_face_that_left_the_picture_changes_nothing():
    images = noise(1, 40, 50, 3)
    crops, faces = prepare(images, tilted((500, 10)), tilted((-400, -300)))
    result, mask = paste_faces(images, torch.zeros_like(crops), faces)
    assert torch.equal(result, images) and not mask.any()


def test_overlap_belongs_to_the_nearer_face_whatever_the_order():
    images = torch.full((1, 160, 200, 3), 0.5)
    left, right = boxed([50, 50, 100, 110]), boxed([90, 50, 140, 110])
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
    _, faces = prepare(images, left, right)
    result, mask = paste_faces(images, torch.stack([red, blue])[:, None, None].expand(2, 64, 64, 3), faces)
    _, faces = prepare(images, right, left)
    swapped, swapped_mask = paste_faces(images, torch.stack([blue, red])[:, None, None].expand(2, 64, 64, 3), faces)
    torch.testing.assert_close(result, swapped, rtol=0, atol=1e-6)
    torch.testing.assert_close(mask, swapped_mask, rtol=0, atol=1e-6)
    # each face's own box, up to the middle between both, is its own
    assert (result[0, 60:105, 55:86, 0] > 0.9).all() and (result[0, 60:105, 55:86, 2] < 0.1).all()
    assert (result[0, 60:105, 104:135, 2] > 0.9).all() and (result[0, 60:105, 104:135, 0] < 0.1).all()
    # where both feathers meet nothing of the original shines through: its green is gone
    assert (result[0, 70:100, 60:130, 1] < 1e-6).all()


def test_the_mask_is_the_union():
    images = torch.zeros(1, 160, 200, 3)
    members = boxed([50, 50, 100, 110]), boxed([90, 50, 140, 110])
    alone = []
    for member in members:
        crops, faces = prepare(images, member)
        alone.append(paste_faces(images, crops, faces)[1])
    crops, faces = prepare(images, *members)
    torch.testing.assert_close(
        paste_faces(images, crops, faces)[1], 1 - (1 - alone[0]) * (1 - alone[1]), rtol=0, atol=1e-6
    )


def test_faces_apart_do_not_touch_each_other():
    images = noise(1, 300, 300, 3)
    members = [boxed([x, y, x + 40, y + 40]) for x, y in ((30, 30), (200, 40), (40, 220), (120, 130))]
    crops, faces = prepare(images, *members)
    together, mask = paste_faces(images, 1 - crops, faces)
    step = images
    for crop, member in zip(crops, faces, strict=True):
        step, _ = paste_faces(step, 1 - crop[None], dataclasses.replace(faces, faces=(member,)))
    assert torch.equal(together, step) and mask.any()


def test_batch_with_several_faces_in_mixed_order():
    images = noise(3, 120, 130, 3)
    members = tilted(index=2), boxed([20, 20, 50, 60], 0), boxed([70, 60, 100, 100], 2)
    crops, faces = prepare(images, *members)
    colours = torch.tensor([0.1, 0.2, 0.3])[:, None, None, None].expand_as(crops)
    result, mask = paste_faces(images, colours, faces)
    assert torch.equal(result[1], images[1]) and not mask[1].any()
    assert result[0, 40, 35, 0] == pytest.approx(0.2)
    assert result[2, 85, 90, 0] == pytest.approx(0.3, abs=2e-3)
    assert result[2, 60, 52, 0] == pytest.approx(0.1, abs=2e-3)


def test_strips_do_not_show(monkeypatch):
    images = noise(1, 120, 130, 3)
    crops, faces = prepare(images, tilted(), boxed([60, 50, 100, 100]))
    whole = paste_faces(images, 1 - crops, faces)
    monkeypatch.setattr(compositing, "_STRIP_PIXELS", 400)
    strips = paste_faces(images, 1 - crops, faces)
    for a, b in zip(whole, strips, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_a_shrinking_crop_is_averaged_not_picked():
    images = torch.full((1, 100, 100, 3), 0.5)
    crops, faces = prepare(images, boxed([40, 40, 60, 60]), size=512)
    crops = noise(1, 512, 512, 1).expand(1, 512, 512, 3)
    result, mask = paste_faces(images, crops, faces)
    deviation = float(result[0, ..., 0][mask[0] > 0.99].std())
    ideal = 0.2887 / (512 / (1.56 * 20))
    assert deviation < 1.3 * ideal  # without reduction it is 0.2887, sixteen times as much


def test_values_stay_within_those_of_the_crop():
    images = torch.full((1, 100, 100, 3), 0.5)
    _, faces = prepare(images, boxed([20, 20, 80, 80]), size=16)
    checker = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float()[None, ..., None].expand(1, 16, 16, 3)
    result, _ = paste_faces(images, checker, faces)
    assert result.min() >= 0 and result.max() <= 1


def test_grey_takes_the_luma():
    images = torch.zeros(1, 100, 100, 1)
    crops, faces = prepare(images, boxed([30, 30, 70, 70]))
    colour = torch.tensor([1.0, 0.5, 0.25]).expand_as(crops)
    result, _ = paste_faces(images, colour, faces)
    assert result.shape == (1, 100, 100, 1)
    assert result[0, 50, 50, 0] == pytest.approx(0.299 + 0.587 * 0.5 + 0.114 * 0.25)


@pytest.mark.parametrize("channels", [1, 4])
def test_crops_with_other_channels(channels):
    images = torch.zeros(1, 100, 100, 3)
    _, faces = prepare(images, boxed([30, 30, 70, 70]))
    result, _ = paste_faces(images, torch.full((1, 64, 64, channels), 0.75), faces)
    assert (result[0, 50, 50] == 0.75).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (2, 2), (501, 3)])
def test_odd_sizes(size):
    images = noise(1, *size, 3)
    crops, faces = prepare(images, boxed([0, 0, size[1], size[0]]))
    result, mask = paste_faces(images, torch.zeros_like(crops), faces, PasteSettings(0))
    assert (mask > 0).any()
    assert (result[mask == 1] == 0).all()


def test_half_precision_images():
    images = noise(1, 100, 100, 3).half()
    crops, faces = prepare(images, boxed([30, 30, 70, 70]))
    assert crops.dtype == torch.float32
    result, mask = paste_faces(images, 1 - crops, faces)
    assert result.dtype == torch.float16 and torch.equal(result[mask == 0], images[mask == 0])


def test_no_faces():
    images = noise(2, 30, 40, 3)
    result, mask = paste_faces(images, torch.zeros(0, 64, 64, 3), Faces(2, 30, 40))
    assert torch.equal(result, images) and mask.shape == (2, 30, 40) and not mask.any()


def test_groups():
    regions = [(0, 0, 10, 10), (20, 0, 30, 10), (9, 9, 21, 12), (40, 40, 40, 50), (10, 0, 20, 5)]
    assert compositing.overlapping_groups(regions) == [[0, 1, 2], [4]]


def test_refusals():
    images = noise(1, 60, 60, 3)
    crops, faces = prepare(images, boxed([20, 20, 40, 40]))
    bare = Faces(1, 60, 60, (boxed([20, 20, 40, 40]),))
    singular = dataclasses.replace(faces, faces=(faces.faces[0].with_crop(np.zeros((2, 3)), 64),))
    for arguments, message in (
        ((images, crops[:0], faces), "0 crops but 1 faces: connect"),
        ((images, crops.repeat(2, 1, 1, 1), faces), "2 crops but 1 faces"),
        ((images, crops, bare), "connect FaceAnonCropFaces"),
        ((images[:, :50], crops, faces), "60x60.*60x50"),
        ((images, crops[:, :32], faces), "square"),
        ((images, crops, singular), "no inverse"),
    ):
        with pytest.raises(ValueError, match=message):
            paste_faces(*arguments)
    with pytest.raises(ValueError, match="feather"):
        PasteSettings(0.6)
