"""How long a thorough search takes is known before it starts, and no search goes on after an interrupt."""

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect import detection, duration, tiles
from face_anonymizer.modules.faces.detect.decoding import no_candidates
from face_anonymizer.modules.faces.settings import DetectSettings


@pytest.fixture(scope="module")
def networks():
    return detection.load_face_networks()


@pytest.mark.parametrize("size", [(61, 150), (330, 90)])
def test_the_pixels_are_those_that_the_network_sees(networks, size, monkeypatch):
    monkeypatch.setattr(networks.centerface, "integers", None)  # they take the same pictures, but call no hook
    monkeypatch.setattr(tiles, "_FAINT", -1.0)  # the finest level is looked at everywhere
    seen = []
    hook = networks.centerface.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:].numel()))
    with hook, torch.inference_mode():
        tiles.find_candidates(networks.centerface, torch.rand(1, 3, *size), lambda _: None, np.zeros((0, 4)))
    assert sum(seen) == duration.thorough_pixels(*size)


def test_a_photo_of_6000_pixels_is_many_times_one_of_600(networks):
    small, large = duration.thorough_pixels(338, 600), duration.thorough_pixels(3375, 6000)
    assert 12 < large / small < 100
    with torch.inference_mode():
        assert duration.thorough_seconds(networks.centerface, 3375, 6000) > 1


class Interrupted(Exception):
    pass


@pytest.fixture
def images(request):
    picture = Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB").resize((480, 270))
    return torch.from_numpy(np.array(picture.rotate(90, expand=True)))[None].float() / 255


def test_between_looks_at_many_candidates_the_search_can_be_interrupted(networks, images, monkeypatch):
    whole = detection.detect_faces(networks, images)
    monkeypatch.setattr(detection, "_AT_ONCE", 1)
    told = []
    in_parts = detection.detect_faces(networks, images, progress=lambda done, count: told.append(done))
    assert [face.source for face in in_parts] == [face.source for face in whole]
    for face, same in zip(in_parts, whole, strict=True):
        np.testing.assert_allclose(face.points, same.points, atol=3e-5)  # batches of other sizes: 6e-6
    assert told == [0.0] * (len(told) - 1) + [1]
    assert len(told) >= 3

    def interrupt(done, count):
        raise Interrupted

    with pytest.raises(Interrupted):
        detection.detect_faces(networks, images, progress=interrupt)


def test_a_crowd_can_be_interrupted_while_its_points_are_placed(networks, images, monkeypatch):
    upright = images.transpose(1, 2).flip(2).contiguous()
    whole = detection.detect_faces(networks, upright)
    monkeypatch.setattr(detection, "_AT_ONCE", 1)
    told = []
    faces = detection.detect_faces(networks, upright, progress=lambda done, count: told.append(done))
    assert len(whole) == len(faces) >= 5
    assert len(told) >= len(faces)
    for face, same in zip(faces, whole, strict=True):
        np.testing.assert_allclose(face.points, same.points, atol=3e-5)  # 6e-6


def test_what_a_page_full_of_candidates_shows_in_tiles_can_be_interrupted(networks, images, monkeypatch):
    corners = np.stack(np.meshgrid(np.arange(0, 260, 20), np.arange(0, 460, 20)), -1).reshape(-1, 2).astype(float)
    many = no_candidates()._replace(
        boxes=np.concatenate([corners, corners + 18], 1),
        scores=np.full(len(corners), 0.05),
        points=corners[:, None] + np.array([[5, 6], [13, 6], [9, 10], [6, 14], [12, 14]]),
    )
    monkeypatch.setattr(detection, "find_candidates", lambda *_: many)
    told = []
    detection.detect_faces(networks, images, DetectSettings(thorough=True), progress=lambda done, _: told.append(done))
    assert told.count(1.0) >= 1 + len(corners) // (2 * detection._AT_ONCE)
