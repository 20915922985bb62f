"""Faces of known truth, made from assets/astronaut.jpg, through the detector; and the adapters."""

import copy
import math

import numpy as np
import pytest
import remembered_looks
import torch
from PIL import Image, ImageOps
from plain_run import rest_is_long

from face_anonymizer.modules.faces import adapters, alignment
from face_anonymizer.modules.faces.boxes import suppress
from face_anonymizer.modules.faces.detect import decoding, detection, first_look
from face_anonymizer.modules.faces.drawing import draw_faces
from face_anonymizer.modules.faces.outcomes import FOUND
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, IBUG_68, Faces

# Most tests here search the same pictures. What asks the network twice forgets first.
pytestmark = pytest.mark.usefixtures("remembered_looks")

PORTRAIT = (96, 0, 352, 256)  # of the astronaut; the face is near its middle
GREY = (110, 120, 115)


@pytest.fixture(scope="module")
def network():
    return detection.load_face_networks()


@pytest.fixture(scope="module")
def original(request):
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture(scope="module")
def portrait(original):
    return original.crop(PORTRAIT)


@pytest.fixture(scope="module")
def truth(network, original):
    (face,) = detection.detect_faces(network, tensor(original))
    return face


def tensor(*pictures):
    return torch.stack([torch.from_numpy(np.array(picture)).float() / 255 for picture in pictures])


def group(portrait, columns, rows, side=128):
    """A grid of portraits and the middles of the faces."""
    canvas = Image.new("RGB", (columns * side, rows * side), GREY)
    small = portrait.resize((side - 8, side - 8), Image.Resampling.LANCZOS)
    for cell in range(columns * rows):
        canvas.paste(small, (cell % columns * side + 4, cell // columns * side + 4))
    return canvas


def points_error(face, expected, extent):
    return 100 * np.hypot(*(face.points - expected).T).mean() / extent


def extent_of(face):
    return math.sqrt(np.prod(face.box[2:] - face.box[:2]))


def test_truth_is_where_the_face_is(truth):
    # read off assets/astronaut.jpg by eye, enlarged ten times, to a pixel or two
    by_eye = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])
    assert np.abs(truth.points - by_eye).max() < 3
    assert truth.score > 0.9 and truth.layout == FIVE_POINTS
    assert truth.box[0] < truth.points[:, 0].min() and truth.box[3] > truth.points[:, 1].max()


@pytest.mark.parametrize("pixels", rest_is_long([16, 32, 64, 300], 16, 300))
def test_sizes(network, portrait, truth, pixels):
    scale = pixels / extent_of(truth)
    side = round(256 * scale)
    canvas = Image.new("RGB", (max(320, side), max(320, side)), GREY)
    reducing = portrait.resize((side, side), Image.Resampling.LANCZOS)
    canvas.paste(reducing, (20 if side < 300 else 0, 20 if side < 300 else 0))
    (face,) = detection.detect_faces(network, tensor(canvas))
    shift = 20 if side < 300 else 0
    expected = (truth.points + 0.5 - PORTRAIT[:2]) * (side / 256) + shift - 0.5
    assert points_error(face, expected, pixels) < (4 if pixels < 32 else 2)
    assert abs(math.log2(extent_of(face) / pixels)) < 0.4


@pytest.mark.parametrize("degrees", rest_is_long([0, 45, 90, 180, 225], 0, 90, 225))
def test_turned_faces(network, original, truth, degrees):
    middle = truth.box.reshape(2, 2).mean(0)
    turned = original.rotate(-degrees, Image.Resampling.BICUBIC, center=tuple(middle), fillcolor=GREY).crop(PORTRAIT)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = (truth.points + 0.5 - middle) @ turn.T + middle - 0.5 - PORTRAIT[:2]
    (face,) = detection.detect_faces(network, tensor(turned))
    assert points_error(face, expected, extent_of(truth)) < 2
    pair = [alignment.crop_matrix(p, FIVE_POINTS, face.box, 1)[:, :2] for p in (face.points, expected)]
    relative = pair[0] @ np.linalg.inv(pair[1])
    assert abs(math.degrees(math.atan2(relative[1, 0], relative[0, 0]))) < 2.5
    assert abs(math.sqrt(np.linalg.det(relative)) - 1) < 0.05


def test_mirrored_face_keeps_image_left_first(network, portrait, truth):
    mirrored = tensor(portrait).flip(2)
    (face,) = detection.detect_faces(network, mirrored)
    expected = truth.points - PORTRAIT[:2]
    expected[:, 0] = 255 - expected[:, 0]
    assert points_error(face, expected[[1, 0, 2, 4, 3]], extent_of(truth)) < 2
    assert face.points[0, 0] < face.points[1, 0] and face.points[3, 0] < face.points[4, 0]


