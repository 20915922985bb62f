"""The reader on known pairs: one person in every guise is near, strangers are far, and what cannot be read says so."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, IBUG_68, Face, Faces
from face_anonymizer.modules.recognition import crops
from face_anonymizer.modules.recognition.face_api import EXPRESSIONS
from face_anonymizer.modules.recognition.head_pose import angle_between, angles
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.recognition.reading import NO_FACE, TOO_SMALL, TURNED_AWAY, compare
from face_anonymizer.modules.recognition.settings import ReaderSettings
from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render

# of assets/astronaut.jpg, as the pack's detector finds them (test_detection.py holds that)
BOX = np.array([172.0, 52, 272, 178])
POINTS = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])


@pytest.fixture(scope="module")
def photo(request) -> Image.Image:
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader()


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


def one_face(picture: Image.Image, points: np.ndarray = POINTS, box: np.ndarray = BOX) -> Faces:
    face = Face(0, box, 0.9, points, FIVE_POINTS, "test")
    return Faces(1, picture.height, picture.width, (face,))


@pytest.fixture(scope="module")
def original(reader, photo):
    (reading,) = reader.read(tensor(photo), one_face(photo))
    return reading


def jpeg(picture: Image.Image) -> Image.Image:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


def recoloured(picture: Image.Image) -> Image.Image:
    red, green, blue = picture.split()
    return Image.merge("RGB", (red.point(lambda v: v * 0.8), green, blue.point(lambda v: min(255, v * 1.2))))


CHANGED = {
    "jpeg": jpeg,
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
    "recoloured": recoloured,
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "darker": lambda picture: picture.point(lambda v: v * 0.6),
    "small": lambda picture: picture.reduce(2).resize(picture.size),
}


@pytest.mark.parametrize("change", CHANGED)
def test_one_person_in_every_guise_is_near(reader, photo, original, change):
    changed = CHANGED[change](photo)
    (reading,) = reader.read(tensor(changed), one_face(changed))
    found = compare(original, reading)
    assert reading.measurable, reading.reason
    assert found.dlib < reader.settings.dlib_same and found.faceres > reader.settings.faceres_same
    assert found.pose < 4 and found.gaze < 8 and found.expression < 0.01 and abs(found.age) < 6 and abs(found.man) < 0.2


def test_the_mirror_image_is_near_and_mirrored(reader, photo, original):
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    points = (np.array([photo.width - 1, 0]) + POINTS * [-1, 1])[[1, 0, 2, 4, 3]]
    box = np.array([photo.width - BOX[2], BOX[1], photo.width - BOX[0], BOX[3]])
    (reading,) = reader.read(tensor(mirrored), one_face(mirrored, points, box))
    found = compare(original, reading)
    assert found.dlib < reader.settings.dlib_same and found.faceres > reader.settings.faceres_same
    (yaw, _, roll), (other_yaw, _, other_roll) = original.angles, reading.angles
    assert abs(yaw + other_yaw) < 2 and abs(roll + other_roll) < 2
    jaw = (reading.landmarks[16::-1] * [-1, 1] + [photo.width - 1, 0]) - original.landmarks[:17]
    assert np.abs(jaw).max() < 3


def test_a_face_of_64_pixels_is_near_and_one_of_32_is_too_small(reader, photo, original):
    for pixels, measurable in ((64, True), (32, False)):
        small = photo.resize((round(photo.width * pixels / 112.2),) * 2, Image.Resampling.LANCZOS)
        factor = small.width / photo.width
        (reading,) = reader.read(tensor(small), one_face(small, (POINTS + 0.5) * factor - 0.5, BOX * factor))
        assert reading.measurable == measurable
        found = compare(original, reading)
        if measurable:
            assert found.dlib < reader.settings.dlib_same and found.faceres > reader.settings.faceres_same
        else:
            assert reading.reason.startswith(TOO_SMALL) and "32 pixels" in reading.reason


@pytest.fixture(scope="module")
def strangers(reader):
    """Four drawn people in two pictures each: [4, 2] readings."""
    people = sample_identities([i // 2 for i in range(8)], 3)
    rendered = render(people, sample_attributes(8, 3), 96)
    faces = [
        Face(i, np.array([18.0, 18, 78, 85]), 1.0, rendered.points[i].double().numpy(), FIVE_POINTS, "drawn")
        for i in range(8)
    ]
    readings = reader.read(rendered.images, Faces(8, 96, 96, tuple(faces)))
    return [readings[i : i + 2] for i in range(0, 8, 2)]


def test_strangers_are_far_from_the_photo(reader, original, strangers):
    for pair in strangers:
        for reading in pair:
            found = compare(original, reading)
            assert found.dlib > reader.settings.dlib_same and found.faceres < reader.settings.faceres_same


def test_drawn_people_are_nearer_to_themselves_than_to_each_other(strangers):
    """Of drawings the recognisers know little: on average, no more is claimed."""
    same = [compare(*pair) for pair in strangers]
    others = [compare(strangers[i][0], strangers[j][1]) for i in range(4) for j in range(4) if i != j]
    assert np.mean([d.dlib for d in same]) < np.mean([d.dlib for d in others])
    assert np.mean([d.faceres for d in same]) > np.mean([d.faceres for d in others])


def covered(photo: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    picture = photo.copy()
    picture.paste((40, 40, 40), (left, top, right, bottom))
    return picture


@pytest.mark.parametrize(
    "hide",
    [
        lambda photo: covered(photo, 172, 52, 272, 178),
        lambda photo: covered(photo, 172, 80, 272, 120),
        lambda photo: covered(photo, 172, 121, 272, 178),
        lambda photo: photo.filter(ImageFilter.GaussianBlur(12)),
        lambda photo: photo.resize((40, 40)).resize(photo.size, Image.Resampling.NEAREST),
    ],
    ids=["the whole face", "the eyes", "from the nose down", "blurred away", "mosaic"],
)
def test_what_does_not_show_is_not_measurable(reader, photo, hide):
    hidden = hide(photo)
    (reading,) = reader.read(tensor(hidden), one_face(hidden))
    assert not reading.measurable


def test_a_head_turned_away_says_by_how_much(photo, original):
    strict = FaceReader(ReaderSettings(max_pitch=1.0))
    (reading,) = strict.read(tensor(photo), one_face(photo))
    assert reading.reason.startswith(TURNED_AWAY) and "pitch" in reading.reason
    assert NO_FACE not in reading.reason and original.measurable


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        ((39.99, 1.0, 0.0, 0), "too small: 39.9 pixels, 40 are needed"),
        ((90, 0.2, 0.0, 0), "no clear face: certainty 0.20, 0.50 is needed"),
        ((90, 1.0, 0.0, 120), "no clear face: its landmarks turn a head by 120 degrees, 100 is the most"),
        ((90, 1.0, 0.0, 60), "turned away: yaw 60 degrees, 55 is the most"),
        ((90, 1.0, 0.0, -55.2), "turned away: yaw -55.2 degrees, 55 is the most"),
        ((90, 0.4999, 0.0, 0), "no clear face: certainty 0.4999, 0.50 is needed"),
        ((90, 1.0, 0.1, 0), "covered or blurred: landmarks move by 0.100 of the eyes, 0.090 is the most"),
        ((90, 1.0, 0.0, 0), ""),
    ],
)
def test_every_refusal_names_its_figure_and_the_limit(reader, read, reason):
    size, certainty, unsteady, yaw = read
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    assert reader._reason(size, certainty, unsteady, np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])) == reason


def test_crops_say_what_their_pictures_say(reader, photo, original):
    crops_of, faces = crop_faces(tensor(photo), one_face(photo))
    (reading,) = reader.read_crops(crops_of, list(faces))
    found = compare(original, reading)
    assert found.dlib < 0.1 and found.faceres > 0.99 and found.expression < 0.01
    assert reading.size == original.size
    matrix = np.asarray(faces.faces[0].matrix)
    placed = original.landmarks @ matrix[:, :2].T + matrix[:, 2]
    assert np.hypot(*(placed - reading.landmarks).T).mean() < 0.01 * crops_of.shape[1]
    (alone,) = reader.read_crops(crops_of)
    assert alone.size > 300 and np.array_equal(alone.dlib, reading.dlib)


def test_readings_depend_neither_on_the_batch_nor_on_the_run(photo, reader, original):
    turned = photo.rotate(90, expand=True)
    points = np.stack([POINTS[:, 1], photo.width - 1 - POINTS[:, 0]], 1)
    box = np.array([BOX[1], photo.width - BOX[2], BOX[3], photo.width - BOX[0]])
    (face,) = one_face(photo).faces
    both = Faces(2, 512, 512, (face, replace(face, image_index=1, points=points, box=box)))
    images = torch.cat([tensor(photo), tensor(turned)])
    first, second = reader.read(images, both)
    again = FaceReader(ReaderSettings(at_once=1)).read(images, both)
    for a, b in ((first, original), (first, again[0]), (second, again[1])):
        np.testing.assert_allclose(a.dlib, b.dlib, atol=2e-6)
        np.testing.assert_allclose(a.faceres, b.faceres, atol=2e-6)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-3)
    # lying on the side it is the same face; only the head is turned
    found = compare(first, second)
    assert found.dlib < 0.05 and abs(abs(second.angles[2] - first.angles[2]) - 90) < 2


def test_grey_pictures_alpha_half_precision_and_no_faces(reader, photo, original):
    images = tensor(photo)
    with_alpha = torch.cat([images, torch.rand(1, 512, 512, 1)], 3)
    (reading,) = reader.read(with_alpha.half(), one_face(photo))
    assert compare(original, reading).dlib < 0.02
    (grey,) = reader.read(images.mean(3, keepdim=True), one_face(photo))
    assert compare(original, grey).dlib < reader.settings.dlib_same
    assert reader.read(images, Faces(1, 512, 512)) == []
    assert reader.read_crops(torch.zeros(0, 64, 64, 3)) == []
    (failed,) = reader.read_crops(torch.full((1, 64, 64, 3), torch.nan))
    assert not failed.measurable and np.isfinite(failed.dlib).all()
    (boxed,) = reader.read(images, Faces(1, 512, 512, (Face(0, BOX, 0.9, np.zeros((0, 2)), BOX_ONLY, "box"),)))
    assert compare(original, boxed).dlib < reader.settings.dlib_same


def test_wrong_input_names_itself(reader, photo):
    with pytest.raises(ValueError, match="connect the images"):
        reader.read(torch.zeros(1, 100, 100, 3), one_face(photo))
    with pytest.raises(ValueError, match=r"\[N, S, S, C\]"):
        reader.read_crops(torch.zeros(1, 100, 90, 3))
    with pytest.raises(ValueError, match="2 crops"):
        reader.read_crops(torch.zeros(2, 64, 64, 3), list(one_face(photo)))
    with pytest.raises(ValueError, match="at_once"):
        ReaderSettings(at_once=0)


def test_pose_and_gaze_follow_the_truth_of_drawn_heads(reader):
    """Yaw, pitch and the eyes one after the other, on one drawn person with open eyes."""
    count = 3
    still = sample_attributes([1], 0).replace(
        **{name: 0.0 for name in ("yaw", "pitch", "roll", "gaze_x", "gaze_y", "smile", "shift_x", "shift_y")},
        **{"glasses": -1.0, "mouth_opening": -1.0, "eye_opening": 0.8, "light_azimuth": 0.0},
    )
    span = torch.linspace(-0.8, 0.8, count)

    def turned(name: str):
        attributes = replace(still, values=still.values.repeat(count, 1)).replace(**{name: span})
        rendered = render(sample_identities([4], 0), attributes, 128)
        faces = [
            Face(i, np.array([26.0, 26, 100, 113]), 1.0, rendered.points[i].double().numpy(), FIVE_POINTS, "drawn")
            for i in range(count)
        ]
        return reader.read(rendered.images, Faces(count, 128, 128, tuple(faces)))

    for name, value, slopes in (
        ("yaw", lambda reading: reading.angles[0], (0.6, 1.4)),
        ("pitch", lambda reading: reading.angles[1], (0.3, 1.6)),
        ("gaze_x", lambda reading: reading.gaze[0], (0.6, 1.7)),
    ):
        low, high = {"yaw": (-35, 35), "pitch": (-20, 20), "gaze_x": (-28, 28)}[name]
        truth = low + (span.numpy() + 1) / 2 * (high - low)
        found = np.array([value(reading) for reading in turned(name)])
        assert np.corrcoef(truth, found)[0, 1] > 0.9, name
        assert slopes[0] < np.polyfit(truth, found, 1)[0] < slopes[1], name


def test_angles_of_a_rotation_and_between_two():
    for yaw, pitch, roll in ((20, 0, 0), (0, 15, 0), (0, 0, -30), (25, -10, 40)):
        y, p, r = np.deg2rad([yaw, pitch, roll])
        about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
        about_z = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
        rotation = about_z @ about_x @ about_y
        np.testing.assert_allclose(angles(rotation), (yaw, pitch, roll), atol=1e-9)
    assert abs(angle_between(about_y, about_y @ about_y) - 25) < 1e-9


def test_five_points_and_68_place_a_face_alike(original):
    five = crops.unit_transform(POINTS, FIVE_POINTS, BOX)
    many = crops.unit_transform(original.landmarks, IBUG_68, BOX)
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)])
    back = [(corners - m[:, 2]) @ np.linalg.inv(m[:, :2]).T for m in (five, many)]
    assert np.abs(back[0] - back[1]).max() < 0.08 * 112


def test_a_smile_is_seen(original):
    assert EXPRESSIONS[int(original.expression.argmax())] == "happy"
    assert original.man < 0.5 and 25 < original.age < 55  # a woman of 36
