"""Selection: each condition alone, together, on tracks; nobody lost, nobody twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from face_anonymizer.modules.faces.selection import select_faces
from face_anonymizer.modules.faces.settings import POSITIONS, SelectSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces

WIDTH, HEIGHT = 400, 300


def boxed(x, y, size=20.0, score=0.9, index=0, track=None):
    """A square face with its centre at x, y."""
    half = size / 2
    box = np.array([x - half, y - half, x + half, y + half], float)
    return Face(index, box, score, np.zeros((0, 2)), BOX_ONLY, "test", track=track)


def batch(*members, count=1, kept=()):
    return Faces(count, HEIGHT, WIDTH, tuple(members), tuple(kept))


def chosen(faces, mask=None, **conditions):
    """Numbers from 1 of the selected, after checking that the two results part the faces."""
    settings = SelectSettings(**conditions)
    selected, rest = select_faces(faces, settings, mask)
    places = {id(face): number for number, face in enumerate(faces, 1)}
    numbers = [places[id(face)] for face in selected]
    others = [places[id(face)] for face in rest]
    assert sorted(numbers + others) == list(range(1, len(faces) + 1))
    assert numbers == sorted(numbers) and others == sorted(others)
    assert selected.kept == faces.kept + rest.faces and rest.kept == faces.kept + selected.faces
    for result in (selected, rest):
        assert (result.image_count, result.height, result.width) == (faces.image_count, faces.height, faces.width)
    inverted, uninverted = select_faces(faces, replace(settings, invert=not settings.invert), mask)
    assert (inverted.faces, uninverted.faces) == (rest.faces, selected.faces)
    return numbers


ROW = batch(
    boxed(50, 100, 20, 0.5),
    boxed(150, 50, 60, 0.9),
    boxed(210, 160, 40, 0.7),
    boxed(300, 250, 30, 0.3),
    boxed(350, 120, 50, 0.8),
    kept=[boxed(10, 10)],
)


def test_all_are_selected_by_default():
    assert chosen(ROW) == [1, 2, 3, 4, 5]
    assert chosen(ROW, invert=True) == []


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ("2", [2]),
        ("1,3-5", [1, 3, 4, 5]),
        (" 5 , 2 - 3 ", [2, 3, 5]),
        ("3,3,2-4", [2, 3, 4]),
        ("4-4", [4]),
        ("9", []),
        ("5-999999999999", [5]),
        ("  ", [1, 2, 3, 4, 5]),
    ],
)
def test_indices(indices, expected):
    assert chosen(ROW, indices=indices) == expected


@pytest.mark.parametrize(
    "indices", ["0", "0-3", "5-3", "1,,2", "1,", ",1", "a", "1;2", "-1", "1-", "1-2-3", "1.5", "²"]
)
def test_indices_of_another_form(indices):
    with pytest.raises(ValueError, match="such as 1,3-5"):
        select_faces(ROW, SelectSettings(indices=indices))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"largest": 1}, [2]),
        ({"largest": 3}, [2, 3, 5]),
        ({"largest": 9}, [1, 2, 3, 4, 5]),
        ({"min_size": 40}, [2, 3, 5]),
        ({"max_size": 40}, [1, 3, 4]),
        ({"min_size": 30, "max_size": 50}, [3, 4, 5]),
        ({"min_score": 0.7}, [2, 3, 5]),
        ({"position": "left"}, [1]),
        ({"position": "right"}, [5]),
        ({"position": "top"}, [2]),
        ({"position": "bottom"}, [4]),
        ({"position": "centre"}, [3]),
        ({"largest": 2, "position": "right"}, [5]),
        ({"largest": 1, "position": "left"}, [2]),
        ({"indices": "1,3-4", "largest": 1}, [3]),
        ({"max_size": 40, "position": "right"}, [4]),
        ({"min_score": 0.6, "min_size": 45, "position": "bottom"}, [5]),
        ({"indices": "1", "min_size": 40}, []),
        ({"indices": "1", "largest": 1, "invert": True}, [2, 3, 4, 5]),
    ],
)
def test_conditions(conditions, expected):
    assert chosen(ROW, **conditions) == expected


def test_size_is_the_geometric_mean_of_the_sides():
    face = replace(boxed(0, 0), box=np.array([10.0, 10, 20, 50]))  # 10 x 40
    assert chosen(batch(face), min_size=20, max_size=20) == [1]
    assert chosen(batch(face), min_size=20.1) == []


def test_largest_and_position_choose_in_each_picture():
    faces = batch(
        boxed(100, 50, 30),
        boxed(200, 50, 50),
        boxed(300, 50, 40, index=2),
        boxed(50, 50, 20, index=2),
        boxed(20, 60, 10, index=2),
        count=3,
    )
    assert chosen(faces, largest=1) == [2, 3]
    assert chosen(faces, position="left") == [1, 5]
    assert chosen(faces, largest=2, position="left") == [1, 4]
    assert chosen(faces, indices="2,4") == [2, 4]


def test_the_first_of_equals_counts():
    faces = batch(boxed(100, 100), boxed(100, 100), boxed(100, 100))
    assert chosen(faces, largest=1) == [1]
    assert chosen(faces, largest=2) == [1, 2]
    assert all(chosen(faces, position=position) == [1] for position in POSITIONS if position != "any")


def half_mask(count=1):
    """The left half of the picture."""
    mask = torch.zeros(count, HEIGHT, WIDTH)
    mask[:, :, : WIDTH // 2] = 1
    return mask


def test_mask():
    faces = batch(boxed(50, 50), boxed(200, 50), boxed(202, 50), boxed(350, 50), boxed(-5, 50), boxed(800, 50))
    assert chosen(faces, mask=half_mask()) == [1, 2, 5]  # the second has its half
    assert chosen(faces, mask=half_mask(), mask_mode="outside") == [3, 4, 6]
    assert chosen(faces, mask=half_mask() * 0.499) == []
    assert chosen(faces, mask=half_mask().half(), largest=1, position="right") == [1]
    assert chosen(faces, mask=torch.full((1, HEIGHT, WIDTH), float("nan"))) == []


def test_one_mask_for_all_or_one_for_each():
    faces = batch(boxed(50, 50), boxed(350, 50), boxed(50, 50, index=1), boxed(350, 50, index=1), count=2)
    assert chosen(faces, mask=half_mask()) == [1, 3]
    each = half_mask(2)
    each[1] = 1 - each[1]
    assert chosen(faces, mask=each) == [1, 4]


def clip():
    """Two people over five frames: number 3 (track 2) on the left, number 8 (track 7) on the right; the first is
    larger in most frames, the second in one.
    """
    left, right = [40, 42, 10, 44, 46], [30, 32, 90, 34, 36]
    scores = [0.2, 0.3, 0.95, 0.2, 0.1]
    members = []
    for frame in range(5):
        members.append(boxed(100 + 10 * frame, 100, left[frame], 0.5, frame, track=2))
        members.append(boxed(300 - 10 * frame, 200, right[frame], scores[frame], frame, track=7))
    return batch(*members, count=5)


FIRST, SECOND = [1, 3, 5, 7, 9], [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"indices": "3"}, FIRST),
        ({"indices": "8"}, SECOND),
        ({"indices": "1-2"}, []),
        ({"largest": 1}, FIRST),
        ({"min_size": 40}, FIRST),  # medians 42 and 34
        ({"max_size": 40}, SECOND),
        ({"min_score": 0.6}, SECOND),
        ({"position": "left"}, FIRST),
        ({"position": "bottom"}, SECOND),
        ({"largest": 1, "position": "right"}, FIRST),
        ({"min_score": 0.6, "largest": 1, "invert": True}, FIRST),
    ],
)
def test_tracks_are_selected_as_a_whole(conditions, expected):
    assert chosen(clip(), **conditions) == expected


def test_a_track_is_inside_with_half_of_its_frames():
    faces = batch(*(boxed(x, 50, index=i, track=0) for i, x in enumerate((50, 60, 300, 310))), count=4)
    assert chosen(faces, mask=half_mask()) == [1, 2, 3, 4]
    mask = half_mask(4)
    mask[0] = 0
    assert chosen(faces, mask=mask) == []
    assert chosen(faces, mask=mask, mask_mode="outside") == [1, 2, 3, 4]


def test_tracks_beside_faces_without():
    faces = batch(boxed(100, 50, 30, track=4), boxed(200, 50, 50), boxed(300, 50, 60, index=1, track=4), count=2)
    assert chosen(faces, indices="5") == [1, 3]
    assert chosen(faces, indices="2") == [2]
    assert chosen(faces, largest=1) == [1, 2, 3]  # the picture's largest, and the clip's


def test_no_face_at_all():
    faces = Faces(2, HEIGHT, WIDTH)
    for conditions in (
        {},
        {"indices": "1"},
        {"largest": 1, "position": "centre"},
        {"mask": half_mask(), "invert": True},
    ):
        assert chosen(faces, **conditions) == []


def test_a_hundred_faces():
    rng = np.random.default_rng(0)
    members = [boxed(*rng.uniform(0, 300, 2), rng.uniform(5, 80), rng.random(), int(i % 7)) for i in range(100)]
    faces = batch(*members, count=7)
    sizes = np.array([face.box[2] - face.box[0] for face in members])
    sure = np.array([face.score >= 0.4 for face in members])
    expected = []
    for index in range(7):
        mine = [i for i in range(100) if i % 7 == index and sure[i]]
        expected += sorted(mine, key=lambda i: -sizes[i])[:3]
    assert chosen(faces, min_score=0.4, largest=3) == sorted(i + 1 for i in expected)
    assert len(chosen(faces, position="centre", mask=half_mask())) == 7


def test_the_same_face_twice_is_two_faces():
    face = boxed(100, 100)
    selected, rest = select_faces(batch(face, face), SelectSettings(indices="2"))
    assert len(selected) == len(rest) == 1


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"largest": -1}, "0 .off. or more"),
        ({"min_size": -1}, "0 .off. or more"),
        ({"min_score": 1.1}, "min_score is 0..1"),
        ({"min_size": 50, "max_size": 40}, "lower min_size"),
        ({"position": "middle"}, "position is one of any, left"),
        ({"mask_mode": "in"}, "mask_mode one of inside, outside"),
        ({"mask": torch.zeros(1, 200, 100)}, "100x200 .* 400x300"),
        ({"mask": torch.zeros(HEIGHT, WIDTH)}, r"\[B, H, W\]"),
        ({"mask": torch.zeros(3, HEIGHT, WIDTH)}, "3 masks for 1 pictures"),
    ],
)
def test_conditions_out_of_range(conditions, message):
    with pytest.raises(ValueError, match=message):
        mask = conditions.pop("mask", None)
        select_faces(ROW, SelectSettings(**conditions), mask)