@pytest.mark.parametrize("degrees", [0, 80, 180, 250])
def test_image_left_is_told_on_the_upright_face(truth, degrees):
    angle = math.radians(degrees)
    turned = truth.points @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    for order in ([0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [0, 1, 2, 4, 3], [1, 0, 2, 4, 3]):
        np.testing.assert_array_equal(detection.image_left_first(turned[order]), turned)


def test_six_faces_in_reading_order(network, portrait):
    faces = detection.detect_faces(network, tensor(group(portrait, 3, 2, 96)))
    cells = [tuple((face.box.reshape(2, 2).mean(0) // 96).astype(int)) for face in faces]
    assert cells == [(column, row) for row in range(2) for column in range(3)]


def test_max_faces_keeps_the_best_scores(network, portrait):
    image = tensor(group(portrait, 2, 2))
    image[:, :, :128] = image[:, :, :128] * 0.15  # the left column is dark and scores less
    every = detection.detect_faces(network, image, DetectSettings(min_score=0.1))
    three = detection.detect_faces(network, image, DetectSettings(min_score=0.1, max_faces=3))
    best = sorted((face.score for face in every), reverse=True)[:3]
    assert sorted((face.score for face in three), reverse=True) == best
    assert sorted(face.score for face in (*three, *three.kept)) == sorted(face.score for face in every)
    assert report_faces(three, FOUND).count() == {"found": 3, "kept": len(every) - 3}
    centres = [tuple(face.box.reshape(2, 2).mean(0) // 128) for face in three]
    assert centres == sorted(centres, key=lambda c: (c[1], c[0]))


def test_min_score(network, portrait):
    image = tensor(portrait)
    (face,) = detection.detect_faces(network, image)
    assert len(detection.detect_faces(network, image, DetectSettings(min_score=face.score + 1e-3))) == 0
    assert len(detection.detect_faces(network, image, DetectSettings(min_score=face.score - 1e-3))) == 1
    assert len(detection.detect_faces(network, image, DetectSettings(min_score=0))) > 1


def test_none_in_noise_and_textures(network):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:192, 0:256]
    pictures = [rng.random((192, 256)) for _ in range(2)]
    pictures += [(x // 16 + y // 16) % 2, 0.5 + 0.4 * np.sin(x / 7), 0.5 + 0.4 * np.sin(np.hypot(x - 128, y - 96) / 5)]
    pictures += [x / 256, np.zeros_like(x), np.ones_like(x)]
    images = torch.from_numpy(np.stack(pictures)).float()[..., None]
    assert len(detection.detect_faces(network, images)) == 0


def test_determinism_and_independence_of_the_batch(network, portrait):
    images = tensor(group(portrait, 2, 1, 96), ImageOps.pad(portrait, (192, 96), color=GREY))
    found = []
    for given in (images, images, images[1:]):
        remembered_looks.forget()
        found.append(detection.detect_faces(network, given))
    first, second, alone = found
    assert [face.image_index for face in first] == [0] * 2 + [1]
    for a, b in zip(first, second, strict=True):
        assert a.score == b.score
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.box, b.box)
    np.testing.assert_array_equal(first.faces[2].points, alone.faces[0].points)


def test_grey_and_alpha(network, original, portrait, truth):
    rgb = tensor(original)
    (opaque,) = detection.detect_faces(network, torch.cat([rgb, torch.zeros(1, 512, 512, 1)], -1))
    np.testing.assert_array_equal(opaque.points, truth.points)
    (grey,) = detection.detect_faces(network, tensor(portrait.convert("L"))[..., None])
    assert points_error(grey, truth.points - PORTRAIT[:2], extent_of(truth)) < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7), (50, 4000)])
def test_odd_sizes_have_no_faces_and_no_errors(network, size):
    faces = detection.detect_faces(network, torch.full((1, *size, 3), 0.5))
    assert len(faces) == 0 and (faces.height, faces.width) == size


def test_a_face_that_fills_a_tiny_picture(network, original, truth):
    box = [round(v) for v in truth.box]
    tiny = original.crop(box).resize((20, 26), Image.Resampling.LANCZOS)
    (face,) = detection.detect_faces(network, tensor(tiny))
    assert face.score > 0.6


def test_a_face_that_fills_a_large_picture(network, original, truth):
    box = [round(v) for v in truth.box]
    large = original.crop(box).resize((700, 954), Image.Resampling.BICUBIC)
    (face,) = detection.detect_faces(network, tensor(large))
    assert np.prod(face.box[2:] - face.box[:2]) > 0.75 * 700 * 954


def test_a_face_in_a_long_strip(network, portrait):
    strip = Image.new("RGB", (6000, 64), GREY)
    strip.paste(portrait.resize((64, 64), Image.Resampling.LANCZOS), (5000, 0))
    (face,) = detection.detect_faces(network, tensor(strip))
    assert abs(face.points[:, 0].mean() - 5032) < 5


def test_a_face_cut_by_the_border(network, original, truth):
    cut = tensor(original)[:, :, 200:]
    (face,) = detection.detect_faces(network, cut)
    assert face.box[0] < 5
    assert points_error(face, truth.points - [200, 0], extent_of(truth)) < 3  # measured 2.0


def test_values_out_of_range_and_not_finite(network, portrait, truth):
    image = tensor(portrait) * 1.0
    image[0, 240, 240] = float("nan")
    image[0, 241, 241] = float("inf")
    image[0, 242, 242] = -5
    (face,) = detection.detect_faces(network, image)
    assert points_error(face, truth.points - PORTRAIT[:2], extent_of(truth)) < 1


def test_input_is_not_modified_and_progress_is_told(network, portrait):
    images = tensor(portrait, portrait)
    before, told = images.clone(), []
    detection.detect_faces(network, images, progress=lambda done, count: told.append((done, count)))
    assert torch.equal(images, before)
    assert told == [(1, 2), (2, 2)]


def test_an_empty_batch_has_no_faces(network):
    faces = detection.detect_faces(network, torch.zeros(0, 8, 9, 3))
    assert (len(faces), faces.image_count, faces.height, faces.width) == (0, 0, 8, 9)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((8, 9, 3), {}, "B, H, W, C"),
        ((1, 8, 9, 2), {}, "channels"),
        ((1, 0, 9, 3), {}, "at least"),
        ((1, 8, 9, 3), {"min_score": 1.5}, "min_score"),
        ((1, 8, 9, 3), {"max_faces": -1}, "max_faces"),
    ],
)
def test_refused(network, shape, settings, message):
    with pytest.raises(ValueError, match=message):
        detection.detect_faces(network, torch.zeros(shape), DetectSettings(**settings))


def test_working_sizes():
    assert first_look.working_size(512, 512, 1280) == (512, 512)
    assert first_look.working_size(1080, 1920, 1280) == (736, 1280)
    assert first_look.working_size(1, 1, 1280) == (32, 32)
    assert first_look.working_size(40, 32, 1280) == (128, 128)
    assert first_look.pyramid(4320, 7680, 1280) == [(736, 1280), (192, 320)]
    for height, width in ((50, 20000), (4320, 7680), (100, 400), (9999, 100)):
        h, w = first_look.working_size(height, width, 1280)
        assert h % 32 == w % 32 == 0 and h * w <= 1312 * 1312


def test_decode_of_one_cell():
    heatmap, scale, offset = np.zeros((4, 5)), np.zeros((2, 4, 5)), np.zeros((2, 4, 5))
    landmarks = np.zeros((10, 4, 5))
    heatmap[2, 3], scale[:, 2, 3], offset[:, 2, 3] = 0.8, np.log([6, 5]), (0.25, -0.5)
    landmarks[:, 2, 3] = np.arange(10) / 10
    boxes, scores, points = decoding.decode(heatmap, scale, offset, landmarks, 0.5)
    np.testing.assert_allclose(boxes, [[2, -1, 22, 23]])  # 20 wide, 24 high, around (12, 11)
    np.testing.assert_allclose(points[0, 1], [2 + 0.3 * 20, -1 + 0.2 * 24])
    assert scores.tolist() == [0.8]


def test_suppression():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [8, 0, 18, 10], [0, 0, 10, 10]], float)
    assert suppress(boxes, np.array([0.5, 0.9, 0.4, 0.9]), 0.3).tolist() == [1, 2]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.3).tolist() == []


