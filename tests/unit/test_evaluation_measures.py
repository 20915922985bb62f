"""Distances, intervals, thresholds and identification, against what is known by hand."""

import math

import numpy as np
import pytest
import torch

from face_anonymizer.modules.evaluation import identification, measured, statistics
from face_anonymizer.modules.evaluation.face_points import quaternion, rotation
from face_anonymizer.modules.evaluation.measured import Measured, distance
from face_anonymizer.modules.evaluation.synthetic_backend import directions, quaternions
from face_anonymizer.modules.synthetic.geometry import Pose, columns
from face_anonymizer.modules.synthetic.parameters import Parameters, sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.synthetic.tables import ATTRIBUTES

ALL = torch.ones(3, dtype=torch.bool)


def faces(vectors, found=None) -> Measured:
    vectors = torch.as_tensor(vectors, dtype=torch.float64)
    return Measured(torch.ones(len(vectors), dtype=torch.bool) if found is None else torch.tensor(found), vectors)


def degrees(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_pose_is_the_rotation_between_both_heads():
    """Against the renderer's own rotation matrices."""
    attributes = sample_attributes(6, seed=5)
    yaw, pitch, roll = attributes.natural()[:, :3].double().T
    pose = Pose(columns(attributes))
    axes = [torch.stack([c.flatten().double() for c in pose.to_camera(axis)], 1) for axis in _axes(pose)]
    matrices = torch.stack(axes, 2)
    between = matrices[:3] @ matrices[3:].transpose(1, 2)
    expected = ((between.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos().rad2deg()
    turned = quaternions(yaw, pitch, roll)
    first, second = (Measured(ALL, pose=turned[rows]) for rows in (slice(0, 3), slice(3, 6)))
    assert distance("pose", first, second) == pytest.approx(expected, abs=1e-3)
    opposite = Measured(ALL, pose=-turned[:3])  # the same rotations
    assert distance("pose", first, opposite).abs().max() < 1e-6


def _axes(pose):
    zero, one = 0 * pose.scale, 0 * pose.scale + 1
    return [(one, zero, zero), (zero, one, zero), (zero, zero, one)]


def test_gaze_is_the_angle_between_directions():
    ahead, aside, up = (
        directions(degrees(0, 0, 0), degrees(0, 0, 0)),
        directions(degrees(20, -7, 0), degrees(0, 0, 5)),
        5,
    )
    assert distance("gaze", Measured(ALL, gaze=ahead), Measured(ALL, gaze=aside)).tolist() == pytest.approx([20, 7, up])


def test_equal_faces_have_no_distance_in_any_aspect():
    values = torch.rand(3, 4, dtype=torch.float64)
    turned, seen = measured.unit(values), measured.unit(values[:, :3])
    same = Measured(ALL, values, turned, seen, *[values] * 5)
    assert set(same.aspects) == set(measured.ASPECTS)
    for aspect in same.aspects:
        assert distance(aspect, same, same).abs().max() < 1e-9


def test_what_is_not_found_is_not_measurable():
    """It counts neither as kept nor as anonymized, whatever a network says of the picture."""
    originals, results = faces(np.eye(3)), faces(np.eye(3)[[1, 1, 2]], [True, False, True])
    assert distance("identity", results, originals).isnan().tolist() == [False, True, False]
    hits = identification.identified(results, originals)
    assert hits[0] == 0 and hits[1].isnan() and hits[2] == 1
    assert statistics.mean(hits).count == 2 and statistics.mean(hits).value == 0.5
    # the person is not in the gallery: looking for them says nothing
    gallery = faces(np.eye(3), [False, True, True])
    assert identification.identified(faces(np.eye(3)), gallery).isnan().tolist() == [True, False, False]


def test_one_person_may_have_several_pictures_in_the_gallery():
    gallery, people = faces([[1, 0], [0.9, 0.1], [0, 1]]), torch.tensor([0, 0, 1])
    probes = faces([[0.95, 0.05], [0.6, 0.4], [1, 0]])
    hits = identification.identified(probes, gallery, people[:, None] == people)
    assert hits.tolist() == [1, 1, 0]


def test_copies_of_an_average_face_are_no_strangers():
    """Noise around the average points everywhere: by cosine it passes for many people."""
    noise = torch.randn(40, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    people, copies = faces(noise), faces(noise * 0.01)
    cosine, length = identification.cosine_distances, identification.euclidean_distances
    assert statistics.mean_of_pairs(cosine(copies)).value > 0.9
    ratio = statistics.mean_of_pairs(length(copies)).value / statistics.mean_of_pairs(length(people)).value
    assert ratio == pytest.approx(0.01)


def test_the_interval_holds_the_mean_in_most_draws():
    inside = 0
    for seed in range(60):
        values = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 3
        interval = statistics.mean(values)
        assert interval.low < interval.value < interval.high
        inside += interval.low <= 3 <= interval.high
    assert inside >= 51  # 95 % of 60 are 57


def test_an_identity_counts_once_whatever_its_pictures():
    values, people = torch.tensor([1.0, 1.0, 1.0, 0.0, math.nan]), torch.tensor([7, 7, 7, 9, 9])
    assert statistics.mean(values, people).value == 0.5
    assert statistics.mean(values, people).count == 2
    assert math.isnan(statistics.mean(torch.tensor([math.nan])).value)


def test_mean_of_pairs_leaves_out_pairs_of_a_face_with_itself():
    points = torch.rand(9, 2, dtype=torch.float64)
    distances = torch.cdist(points, points)
    distances[4] = distances[:, 4] = math.nan
    rest = [i for i in range(9) if i != 4]
    expected = np.mean([distances[i, j].item() for i in rest for j in rest if i != j])
    interval = statistics.mean_of_pairs(distances)
    assert interval.value == pytest.approx(expected) and interval.count == 8
    assert interval.low < interval.value < interval.high


def test_a_threshold_lets_through_what_it_says():
    generator = torch.Generator().manual_seed(1)
    genuine, impostor = torch.randn(500, generator=generator) + 3, torch.randn(20000, generator=generator)
    threshold = statistics.calibrate(genuine, impostor, 0.01, "made up")
    assert (impostor > threshold.value).double().mean() <= 0.01
    assert (impostor > threshold.value - 0.05).double().mean() > 0.01
    assert threshold.accepted == pytest.approx((genuine > threshold.value).double().mean().item())
    assert identification.accepted(torch.tensor([9.0, -9.0, math.nan]), threshold)[:2].tolist() == [1, 0]


@pytest.mark.parametrize(
    "genuine, impostor, far, message",
    [
        (1, 50, 0.01, "50 impostor pairs are too few"),
        (0, 500, 0.01, "there is none"),
        (1, 500, 1.5, "between 0 and 1"),
    ],
)
def test_a_threshold_without_enough_pairs_is_refused(genuine, impostor, far, message):
    with pytest.raises(ValueError, match=message):
        statistics.calibrate(torch.rand(genuine), torch.rand(impostor), far, "made up")


def test_aspects_that_a_back_end_cannot_see_are_refused():
    with pytest.raises(ValueError, match="does not measure gaze"):
        distance("gaze", faces(np.eye(3)), faces(np.eye(3)))
    with pytest.raises(ValueError, match="one by one"):
        distance("identity", faces(np.eye(3)), faces(np.eye(3))[:2])
    with pytest.raises(ValueError, match="identity holds 2"):
        Measured(ALL, torch.rand(2, 4))


def test_five_points_tell_how_a_head_is_turned():
    """Against the truth of the renderer: the angle between two pictures of one person, half of them turned."""
    identity = sample_identities(12, seed=6)
    straight = Parameters.average(ATTRIBUTES, 12).replace(mouth_opening=-1)
    turned = straight.replace(yaw=torch.linspace(-0.8, 0.8, 12), pitch=torch.linspace(0.6, -0.6, 12), roll=0.5)
    poses = []
    for attributes in (straight, turned):
        points = render(identity, attributes, 64).points.numpy().astype(np.float64)
        poses.append(torch.from_numpy(np.array([quaternion(rotation(five)) for five in points])))
    everyone = torch.ones(12, dtype=torch.bool)
    seen = distance("pose", *(Measured(everyone, pose=pose) for pose in poses))
    truth = [Measured(everyone, pose=quaternions(*a.natural()[:, :3].double().T)) for a in (straight, turned)]
    error = (seen - distance("pose", *truth)).abs()
    print(f"five points: error of the angle {error.mean():.1f} degrees on average, {error.max():.1f} at most")
    assert error.mean() < 5 and error.max() < 10


def test_a_quaternion_turns_as_its_matrix_does():
    for angle in (0.0, 10.0, 90.0, 179.0, 180.0):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        w, x, y, z = quaternion(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
        assert 2 * math.degrees(math.acos(min(1, abs(w)))) == pytest.approx(angle, abs=1e-5)
        assert abs(x) + abs(y) < 1e-9 and math.copysign(1, w * z or 1) == 1
