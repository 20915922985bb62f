"""Another shot of a camera that stands still is told by its people, who have moved; what was made of them is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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


def test_small_faces_and_those_of_other_pictures_are_left_out(pair, faces):
    assert marks.take_mark(pair[0], np.array([5.0, 5.0, 16.0, 17.0])) is None
    assert marks.take_mark(pair[0], np.array([np.nan, 5.0, 60.0, 70.0])) is None
    assert marks.first_moved(moved(pair[0], 30), faces, 1) is None
    at_the_border = marks.take_mark(pair[0], np.array([-20.0, -30.0, 40.0, 50.0]))
    assert marks.find_moved(pair[0], at_the_border) is None
    two = replace(faces, image_count=2, faces=tuple(replace(face, image_index=1, mark=None) for face in faces))
    assert all(face.mark is None for face in marks.know(torch.stack([pair[0]] * 2), two, every=2))