# Adapters


def landmarks_dict(count=1, size=(100, 200)):
    rng = np.random.default_rng(0)
    frames = [
        [{"landmarks_xy": rng.uniform(10, 90, (478, 2)).astype(np.float32), "score": 0.7, "presence": 3.0}]
        for _ in range(count)
    ]
    return {"frames": frames, "image_size": size, "connection_sets": {}}


def test_landmarks_become_68_points():
    given = landmarks_dict(2)
    given["frames"][0] = []
    before = copy.deepcopy(given)
    (face,) = adapters.faces_from_landmarks(given, 2, 100, 200)
    mesh = given["frames"][1][0]["landmarks_xy"]
    assert (face.image_index, face.layout, face.score, face.points.shape) == (1, IBUG_68, 0.7, (68, 2))
    np.testing.assert_array_equal(face.points[[0, 30, 36, 45, 48, 54]], mesh[[127, 4, 33, 263, 61, 291]])
    np.testing.assert_array_equal(face.box, [*mesh[:468].min(0), *mesh[:468].max(0)])
    assert len(set(adapters.MESH_TO_IBUG.tolist())) == 68
    np.testing.assert_array_equal(mesh, before["frames"][1][0]["landmarks_xy"])
    assert alignment.crop_matrix(face.points, face.layout, face.box, 64).shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(image_size=(100, 201)), "201x100.*200x100"),
        (lambda d: d["frames"].append([]), "for 2 images, but 1"),
        (lambda d: d["frames"][0][0].update(landmarks_xy=np.zeros((68, 2))), r"\(68, 2\)"),
        (lambda d: d["frames"][0][0]["landmarks_xy"].fill(np.nan), "finite"),
        (lambda d: d.pop("frames"), "landmarker"),
    ],
)
def test_landmarks_refused(change, message):
    given = landmarks_dict()
    change(given)
    with pytest.raises(ValueError, match=message):
        adapters.faces_from_landmarks(given, 1, 100, 200)


