"""Pictures of synthetic faces: every parameter shows, any size is the same face, the truth is where it says."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from face_anonymizer.modules.faces.alignment import AVERAGE_FIVE, WHOLE_FACE_PADDING
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.synthetic.parameters import Parameters, sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.synthetic.tables import ATTRIBUTES, IDENTITY

IDENTITIES, SCENES = sample_identities(8, seed=4), sample_attributes(8, seed=4)

# a face on which everything can be seen: nothing absent, short hair, not too dark
SHOWN = Parameters.average(IDENTITY).replace(
    freckles=-0.2, mole_size=0.4, mole_x=0.5, beard_density=-0.2, hair_fringe=-0.4, hair_length=-0.7, wrinkles=0.0,
    skin_melanin=-0.4,
)  # fmt: skip
SCENE = Parameters.average(ATTRIBUTES).replace(
    glasses=0.2, mouth_opening=-0.6, yaw=0.2, collar_depth=0.5, background_red_1=-0.6, background_blue_2=0.8,
    background_green_3=0.9, background_blob_x=0.7, background_blob_y=0.7,
)  # fmt: skip
# frontal, eyes open, no glasses
FRONTAL = Parameters.average(ATTRIBUTES).replace(eye_opening=0.6, mouth_opening=-1.0)


def test_pictures_are_what_they_should_be():
    rendered = render(IDENTITIES, SCENES, 64)
    assert rendered.images.shape == (8, 64, 64, 3)
    assert rendered.landmarks.shape == (8, 68, 2)
    assert rendered.points.shape == (8, 5, 2)
    for mask in (rendered.face_mask, rendered.hair_mask, rendered.background_mask):
        assert mask.shape == (8, 64, 64)
        assert mask.min() >= 0 and mask.max() <= 1
    total = rendered.face_mask + rendered.hair_mask + rendered.background_mask
    assert total.max() <= 1 + 1e-6
    assert (rendered.face_mask.mean((1, 2)) > 0.12).all()
    assert rendered.images.isfinite().all()
    assert rendered.images.min() >= 0 and rendered.images.max() <= 1
    assert rendered.images.dtype == rendered.landmarks.dtype == torch.float32


def test_a_face_does_not_depend_on_the_others_of_its_batch():
    together = render(IDENTITIES, SCENES, 128)
    alone = render(IDENTITIES[5], SCENES[5], 128)
    assert torch.equal(together.images[5:6], alone.images)
    assert torch.equal(together.landmarks[5:6], alone.landmarks)
    assert torch.equal(together.images, render(IDENTITIES, SCENES, 128).images)


def test_one_row_serves_all_of_the_other():
    rendered = render(IDENTITIES[2], SCENES, 32)
    assert torch.equal(rendered.images[6:7], render(IDENTITIES[2], SCENES[6], 32).images)


def test_any_size_shows_the_same_face():
    small, large = (render(IDENTITIES[:2], SCENES[:2], size) for size in (128, 512))
    reduced = avg_pool2d(large.images.permute(0, 3, 1, 2), 4).permute(0, 2, 3, 1)
    difference = (small.images - reduced).abs()
    assert difference.mean() < 0.003
    assert (difference > 0.1).float().mean() < 0.004  # thin edges
    torch.testing.assert_close((small.landmarks + 0.5) * 4, large.landmarks + 0.5, rtol=0, atol=1e-2)
    reduced_mask = avg_pool2d(large.face_mask[:, None], 4)[:, 0]
    assert (small.face_mask - reduced_mask).abs().mean() < 0.003


@pytest.fixture(scope="module")
def effects() -> dict[str, tuple[float, float]]:
    """Name -> mean difference over the person, or for the background behind it, and the largest, between -1 and 1."""
    found = {}
    for table, base in ((IDENTITY, SHOWN), (ATTRIBUTES, SCENE)):
        for start in range(0, len(table), 8):  # so many faces at once take 0.65 of the time of single ones
            names = [parameter.name for parameter in table[start : start + 8]]
            ends = base[[0, 0] * len(names)]
            for i, name in enumerate(names):
                ends.values[2 * i : 2 * i + 2, ends.names.index(name)] = torch.tensor([-1.0, 1.0])
            rendered = render(ends, SCENE, 64) if table is IDENTITY else render(SHOWN, ends, 64)
            for i, name in enumerate(names):
                first, second = rendered.images[2 * i : 2 * i + 2]
                difference = (first - second).abs().mean(-1)
                person = (1 - rendered.background_mask[2 * i : 2 * i + 2]).amax(0)
                weight = 1 - person if name.startswith("background") else person
                mean = (difference * weight).sum() / weight.sum()
                found[name] = mean.item(), difference.max().item()
    return found


@pytest.mark.parametrize("parameter", IDENTITY + ATTRIBUTES, ids=lambda parameter: parameter.name)
def test_every_parameter_shows(effects, parameter):
    mean, largest = effects[parameter.name]
    assert mean > 8e-4
    assert largest > 0.035


def test_light_and_expression_leave_shape_and_background_alone():
    dark = render(SHOWN, SCENE.replace(light_strength=-1.0), 64)
    light = render(SHOWN, SCENE.replace(light_strength=1.0), 64)
    assert torch.equal(dark.face_mask, light.face_mask)
    assert torch.equal(dark.landmarks, light.landmarks)
    behind = dark.background_mask == 1
    assert behind.float().mean() > 0.2
    assert torch.equal(dark.images[behind], light.images[behind])


def test_a_turned_head_is_occluded_by_its_nose_and_shows_its_side():
    left, right = (render(SHOWN, FRONTAL.replace(yaw=yaw), 128) for yaw in (-1.0, 1.0))
    # the average face is symmetric but for its hair: mirrored points
    mirrored = 127 - right.points[0, :, 0]
    torch.testing.assert_close(left.points[0, [1, 0, 2, 4, 3], 0], mirrored, rtol=0, atol=0.05)
    # the tip moves further than the eyes, which are further back
    eyes, tip = right.points[0, :2, 0].mean(), right.points[0, 2, 0]
    assert tip - eyes > 4
    # the farther half of the face is foreshortened
    nearer, farther = tip - right.points[0, 0, 0], right.points[0, 1, 0] - tip
    assert nearer > 1.8 * farther


def test_pitch_and_roll_have_their_signs():
    raised, tilted = (render(SHOWN, FRONTAL.replace(**{name: 1.0}), 128).points[0] for name in ("pitch", "roll"))
    level = render(SHOWN, FRONTAL, 128).points[0]
    assert raised[2, 1] < level[2, 1] - 2  # y counts down
    assert tilted[1, 1] > level[1, 1] + 4 > tilted[0, 1] + 8  # clockwise: the right eye is lower


def test_eye_landmarks_lie_on_dark_irises():
    faces = IDENTITIES.replace(hair_fringe=-1.0)
    rendered = render(faces, FRONTAL.replace(light_azimuth=0.0), 256)
    grey = rendered.images.mean(-1)
    for i in range(len(faces)):
        for eye, corners in ((0, (36, 39)), (1, (42, 45))):
            x, y = rendered.points[i, eye].round().long().tolist()
            iris = grey[i, y - 2 : y + 3, x - 2 : x + 3].mean()
            whites = []
            for corner in corners:
                place = 0.35 * rendered.points[i, eye] + 0.65 * rendered.landmarks[i, corner]
                whites.append(grey[i, int(place[1].round()), int(place[0].round())])
            assert iris < 0.7 * max(whites)


def test_the_gaze_moves_the_pupil_inside_the_eye():
    darkest = []
    for gaze in (-0.6, 0.6):
        rendered = render(SHOWN, FRONTAL.replace(gaze_x=gaze), 256)
        (x0, y0), (x1, _) = rendered.landmarks[0, 42].tolist(), rendered.landmarks[0, 45].tolist()
        row = rendered.images[0, int(y0) - 2 : int(y0) + 3, int(x0) + 6 : int(x1) - 5].mean((0, 2))
        darkest.append(row.argmin().item())
    assert darkest[1] - darkest[0] > 8


def test_mouth_landmarks_follow_the_expression():
    shut, wide = (render(SHOWN, FRONTAL.replace(mouth_opening=value), 256).landmarks[0] for value in (-1.0, 1.0))
    assert abs(shut[66, 1] - shut[62, 1]) < 1
    assert wide[66, 1] - wide[62, 1] > 20
    sad, glad = (render(SHOWN, FRONTAL.replace(smile=value), 256).landmarks[0] for value in (-1.0, 1.0))
    assert glad[48, 1] < sad[48, 1] - 5 and glad[54, 1] < sad[54, 1] - 5
    assert glad[54, 0] - glad[48, 0] > sad[54, 0] - sad[48, 0] + 5


def test_faces_fill_the_frame_like_the_projects_crops():
    """Over identities, the five points of frontal faces are those of a WHOLE_FACE crop to 3 % of the picture."""
    points = render(sample_identities(100, seed=1), FRONTAL, 64).points.mean(0)
    side = 1 + 2 * 2**0.5 * WHOLE_FACE_PADDING
    expected = (torch.from_numpy(AVERAGE_FIVE) + side / 2 - torch.tensor([0.5, 0.43])) / side
    torch.testing.assert_close((points + 0.5) / 64, expected.float(), rtol=0, atol=0.035)


def test_the_detector_finds_them_where_they_are():
    count, size = 8, 128
    rendered = render(sample_identities(count, seed=7), sample_attributes(count, seed=7), size)
    faces = detect_faces(load_face_networks(), rendered.images, DetectSettings(min_score=0.3, max_faces=1))
    assert len(faces) >= count - 1
    errors = [
        (torch.from_numpy(face.points) - rendered.points[face.image_index]).norm(dim=-1).mean() / size for face in faces
    ]
    assert torch.stack(errors).median() < 0.03


def test_no_faces_give_no_pictures():
    rendered = render(IDENTITIES[:0], SCENES[:0], 32)
    assert rendered.images.shape == (0, 32, 32, 3)
    assert rendered.landmarks.shape == (0, 68, 2)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="identities first"):
        render(SCENES, IDENTITIES, 32)
    with pytest.raises(ValueError, match="8 identities do not fit 3 attributes"):
        render(IDENTITIES, SCENES[:3], 32)
    with pytest.raises(ValueError, match="16 to 4096 pixels, not 8"):
        render(IDENTITIES, SCENES, 8)
    with pytest.raises(ValueError, match="finite"):
        render(IDENTITIES.replace(eye_size=float("nan")), SCENES, 32)
