"""The search of a clip: what a search of every frame finds is found, and frames that show nothing new cost nothing."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.boxes import iou
from face_anonymizer.modules.faces.detect.changes import cell_side, change_between, coarse_cells
from face_anonymizer.modules.faces.detect.clip_search import SAME, SEARCHED, ClipSearch
from face_anonymizer.modules.faces.detect.detection import Search, detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.tools.pictures.known_clips import Actor, Clip, known_clips

WIDTH, HEIGHT = 320, 192


@pytest.fixture(scope="module")
def networks():
    return load_face_networks()


def clip_of(*actors, length=8, background=None, noise=0.0):
    wall = background or (lambda t: Image.new("RGB", (WIDTH, HEIGHT), (120, 140, 110)))
    return Clip("test", length, 30, (WIDTH, HEIGHT), wall, actors, noise)


def frames_of(clip):
    return torch.from_numpy(np.stack([clip.frame(number) for number in range(clip.length)])).float() / 255


def search(networks, clip, rate=30.0, chunk=8, **settings):
    """Faces by frame, and how the frames were looked at."""
    searching = ClipSearch(networks, DetectSettings(**{"points": False} | settings), rate)
    frames, found, told = frames_of(clip), [], []
    for first in range(0, clip.length, chunk):
        part = searching.search(frames[first : first + chunk], lambda done, first=first: told.append(first + done))
        found += [[face for face in part if face.image_index == i] for i in range(part.image_count)]
    assert sorted({done for done in told if done == int(done)}) == list(range(1, clip.length + 1))
    return found, searching.done


def missed(clip, found):
    """Frames in which a face that is seen to a half is under no box."""
    result = set()
    for number, faces in enumerate(found):
        for shown in clip.truth(number):
            boxes = np.array([face.box for face in faces]).reshape(-1, 4)
            limit = np.tile([WIDTH, HEIGHT], 2)
            near = iou(np.clip(shown.box, 0, limit)[None], boxes).max(initial=0)
            if shown.visible >= 0.5 and near < 0.3:
                result.add((number, shown.actor))
    return result


def test_a_face_in_one_frame_only(networks):
    wall, other = (
        Image.fromarray(np.random.default_rng(seed).integers(60, 255, (HEIGHT, WIDTH, 3), np.uint8)) for seed in (0, 1)
    )
    wall, other = (image.resize((20, 12)).resize((WIDTH, HEIGHT)) for image in (wall, other))
    flash = Actor("flash", 0, lambda t: (200, 90, 50, 0) if t == 4 else None)
    clip = clip_of(flash, length=8, background=lambda t: other if t == 4 else wall)
    found, done = search(networks, clip)
    assert [len(faces) for faces in found] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert done[SEARCHED] >= 3  # the first, the flash, the last


def test_who_enters_between_two_searches_is_followed_back(networks):
    """Turned, so that no look between finds it."""
    turned = Actor("turned", 0, lambda t: (90 + 3 * t, 100, 44, 180) if t >= 3 else None)
    wall = known_clips(0, 1)["six walkers"].background(0).resize((WIDTH, HEIGHT))
    clip = clip_of(turned, background=lambda t: wall)
    found, done = search(networks, clip)
    assert not missed(clip, found) and not any(found[:3])
    assert done[SEARCHED] == 2


def test_faces_that_move_are_found_in_every_frame(networks):
    actors = [
        Actor(str(i), i, lambda t, i=i: (50 + 80 * i + (2 - i) * t, 60 + 25 * i + t, (30, 40, 60)[i], 3 * t))
        for i in range(3)
    ]
    clip = clip_of(*actors, length=16, noise=4)
    found, done = search(networks, clip)
    assert not missed(clip, found)
    assert done[SEARCHED] <= 4


def test_beside_a_tiny_face_every_frame_is_searched(networks):
    clip = clip_of(Actor("tiny", 0, lambda t: (150 + t, 90, 15, 0)), length=3)
    found, done = search(networks, clip)
    assert not missed(clip, found) and done == {SEARCHED: 3}


@pytest.mark.parametrize(("size", "rate", "exact"), [(50, 30.0, [1, 1]), (15, 30.0, [1, 0, 0]), (50, 1.0, [0, 0, 0])])
def test_turned_frames_are_looked_at_exactly_where_few_are(networks, monkeypatch, size, rate, exact):
    """Whom integers do not show there stays open until the next search."""
    looks, find = [], Search.find
    monkeypatch.setattr(Search, "find", lambda *given, **how: looks.append(how["turned"]) or find(*given, **how))
    walker = Actor("walker", 0, lambda t: (100 + t, 90, size, 0))
    newcomer = Actor("newcomer", 1, lambda t: (240, 90, 50, 0) if t == 2 else None)
    wall = known_clips(0, 1)["six walkers"].background(0).resize((WIDTH, HEIGHT))
    search(networks, clip_of(walker, newcomer, length=3, background=lambda t: wall), rate)
    assert [look.exact for look in looks if look is not None] == exact


def test_frames_that_are_the_same_are_not_looked_at(networks):
    clip = clip_of(Actor("still", 0, lambda t: (150, 90, 50, 0)), length=17)
    found, done = search(networks, clip)
    assert done == {SEARCHED: 1, SAME: 16}
    assert all(len(faces) == 1 and np.array_equal(faces[0].box, found[0][0].box) for faces in found)


@pytest.mark.parametrize(("rate", "settings"), [(1.0, {}), (30.0, {"thorough": True})])
def test_every_frame_is_searched(networks, rate, settings):
    """Of a time lapse, and where the search is to be thorough."""
    places = ((60, 60), (250, 130), (90, 120))
    faces = [Actor(str(t), t, lambda now, t=t: (*places[t], 28, 0) if now == t else None) for t in range(3)]
    clip = clip_of(*faces, length=3)
    found, done = search(networks, clip, rate, **settings)
    assert not missed(clip, found) and [len(faces) for faces in found] == [1, 1, 1]
    assert done == {SEARCHED: 3}


def test_points_between_two_searches_are_those_of_a_search(networks):
    clip = clip_of(Actor("moves", 0, lambda t: (100 + 2 * t, 90, 70, 2 * t)), length=4)
    found, done = search(networks, clip, points=True)
    assert done[SEARCHED] == 2
    expected = detect_faces(networks, frames_of(clip))
    for (face,), alone in zip(found, expected, strict=True):
        assert np.hypot(*(face.points - alone.points).T).mean() < 0.02 * alone.size  # measured 0.00


def test_at_most_so_many_faces_a_frame(networks):
    actors = [Actor(str(i), i, lambda t, i=i: (60 + 90 * i + t, 90, 50, 0)) for i in range(3)]
    part = ClipSearch(networks, DetectSettings(max_faces=2, points=False), 30.0).search(
        frames_of(clip_of(*actors, length=2)), lambda _: None
    )
    assert Counter(face.image_index for face in part) == {0: 2, 1: 2}
    assert Counter(face.image_index for face in part.kept) == {0: 1, 1: 1}


def test_it_says_how_frames_were_looked_at(networks):
    searching = ClipSearch(networks, DetectSettings(points=False), 30.0)
    assert searching.told() == "no frames"
    searching.search(torch.zeros(9, 64, 96, 3), lambda _: None)
    assert searching.told() == "of 9 frames: 1 searched, 8 the same as the one before"


def changes(before, after, boxes=()):
    pair = [torch.from_numpy(frame).float().movedim(-1, 0)[None] / 255 for frame in (before, after)]
    side = cell_side(*before.shape[:2])
    return change_between(*map(coarse_cells, pair), np.array(boxes, float).reshape(-1, 4) / side)


def test_what_changes():
    rng = np.random.default_rng(0)
    still = rng.integers(60, 200, (180, 320, 3), np.uint8)
    moved = still.copy()
    moved[60:72, 100:112] //= 2
    noisy = np.clip(still + rng.normal(0, 18, still.shape), 0, 255).astype(np.uint8)
    assert changes(still, still).is_none and not changes(still, still).is_new
    assert changes(still, moved).is_new
    assert not changes(still, moved, [[98, 58, 114, 74]]).is_new  # a known face is there
    assert not changes(still, noisy).is_new and not changes(still, noisy).is_none
    assert changes(still, np.roll(still, 8, 1) // 2).is_new  # the camera


def test_all_clips_of_the_benchmark_can_be_made():
    for clip in known_clips(1, 3).values():
        assert clip.frame(1).shape == (360, 640, 3) and all(0 < face.visible <= 1 for face in clip.truth(1))
