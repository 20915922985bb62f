"""Means of a picture's parts: those of torch's pooling, whatever the sides, the mode and the values."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from face_anonymizer.modules.faces.area_means import area_means
from face_anonymizer.modules.faces.track import scene_cuts


def pooled(picture, rows, columns):
    return adaptive_avg_pool2d(picture.permute(2, 0, 1), (rows, columns)).permute(1, 2, 0)


@pytest.mark.parametrize("size", [(360, 640, 3), (1, 1, 1), (1, 9, 4), (7, 5, 3), (541, 961, 3)])
def test_the_means_are_those_of_torch(size):
    picture = torch.rand(size, generator=torch.Generator().manual_seed(0))
    for rows, columns in ((36, 64), (1, 1), (24, 24)):
        difference = (area_means(picture, rows, columns) - pooled(picture, rows, columns)).abs().max()
        assert difference < 2e-6  # measured 8e-7


def test_a_part_of_a_picture_and_what_is_no_number():
    picture = torch.rand(40, 50, 3, generator=torch.Generator().manual_seed(0))
    picture[3, 4] = torch.nan
    part = picture[2:33, 1:48]
    expected = pooled(torch.nan_to_num(part), 8, 8)
    assert (area_means(part, 8, 8) - expected).abs().max() < 2e-6


@pytest.mark.parametrize("far", [20.0, -3.0, 65504.0, torch.inf, -torch.inf])
def test_what_lies_far_beyond_counts_as_saving_it_makes_it(far):
    picture = torch.rand(240, 250, 3, generator=torch.Generator().manual_seed(0))
    picture[::9, ::7] = far
    assert torch.equal(area_means(picture, 32, 32), area_means(torch.nan_to_num(picture).clamp(0, 1), 32, 32))
    everywhere = area_means(torch.full((1080, 1920, 3), far), 36, 64)
    assert (everywhere - float(far > 0)).abs().max() < 2e-6
    seen = scene_cuts.thumbnail(torch.full((1080, 1920, 3), far))
    assert float(seen.max() - seen.min()) < 2e-6 and seen.min() >= 0 and seen.max() <= 1


def test_what_inference_made_serves_outside_of_it():
    picture = torch.rand(33, 47, 3)
    with torch.inference_mode():
        expected = area_means(picture, 5, 6)
    wanted = picture.clone().requires_grad_(True)
    found = area_means(wanted, 5, 6)
    assert torch.equal(found, expected) and not found.requires_grad
