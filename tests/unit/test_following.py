"""The faces of a clip that comes in parts: its windows, and that following them keeps no frame."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from face_anonymizer.modules.faces.settings import TrackSettings
from face_anonymizer.modules.faces.track.following import follow_faces
from face_anonymizer.modules.faces.track.scene_cuts import find_cuts, thumbnail
from face_anonymizer.modules.faces.track.tracking import track_faces
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.tools.pictures import synthetic_clip


def face(image: int, score: float = 1.0) -> Face:
    return Face(image, np.array([10.0, 10, 50, 60]), score, np.zeros((0, 2)), BOX_ONLY, "test")


class Counted(tuple):
    """A tuple that counts how often its items are looked at."""

    looks = 0

    def __iter__(self):
        for item in super().__iter__():
            self.looks += 1
            yield item

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_window_has_its_images_faces_in_their_order(ordered):
    images = np.random.default_rng(0).integers(0, 20, 60).tolist()
    images = sorted(images) if ordered else images
    found = [face(image, score / 100) for score, image in enumerate(images)]
    faces = Faces(20, 64, 64, tuple(found[::2]), tuple(found[1::2]))
    for start, stop in ((0, 20), (0, 3), (3, 4), (5, 17), (19, 20), (7, 7)):
        window = faces.window(start, stop)
        assert (window.image_count, window.height, window.width) == (stop - start, 64, 64)
        for got, given in ((window.faces, faces.faces), (window.kept, faces.kept)):
            expected = [(one.image_index - start, one.score) for one in given if start <= one.image_index < stop]
            assert [(one.image_index, one.score) for one in got] == expected


def test_the_windows_of_a_long_clip_do_not_each_look_at_all_faces():
    count = 2000
    faces = Counted(face(image) for image in range(count))
    clip = Faces(count, 64, 64, faces)
    assert sum(len(clip.window(first, first + 8)) for first in range(0, count, 8)) == count
    assert faces.looks < 20 * count  # 250 windows


def parts_of(frames: torch.Tensor, faces: Faces, size: int):
    for first in range(0, len(frames), size):
        part = frames[first : first + size]
        yield part, faces.window(first, first + len(part))


def test_a_clip_in_parts_is_the_clip_at_once():
    shown = range(50, 70)  # with a cut
    frames = synthetic_clip.render(shown)
    truth = synthetic_clip.truth()
    found = [replace(seen.face, image_index=i, track=None) for i, t in enumerate(shown) for seen in truth[t]]
    faces = Faces(len(shown), synthetic_clip.HEIGHT, synthetic_clip.WIDTH, tuple(found), (face(3),))
    expected = track_faces(faces, find_cuts(thumbnail(frame) for frame in frames), TrackSettings(lead=2))
    for size in (1, 8, 20):
        followed = follow_faces(parts_of(frames, faces, size), faces.image_count, TrackSettings(lead=2))
        assert (followed.image_count, followed.height, followed.width) == (20, faces.height, faces.width)
        assert [one.image_index for one in followed.kept] == [3]
        for one, other in zip(followed, expected, strict=True):
            assert (one.image_index, one.track, one.source) == (other.image_index, other.track, other.source)
            assert np.array_equal(one.alignment, other.alignment)


def test_no_frame_is_kept():
    alive, most = weakref.WeakSet(), 0

    def parts():
        nonlocal most
        for _ in range(300):
            frames = torch.zeros(2, 36, 64, 3)
            alive.add(frames)
            gc.collect(0)
            most = max(most, len(alive))
            yield frames, Faces(2, 36, 64)

    assert follow_faces(parts(), 600).image_count == 600
    assert most <= 3
