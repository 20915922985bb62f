"""A second pass over a picture whose faces an earlier step painted: strangers may stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
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
