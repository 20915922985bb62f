"""Redaction: what is left of a face, at every size, and what stays untouched."""

import math

import numpy as np
import pytest
import torch

from face_anonymizer.modules.faces.paste.masks import FaceShapes
from face_anonymizer.modules.faces.paste.redaction import redact_faces
from face_anonymizer.modules.faces.settings import MODES, RedactSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces

LEVEL = 1 / 255


def boxed(*box, index=0):
    return Face(index, np.asarray(box, float), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def dyadic(*shape):
    """Noise whose sums are exact."""
    return (noise(*shape) * 256).floor() / 256


def redact(images, *members, progress=None, **settings):
    return redact_faces(images, Faces(*images.shape[:3], members), RedactSettings(**settings), progress)


def samples_left(width, mode, detail, height=4, levels=255):
    """Singular values of at least one level, of the map from the columns of a face's box to what is seen after."""
    side = math.ceil(0.2 * width)  # beside the box, with all of the margin
    columns = torch.full((width + 1, height, width + 2 * side, 1), 0.5)
    columns[range(width), :, range(side, side + width)] = 1
    faces = Faces(*columns.shape[:3], tuple(boxed(side, 0, side + width, height, index=i) for i in range(width + 1)))
    margin = 0.15 * math.sqrt(width / height)  # 0.15 widths
    redacted, _ = redact_faces(columns, faces, RedactSettings(mode, "box", detail, margin))
    seen = 2 * (redacted[:-1] - redacted[-1])[:, height // 2, :, 0].double()
    return int((torch.linalg.eigvalsh(seen @ seen.T) >= 1 / levels**2).sum())  # squares of the singular values


@pytest.mark.parametrize("shape", ["ellipse", "box", "oval"])
def test_solid_leaves_nothing(shape):
    face = boxed(20, 15, 70, 75)
    one, mask = redact(noise(1, 100, 90, 3, seed=1), face, shape=shape)
    two, _ = redact(noise(1, 100, 90, 3, seed=2), face, shape=shape)
    covered = mask.bool()
    assert torch.equal(one[covered], two[covered]) and not one[covered].any()
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert samples_left(64, "solid", 32) == 0


@pytest.mark.parametrize(
    ("mode", "detail", "left"),
    [("mosaic", d, d) for d in (2, 6, 11, 32)] + [("blur", 2, 2), ("blur", 6, 6), ("blur", 11, 10), ("blur", 32, 26)],
)
def test_no_more_than_detail_is_left(mode, detail, left):
    assert samples_left(100, mode, detail) == left
    assert samples_left(100, mode, detail, levels=65535) <= detail


@pytest.mark.parametrize("mode", ["mosaic", "blur"])
@pytest.mark.parametrize("width", [16, 64, 512])
def test_what_is_left_does_not_depend_on_the_size(mode, width):
    assert samples_left(width, mode, 6) == 6


@pytest.mark.parametrize("mode", ["mosaic", "blur"])
def test_what_is_left_does_not_depend_on_the_height(mode):
    assert samples_left(36, mode, 6, height=4) == samples_left(36, mode, 6, height=36) == 6


@pytest.mark.parametrize("mode", ["mosaic", "blur"])
def test_tiny_faces_lose_detail_too(mode):
    assert samples_left(12, mode, 32, levels=65535) <= 9  # one stands for 2 of 18 pixels
    assert samples_left(5, mode, 32, levels=65535) <= 4


@pytest.mark.parametrize("mode", ["mosaic", "blur"])
def test_a_tall_or_cut_face_is_no_finer_than_its_longer_side_allows(mode):
    assert samples_left(16, mode, 6, height=96, levels=65535) <= 2
    assert samples_left(32, mode, 6, height=96, levels=65535) <= 3


def test_pictures_with_equal_block_means_give_one_mosaic():
    face = boxed(8, 8, 56, 56)  # blocks of 8 pixels, in line with the picture
    one = dyadic(1, 64, 64, 3)
    two = one.reshape(1, 8, 8, 8, 8, 3).flip(2, 4).reshape(1, 64, 64, 3)  # other pixels, the same means
    (first, mask), (second, _) = redact(one, face, mode="mosaic"), redact(two, face, mode="mosaic")
    covered = mask.bool()
    assert torch.equal(first[covered], second[covered])
    assert not torch.equal(one[covered], two[covered])


def test_a_mosaic_is_the_mean_of_whole_blocks_from_the_corner_of_the_box():
    images = noise(1, 90, 80, 3)
    result, mask = redact(images, boxed(11, 13, 59, 61), mode="mosaic", shape="box", margin=0.1)
    expected = torch.nn.functional.avg_pool2d(images[0, 5:69, 3:67].permute(2, 0, 1), 8).permute(1, 2, 0)
    expected = expected.repeat_interleave(8, 0).repeat_interleave(8, 1)
    covered = mask[0, 5:69, 3:67].bool()
    assert covered[8:-8, 8:-8].all()
    assert (result[0, 5:69, 3:67] - expected)[covered].abs().max() < 2e-6


def test_blocks_of_no_whole_pixels_are_area_means():
    images = torch.zeros(1, 25, 25, 1)
    images[:, :, 6] = 1
    result, _ = redact(images, boxed(0, 0, 25, 25), mode="mosaic", shape="box", detail=4, margin=0)  # blocks of 6.25
    row = result[0, 12, :, 0]
    assert torch.allclose(row[:6], torch.tensor(0.25 / 6.25), atol=1e-6)
    assert torch.allclose(row[6:12], torch.tensor(0.75 / 6.25), atol=1e-6)
    assert not row[13:].any()


def grating_left(width, half_periods, phase=0.0):
    """The contrast after a blur of a grating of contrast 1 with so many half periods across the covered region."""
    face = boxed(4, 4, 4 + width, 4 + width)
    x0, _, x1, _ = FaceShapes(face).bounds("box", math.sqrt(0.5) / width)
    x = (torch.arange(width + 8) + 0.5 - x0) / (x1 - x0)
    images = (0.5 + 0.5 * torch.cos(math.pi * (half_periods * x + phase))).expand(1, width + 8, width + 8)[..., None]
    result, _ = redact(images, face, mode="blur", shape="box", margin=0)
    seen = result[0, width // 2, 4 : 4 + width, 0]
    return float(seen.max() - seen.min())


@pytest.mark.parametrize("width", [64, 512, 1000])
def test_a_blur_is_a_gaussian_that_ends_at_detail(width):
    sigma = math.sqrt(2 * math.log(255)) / math.pi / 6  # of the region's side
    for half_periods in range(1, 6):
        expected = math.exp(-0.5 * (math.pi * half_periods * sigma) ** 2)
        assert grating_left(width, half_periods) == pytest.approx(expected, rel=0.04)  # measured 0.03 at 64
    for half_periods in (6, 7, 11, 24):
        assert grating_left(width, half_periods) < LEVEL / 100


# A grating that does not end with the region has another mean at its edge: measured 0.171 at 6.5, 0.02 at 25.3.
@pytest.mark.parametrize("width", [64, 512])
def test_no_fine_grating_passes_a_blur(width):
    for phase in (0.0, 0.3, 0.5):
        assert grating_left(width, 6.5, phase) < 0.18
        assert grating_left(width, 25.3, phase) < 0.03


def test_a_blur_has_no_edges():
    result, _ = redact(noise(1, 300, 300, 1), boxed(50, 50, 250, 250), mode="blur", shape="box")
    inside = result[0, 50:250, 50:250, 0]
    assert max(inside.diff(dim=0).abs().max(), inside.diff(dim=1).abs().max()) < 5e-4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_nothing_changes_outside_the_mask(mode, channels, dtype):
    images = noise(2, 90, 80, channels).to(dtype)
    before = images.clone()
    result, mask = redact(images, boxed(20.4, 30.2, 50.7, 71.1, index=1), mode=mode)
    assert torch.equal(images, before)
    assert result.shape == images.shape and result.dtype == dtype
    assert mask.shape == (2, 90, 80) and mask.dtype == torch.float32
    outside = mask == 0
    assert outside[0].all() and torch.equal(result[outside], images[outside])
    assert (result[~outside][:, :3] != images[~outside][:, :3]).float().mean() > 0.95
    if channels == 4:
        assert torch.equal(result[..., 3], images[..., 3])


def test_every_pixel_that_the_grown_shape_touches_is_covered():
    _, mask = redact(noise(1, 60, 60, 1), boxed(20.5, 20.5, 40.5, 40.5), shape="box", margin=0)
    assert mask[0, 20:41, 20:41].all()
    _, grown = redact(noise(1, 60, 60, 1), boxed(20, 20, 40, 40), shape="ellipse", margin=0.25)  # radius 15
    y, x = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    nearest = torch.hypot((x - 29.5).abs() - 0.5, (y - 29.5).abs() - 0.5)  # of each pixel's area to (30, 30)
    assert grown[0][nearest < 15].all()
    assert not grown[0][nearest > 16].any()


@pytest.mark.parametrize("mode", MODES)
def test_no_number_in_the_picture_is_no_number_in_the_result(mode):
    images = noise(1, 64, 64, 3)
    images[0, 20:30, 20:30] = float("nan")
    images[0, 40, 40], images[0, 41, 40] = float("inf"), -float("inf")
    result, mask = redact(images, boxed(16, 16, 48, 48), mode=mode)
    assert result[mask.bool()].isfinite().all()
    assert result[mask.bool()].min() >= 0 and result[mask.bool()].max() <= 1


@pytest.mark.parametrize("mode", MODES)
def test_overlapping_faces_are_covered_in_any_order(mode):
    images = noise(1, 100, 100, 3)
    large, small = boxed(10, 10, 70, 70), boxed(55, 55, 85, 80)
    result, mask = redact(images, large, small, mode=mode)
    swapped, same = redact(images, small, large, mode=mode)
    assert torch.equal(result, swapped) and torch.equal(mask, same)
    union = torch.maximum(*(redact(images, face)[1] for face in (large, small)))
    assert torch.equal(mask, union)


def test_an_overlap_shows_one_grid_only():
    """A second, finer grid over the first face must not bring back what the first took away."""
    face, again = boxed(8, 8, 56, 56), boxed(9, 9, 55, 55)
    one = dyadic(1, 64, 64, 3)
    two = one.clone()
    two[:, 8:56, 8:56] = one[:, 8:56, 8:56].reshape(1, 6, 8, 6, 8, 3).flip(2, 4).reshape(1, 48, 48, 3)
    results = [redact(images, face, again, mode="mosaic", shape="box", margin=0.1)[0] for images in (one, two)]
    assert torch.equal(*results) and not torch.equal(one, two)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("box", [(-30, -20, 20, 25), (60, 70, 95, 140), (0, 0, 80, 100), (-50, -50, 200, 200)])
def test_faces_cut_by_the_border(mode, box):
    images = noise(1, 100, 80, 3)
    result, mask = redact(images, boxed(*box), mode=mode, shape="box")
    _, whole = redact(torch.zeros(1, 298, 278, 3), boxed(*np.array(box) + 99), shape="box")
    assert torch.equal(mask, whole[:, 99:-99, 99:-99]) and mask.any()
    assert result.isfinite().all()
    middle = int(np.clip((box[1] + box[3]) / 2, 0, 99))
    seen = result[0, middle, max(box[0], 0) : min(box[2], 80), 0]
    assert len(seen.unique()) <= {"solid": 1, "mosaic": 6, "blur": 80}[mode]
    assert mode != "blur" or seen.diff().abs().max() < 0.01


def test_a_sliver_at_the_border_joins_the_next_block():
    images = noise(1, 64, 64, 1)
    result, _ = redact(images, boxed(-6, 0, 58, 64), mode="mosaic", shape="box", detail=8, margin=0)  # blocks of 8
    assert torch.allclose(result[0, :8, :10], images[0, :8, :10].mean(), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_face_beside_the_picture_changes_nothing(mode):
    images = noise(1, 40, 40, 3)
    result, mask = redact(images, boxed(60, 60, 90, 90), mode=mode)
    assert torch.equal(result, images) and not mask.any()


@pytest.mark.parametrize("mode", ["mosaic", "blur"])
def test_strips_do_not_show(mode, monkeypatch):
    images, face = noise(1, 120, 120, 3), boxed(20, 20, 100, 100)
    whole, mask = redact(images, face, mode=mode)
    monkeypatch.setitem(redact_faces.__globals__, "_STRIP_PIXELS", 700)
    strips, same = redact(images, face, mode=mode)
    assert torch.equal(mask, same)
    assert (whole - strips).abs().max() < 1e-6


def test_empty_batches_progress_and_determinism():
    result, mask = redact(torch.zeros(0, 20, 30, 3))
    assert result.shape == (0, 20, 30, 3) and mask.shape == (0, 20, 30)
    images, done = noise(3, 50, 50, 3), []
    first, _ = redact(images, boxed(10, 10, 40, 40, index=2), mode="blur", progress=lambda *state: done.append(state))
    second, _ = redact(images, boxed(10, 10, 40, 40, index=2), mode="blur")
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(first, second) and torch.equal(first[:2], images[:2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "pixel"}, "mode is one of solid, mosaic, blur"),
        ({"shape": "star"}, "shape one of"),
        ({"detail": 1.9}, "detail is 2..32"),
        ({"detail": 33}, "detail is 2..32"),
        ({"detail": math.nan}, "detail is 2..32"),
        ({"margin": -0.1}, "margin 0 or more"),
        ({"margin": math.nan}, "margin 0 or more"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        redact(noise(1, 20, 20, 3), boxed(5, 5, 15, 15), **settings)


def test_faces_of_other_images_and_empty_boxes():
    with pytest.raises(ValueError, match=r"64x64.*32x32"):
        redact_faces(noise(1, 32, 32, 3), Faces(1, 64, 64, (boxed(5, 5, 15, 15),)))
    with pytest.raises(ValueError, match="detect the face again"):
        redact(noise(1, 32, 32, 3), boxed(5, 5, 5, 15))
