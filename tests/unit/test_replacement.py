"""Faces that did not come back changed are covered, and the report says why."""

import numpy as np
import pytest
import torch

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.outcomes import SWAPPED
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.paste.redaction import redact_faces
from face_anonymizer.modules.faces.settings import FALLBACKS, KEEP, PasteSettings, RedactSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces

BOXES = ((30, 30, 90, 100), (150, 30, 210, 100), (30, 150, 90, 220), (200, 200, 208, 209))


@pytest.fixture(scope="module")
def scene():
    """A picture with four faces, their crops, and new crops for them: painted, broken, given back, painted (tiny)."""
    image = coarse_picture(0)
    found = tuple(Face(0, np.array(box, float), 0.9, np.zeros((0, 2)), BOX_ONLY, "test") for box in BOXES)
    crops, faces = crop_faces(image, Faces(1, 256, 256, found), 128)
    painted = crop_faces(coarse_picture(1), faces, 128)[0]
    painted[1, 5, 7, 2] = float("nan")
    painted[2] = crops[2] * 0.8 + 0.1  # the same face, paler
    return image, faces, painted


def coarse_picture(seed, height=256, width=256):
    coarse = torch.rand((1, 3, height // 8, width // 8), generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return fine.clamp(0, 1).movedim(1, -1)


def test_what_is_fit_is_pasted_and_the_rest_is_covered(scene):
    image, faces, painted = scene
    result, mask, report = replace_faces(image, painted, faces, PasteSettings(), look=Look(seed=3))
    assert [(e.action, e.verdict, e.seed) for e in report.entries] == [
        ("anonymized", "", 3),
        ("redacted", "not finite", None),
        ("redacted", "still the original", None),
        ("redacted", "too small", None),
    ]
    assert report.entries[3].reason == "too small: 8 pixels, 16 is the least"
    assert result.isfinite().all() and torch.equal(result[mask == 0], image[mask == 0])
    alone, _ = paste_faces(image, painted[:1], Faces(1, 256, 256, faces.faces[:1]))
    covered, where = redact_faces(alone, Faces(1, 256, 256, faces.faces[1:]))
    assert torch.equal(result, covered) and (where[0, 60:70, 175:185] == 1).all()
    assert (result[where == 1] == 0).all()


def test_keep_leaves_them_and_says_so(scene):
    image, faces, painted = scene
    result, mask, report = replace_faces(image, painted, faces, PasteSettings(fallback=KEEP), look=Look(SWAPPED))
    assert report.count() == {"swapped": 1, "kept": 3}
    assert {entry.verdict for entry in report.entries} == {"", "not finite", "still the original", "too small"}
    x0, y0, x1, y1 = BOXES[1]
    assert torch.equal(result[0, y0:y1, x0:x1], image[0, y0:y1, x0:x1]) and not mask[0, y0:y1, x0:x1].any()


@pytest.mark.parametrize("fallback", [name for name in FALLBACKS if name != KEEP])
def test_a_neighbours_crop_does_not_bring_a_broken_face_back(fallback):
    image = coarse_picture(1, 120, 200)
    boxes = ([40.0, 30, 90, 90], [95.0, 30, 145, 90])
    found = tuple(Face(0, np.array(box), 0.9, np.zeros((0, 2)), BOX_ONLY, "test") for box in boxes)
    faces = crop_faces(image, Faces(1, 120, 200, found), 64)[1]
    painted = crop_faces(coarse_picture(2, 120, 200), faces, 64)[0]
    painted[1] = float("inf")
    result, _, _ = replace_faces(image, painted, faces, PasteSettings(fallback=fallback))
    pasted, _ = paste_faces(image, painted[:1], Faces(1, 120, 200, faces.faces[:1]))
    expected, where = redact_faces(pasted, Faces(1, 120, 200, faces.faces[1:]), RedactSettings(fallback))
    assert torch.equal(result, expected) and (where[0, 45:75, 105:135] == 1).all()


def test_named_faces_stay_as_they_came_and_are_the_users(scene):
    image, faces, painted = scene
    result, mask, report = replace_faces(image, painted, faces, PasteSettings(keep_faces="2-3"))
    assert [entry.action for entry in report.entries] == ["anonymized", *["kept by the user"] * 2, "redacted"]
    alone, _ = paste_faces(image, painted[[0, 2]], Faces(1, 256, 256, (faces.faces[0], faces.faces[2])))
    x0, y0, x1, y1 = BOXES[1]  # not finite: there is nothing to paste
    assert torch.equal(result[0, y0:y1, x0:x1], image[0, y0:y1, x0:x1])
    assert torch.equal(result[0, 140:, :120], alone[0, 140:, :120]) and mask[0, 185, 60] == 1
    with pytest.raises(ValueError, match="keep are the numbers of faces from 1"):
        replace_faces(image, painted, faces, PasteSettings(keep_faces="two"))


def test_no_faces_and_mistakes(scene):
    image, faces, painted = scene
    result, mask, report = replace_faces(image, painted[:0], Faces(1, 256, 256), PasteSettings())
    assert torch.equal(result, image) and not mask.any() and report.entries == ()
    with pytest.raises(ValueError, match="3 crops but 4 faces"):
        replace_faces(image, painted[:3], faces, PasteSettings())
    with pytest.raises(ValueError, match=r"'blurr'.*solid, mosaic, blur, keep"):
        replace_faces(image, painted, faces, PasteSettings(fallback="blurr"))
