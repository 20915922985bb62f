"""How long a thorough search takes is known before it starts."""

import pytest
import torch

from face_anonymizer.modules.faces.detect import detection, duration, tiles


@pytest.fixture(scope="module")
def networks():
    return detection.load_face_networks()


@pytest.mark.parametrize("size", [(61, 150), (330, 90)])
def test_the_pixels_are_those_that_the_network_sees(networks, size, monkeypatch):
    monkeypatch.setattr(networks.centerface, "integers", None)  # they take the same pictures, but call no hook
    seen = []
    hook = networks.centerface.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:].numel()))
    with hook, torch.inference_mode():
        tiles.find_candidates(networks.centerface, torch.rand(1, 3, *size), lambda _: None)
    assert sum(seen) == duration.thorough_pixels(*size)


def test_a_photo_of_6000_pixels_is_many_times_one_of_600(networks):
    small, large = duration.thorough_pixels(338, 600), duration.thorough_pixels(3375, 6000)
    assert 12 < large / small < 100
    with torch.inference_mode():
        assert duration.thorough_seconds(networks.centerface, 3375, 6000) > 1
