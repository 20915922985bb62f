"""A face as it was, in a corner of its own result: turned, stretched, cut tight or by the border, or a half of it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from plain_run import rest_is_long

from face_anonymizer.modules.faces import marks
from face_anonymizer.modules.faces.comparing import Comparison
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.detect.glance import glance_turned
from face_anonymizer.modules.faces.insets import take_square
from face_anonymizer.modules.faces.part_insets import find_part_insets
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.registration import move, turn
from face_anonymizer.modules.faces.turned_insets import find_turned_insets, matrix_of

WIDTH, HEIGHT = 600, 400


def as_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).float() / 255


@pytest.fixture(scope="module")
def networks():
    return load_face_networks()


@pytest.fixture(scope="module")
def covered(request, networks):
    """A group, its result with solid covers, the report, and the box of its largest face."""
    group = (
        Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB").resize((WIDTH, HEIGHT))
    )
    images = as_tensor(group)[None]
    faces = marks.know(images, detect_faces(networks, images))
    result, _, report = cover_and_look(images, faces)
    box = max((face.box for face in faces), key=lambda box: box[2] - box[0]).round().astype(int).tolist()
    return group, Image.fromarray((result[0].numpy() * 255).round().astype(np.uint8)), report, box


def open_faces(networks, report, picture: Image.Image) -> int:
    find = None if networks is None else lambda shown: glance_turned(networks, shown)
    comparison = Comparison(report, 1, find=find)
    comparison.look_at(0, as_tensor(picture))
    return len(comparison.open_faces)


def cut(group: Image.Image, box, by: tuple[int, int, int, int]) -> Image.Image:
    return group.crop((box[0] + by[0], box[1] + by[1], box[2] - by[2], box[3] - by[3]))


@pytest.mark.parametrize("degrees", rest_is_long([45, 90, 200], 90, 200))
def test_a_turned_one_is_seen(covered, networks, degrees):
    group, result, report, box = covered
    face, sheet = cut(group, box, (-10, -10, -10, -10)), result.copy()
    sides = Image.new("L", face.size, 255).rotate(degrees, expand=True)
    sheet.paste(face.rotate(degrees, Image.Resampling.BICUBIC, expand=True), (10, 250), sides)
    assert open_faces(networks, report, sheet) == 1


TIGHT = {"tight": (8, 8, 8, 8), "tighter": (12, 12, 12, 12), "eyes and mouth": (14, 20, 14, 8)}


@pytest.mark.parametrize("name", rest_is_long(TIGHT, "tighter", "eyes and mouth"))
def test_one_that_was_cut_tight_is_seen(covered, networks, name):
    group, result, report, box = covered
    sheet = result.copy()
    sheet.paste(cut(group, box, TIGHT[name]), (10, 260))
    assert open_faces(networks, report, sheet) == 1


def test_one_that_was_stretched_or_mirrored_and_turned_is_seen(covered, networks):
    group, result, report, box = covered
    face = cut(group, box, (-10, -10, -10, -10))
    wide = face.resize((round(face.width * 1.4), face.height))
    for changed in (wide, ImageOps.mirror(face).rotate(45, Image.Resampling.BICUBIC, expand=True)):
        sheet = result.copy()
        sheet.paste(changed, (10, 250))
        assert open_faces(networks, report, sheet) == 1


@pytest.mark.parametrize("margin", rest_is_long([4, -15], -15), ids=["a little", "into the chin"])
def test_one_that_the_border_cuts_is_seen(covered, networks, margin):
    group, result, report, box = covered
    face = cut(group, box, (-10, -10, -10, -10))
    sheet = Image.new("RGB", (WIDTH, HEIGHT + face.height - 10 + margin), "white")
    sheet.paste(result, (0, 0))
    sheet.paste(face, (20, HEIGHT))
    assert open_faces(networks, report, sheet) == 1


HALVES = {
    "left": (-10, -10, 46, -10),
    "right": (47, -10, -10, -10),
    "lower": (-10, 52, -10, -10),
    "eyes": (0, 27, 0, 45),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_a_face_and_the_strip_of_the_eyes_are_seen(covered, name):
    group, result, report, box = covered
    sheet = result.copy()
    sheet.paste(cut(group, box, HALVES[name]), (60 if name == "right" else 10, 260))
    assert open_faces(None, report, sheet) == 1


def test_halves_of_results_and_of_strangers_are_no_originals(covered, request):
    group, result, report, _ = covered
    both = Image.open(request.config.rootpath / "assets" / "demo.jpg").convert("RGB")
    half = both.width // 2
    strangers = both.crop((half, 0, both.width, both.height)).resize((WIDTH, HEIGHT))
    squares = [take_square(as_tensor(group), tuple(map(float, key.box))) for key in report.entries]
    for picture in (result, strangers, result.filter(ImageFilter.GaussianBlur(2))):
        assert list(find_part_insets(as_tensor(picture), squares, False)) == []
    assert len(squares) == 5 and len(list(find_part_insets(as_tensor(group), squares[:1], False))) >= 1
    assert list(find_part_insets(as_tensor(group), squares, True)) == []


def test_results_and_strangers_are_no_originals(covered, networks, request):
    _, result, report, _ = covered
    assert open_faces(networks, report, result) == 0
    both = Image.open(request.config.rootpath / "assets" / "demo.jpg").convert("RGB")
    half = both.width // 2
    sides = (both.crop((x0, 0, x0 + half, both.height)).resize((WIDTH, HEIGHT)) for x0 in (0, both.width - half))
    before, strangers = map(as_tensor, sides)
    squares = [take_square(before, tuple(face.box.tolist())) for face in detect_faces(networks, before[None])]
    seen = glance_turned(networks, strangers)
    assert len(squares) == 5 and len(seen) >= 5
    assert list(find_turned_insets(strangers, squares, seen)) == []
    assert len(list(find_turned_insets(before, squares[:1], glance_turned(networks, before)))) >= 1
    assert list(find_turned_insets(before, [], seen)) == list(find_turned_insets(before, squares, [])) == []


def test_the_square_of_a_turned_picture_reads_it_as_a_map_turns_it():
    picture = np.random.default_rng(0).random((160, 160)).astype(np.float32)
    matrix, angle = np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.deg2rad(30)
    turned = move(picture[None, :, ::-1].copy(), turn(angle))[0]
    found = matrix_of(matrix, angle, True, np.array([3.0, -5.0]))
    for x, y in ((60, 70), (90, 80)):
        left, top = found[:, :2] @ (x, y) + found[:, 2]
        row, column = int(np.floor(top)), int(np.floor(left))
        across, down = left - column, top - row
        corners = picture[row : row + 2, column : column + 2]
        value = np.array([1 - down, down]) @ corners @ np.array([1 - across, across])
        assert value == pytest.approx(float(turned[y - 5, x + 3]), abs=1e-3)
