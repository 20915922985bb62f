"""Another shot of a camera that stands still is told by its people, who have moved; what was made of them is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter
from plain_run import rest_is_long

from face_anonymizer.modules.faces import marks
from face_anonymizer.modules.faces.alignment import check_faces
from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.paste import redaction
from face_anonymizer.modules.faces.settings import MODES, RedactSettings
from face_anonymizer.modules.faces.types import Faces

ASSETS = Path(__file__).resolve().parents[2] / "assets"
WIDTH, HEIGHT = 600, 400


def as_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).float() / 255


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A group of drawn people, and others whom the demo model painted in their places."""
    both = Image.open(ASSETS / "demo.jpg")
    halves = both.crop((0, 0, both.width // 2, both.height)), both.crop((both.width // 2, 0, both.width, both.height))
    before, after = (as_tensor(half.resize((WIDTH, HEIGHT))) for half in halves)
    return before, after


@pytest.fixture(scope="module")
def faces(pair) -> Faces:
    found = detection.detect_faces(detection.load_face_networks(), pair[0][None])
    assert len(found) == 5
    return marks.know(pair[0][None], found)


def moved(picture: torch.Tensor, right: int, down: int = 0) -> torch.Tensor:
    """All people stand elsewhere before the same background, as far as one can see."""
    result = picture.clone()
    result[down:, right:] = picture[: HEIGHT - down, : WIDTH - right]
    return result


@pytest.mark.parametrize("shift", [(10, 0), (20, 4), (30, 6), (45, 0)])
def test_another_shot_is_refused_with_the_face_and_how_far_it_is(pair, faces, shift):
    known = replace(faces, fingerprint=marks.take_fingerprint(moved(pair[0], *shift)[None]))  # the patches alone
    with pytest.raises(ValueError, match=r"Picture 1 is not the one .*: face \d stands \d+ pixels beside its place"):
        check_faces(moved(pair[0], *shift)[None], known)
    found = marks.find_moved(moved(pair[0], *shift), faces.faces[0].mark)
    assert found.pixels == pytest.approx(np.hypot(*shift), abs=3)


def step(picture: torch.Tensor, box: np.ndarray, shift: tuple[int, int], turn: float, size: float) -> torch.Tensor:
    """One person steps aside, turns the head and comes nearer; where the head was, what lies around it goes on."""
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    around = round((y1 - y0) * 0.25)
    image = Image.fromarray((picture.numpy() * 255).round().astype(np.uint8))
    head = image.crop((x0 - around, y0 - around, x1 + around, y1 + around))
    width, height = head.size
    head = head.rotate(turn, Image.Resampling.BICUBIC).resize((round(width * size), round(height * size)))
    round_head = Image.new("L", head.size)
    ImageDraw.Draw(round_head).ellipse((0, 0, *head.size), fill=255)
    image.paste(image.crop((2, 2, 40, 40)).resize((width, height)), (x0 - around, y0 - around))
    corner = x0 - around + shift[0] - (head.width - width) // 2, y0 - around + shift[1] - (head.height - height) // 2
    image.paste(head, corner, round_head.filter(ImageFilter.GaussianBlur(3)))
    return as_tensor(image)


@pytest.mark.parametrize(
    ("shift", "turn", "size"),
    [
        ((25, 5), 8, 1.0),
        ((35, 5), 15, 1.0),
        ((45, 10), -25, 1.0),
        ((-25, 5), 0, 1.15),
        ((45, 10), 0, 1.4),
        ((30, 5), 0, 0.7),
        ((45, 8), 12, 1.1),
        ((0, 0), 0, 1.4),
    ],
)
def test_who_turned_and_came_nearer_is_found(pair, faces, shift, turn, size):
    shot = step(pair[0], faces.faces[0].box, shift, turn, size)
    place, found = marks.first_moved(shot, faces, 0)
    assert place == 0
    assert found.pixels == pytest.approx(np.hypot(*shift), abs=10)  # a cell, and the middle of what was turned
    assert found.degrees == pytest.approx(turn, abs=8)
    assert found.size == pytest.approx(size, rel=0.17)
    with pytest.raises(ValueError, match=r"face 1 stands \d+ pixels beside its place"):
        check_faces(shot[None], replace(faces, fingerprint=marks.take_fingerprint(shot[None])))


def test_who_turned_where_he_stands_is_covered_there(pair, faces):
    assert marks.first_moved(step(pair[0], faces.faces[0].box, (4, 0), 15, 1.0), faces, 0) is None


@pytest.mark.parametrize("width", rest_is_long([90, 120, 150], 90))
def test_small_faces_may_lie_three_pixels_aside(pair, width):
    size = [width * HEIGHT // WIDTH, width]
    small = torch.nn.functional.interpolate(pair[0].movedim(-1, 0)[None], size, mode="area")[0].movedim(0, -1)
    found = detection.detect_faces(detection.load_face_networks(), small[None])
    known = marks.know(small[None], found)
    assert any(face.mark is not None for face in known)
    for shift in ((0, 1), (2, 0), (2, 2), (0, 3)):
        assert marks.first_moved(torch.roll(small, shift, (0, 1)), known, 0) is None


def test_one_portrait_several_times_is_no_person_who_moved(pair, faces):
    x0, y0, x1, y1 = (int(edge) for edge in faces.faces[0].box)
    tile = pair[0][y0 - 15 : y1 + 15, x0:x1]
    sheet = tile.repeat(2, 4, 1)
    box = np.array([0.0, 15.0, x1 - x0, y1 - y0 + 15.0])
    places = [box + np.tile([c * tile.shape[1], r * tile.shape[0]], 2) for r in range(2) for c in range(4)]
    eight = replace(
        faces,
        height=sheet.shape[0],
        width=sheet.shape[1],
        faces=tuple(replace(faces.faces[0], box=place, mark=marks.take_mark(sheet, place)) for place in places),
    )
    one = replace(eight, faces=eight.faces[:1], kept=eight.faces[1:])
    covered = sheet.clone()
    covered[: tile.shape[0], : tile.shape[1]] = 0
    for known in (eight, one):
        assert marks.first_moved(covered, known, 0) is None
        assert marks.first_moved(sheet, known, 0) is None


def test_one_person_who_moved_alone_is_enough(pair, faces):
    shot = pair[0].clone()
    x0, y0, x1, y1 = (int(edge) for edge in faces.faces[3].box)
    shot[y0 - 20 : y1 + 20, x0 + 10 : x1 + 50] = pair[0][y0 - 20 : y1 + 20, x0 - 20 : x1 + 20]
    with pytest.raises(ValueError, match="face 4 stands"):
        check_faces(shot[None], faces)


@pytest.mark.parametrize("zoom", [1.1, 1.15])
def test_a_picture_that_was_cut_and_enlarged_is_refused(pair, faces, zoom):
    size = [round(HEIGHT * zoom), round(WIDTH * zoom)]
    large = torch.nn.functional.interpolate(pair[0].movedim(-1, 0)[None], size, mode="bicubic")[0].movedim(0, -1)
    top, left = (size[0] - HEIGHT) // 2, (size[1] - WIDTH) // 2
    assert marks.first_moved(large[top : top + HEIGHT, left : left + WIDTH].clamp(0, 1), faces, 0) is not None


def test_what_was_made_of_the_faces_or_of_the_whole_picture_is_accepted(pair, faces):
    before, painted = pair
    graded = (before**1.6 * torch.tensor([1.0, 0.9, 0.7])).clamp(0, 1)
    noise = torch.randn(before.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    blurred = torch.nn.functional.avg_pool2d(before.movedim(-1, 0)[None], 9, 1, 4)[0].movedim(0, -1)
    gray = before.mean(2, keepdim=True)
    covered = [redaction.redact_faces(before[None], faces, RedactSettings(mode))[0][0] for mode in MODES]
    for picture in (before, painted, graded, (before + noise).clamp(0, 1), blurred, gray, 1 - before, *covered):
        assert marks.first_moved(picture, faces, 0) is None
    for picture in (before, graded, blurred, gray):
        assert marks.not_at_place(picture, faces, 0) == {}
    assert marks.not_at_place(painted, faces, 0) == dict.fromkeys(range(5), False)
    assert marks.not_at_place(covered[MODES.index("solid")], faces, 0) == dict.fromkeys(range(5), True)


def in_a_hood(right: int = 0) -> Image.Image:
    """Somebody's head in profile, pale before a wall, in a dark hood with a white collar: of such a head a black cover
    leaves a rim that looks much like it, elsewhere.
    """
    picture = Image.new("RGB", (400, 400), (160, 160, 160))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((150 + right, 10, 330 + right, 330), "#080808")
    draw.rectangle((200 + right, 250, 340 + right, 400), "#080808")
    draw.polygon([(x + right, y) for x, y in ((200, 175), (310, 205), (300, 245), (205, 225))], "#e6e6e6")
    draw.ellipse((140 + right, 35, 212 + right, 176), "#c8c8c8")
    for top in (80, 140):
        draw.ellipse((145 + right, top, 170 + right, top + 12), "#5a5a5a")
    return picture


@pytest.mark.parametrize("grown", [0.0, 0.08, 0.12, 0.15])
def test_the_rim_of_a_cover_is_no_face_that_moved(grown):
    box = np.array([133.0, 33, 216, 178])
    mark = marks.take_mark(as_tensor(in_a_hood()), box)
    margin = 1.4 * grown * (box[2:] - box[:2])
    place = (*(box[:2] - margin), *(box[2:] + margin))

    def covered(picture: Image.Image) -> torch.Tensor:
        ImageDraw.Draw(picture).ellipse(place, "black")
        return as_tensor(picture)

    assert marks.find_moved(covered(in_a_hood()), mark) is None
    # who steps aside and is covered where he stood
    assert marks.find_moved(covered(in_a_hood(-90)), mark).pixels == pytest.approx(90, abs=6)


def test_small_faces_and_those_of_other_pictures_are_left_out(pair, faces):
    assert marks.take_mark(pair[0], np.array([5.0, 5.0, 16.0, 17.0])) is None
    assert marks.take_mark(pair[0], np.array([np.nan, 5.0, 60.0, 70.0])) is None
    assert marks.first_moved(moved(pair[0], 30), faces, 1) is None
    at_the_border = marks.take_mark(pair[0], np.array([-20.0, -30.0, 40.0, 50.0]))
    assert marks.find_moved(pair[0], at_the_border) is None
    two = replace(faces, image_count=2, faces=tuple(replace(face, image_index=1, mark=None) for face in faces))
    assert all(face.mark is None for face in marks.know(torch.stack([pair[0]] * 2), two, every=2))


def test_what_is_left_between_two_covers_is_no_face_that_moved(monkeypatch):
    """Faces with a pale band in a dark face look like the pale gap between two black boxes."""
    crowd = torch.full((144, 240, 3), 0.5)
    places = [(x, y) for y in (5, 53, 101) for x in (5, 53, 101, 149, 197)]
    for x, y in places:
        crowd[y : y + 38, x : x + 38] = 0.1 + torch.linspace(0, 0.04, 38)[:, None, None]
        crowd[y : y + 38, x + 14 : x + 24] = 0.5
    covered = crowd.clone()
    for x, y in places:
        covered[y : y + 38, x : x + 38] = 0
    known = [marks.take_mark(crowd, np.array([x, y, x + 38.0, y + 38.0])) for x, y in places]
    mark = known[7]
    assert marks.find_moved(covered, mark) is None
    with monkeypatch.context() as patched:
        patched.setattr(marks, "_OF_COVER", 2.0)
        assert marks.find_moved(covered, mark).pixels == pytest.approx(24, abs=3)
