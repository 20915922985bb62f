"""A second pass over a picture whose faces an earlier step painted: strangers may stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.boxes import iou
from face_anonymizer.modules.faces.outcomes import FOUND, KEPT, box_of
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.paste.repaint import painted_over
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces

BOX = (40.0, 30.0, 120.0, 130.0)
MOVED = (43.0, 28.0, 122.0, 133.0)  # as a detector finds the painted face


def picture(seed):
    coarse = torch.rand((1, 3, 20, 20), generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (160, 160), mode="bicubic")
    return fine.clamp(0, 1).movedim(1, -1)


def found_in(image, box=BOX):
    face = Face(0, np.array(box), 0.9, np.zeros((0, 2)), BOX_ONLY, "test")
    return crop_faces(image, Faces(1, 160, 160, (face,)), 96)


@pytest.fixture(scope="module")
def first_step():
    """The original, its face, the picture with a stranger's, and the report."""
    image = picture(0)
    _, faces = found_in(image)
    crops, _ = found_in(picture(1))
    pasted, _, report = replace_faces(image, crops, faces)
    assert report.count() == {"anonymized": 1}
    return image, faces, pasted, report


@pytest.mark.parametrize("finds_anew", [False, True])
def test_a_retouched_stranger_passes_with_the_report_of_the_first_step(first_step, finds_anew):
    _, faces, pasted, report = first_step
    crops, anew = found_in(pasted, MOVED if finds_anew else BOX)
    faces = anew if finds_anew else crop_faces(pasted, faces, 96)[1]
    touched = (crops * 0.95 + 0.02).clamp(0, 1)
    _, _, alone = replace_faces(pasted, touched, faces)
    assert alone.count() == {"redacted": 1}, "without the report nobody knows that this is a stranger"
    result, _, second = replace_faces(pasted, touched, faces, look=Look(denoise=0.3), earlier=report)
    assert second.count() == {"anonymized": 1}
    told = second.continued(report, pasted, result)
    assert told.count() == {"anonymized": 1}, "one face, though it was found at two places"


@pytest.mark.parametrize("finds_anew", [False, True])
def test_a_second_pass_that_brings_the_original_back_is_covered(first_step, finds_anew):
    image, faces, pasted, report = first_step
    _, anew = found_in(pasted, MOVED if finds_anew else BOX)
    faces = anew if finds_anew else faces
    originals, _ = found_in(image, MOVED if finds_anew else BOX)
    _, _, second = replace_faces(pasted, originals, faces, earlier=report)
    assert second.count() == {"redacted": 1} and second.entries[0].verdict in ("still the original", "unchanged")


def test_a_face_found_anew_is_held_against_its_first_original(first_step):
    """In full, not by its few samples: a mixture that these take for the result."""
    image, _, pasted, report = first_step
    crops, anew = found_in(pasted, MOVED)
    originals, _ = found_in(image, MOVED)
    for share, action in ((0.1, "anonymized"), (0.5, "redacted")):
        mixed = (1 - share) * crops + share * originals
        _, _, second = replace_faces(pasted, mixed, anew, earlier=report)
        assert second.count() == {action: 1}, share
    without = replace(report, traces=tuple(trace._replace(original=None) for trace in report.traces))
    assert replace_faces(pasted, 0.55 * crops + 0.45 * originals, anew, earlier=without)[2].count() == {"anonymized": 1}


def test_a_report_beside_the_original_excuses_nothing(first_step):
    image, faces, _, report = first_step
    crops, _ = found_in(image)
    for earlier in (report, replace(report, traces=())):
        _, _, second = replace_faces(image, crops * 0.95 + 0.02, faces, earlier=earlier)
        assert second.count() == {"redacted": 1}


FAR = (47.0, 24.0, 116.0, 138.0)  # a stranger's head may be narrower, and higher


@pytest.mark.parametrize("action", [FOUND, KEPT])
def test_a_painted_face_found_anew_and_left_alone_is_no_second_one(first_step, action):
    """Its box may be quite another one, as the stranger is: less alike than two searches of one picture are."""
    _, faces, pasted, report = first_step
    _, anew = found_in(pasted, FAR)
    assert 0.5 < iou(faces.faces[0].box[None], anew.faces[0].box[None])[0, 0] < 0.8
    told = report_faces(anew, action).continued(report, pasted, pasted)
    assert [(entry.action, entry.box) for entry in told.entries] == [("anonymized", BOX)]
    assert box_of(report.as_known(anew, pasted).faces[0]) == BOX
    # who is seen there while the picture does not show what was painted is somebody else
    other = picture(2)
    assert len(report_faces(anew, action).after(report).entries) == 2
    assert report_faces(anew, action).continued(report, other, other).count() == {"anonymized": 1, action: 1}
    assert box_of(report.as_known(anew, other).faces[0]) == FAR


def test_a_face_of_the_first_picture_is_known_after_it_was_found_anew_and_painted_again(first_step):
    image, faces, pasted, report = first_step
    _, anew = found_in(pasted, FAR)
    result, _, second = replace_faces(pasted, found_in(picture(3), FAR)[0], anew, earlier=report)
    told = second.continued(report, pasted, result)
    assert told.count() == {"anonymized": 1} and told.entries[0].box == FAR
    assert told.actions_of(told.as_known(faces, image)) == ["anonymized"]


def test_which_faces_a_picture_shows_painted_is_told_by_their_first_original(first_step):
    """Also after a second pass, of which the report remembers what came before the first."""
    image, faces, pasted, report = first_step
    _, anew = found_in(pasted, FAR)
    result, _, second = replace_faces(pasted, found_in(picture(3), FAR)[0], anew, earlier=report)
    told = second.continued(report, pasted, result)
    for last, shown, members, count in (
        *((report, image, faces, 0), (report, pasted, anew, 1)),
        *((told, image, faces, 0), (told, pasted, anew, 1), (told, result, anew, 1)),
    ):
        assert len(painted_over(shown, last.as_known(members, shown), last)) == count
    without = replace(report, traces=tuple(trace._replace(original=None) for trace in report.traces))
    assert painted_over(pasted, without.as_known(anew, pasted), without) == {}


def test_in_a_second_pass_another_ones_stranger_is_no_original_but_another_ones_first_face_is():
    boxes = (BOX, (200.0, 30.0, 280.0, 130.0))
    image, faces = two_of(10, 11, boxes)
    pasted, _, report = replace_faces(image, crops_of(12, 13), faces)
    assert report.count() == {"anonymized": 2}
    again = tuple(replace(face, matrix=None, original=None) for face in faces)
    _, anew = crop_faces(pasted, Faces(1, 160, 320, again), 96)
    for seeds, actions in (((13, 12), {"anonymized": 2}), ((11, 14), {"redacted": 1, "anonymized": 1})):
        assert replace_faces(pasted, crops_of(*seeds), anew, earlier=report)[2].count() == actions, seeds


def two_of(first, second, boxes):
    """A picture of two, 160 pixels each, and its faces."""
    image = torch.cat([picture(first), picture(second)], 2)
    found = tuple(Face(0, np.array(box), 0.9, np.zeros((0, 2)), BOX_ONLY, "test") for box in boxes)
    return image, crop_faces(image, Faces(1, 160, 320, found), 96)[1]


def crops_of(*seeds):
    return torch.cat([found_in(picture(seed))[0] for seed in seeds])
