"""Tracks against known truth: the synthetic clip with simulated detections, and small scenes."""

from dataclasses import replace

import numpy as np
import pytest

from face_anonymizer.modules.faces import boxes
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import TrackSettings
from face_anonymizer.modules.faces.track.tracking import best_frames, track_faces
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces
from face_anonymizer.tools.benchmarks import tracking as benchmark

FIVE = np.array([[-0.25, -0.2], [0.25, -0.2], [0, 0.02], [-0.2, 0.25], [0.2, 0.25]])


@pytest.fixture(scope="module")
def truth():
    return benchmark.clip.truth()


def face(frame, x, y=200.0, size=80.0, score=0.9, points=None):
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2])
    return Face(frame, box, score, np.array([x, y]) + size * FIVE if points is None else points, FIVE_POINTS, "test")


def clip(faces, count=40, size=(400, 800), kept=()):
    return Faces(count, *size, tuple(faces), tuple(kept))


def tracks(faces):
    """Track -> frames and sources, as 'd', 'i' or 'e' a frame."""
    found = {}
    for entry in faces:
        found.setdefault(entry.track, {})[entry.image_index] = entry.source[0].replace("t", "d")
    return found


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
def test_simulated_detections(truth, seed):
    detections = benchmark.clip.simulate(truth, seed)
    result = track_faces(detections, [benchmark.clip.CUT])
    judgement = benchmark.judge(truth, result)
    assert benchmark.judge(truth, detections).uncovered > 10
    assert judgement.switches == 0 and judgement.uncovered == 0
    assert judgement.jitter_px < 0.45 and judgement.worst_px < 2.5 and abs(judgement.lag_frames) < 0.03
    assert benchmark.is_cut_clean(detections, result)


@pytest.mark.parametrize("seed", range(2))
def test_many_missed_detections(truth, seed):
    detections = benchmark.clip.simulate(truth, seed, dropouts=0.3, bad=0, false_positives=0)
    judgement = benchmark.judge(truth, track_faces(detections, [benchmark.clip.CUT], TrackSettings(max_gap=15)))
    assert judgement.switches == 0 and judgement.uncovered == 0 and judgement.jitter_px < 0.6


@pytest.mark.long  # detections that are simulated stand above
def test_real_detections_of_a_crossing(truth):
    frames = range(20, 49, 4)
    corner = np.array([80.0, 40.0])
    found = detect_faces(load_face_networks(), benchmark.clip.render(frames)[:, 40:220, 80:400])
    moved = [replace(f, box=f.box + np.tile(corner, 2), points=f.points + corner) for f in found]
    result = track_faces(clip(moved, len(frames), (360, 640)))
    crossing = [[entry for entry in truth[frame] if entry.actor in ("front", "rear")] for frame in frames]
    judgement = benchmark.judge(crossing, result)
    assert judgement.switches == 0 and judgement.uncovered == 0 and {f.track for f in result} == {0, 1}


def test_a_cut_ends_every_track():
    still = clip([face(t, 300) for t in range(20)], 20)
    assert set(tracks(track_faces(still))) == {0}
    cut = tracks(track_faces(still, [8]))
    assert {track: sorted(frames) for track, frames in cut.items()} == {0: list(range(8)), 1: list(range(8, 20))}
    gap = clip([face(t, 300) for t in (0, 1, 2, 12, 13)], 14)
    result = tracks(track_faces(gap, [7], TrackSettings(lead=10)))
    assert sorted(result[0]) == list(range(7)) and sorted(result[1]) == list(range(7, 14))


def test_two_pass_and_hide_each_other():
    faces = []
    for t in range(40):
        front, rear = face(t, 100 + 10 * t, size=90), face(t, 500 - 10 * t, size=70)
        faces += [front] if abs(front.box[0] - rear.box[0]) < 70 else [rear, front]
    result = track_faces(clip(faces))
    assert {f.track for f in result} == {0, 1}
    for f in result:
        expected = 100 + 10 * f.image_index if f.track == 0 else 500 - 10 * f.image_index
        assert f.box[[0, 2]].mean() == pytest.approx(expected, abs=0.01)
    hidden = [t for t in range(40) if t not in tracks(result)[1]]
    assert hidden and all(abs((100 + 10 * t) - (500 - 10 * t)) < 50 for t in hidden)  # 0.7 of the rear one's box


def test_two_who_swing_side_by_side_stay_themselves():
    faces = [f for t in range(40) for f in (face(t, 200 + 40 * np.sin(t / 4)), face(t, 290 + 40 * np.sin(t / 4)))]
    result = track_faces(clip(faces))
    assert {f.track for f in result} == {0, 1}
    assert all(
        f.box[0] < 205 if f.track == 0 else f.box[0] > 205 for f in result if abs(np.sin(f.image_index / 4)) < 0.5
    )


@pytest.mark.parametrize("missed, number", [(1, 1), (4, 1), (10, 1), (11, 2)])
def test_gaps_up_to_max_gap(missed, number):
    present = [t for t in range(40) if not 15 <= t < 15 + missed]
    result = tracks(
        track_faces(clip([face(t, 200 + 5 * t) for t in present]), settings=TrackSettings(max_gap=10, lead=0))
    )
    assert len(result) == number
    filled = [t for frames in result.values() for t, source in frames.items() if source == "i"]
    assert filled == (list(range(15, 15 + missed)) if number == 1 else [])


