"""Trajectories against known motion."""

import math
from dataclasses import replace

import numpy as np
import pytest

from face_anonymizer.modules.faces.alignment import crop_matrix, invert_affine
from face_anonymizer.modules.faces.settings import TrackSettings
from face_anonymizer.modules.faces.track import smoothing
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face

SIZE = (720, 1280)
FIVE = np.array([[-20, -16], [20, -16], [0, 2], [-16, 20], [16, 20]], float)


def make_face(frame, x, y=300.0, scale=1.0, degrees=0.0, layout=FIVE_POINTS, score=0.9):
    angle = math.radians(degrees)
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = FIVE @ turn.T + (x, y) if layout == FIVE_POINTS else np.zeros((0, 2))
    half = 40 * scale
    return Face(frame, np.array([x - half, y - half, x + half, y + half]), score, points, layout, "test")


def follow(faces, first=0, last=99, lead=0, strength=2.5):
    return smoothing.trajectory(faces, (first, last), SIZE, TrackSettings(lead=lead, smoothing=strength))


def centres(faces):
    return smoothing.to_parameters(np.stack([face.alignment for face in faces]))


def truth(faces):
    return smoothing.to_parameters(np.stack([crop_matrix(f.points, f.layout, f.box, 1) for f in faces]))


def smooth(values, strength=2.5, frames=None, side=100.0):
    """The x of a trajectory through values; the other parameters stand still."""
    frames = np.arange(len(values)) if frames is None else np.asarray(frames)
    parameters = np.tile([0, 50.0, math.log(side), 0.3], (len(values), 1))
    parameters[:, 0] = values
    result, bad = smoothing.smooth_parameters(frames, parameters, np.ones(len(values), bool), strength)
    assert np.allclose(result[:, 1:], parameters[0, 1:], atol=1e-6)
    return result[:, 0], bad


def test_parameters_are_those_of_the_crop():
    face = make_face(0, 321.5, 200.25, 1.3, 33)
    matrix = crop_matrix(face.points, face.layout, face.box, 1)
    ((x, y, log_side, angle),) = smoothing.to_parameters(matrix[None])
    to_picture = invert_affine(matrix)
    assert np.allclose(to_picture[:, :2] @ [0.5, 0.5] + to_picture[:, 2], [x, y], atol=1e-9)
    assert math.exp(log_side) == pytest.approx(np.hypot(*to_picture[:, 0]), rel=1e-12)
    assert math.degrees(angle) == pytest.approx(33, abs=1e-5)
    assert np.allclose(smoothing.to_alignments([[x, y, log_side, angle]])[0], matrix, atol=1e-12)


@pytest.mark.parametrize("strength", [0, 0.5, 2.5, 10, 30])
@pytest.mark.parametrize("frames", [np.arange(60), np.r_[0:20, 28:60], np.array([0, 5]), np.array([7])])
def test_even_motion_stays_as_it_is(strength, frames):
    result, bad = smooth(100 + 7.5 * frames, strength, frames)
    assert np.abs(result - (100 + 7.5 * np.arange(frames[0], frames[-1] + 1))).max() < 1e-3
    assert not bad.any()


def test_accelerated_motion_stays_as_it_is():
    t = np.arange(60.0)
    assert np.abs(smooth(0.1 * t**2)[0] - 0.1 * t**2).max() < 0.01


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_smoothing_is_where_a_swing_loses_half(strength):
    t = np.arange(600)
    swing = 0.5 * np.sin(t / strength)
    inner = slice(100, 500)
    response = 1 / (1 + (2 * strength * math.sin(0.5 / strength)) ** 6)  # 0.53 and 0.51
    kept = smooth(swing, strength)[0][inner] @ swing[inner] / (swing[inner] @ swing[inner])
    assert kept == pytest.approx(response, abs=0.002)
    slow = 5 * np.sin(t / (4 * strength))
    assert np.abs(smooth(slow, strength)[0] - slow)[inner].max() < 0.01


def test_noise_goes_and_nothing_comes_late():
    rng = np.random.default_rng(0)
    t = np.arange(400)
    motion = 60 * np.sin(t / 25)
    result, _ = smooth(motion + rng.normal(size=400))
    error = result - motion
    speed = np.gradient(motion)
    assert error.std() < 0.42  # of 1; 0.35 by the frequency response, the rest by the ends and rejected noise
    assert abs(error @ speed / (speed @ speed)) < 0.02  # frames
    assert abs(result @ motion / (motion @ motion) - 1) < 0.003


def test_time_can_run_backwards():
    values = np.random.default_rng(1).normal(size=50).cumsum()
    assert np.allclose(smooth(values)[0], smooth(values[::-1])[0][::-1], atol=1e-9)


@pytest.mark.parametrize("where", [0, 1, 30, 58, 59])
def test_one_bad_detection_moves_nothing(where):
    rng = np.random.default_rng(2)
    motion = 3.0 * np.arange(60)
    values = motion + rng.normal(size=60) * 0.5
    clean, _ = smooth(values)
    values[where] += 30
    result, bad = smooth(values)
    assert bad[where] and bad.sum() <= 3
    assert np.abs(result - clean).max() < (2.0 if where in (0, 59) else 0.7)


