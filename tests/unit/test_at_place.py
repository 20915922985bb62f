"""Faces that are not where they were found: who is there now is covered too, or the report says that nobody knows."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from face_anonymizer.modules.faces import marks
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.detect.glance import glance
from face_anonymizer.modules.faces.notes import NOT_AT_PLACE, Doubt
from face_anonymizer.modules.faces.outcomes import AS_SEEN
from face_anonymizer.modules.faces.paste.at_place import open_beside
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.coverage import LEAST, covered_share
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.masks import FaceShapes
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.settings import PasteSettings, RedactSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face

WIDTH, HEIGHT = 600, 400


@pytest.fixture(scope="module")
def halves(request) -> tuple[torch.Tensor, torch.Tensor]:
    """A group of drawn people, and the strangers whom the demo model painted in their places."""
    both = Image.open(request.config.rootpath / "assets" / "demo.jpg").convert("RGB")
    sides = (0, both.width // 2), (both.width // 2, both.width)
    cut = [both.crop((x0, 0, x1, both.height)).resize((WIDTH, HEIGHT)) for x0, x1 in sides]
    before, after = (torch.from_numpy(np.asarray(half).copy()).float()[None] / 255 for half in cut)
    return before, after


@pytest.fixture(scope="module")
def networks():
    return load_face_networks()


@pytest.fixture(scope="module")
def faces(halves, networks):
    return marks.know(halves[0], detect_faces(networks, halves[0]))


@pytest.fixture(scope="module")
def looks(networks) -> Look:
    return Look("redacted", find=lambda picture, alone, painted: glance(networks, picture, alone, painted))


def someone_beside(halves, faces, right: int, down: int) -> tuple[torch.Tensor, np.ndarray]:
    """Where face 1 was there is background, and beside it somebody who looks like nobody of the list: in another shot
    that may be the same person, seen from the side. And that one's box."""
    around = 25
    before, after = (Image.fromarray((half[0].numpy() * 255).round().astype(np.uint8)) for half in halves)
    x0, y0, x1, y1 = (int(edge) for edge in faces.faces[0].box)
    before.paste(
        before.crop((2, 2, 40, 40)).resize((x1 - x0 + 2 * around, y1 - y0 + 2 * around)), (x0 - around, y0 - around)
    )
    left, top, edge, chin = (int(edge) for edge in faces.faces[1].box)
    head = after.crop((left - around, top - around, edge + around, chin + around))
    mask = Image.new("L", head.size)
    ImageDraw.Draw(mask).ellipse((0, 0, *head.size), fill=255)
    before.paste(head, (x0 - around + right, y0 - around + down), mask.filter(ImageFilter.GaussianBlur(3)))
    box = np.array([x0 + right, y0 + down, x0 + right + edge - left, y0 + down + chin - top], float)
    return torch.from_numpy(np.asarray(before).copy()).float()[None] / 255, box


def doubts_of(report) -> list[Doubt]:
    return [note for note in report.notes if isinstance(note, Doubt)]


@pytest.mark.parametrize("shift", [(20, 4), (35, 5), (45, 8), (75, 5)])
def test_who_stands_half_beside_a_place_is_covered(halves, faces, looks, shift):
    shot, box = someone_beside(halves, faces, *shift)
    there = FaceShapes(Face(0, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test"))
    _, blind, _ = cover_and_look(shot, faces)
    _, mask, report = cover_and_look(shot, faces, look=looks)
    assert covered_share(mask[0], there) >= LEAST
    if covered_share(blind[0], there) < 0.8:  # the drawn box and the detector's differ
        assert report.entries[0].verdict == AS_SEEN and "90% is the least" in report.entries[0].reason
    assert report.elsewhere == ()
    told = [doubt.kind for doubt in doubts_of(report)]
    assert told == ([NOT_AT_PLACE] if shift[0] > 40 else [])  # at its place, as far as a detector tells


def test_without_a_detector_nobody_knows(halves, faces):
    shot, _ = someone_beside(halves, faces, 35, 5)
    (doubt,) = doubts_of(cover_and_look(shot, faces)[2])
    assert doubt.kind == NOT_AT_PLACE and doubt.images == (0,) and "does not show face 1 as found" in doubt
    assert json.loads(cover_and_look(shot, faces)[2].to_json())["doubts"][0]["kind"] == NOT_AT_PLACE


def test_what_was_changed_before_is_where_it_was(halves, faces, looks):
    before, after = halves
    earlier = report_faces(faces, "anonymized")
    shot, _ = someone_beside(halves, faces, 75, 5)
    for picture, look, report in (
        (before, looks, None),
        (before, Look("redacted"), None),
        (after, looks, None),
        (after, Look("redacted"), earlier),
        (cover_and_look(before, faces)[0], Look("redacted"), None),
        (cover_and_look(before, faces, RedactSettings("mosaic"))[0], looks, earlier),
        (shot, Look("redacted"), earlier),
    ):
        told = cover_and_look(picture, faces, look=look, earlier=report)[2]
        assert told.notes == () and told.count() == {"redacted": 5}
        assert [entry.verdict for entry in told.entries] == [""] * 5
    painted = cover_and_look(after, faces, look=Look("redacted"))[2]
    assert [doubt.kind for doubt in doubts_of(painted)] == [NOT_AT_PLACE]
    followed = replace(faces, faces=tuple(replace(face, track=i) for i, face in enumerate(faces)))
    assert "some faces" in doubts_of(cover_and_look(after, followed)[2])[0]  # one text for all frames


def test_the_look_reports_a_face_half_beside_a_cover(halves, faces):
    x0, y0, x1, y1 = faces.faces[0].box
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[int(y0) : int(y1), int(x0) : int(x1)] = 1
    width = x1 - x0

    def seen(share: float, score: float = 0.8) -> Face:
        box = np.array([x0 + share * width, y0 + 0.15 * width, x1 + share * width, y1 + 0.15 * width])
        return Face(0, box, score, np.zeros((0, 2)), BOX_ONLY, "test")

    one = replace(faces, faces=faces.faces[:1])
    assert [len(open_beside([seen(share)], one, mask)) for share in (0.0, 0.3, 0.6, 0.8, 2.0)] == [0, 0, 1, 1, 0]
    assert open_beside([seen(0.6, 0.4)], one, mask) == []
    assert open_beside([seen(0.6)], replace(one, kept=(seen(0.65),)), mask) == []


def test_a_crop_that_is_pasted_where_nobody_stands_any_more_covers_who_stands_beside(halves, faces, looks):
    shot, box = someone_beside(halves, faces, 55, 6)
    crops, cropped = crop_faces(halves[0], faces, 128)
    one = replace(
        cropped, faces=tuple(replace(face, original=None) for face in cropped.faces[:1]), kept=faces.faces[1:]
    )
    look = replace(looks, action="anonymized")
    _, mask, report = replace_faces(shot, crops[4:], one, PasteSettings(region="oval"), look=look)
    there = FaceShapes(Face(0, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test"))
    assert report.entries[0].action == "redacted" and covered_share(mask[0], there) >= LEAST
