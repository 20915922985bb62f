"""Image quality, backgrounds and the presence of faces, on pictures whose answer is known."""

import numpy as np
import pytest
import torch

from face_anonymizer.modules.evaluation import presence, quality
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")


@pytest.fixture(scope="module")
def rendered():
    return render(sample_identities(4, 2), sample_attributes(4, 2), 96)


@pytest.fixture(scope="module")
def pictures(rendered) -> np.ndarray:
    return (rendered.images * 255).round().byte().numpy()


def test_frechet_distance_of_known_normal_distributions():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(20000, 3, generator=generator, dtype=torch.float64)
    scale, shift = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 0.0, -2.0])
    expected = (shift.square() + (scale - 1).square()).sum().item()
    assert quality.frechet_distance(draws, draws * scale + shift) == pytest.approx(expected, rel=0.03)
    assert quality.frechet_distance(draws, draws.flip(0)) == pytest.approx(0, abs=1e-9)
    few = draws[:5].repeat(1, 4)  # fewer faces than features
    assert quality.frechet_distance(few, few + 1) == pytest.approx(12)
    few[0] = torch.nan
    assert np.isnan(quality.frechet_distance(few[:2], few))


def test_blur_is_less_sharp(pictures):
    blurred = np.stack([_blur(picture) for picture in pictures])
    assert (quality.sharpness(blurred) < 0.7 * quality.sharpness(pictures)).all()


def _blur(picture: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1)))


def test_jpeg_is_the_noise_that_nobody_minds(pictures):
    difference = np.abs(quality.as_jpeg(pictures).astype(int) - pictures)
    assert 0.5 < difference.mean() < 6
    assert np.abs(quality.as_jpeg(pictures, 95).astype(int) - pictures).mean() < difference.mean()


def test_only_the_region_counts(rendered, pictures):
    regions = quality.regions(rendered.background_mask, rendered.face_mask)
    face = rendered.face_mask.numpy() > 0.5
    changed = pictures.copy()
    changed[face] = 255 - changed[face]
    for name, region in regions.items():
        assert region.flatten(1).any(1).all(), name
        assert quality.background_error(changed, pictures, region).max() < (0.5 if "outside" in name else 1e-9), name
    lighter = np.clip(pictures.astype(int) + 2, 0, 255).astype(np.uint8)
    assert quality.background_error(lighter, pictures, regions["background"]) == pytest.approx(
        torch.full([4], 2.0), abs=0.2
    )
    assert quality.background_error(lighter, pictures, torch.zeros(4, 96, 96, dtype=torch.bool)).isnan().all()
    near, clear = regions["background"], regions["background, clear of the person"]
    assert (clear <= near).all() and clear.sum() < near.sum()


def test_faces_are_found_as_the_detector_finds_them(pictures):
    """The fast way finds the same as the detector's ordinary pass; noise holds no face."""
    networks = load_face_networks()
    noise = np.random.default_rng(0).integers(0, 256, pictures[:1].shape, np.uint8)
    shown = np.concatenate([pictures[:2], noise])
    scores = presence.face_scores(networks, shown)
    faces = detect_faces(networks, presence.enlarged(shown), DetectSettings(presence.MIN_SCORE, max_faces=1))
    expected = {face.image_index: face.score for face in faces}
    assert scores == pytest.approx([expected.get(i, 0.0) for i in range(3)], abs=1e-4)
    found = presence.as_faces(scores, 96)
    assert [face is not None for face in found] == [i in expected for i in range(3)] == [True, True, False]