def test_a_fast_move_is_followed():
    values = np.zeros(60)
    values[30:36] = 40  # of 100: there and back, too fast for the smooth curve
    result, bad = smooth(values)
    assert np.abs(result - values)[31:35].max() < 12
    assert not bad.any()


def test_angles_unwrap():
    turning = np.linspace(0, 4 * np.pi, 80)
    wrapped = np.angle(np.exp(1j * turning))
    assert np.allclose(smoothing.unwrap(wrapped), turning, atol=1e-9)
    wrapped[40] = np.angle(np.exp(1j * (turning[40] + np.pi)))
    unwrapped = smoothing.unwrap(wrapped)
    assert np.allclose(np.delete(unwrapped, 40), np.delete(turning, 40), atol=1e-9)


def test_a_turning_growing_face():
    true = [make_face(t, 200 + 5 * t, 300 + 2 * t, 1.01**t, 8 * t) for t in range(60)]
    result = centres(follow(true))
    expected = truth(true)
    assert np.abs(result[:, :3] - expected[:, :3]).max() < 0.15  # its crop's centre swings about the face's
    assert np.abs(np.exp(1j * result[:, 3]) - np.exp(1j * expected[:, 3])).max() < 1e-3


def test_gaps_are_filled():
    true = [make_face(t, 200 + 5 * t, score=0.5 + 0.01 * t) for t in range(30)]
    faces = follow([f for f in true if not 10 <= f.image_index < 20])
    assert [f.image_index for f in faces] == list(range(30))
    assert [f.source for f in faces] == ["test"] * 10 + ["interpolated"] * 10 + ["test"] * 10
    for face, expected in zip(faces[10:20], true[10:20], strict=True):
        assert np.allclose(face.box, expected.box) and np.allclose(face.points, expected.points)
        assert face.score == pytest.approx(0.59) and face.layout == FIVE_POINTS
    assert np.abs(centres(faces) - truth(true)).max() < 1e-3


def test_lead_and_tail_go_on_within_the_shot():
    true = [make_face(t, 200 + 5 * t) for t in range(40)]
    faces = follow(true[10:30], first=8, last=31, lead=3)
    assert [f.image_index for f in faces] == list(range(8, 32))
    assert [f.source for f in faces][:3] == ["extrapolated"] * 2 + ["test"]
    for face in faces:
        assert np.allclose(face.box, true[face.image_index].box, atol=1e-3)
        assert np.allclose(face.points, true[face.image_index].points, atol=1e-3)
    assert np.abs(centres(faces) - truth(true[8:32])).max() < 1e-3


def test_the_tail_ends_outside_the_picture():
    leaving = [make_face(t, 1150 + 10 * t) for t in range(10)]  # the right edge at 1190 + 10 t; the picture's at 1280
    faces = follow(leaving, lead=20)
    assert faces[-1].image_index == 15  # a quarter of the box, 20 pixels, is left at x = 1300
    assert faces[-1].box[2] == 1280 and np.allclose(faces[-1].box[0], 1260, atol=1e-3)


def test_a_single_detection_is_held():
    faces = follow([make_face(5, 200)], first=3, last=50, lead=4)
    assert [f.image_index for f in faces] == [3, 4, 5, 6, 7, 8, 9]
    assert all(np.allclose(f.alignment, faces[2].alignment) and np.allclose(f.box, faces[2].box) for f in faces)


def test_a_bad_detection_gets_a_box_around_both():
    true = [make_face(t, 200 + 5 * t) for t in range(30)]
    wrong = replace(true[15], box=true[15].box + 30, points=true[15].points + 30)
    face = follow([*true[:15], wrong, *true[16:]])[15]
    assert face.source == "test" and face.score == wrong.score
    assert np.allclose(face.box, [*true[15].box[:2], *wrong.box[2:]])
    assert np.allclose(face.points, true[15].points)
    assert np.abs(centres([face]) - truth(true[15:16])).max() < 0.01


def test_layouts_mix():
    faces = [make_face(t, 200 + 5 * t, degrees=30, layout=BOX_ONLY if t % 3 == 1 else FIVE_POINTS) for t in range(30)]
    del faces[10:14]  # between a box and points
    result = follow(faces)
    assert np.degrees(np.abs(centres(result)[:, 3] - math.radians(30))).max() < 1e-4
    gap = {f.layout for f in result if f.source == "interpolated"}
    assert gap == {FIVE_POINTS}
    upright = follow([make_face(t, 200, layout=BOX_ONLY) for t in range(5)])
    assert np.allclose([f.alignment for f in upright], crop_matrix(np.zeros((0, 2)), BOX_ONLY, upright[0].box, 1))


def test_interpolation_between_layouts():
    five, box = make_face(0, 200), make_face(3, 230, layout=BOX_ONLY)
    first, second = follow([five, box])[1:3]
    assert first.layout == FIVE_POINTS and np.allclose(first.points, five.points + np.array([10, 0]))
    assert second.layout == BOX_ONLY and second.points.shape == (0, 2)
    assert np.allclose(second.box, make_face(2, 220).box)
