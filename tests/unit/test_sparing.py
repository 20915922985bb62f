"""What a search leaves out: finer looks where nothing shows before."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_recall import GREY, NOTHING, paste, tensor

from face_anonymizer.modules.faces.detect import decoding, detection, tiles, turned
from face_anonymizer.modules.faces.detect.first_look import first_look


@pytest.fixture(scope="module")
def networks():
    return detection.load_face_networks()


@pytest.fixture(scope="module")
def original(request):
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture
def looks(monkeypatch):
    """Heights and widths of what the network looks at turned."""
    sizes = []
    for module in (turned, tiles):
        look = module.look_turned
        monkeypatch.setattr(
            module,
            "look_turned",
            lambda centerface, part, *rest, look=look, **named: (
                sizes.append(tuple(part.shape[2:])) or look(centerface, part, *rest, **named)
            ),
        )
    return sizes


def crowd(original):
    """Faces of 16 to 21 pixels in several directions in one quarter of a picture of grain."""
    grain = np.random.default_rng(0).normal(110, 6, (600, 800, 3)).clip(0, 255).astype(np.uint8)
    canvas = Image.fromarray(grain)
    for number in range(6):
        paste(canvas, original, (60 + number % 3 * 60, 60 + number // 3 * 70), 16 + number, 60 * number)
    return canvas


def test_the_larger_size_is_looked_at_where_something_shows_and_what_it_finds_is_the_same(networks, original, looks):
    picture = tensor(crowd(original)).movedim(3, 1)
    views = turned.turned_views(*picture.shape[2:], turned.OF_PHOTO)
    seen = first_look(networks.centerface, picture, turned.FAINT)
    shown = turned.Shown(seen.boxes[seen.scores >= 0.3], seen.pick(seen.scores < 0.3))
    found = []
    for given in (None, shown):
        looks.clear()
        candidates = turned.find_turned(networks.centerface, picture, views, shown=given)
        found.append((candidates.pick(candidates.scores >= 0.15).boxes, [tuple(size) for size in looks]))
    (every, all_looks), (few, sparing) = found
    assert all_looks[:4] == sparing[:4] and len(all_looks) == 6
    assert set(sparing[4:]) == {(320, 320)}
    larger, part = (sum(height * width for height, width in sizes[4:]) for sizes in (all_looks, sparing))
    assert part < 0.35 * larger  # 0.29 measured
    assert len(every) >= 6
    assert detection.box_math.iou(every, few).max(1).min() > 0.45  # 0.476 measured


def test_nothing_is_looked_at_closer_where_nothing_shows(networks, looks):
    picture = torch.full((1, 3, 600, 800), 0.5)
    views = turned.turned_views(600, 800, turned.OF_PHOTO)
    found = turned.find_turned(
        networks.centerface, picture, views, shown=turned.Shown(NOTHING, decoding.no_candidates())
    )
    assert len(found.scores) == 0 and len(looks) == 4  # directions, in half the size


def test_places_to_look_closer_are_small_and_no_known_faces():
    boxes = np.array([[100, 100, 140, 150], [90, 95, 138, 148], [300, 100, 320, 124], [500, 100, 700, 340]], float)
    faint = decoding.Candidates(boxes, np.array([0.02, 0.03, 0.04, 0.25]), np.zeros((4, 5, 2)))
    places = turned._small_places(turned._beside(faint, boxes[:1]), np.array([2.0, 1.0]))
    np.testing.assert_array_equal(places, [[155, 112]])  # in pixels of the larger size
    assert len(turned._small_places(turned._beside(faint, NOTHING), np.ones(2))) == 3


def test_a_known_face_is_no_reason_for_the_finest_level(networks, original, looks):
    canvas = Image.new("RGB", (640, 480), GREY)
    paste(canvas, original, (320, 240), 60)
    picture = tensor(canvas).movedim(3, 1)
    counts = []
    for known in (NOTHING, first_look(networks.centerface, picture, 0.3).boxes):
        looks.clear()
        tiles.find_candidates(networks.centerface, picture, lambda share: None, known)
        counts.append(len(looks))
    assert counts[1] < counts[0]


def test_windows_lie_in_the_part_and_around_their_places():
    part = torch.arange(700 * 900).reshape(1, 1, 700, 900)
    places = np.array([[5, 5], [60, 90], [450, 350], [899, 699], [130, 5]])
    found = turned._windows(part, places)
    assert [tuple(corner) for _, corner in found] == [(0, 0), (290, 190), (580, 380), (0, 0)]
    for window, (x, y) in found:
        assert tuple(window.shape[2:]) == (320, 320)
        assert int(window[0, 0, 0, 0]) == y * 900 + x
    ((whole, corner),) = turned._windows(
        part, np.array([[x, y] for x in range(0, 900, 100) for y in range(0, 700, 100)])
    )
    assert whole is part and tuple(corner) == (0, 0)
    ((strip, corner),) = turned._windows(part[:, :, :96], np.array([[800, 48]]))
    assert tuple(strip.shape[2:]) == (96, 320) and tuple(corner) == (580, 0)
    assert turned._windows(part, NOTHING[:, :2]) == []
