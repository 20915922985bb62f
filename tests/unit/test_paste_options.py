"""Pasting with a region, kept parts, a protect mask: what changes, what stays, and no seam."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from plain_run import rest_is_long
from safetensors.numpy import load_file

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.notes import PARTS_KEPT
from face_anonymizer.modules.faces.paste import compositing, masks
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.settings import PARTS, REGIONS, PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, IBUG_68, Face, Faces

POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
BOX = np.array([182.0, 58, 270, 178])


@pytest.fixture(scope="module")
def astronaut(request):
    picture = Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def enlarged(picture, scale):
    channels_first = torch.nn.functional.interpolate(
        picture.permute(0, 3, 1, 2), scale_factor=scale, mode="bicubic", antialias=True
    )
    return (channels_first.permute(0, 2, 3, 1).clamp(0, 1) * 255).round() / 255


def face_at(scale=1.0, layout=FIVE_POINTS):
    points = (POINTS + 0.5) * scale - 0.5 if layout == FIVE_POINTS else np.zeros((0, 2))
    return Face(0, BOX * scale, 1.0, points, layout, "test")


def prepare(images, *members, size=512):
    return crop_faces(images, Faces(*images.shape[:3], members), size)


def across(image, mask, level):
    total = sum(
        float(image.diff(dim=axis)[(mask > level).int().diff(dim=axis) != 0].abs().mean(-1).sum()) for axis in (0, 1)
    )
    return total / sum(int(((mask > level).int().diff(dim=axis) != 0).sum()) for axis in (0, 1))


# Largest of 60 ratios in tools/benchmarks/paste.py: 1.02.
@pytest.mark.parametrize(
    ("region", "scale"),
    rest_is_long(
        itertools.product(REGIONS, (0.2, 1, 4, 8)),
        *itertools.product(REGIONS, (0.2, 1)),
        ("crop", 8),
    ),
)
def test_an_unchanged_crop_leaves_no_seam(astronaut, region, scale):
    picture = enlarged(astronaut[:, :256, 96:352], scale)
    member = face_at(scale)
    shift = 96 * scale
    member = dataclasses.replace(member, points=member.points - (shift, 0), box=member.box - (shift, 0, shift, 0))
    crops, faces = prepare(picture, member)
    result, mask = paste_faces(picture, crops, faces, PasteSettings(region=region))
    for level in (0.0, 0.5):
        assert across(result[0], mask[0], level) <= 1.03 * across(picture[0], mask[0], level)


@pytest.mark.parametrize("feather", [0, 0.1, 0.5])
@pytest.mark.parametrize("region", ["oval", "box"])
@pytest.mark.parametrize("layout", [FIVE_POINTS, BOX_ONLY])
def test_the_mask_is_the_enlarged_shape(astronaut, region, layout, feather):
    crops, faces = prepare(astronaut, face_at(layout=layout), size=128)
    result, mask = paste_faces(astronaut, 1 - crops, faces, PasteSettings(feather, region=region))
    field = (
        masks.FaceShapes(faces.faces[0]).field(region, torch.arange(512.0)[None, :], torch.arange(512.0)[:, None])
        + 0.05
    )
    assert torch.equal(result[mask == 0], astronaut[mask == 0])
    assert (mask[0][field <= 0] == 0).all()
    if feather == 0:
        assert torch.equal(mask[0] == 1, field > 0) and set(mask.unique().tolist()) == {0.0, 1.0}
        return
    width = (masks.FaceShapes(faces.faces[0]).width(region) + 0.1) * feather
    assert (mask[0][field >= width] == 1).all() and (mask[0][field > 1e-3] > 0).all()
    middle = (field - width / 2).abs() < 0.002
    if feather == 0.1:
        torch.testing.assert_close(mask[0][middle], torch.full((int(middle.sum()),), 0.5), rtol=0, atol=0.04)
        # the mask is a half about where the shape itself ends: at most 0.2 % of the face's size inside it
        assert abs(width / 2 - 0.05) < 0.005


@pytest.mark.parametrize("region", ["oval", "box"])
def test_a_region_never_leaves_the_crop(astronaut, region):
    # a box much larger than the square that the points give
    member = dataclasses.replace(face_at(), box=np.array([100.0, 0, 400, 300]), layout=FIVE_POINTS)
    crops, faces = prepare(astronaut, member, size=128)
    _, whole = paste_faces(astronaut, crops, faces, PasteSettings(0))
    _, mask = paste_faces(astronaut, crops, faces, PasteSettings(0.1, region=region))
    assert mask.any() and (mask[whole == 0] == 0).all()
    assert mask[0].diff(dim=0).abs().max() < 0.5  # faded at the crop's border too


def test_a_region_beside_the_picture_changes_nothing(astronaut):
    away = dataclasses.replace(face_at(), points=POINTS - (500, 0), box=BOX - np.array([500, 0, 500, 0]))
    cut_off = dataclasses.replace(face_at(), points=POINTS - (225, 0), box=BOX - np.array([225, 0, 225, 0]))
    for region in REGIONS:
        for member, seen in ((away, False), (cut_off, True)):
            crops, faces = prepare(astronaut, member, size=64)
            result, mask = paste_faces(astronaut, 1 - crops, faces, PasteSettings(region=region))
            assert bool(mask.any()) == seen
            assert torch.equal(result[mask == 0], astronaut[mask == 0])


def golden_face(fixtures):
    golden = load_file(fixtures / "golden" / "alignment.safetensors")
    points = golden["upright.landmarks"].astype(float)
    return Face(0, np.r_[points.min(0), points.max(0)], 1.0, points, IBUG_68, "test")


@pytest.mark.parametrize("layout", [FIVE_POINTS, IBUG_68])
@pytest.mark.parametrize("kept", [("eyes",), ("nose",), ("mouth",), ("eyes", "mouth")])
def test_kept_parts_stay(fixtures, layout, kept):
    member = golden_face(fixtures)
    p = member.points
    if layout == FIVE_POINTS:
        points = np.stack([p[36:42].mean(0), p[42:48].mean(0), p[30], p[48], p[54]])
        member = dataclasses.replace(member, points=points, layout=layout)
    images = torch.rand(1, 256, 256, 3, generator=torch.Generator().manual_seed(0))
    crops, faces = prepare(images, member, size=128)
    result, mask = paste_faces(images, crops * 0, faces, PasteSettings(keep=kept))
    _, whole = paste_faces(images, crops * 0, faces)
    x, y = torch.arange(256.0)[None], torch.arange(256.0)[:, None]
    field = torch.stack([masks.FaceShapes(member).part_field(part, x, y) for part in kept]).amax(0)
    inside = field > 0
    assert torch.equal(result[0][inside], images[0][inside]) and not mask[0][inside].any()
    torch.testing.assert_close(mask[0][field < -0.05], whole[0][field < -0.05], rtol=0, atol=0)
    fade = (field > -0.03) & (field < -0.02) & (whole[0] == 1)
    assert fade.any() and (mask[0][fade] > 0.2).all() and (mask[0][fade] < 0.8).all()


def test_a_face_without_points_is_pasted_whole(astronaut):
    crops, faces = prepare(astronaut, face_at(layout=BOX_ONLY), size=64)
    whole = paste_faces(astronaut, 1 - crops, faces)
    kept = paste_faces(astronaut, 1 - crops, faces, PasteSettings(keep=PARTS))
    assert torch.equal(kept[0], whole[0]) and torch.equal(kept[1], whole[1])


def test_what_is_kept_of_one_face_is_kept_under_its_neighbour(astronaut):
    neighbour = dataclasses.replace(face_at(layout=BOX_ONLY), box=BOX + np.array([50, 0, 50, 0]))
    crops, faces = prepare(astronaut, face_at(), neighbour, size=64)
    result, _ = paste_faces(astronaut, 1 - crops, faces, PasteSettings(keep=("eyes",)))
    for x, y in POINTS[:2].round().astype(int):
        assert torch.equal(result[0, y, x], astronaut[0, y, x])


def test_only_pictures_whose_faces_were_pasted_keep_parts(astronaut):
    images = torch.cat([astronaut, astronaut, astronaut])
    members = [dataclasses.replace(face_at(), image_index=i) for i in (0, 1)]
    crops, faces = prepare(images, *members, size=64)
    crops = torch.cat([torch.full_like(crops[:1], torch.nan), 1 - crops[1:]])
    report = replace_faces(images, crops, faces, PasteSettings(keep=("eyes",), keep_faces="2"))[2]
    (doubt,) = report.notes
    assert (doubt.kind, doubt.images, [image for image, _ in doubt.faces]) == (PARTS_KEPT, (1,), [1])


def test_protected_pixels_stay(astronaut):
    images = torch.cat([astronaut, astronaut.flip(1)])
    crops, faces = prepare(images, face_at(), dataclasses.replace(face_at(layout=BOX_ONLY), image_index=1), size=128)
    free, whole = paste_faces(images, 1 - crops, faces)
    protect = torch.zeros(1, 512, 512)
    protect[:, 100:130] = 1
    protect[:, 130:160] = 0.25
    protect[:, 160] = torch.nan
    for shield in (protect, protect.expand(2, -1, -1)):
        result, mask = paste_faces(images, 1 - crops, faces, protect=shield)
        assert torch.equal(result[:, 100:130], images[:, 100:130]) and not mask[:, 100:130].any()
        torch.testing.assert_close(mask[:, 130:160], 0.75 * whole[:, 130:160])
        for rows in (slice(0, 100), slice(160, 512)):
            assert torch.equal(result[:, rows], free[:, rows]) and torch.equal(mask[:, rows], whole[:, rows])
    second = torch.stack([torch.zeros(512, 512), torch.ones(512, 512)])
    result, mask = paste_faces(images, 1 - crops, faces, protect=second)
    assert torch.equal(result[0], free[0]) and torch.equal(result[1], images[1]) and not mask[1].any()


def test_strips_do_not_show_with_all_options(astronaut, monkeypatch):
    neighbour = dataclasses.replace(face_at(), box=BOX + np.array([60, 20, 60, 20]))
    crops, faces = prepare(astronaut, face_at(), neighbour, size=64)
    protect = torch.rand(1, 512, 512, generator=torch.Generator().manual_seed(1))
    settings = PasteSettings(region="oval", keep=("eyes", "nose"), colour_match=0.7)
    whole = paste_faces(astronaut, 1 - crops, faces, settings, protect=protect)
    monkeypatch.setattr(compositing, "_STRIP_PIXELS", 3000)
    for a, b in zip(whole, paste_faces(astronaut, 1 - crops, faces, settings, protect=protect), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_a_large_crop_at_the_border_in_strips(astronaut, monkeypatch):
    member = Face(0, np.array([-40.0, -40, 60, 60]), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")
    crops, faces = prepare(astronaut, member, size=200)
    whole = paste_faces(astronaut, crops, faces)
    monkeypatch.setattr("face_anonymizer.modules.faces.paste.resampling._STRIP_PIXELS", 1000)
    for a, b in zip(whole, paste_faces(astronaut, crops, faces), strict=True):
        assert torch.equal(a, b)


def test_progress_names_every_picture_and_may_interrupt(astronaut):
    images = astronaut.expand(3, -1, -1, -1)
    crops, faces = prepare(images, dataclasses.replace(face_at(), image_index=1), size=64)
    calls = []
    paste_faces(images, crops, faces, progress=lambda done, every: calls.append((done, every)))
    assert calls == [(1, 3), (2, 3), (3, 3)]

    def interrupt(done, every):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paste_faces(images, crops, faces, progress=interrupt)


def test_refusals(astronaut):
    crops, faces = prepare(astronaut, face_at(), size=32)
    broken = crops.clone()
    broken[0, 5, 5, 1] = torch.inf
    for options, message in (
        ({"region": "star"}, "Unknown region 'star'.*crop, oval, box"),
        ({"colour_match": 1.5}, r"colour_match is 0\.\.1, got 1.5"),
        ({"keep": ("eyes", "ears")}, r"\['ears'\].*eyes, nose, mouth"),
        ({"protect": torch.zeros(1, 100, 200)}, "200x100 pixels.*512x512 pixels: connect"),
        ({"protect": torch.zeros(512, 512)}, r"\[512, 512\].*512x512 pixels"),
        ({"protect": torch.zeros(2, 512, 512)}, "2 protect masks but 1 images: connect"),
        ({"crops": broken}, "Crop 0 has values that are not finite.*redact"),
        ({"crops": broken * torch.nan}, "not finite"),
    ):
        given, protect = options.pop("crops", crops), options.pop("protect", None)
        with pytest.raises(ValueError, match=message):
            paste_faces(astronaut, given, faces, PasteSettings(**options), protect=protect)
