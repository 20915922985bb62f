"""The shapes over a face: their distances against geometry, their bounds, what they do with bad points."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from face_anonymizer.modules.faces.alignment import crop_matrix
from face_anonymizer.modules.faces.paste import masks
from face_anonymizer.modules.faces.settings import SHAPES
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, IBUG_68, Face

POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
BOX = np.array([182.0, 58, 270, 178])
SIZE = math.sqrt(88 * 120)
FRONTAL = ("upright", "tilted", "rot90", "partly_outside", "tiny24")


def face_of(layout=BOX_ONLY, points=(), box=BOX, **fields):
    return Face(0, np.asarray(box, float), 1.0, np.reshape(points, (-1, 2)).astype(float), layout, "test", **fields)


def five(scale=1.0, shift=(0, 0)):
    return face_of(FIVE_POINTS, POINTS * scale + shift, BOX * scale + np.tile(shift, 2))


@pytest.fixture(scope="module")
def golden(fixtures):
    return load_file(fixtures / "golden" / "alignment.safetensors")


def landmarks(golden, case):
    points = golden[f"{case}.landmarks"].astype(float)
    return face_of(IBUG_68, points, np.r_[points.min(0) - 1, points.max(0) + 1])


def at(face, shape, *points):
    x, y = torch.from_numpy(np.array(points, float)).T
    return masks.FaceShapes(face).field(shape, x, y).double().numpy()


def whole(face, shape, side=400):
    return masks.FaceShapes(face).field(shape, torch.arange(float(side))[None, :], torch.arange(float(side))[:, None])


def test_box_distances():
    # edges 182..270 and 58..178 are half a pixel before the centres of the pixels there
    points = [(181.5, 100), (191.5, 100), (225.5, 117.5), (171.5, 100), (178.5, 53.5)]
    expected = np.array([0, 10, 44, -10, -5]) / SIZE
    np.testing.assert_allclose(at(face_of(), "box", *points), expected, atol=1e-6)
    assert masks.FaceShapes(face_of()).width("box") == pytest.approx(88 / SIZE)
    assert (whole(face_of(), "box") > 0).sum() == 88 * 120


def test_ellipse_distances():
    centre = np.array([225.5, 117.5])
    points = centre + np.array([(0, 0), (44, 0), (0, 60), (34, 0), (0, 70), (-64, 0)])
    expected = np.array([44, 0, 0, 10, -10, -20]) / SIZE
    np.testing.assert_allclose(at(face_of(), "ellipse", *points), expected, atol=1e-6)
    # near the border against the distance to the nearest of many border points
    angle = np.linspace(0, 2 * np.pi, 20001)
    border = centre + np.stack([44 * np.cos(angle), 60 * np.sin(angle)], 1)
    for share, slack in ((0.95, 0.03), (1.05, 0.03), (1.3, 0.12)):
        near = centre + (border[::500] - centre) * share
        true = np.sqrt(((near[:, None] - border) ** 2).sum(-1).min(1)) / SIZE
        field = at(face_of(), "ellipse", *near) * (1 if share < 1 else -1)
        np.testing.assert_allclose(field, true, rtol=slack)
        assert (field <= true + 1e-6).all() == (share > 1)  # errs to the outer side
    assert (whole(face_of(), "ellipse") > 0).sum() == pytest.approx(math.pi * 44 * 60, rel=2e-3)


@pytest.mark.parametrize("size", [64, 512])
def test_the_crop_is_the_square_of_the_matrix(size):
    matrix = crop_matrix(POINTS, FIVE_POINTS, BOX, size)
    face = five().with_crop(matrix, size)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]

    def picture(u, v):
        return inverse @ (u, v, 1)

    scale = math.sqrt(np.linalg.det(matrix[:, :2])) * SIZE  # crop pixels a face size
    corner, middle, last = picture(-0.5, -0.5), picture(size / 2 - 0.5, size / 2 - 0.5), picture(size - 0.5, 10)
    np.testing.assert_allclose(at(face, "crop", corner, middle, last), [0, size / 2 / scale, 0], atol=2e-6)
    assert at(face, "crop", picture(9.5, 20))[0] == pytest.approx(10 / scale, abs=2e-6)
    assert at(face, "crop", picture(-3.5, -4.5))[0] == pytest.approx(-5 / scale, abs=2e-6)
    # before cropping it is the square that would be cut, up to half a crop pixel; an alignment comes first
    np.testing.assert_allclose(at(five(), "crop", middle), size / 2 / scale, atol=1 / scale)
    smoothed = dataclasses.replace(five(), alignment=crop_matrix(POINTS + 7, FIVE_POINTS, BOX, 1))
    np.testing.assert_allclose(at(smoothed, "crop", middle + 7), size / 2 / scale, atol=1 / scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_distances_are_relative_to_the_face(shape):
    points = np.random.default_rng(0).uniform((150, 40), (300, 200), (50, 2))
    small = at(five(), shape, *points)
    # pixel edges scale, so that centres and points are half a pixel off; far from the corner as in an 8k picture
    scaled = face_of(FIVE_POINTS, (POINTS + 0.5) * 20 - 0.5 + (1000, 500), BOX * 20 + (1000, 500, 1000, 500))
    large = at(scaled, shape, *((points + 0.5) * 20 - 0.5 + (1000, 500)))
    # a crop's matrix counts pixel centres alone
    np.testing.assert_allclose(large, small, atol=1e-5 if shape != "crop" else 0.5 / SIZE)


@pytest.mark.parametrize("margin", [0, 0.05, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_bounds_hold_all_pixels_and_not_many_more(golden, shape, margin):
    for face in (five(), face_of(), landmarks(golden, "tilted"), landmarks(golden, "rot90")):
        face = dataclasses.replace(face, box=face.box + 100, points=face.points + 100)
        inside = whole(face, shape, 600) > -margin
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        x0, y0, x1, y1 = masks.FaceShapes(face).bounds(shape, margin)
        tight = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        assert x0 <= tight[0] and y0 <= tight[1] and x1 >= tight[2] and y1 >= tight[3]
        slack = 3 + (0.5 if shape != "box" else 0.01) * margin * face.size
        assert max(tight[0] - x0, tight[1] - y0, x1 - tight[2], y1 - tight[3]) <= slack


@pytest.mark.parametrize("case", FRONTAL)
def test_the_oval_of_68_points_follows_them(golden, case):
    face = landmarks(golden, case)
    field = at(face, "oval", *face.points)
    assert field.min() > -1e-5
    jaw, brows, inner = field[:17], field[17:27], field[27:]
    assert np.abs(jaw).max() < 0.01  # the jaw is its border
    assert brows.min() > 0.035 and inner.min() > 0.05
    # the forehead is as high as 0.8 of brows to base of nose, above the brows
    up = face.points[17:27].mean(0) - face.points[33]
    middle = face.points[[21, 22]].mean(0)
    inside, outside = at(face, "oval", middle + 0.8 * up, middle + 0.95 * up)
    assert inside > 0 > outside


@pytest.mark.parametrize("case", FRONTAL)
def test_the_oval_of_five_points_covers_that_of_68(golden, case):
    face = landmarks(golden, case)
    p = face.points
    points = np.stack([p[36:42].mean(0), p[42:48].mean(0), p[30], p[48], p[54]])
    less = dataclasses.replace(face, points=points, layout=FIVE_POINTS)
    x, y = torch.arange(-50, 306.0), torch.arange(-50, 306.0)
    exact, coarse = (masks.FaceShapes(f).field("oval", x[None, :], y[:, None]) > 0 for f in (face, less))
    assert (coarse & exact).sum() >= 0.995 * exact.sum()
    assert coarse.sum() <= 1.25 * exact.sum()  # measured 1.15 to 1.21


def test_the_oval_turns_with_the_points():
    middle = POINTS.mean(0)
    turned = face_of(FIVE_POINTS, (POINTS - middle) @ np.array([[0, 1], [-1, 0]]) + middle)  # by 90 degrees
    x, y = np.random.default_rng(1).uniform(-70, 70, (2, 100))
    upright = at(five(), "oval", *(middle + np.stack([x, y], 1)))
    sideways = at(turned, "oval", *(middle + np.stack([-y, x], 1)))
    np.testing.assert_allclose(sideways, upright, atol=1e-5)


@pytest.mark.parametrize(
    "face",
    [
        face_of(),
        face_of(FIVE_POINTS, np.full((5, 2), 30.0)),
        face_of(FIVE_POINTS, POINTS * 0.2),
        face_of(IBUG_68, np.full((68, 2), 30.0)),
        face_of(IBUG_68, np.stack([np.arange(68), np.arange(68)], 1)),
        face_of(IBUG_68, np.full((68, 2), np.nan)),
    ],
    ids=["none", "coincide", "too small", "68 coincide", "68 on a line", "68 not finite"],
)
def test_without_usable_points_the_oval_is_near_the_ellipse(face):
    # five points that coincide are placed by the box, as their crop is
    oval, ellipse = (whole(face, shape) > 0 for shape in ("oval", "ellipse"))
    assert (oval & ellipse).sum() >= 0.85 * ellipse.sum()
    if face.layout != FIVE_POINTS or np.ptp(face.points) > 0:
        assert torch.equal(oval, ellipse)


def test_widths_are_twice_the_deepest_distance(golden):
    for face in (five(), face_of(), landmarks(golden, "turned")):
        for shape in SHAPES:
            assert masks.FaceShapes(face).width(shape) == pytest.approx(2 * float(whole(face, shape).max()), abs=0.02)


@pytest.mark.parametrize("case", FRONTAL)
def test_parts_cover_their_outlines(golden, case):
    face = landmarks(golden, case)
    p = face.points
    five_points = np.stack([p[36:42].mean(0), p[42:48].mean(0), p[30], p[48], p[54]])
    less = dataclasses.replace(face, points=five_points, layout=FIVE_POINTS)
    rows = {"eyes": slice(36, 48), "nose": slice(27, 36), "mouth": slice(48, 68)}
    for part, own in rows.items():
        for subject, least in ((face, 0.0299), (less, -0.025)):
            x, y = torch.from_numpy(p).T
            field = masks.FaceShapes(subject).part_field(part, x, y).numpy()
            assert field[own].min() > least
            others = [row for name, others in rows.items() if name != part for row in range(68)[others]]
            assert field[others].max() < 0.03 and field[:17].max() < -0.02
    assert masks.FaceShapes(dataclasses.replace(face, points=p[:0], layout=BOX_ONLY)).part_field("eyes", x, y) is None


def test_refusals():
    x = torch.arange(3.0)
    for box in ([0, 0, 0, 5], [5, 0, 1, 5], [0, 0, np.nan, 5]):
        with pytest.raises(ValueError, match=r"finite x0 < x1.*detect the face again"):
            masks.FaceShapes(face_of(box=box)).field("box", x, x)
    with pytest.raises(ValueError, match=r"Unknown shape 'star'.*ellipse, box, oval, crop"):
        masks.FaceShapes(face_of()).field("star", x, x)
    with pytest.raises(ValueError, match=r"Unknown part 'ear'.*eyes, nose, mouth"):
        masks.FaceShapes(five()).part_field("ear", x, x)