BOX = {"x": 5, "y": 6.5, "width": 20, "height": 30, "label": "face", "score": 0.4}


@pytest.mark.parametrize(
    ("bboxes", "images"),
    [
        (BOX, [0, 1]),
        ([BOX, BOX], [0, 0, 1, 1]),
        ([[BOX], []], [0]),
        ([[], [BOX, BOX]], [1, 1]),
        ([[BOX]], [0, 1]),
        ([], []),
    ],
)
def test_boxes_in_three_forms(bboxes, images):
    faces = adapters.faces_from_boxes(bboxes, 2, 100, 200)
    assert [face.image_index for face in faces] == images
    for face in faces:
        assert (face.layout, face.score, face.points.shape) == (BOX_ONLY, 0.4, (0, 2))
        np.testing.assert_array_equal(face.box, [5, 6.5, 25, 36.5])


def test_boxes_without_score_empty_or_outside():
    plain = {key: BOX[key] for key in ("x", "y", "width", "height")}
    given = [plain, {**plain, "width": 0}, {**plain, "x": 200}, {**plain, "y": -30}, {**plain, "x": -10}]
    faces = adapters.faces_from_boxes(given, 1, 100, 200)
    assert [face.score for face in faces] == [1.0, 1.0]
    np.testing.assert_array_equal(faces.faces[1].box, [-10, 6.5, 10, 36.5])


def test_boxes_that_are_left_out_are_warned_of_and_no_numbers_refused(caplog):
    """A box of NaN stands for a face that somebody found, and that would stay open without a word."""
    adapters.faces_from_boxes([BOX, {**BOX, "width": -1}, {**BOX, "x": 1e6}], 1, 100, 200)
    assert "2 bounding boxes are empty or lie outside" in caplog.text
    for odd in (float("nan"), float("inf"), 1e400):
        with pytest.raises(ValueError, match="no numbers"):
            adapters.faces_from_boxes([{**BOX, "x": odd}], 1, 100, 200)


def test_boxes_refused():
    with pytest.raises(ValueError, match="for 3 images, but 2"):
        adapters.faces_from_boxes([[BOX], [BOX], []], 2, 100, 200)
    with pytest.raises(ValueError, match="x, y, width and height"):
        adapters.faces_from_boxes({"x": 1, "y": 2}, 1, 100, 200)


# The preview


def test_preview_shows_box_points_and_nothing_elsewhere(truth, original):
    images = tensor(original, original)
    drawn = draw_faces(images, Faces(2, 512, 512, (truth,)))
    assert drawn.shape == (2, 512, 512, 3) and drawn.dtype == torch.float32
    assert torch.equal(drawn[1], images[1])
    changed = (drawn[0] != images[0]).any(-1)
    (x0, y0), (x1, y1) = np.floor(truth.box[:2]).astype(int), np.ceil(truth.box[2:]).astype(int)
    assert changed[y0, x0:x1].all() and changed[y0:y1, x0].all() and changed[y0:y1, x1 - 1].all()
    for x, y in truth.points.round().astype(int):
        assert changed[y, x]
    assert not changed[:, : x0 - 5].any() and not changed[y1 + 5 :].any() and not changed[: y0 - 30].any()


@pytest.mark.parametrize(("size", "channels"), [((64, 64), 3), ((1, 1), 1), ((2000, 3000), 4)])
def test_preview_of_any_size(size, channels):
    box = {"x": -3, "y": -2, "width": size[1] / 2 + 3, "height": size[0] / 2 + 2}
    faces = adapters.faces_from_boxes(box, 1, *size)
    drawn = draw_faces(torch.zeros(1, *size, channels), faces)
    assert drawn.shape == (1, *size, 3)
    assert (drawn > 0).any()
    assert len(faces) == 1
