"""Cuts in short clips of known truth: rooms of coloured shapes, the astronaut, and the synthetic clip."""

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.track import scene_cuts
from face_anonymizer.modules.faces.track.scene_cuts import (
    THRESHOLD,
    THUMBNAIL_SHAPE,
    find_cuts,
    measure_changes,
    thumbnail,
)
from face_anonymizer.tools.pictures import synthetic_clip


@pytest.fixture(scope="module")
def astronaut(request):
    return np.asarray(Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB"), np.float32) / 255


@pytest.fixture(scope="module")
def synthetic():
    """Thumbnails of the synthetic clip about its cut."""
    return np.stack([thumbnail(frame) for frame in synthetic_clip.render(range(50, 70))])


def room(seed, width=900):
    """A wall with furniture: 400 x width of flat patches, less its mean colour, about grey."""
    rng = np.random.default_rng(seed)
    picture = np.tile(rng.uniform(0.3, 0.7, 3), (400, width, 1))
    for _ in range(40):
        x, y, w, h = rng.integers((0, 0, 20, 20), (width - 40, 360, 220, 160))
        picture[y : y + h, x : x + w] = rng.uniform(0, 1, 3)
    return np.clip(0.5 + 0.8 * (picture - picture.mean((0, 1))), 0, 1).astype(np.float32)


def shot(picture, count, step=0, width=480):
    return [picture[40:310, i * step : i * step + width] for i in range(count)]


def thumbnails(frames):
    return np.stack([thumbnail(torch.from_numpy(np.ascontiguousarray(frame))) for frame in frames])


def cuts(frames):
    return find_cuts(thumbnails(frames))


def test_thumbnail_is_the_mean_over_areas(astronaut):
    image = torch.from_numpy(astronaut[:360, :512].copy())
    small = thumbnail(image)
    assert small.shape == (36, 64, 3) and small.dtype == np.float32
    assert np.allclose(small, astronaut[:360, :512].reshape(36, 10, 64, 8, 3).mean((1, 3)), atol=1e-6)
    assert np.array_equal(thumbnail(torch.cat([image, torch.zeros(360, 512, 1)], 2)), small)
    assert np.array_equal(thumbnail(image[..., :1])[..., 2], thumbnail(image)[..., 0])
    assert thumbnail(torch.rand(3, 2000, 3)).shape == thumbnail(torch.rand(1, 1, 1)).shape == (36, 64, 3)
    assert np.isfinite(thumbnail(torch.full((40, 40, 3), float("nan")))).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_between_rooms_of_one_mean_colour(seed):
    frames = shot(room(seed), 9, step=4) + shot(room(seed + 100), 8) + shot(room(seed + 200), 7, step=10)
    frames = [0.5 + 0.8 * (frame - frame.mean((0, 1))) for frame in frames]
    assert cuts(frames) == [9, 17]


def test_a_cut_to_the_mirror_image(astronaut):
    frames = [astronaut[:288]] * 6 + [astronaut[:288, ::-1]] * 6
    assert cuts(frames) == [6]


def test_a_cut_to_black_and_between_short_shots():
    black = np.zeros((270, 480, 3), np.float32)
    assert cuts(shot(room(1), 5) + [black] * 5 + shot(room(2), 5)) == [5, 10]
    assert cuts(shot(room(1), 2) + shot(room(2), 2) + shot(room(3), 2)) == [2, 4]


@pytest.mark.parametrize("step", [5, 20, 40])
def test_pans(step):
    assert cuts(shot(room(3), 6) + shot(room(3), 10, step) + shot(room(3)[:, 9 * step :], 6)) == []


def test_a_cut_out_of_a_fast_pan():
    assert cuts(shot(room(3), 10, 40) + shot(room(4), 10)) == [10]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_flashes(level):
    frames = shot(room(5), 12)
    frames[6] = 0.1 * frames[6] + np.float32(0.9 * level)
    assert cuts(frames) == []
    frames = [*shot(room(5), 6), np.full((270, 480, 3), level, np.float32), *shot(room(6), 6)]
    assert len(cuts(frames)) == 1 and cuts(frames)[0] in (6, 7)


@pytest.mark.parametrize("length", [6, 12, 24])
def test_fades_and_dissolves(length):
    one, other, part = shot(room(7), 1)[0], shot(room(8), 1)[0], np.linspace(0, 1, length + 1, dtype=np.float32)
    fade = [one * p for p in part]
    assert cuts([one * 0] * 5 + fade + [one] * 5 + fade[::-1] + [one * 0] * 5) == []
    assert cuts([one] * 5 + [one * (1 - p) + other * p for p in part] + [other] * 5) == []


def test_somebody_crosses_the_picture(astronaut):
    frames = []
    for x in range(-200, 500, 70):
        frame = shot(room(9), 1)[0].copy()
        left, right = max(x, 0), min(x + 200, 480)
        if left < right:
            frame[:, left:right] = astronaut[:270, 120 + left - x : 120 + right - x]
        frames.append(frame)
    assert cuts(frames) == []


def test_noise():
    rng = np.random.default_rng(0)
    frames = [frame * 0.1 + rng.normal(0, 0.05, frame.shape).astype(np.float32) for frame in shot(room(10), 12)]
    assert cuts(frames) == []
    assert cuts([rng.random((270, 480, 3), dtype=np.float32) for _ in range(12)]) == []


def test_changes_do_not_depend_on_chunks():
    frames = np.concatenate([np.repeat(thumbnails(shot(room(s), 1)), 150, 0) for s in range(4)])  # 600, in chunks
    assert find_cuts(frames) == [150, 300, 450]
    change, level = measure_changes(frames)
    part = measure_changes(frames[290:])
    assert np.allclose(change[296:], part[0][6:]) and np.allclose(level[296:], part[1][6:])


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_the_synthetic_clip_by_any_chunks_is_the_clip_at_once(synthetic, monkeypatch, chunk):
    whole = measure_changes(synthetic)
    monkeypatch.setattr(scene_cuts, "_CHUNK", chunk)
    parts = measure_changes(frame for frame in synthetic)
    assert all(np.array_equal(part, one) for part, one in zip(parts, whole, strict=True))


def test_memory_does_not_grow_with_the_clip():
    """By bytes: a thumbnail has 27 648 of them, the differences of a frame 24."""

    def peak(count: int) -> int:
        tracemalloc.start()
        assert find_cuts(np.full(THUMBNAIL_SHAPE, number % 7 / 7, np.float32) for number in range(count)) == []
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(300), peak(900)
    print(f"{(many - few) / 600:.0f} bytes a frame")
    assert many - few < 600 * 60


def test_the_cut_of_the_synthetic_clip(synthetic):
    assert find_cuts(synthetic) == [10]
    change, level = measure_changes(synthetic)
    assert (change - level)[10] > THRESHOLD + 0.05 and np.delete(change - level, 10).max() < THRESHOLD - 0.2


def test_few_frames_and_wrong_shapes():
    assert find_cuts([]) == [] and find_cuts(np.zeros((0, 36, 64, 3))) == []
    assert cuts(shot(room(1), 1)) == []
    assert cuts(shot(room(1), 1) + shot(room(2), 1)) == [1]
    with pytest.raises(ValueError, match=r"\[N, h, w, 3\].*\[4, 36, 64\]"):
        find_cuts(np.zeros((4, 36, 64)))
    with pytest.raises(ValueError, match=r"\[H, W, C\].*\[1, 36, 64, 3\]"):
        thumbnail(torch.zeros(1, 36, 64, 3))