def test_all_frames_missed_in_the_middle():
    present = [*range(10), *range(30, 40)]
    faces = [f for t in present for f in (face(t, 200), face(t, 500))]
    result = tracks(track_faces(clip(faces)))
    assert {k: (min(v), max(v)) for k, v in result.items()} == {0: (0, 12), 1: (0, 12), 2: (27, 39), 3: (27, 39)}


def test_lead_and_tail_double_nobody():
    faces = [face(t, 300) for t in range(40)] + [face(t, 300 + 10 * (t - 20), 230) for t in range(26, 34)]
    result = tracks(track_faces(clip(faces), settings=TrackSettings(lead=6)))
    assert sorted(result[0]) == list(range(40))
    assert sorted(result[1]) == list(range(23, 40))  # at frame 22 the boxes would overlap by 0.31
    neighbours = [face(t, 300) for t in range(10)] + [face(t, 303) for t in range(14, 24)]
    apart = tracks(track_faces(clip(neighbours), settings=TrackSettings(max_gap=2, lead=5)))
    assert not set(apart[0]) & set(apart[1]) and set(apart[0]) | set(apart[1]) == set(range(29))


def test_numbers_and_order():
    faces = [face(5, 600), face(5, 100), face(0, 400), face(6, 101), face(6, 600), face(1, 400)]
    result = track_faces(clip(faces), settings=TrackSettings(lead=0))
    assert [(f.image_index, f.track, round(f.box[0] + 40)) for f in result] == [
        (0, 0, 400), (1, 0, 400), (5, 1, 100), (5, 2, 600), (6, 1, 101), (6, 2, 600),
    ]  # fmt: skip
    assert result.seed_offsets() == [0, 0, 1, 2, 1, 2]


def test_short_tracks_are_kept_unless_told():
    kept = (face(3, 50),)
    faces = clip([face(t, 300) for t in range(10)] + [face(4, 600)], 10, kept=kept)
    assert set(tracks(track_faces(faces))) == {0, 1}
    assert tracks(track_faces(faces))[1] == dict(zip(range(1, 8), "eeedeee", strict=True))
    only = track_faces(faces, settings=TrackSettings(min_length=2))
    assert set(tracks(only)) == {0} and only.kept is kept and kept[0].track is None


def test_a_bad_box_does_not_start_a_track():
    faces = [face(t, 200 + 4 * t + (25 if t == 20 else 0)) for t in range(40)]
    result = track_faces(clip(faces))
    assert {f.track for f in result} == {0} and len(result) == 40


@pytest.mark.parametrize("count, per_frame", [(1, 1), (1, 0), (0, 0), (5, 0), (2, 1), (20, 100)])
def test_any_number_of_faces(count, per_frame):
    faces = [face(t, 40 + 75 * (i % 10) + t, 40 + 75 * (i // 10), 50) for t in range(count) for i in range(per_frame)]
    result = track_faces(clip(faces, count, (800, 800)))
    assert len(result) == count * per_frame and len({f.track for f in result}) == min(count, 1) * per_frame
    assert all(f.alignment.shape == (2, 3) and np.isfinite(f.alignment).all() for f in result)


@pytest.mark.parametrize(
    "faces, settings, message",
    [
        (clip([]), {"cuts": [40]}, r"\[40\].*40 frames"),
        (clip([]), {"cuts": [0]}, r"\[0\].*40 frames"),
        (clip([]), {"max_gap": -1}, "max_gap"),
        (clip([]), {"smoothing": 31}, "smoothing 0..30"),
        (clip([]), {"min_length": 0}, "min_length"),
        (clip([face(40, 100)]), {}, "outside the clip of 40"),
        (clip([replace(face(3, 100), box=np.array([5.0, 5, 5, 9]))]), {}, "frame 3"),
    ],
)
def test_bad_input(faces, settings, message):
    with pytest.raises(ValueError, match=message):
        track_faces(faces, settings.pop("cuts", ()), TrackSettings(**settings))


def test_best_frames():
    profile = np.array([0, 200]) + 80 * FIVE
    profile[2, 0] += 15

    def at(x, points):
        return points + np.array([x, 0])

    shown = [
        face(0, 300, size=60),
        face(1, 300, points=at(300, profile)),  # turned
        face(2, 300, score=0.5),
        face(3, 300),
        face(4, 300),  # equal: the first one
        face(5, 0),  # half of it outside
        replace(face(6, 300, size=200), source="interpolated"),
        replace(face(7, 300), layout=BOX_ONLY, points=np.zeros((0, 2))),
        face(8, 500),
    ]
    faces = clip([replace(f, track=int(f.image_index == 8)) for f in shown])
    assert best_frames(faces) == {0: 3, 1: 8}
    assert best_frames(clip([replace(shown[6], track=2), face(8, 100)])) == {2: 0}
    assert best_frames(clip([])) == {}


def test_overlaps():
    box, others = np.array([[0.0, 0, 4, 4]]), np.array([[2.0, 2, 6, 6], [0, 0, 8, 8], [5, 5, 6, 6]])
    iou, share = boxes.iou(box, others), boxes.share_inside(box, others)
    assert np.allclose(iou, [[4 / 28, 0.25, 0]]) and np.allclose(share, [[0.25, 1, 0]])
