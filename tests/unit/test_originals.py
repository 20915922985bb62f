"""Originals that come back: into a picture that was changed already, or at somebody else's place."""

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.selection import select_faces
from face_anonymizer.modules.faces.settings import KEEP, PasteSettings, SelectSettings, TrackSettings
from face_anonymizer.modules.faces.track.tracking import track_faces
from face_anonymizer.modules.faces.types import FIVE_POINTS, Face, Faces

SIDE = 128
FOUND = (  # three of the five people, as Detect Faces finds them
    ((173.4, 106.2, 295.7, 261.1), ((207.7, 158.1), (271.7, 158.8), (247.9, 192.6), (213.7, 221.7), (266.1, 220.9))),
    ((381.5, 96.9, 511.5, 257.7), ((417.0, 150.3), (479.3, 150.6), (448.0, 186.3), (420.7, 208.4), (476.8, 208.9))),
    ((265.9, 320.8, 401.0, 483.3), ((304.6, 375.7), (370.3, 375.6), (341.9, 417.4), (315.2, 441.8), (361.4, 441.6))),
)


@pytest.fixture(scope="module")
def group(request):
    """The drawn people of assets/synthetic_group.jpg: picture, their crops, faces, and crops of strangers for them."""
    root = request.config.rootpath
    picture = Image.open(root / "assets" / "synthetic_group.jpg").convert("RGB")
    images = torch.from_numpy(np.array(picture)).float()[None] / 255
    found = (Face(0, np.array(box), 0.8, np.array(points), FIVE_POINTS, "test") for box, points in FOUND)
    crops, faces = crop_faces(images, Faces(1, *images.shape[1:3], tuple(found)), SIDE)
    sheet = np.array(Image.open(root / "docs" / "synthetic_faces" / "identities.jpg").convert("RGB"))
    tiles = torch.from_numpy(sheet).float().unfold(0, SIDE, SIDE).unfold(1, SIDE, SIDE)[0] / 255
    strangers = tiles.movedim(1, -1)[: len(faces)].contiguous()
    return images, crops, faces, strangers


def softened(crops):
    """As a VAE or a rescaling leaves them."""
    small = torch.nn.functional.interpolate(crops.movedim(-1, 1), scale_factor=0.6, mode="bilinear", antialias=True)
    return torch.nn.functional.interpolate(small, crops.shape[1:3], mode="bicubic").movedim(1, -1).clamp(0, 1)


def actions(report):
    return {(entry.action, entry.verdict) for entry in report.entries}


def test_strangers_pass(group):
    images, _, faces, strangers = group
    assert actions(replace_faces(images, strangers, faces)[2]) == {("anonymized", "")}


@pytest.mark.parametrize("first, change", [("pasted", softened), ("covered", lambda crops: crops * 0.7)])
def test_originals_do_not_come_back_into_a_changed_picture(group, first, change):
    images, crops, faces, strangers = group
    changed = replace_faces(images, strangers, faces)[0] if first == "pasted" else cover_and_look(images, faces)[0]
    result, _, report = replace_faces(changed, change(crops), faces)
    assert {action for action, _ in actions(report)} == {"redacted"}
    assert {verdict for _, verdict in actions(report)} <= {"still the original", "unchanged"}
    for face in faces:
        x, y = ((face.box[:2] + face.box[2:]) / 2).astype(int)
        assert (result[0, y - 3 : y + 3, x - 3 : x + 3] == 0).all()
    kept = replace_faces(changed, crops, faces, PasteSettings(fallback=KEEP))[2]
    assert {action for action, _ in actions(kept)} == {"kept"}


def test_a_second_painting_passes(group):
    images, _, faces, strangers = group
    changed = replace_faces(images, strangers, faces)[0]
    assert actions(replace_faces(changed, strangers.roll(1, 0), faces)[2]) == {("anonymized", "")}


def test_the_first_picture_is_remembered_and_nothing_writes_it(group):
    images, _, faces, strangers = group
    assert all(face.original.shape == (3, 80, 80) and face.original.dtype == np.uint8 for face in faces)
    changed = replace_faces(images, strangers, faces)[0]
    again = crop_faces(changed, faces, 64)[1]
    for chosen in (again, select_faces(again, SelectSettings("1-3"))[0], again.window(0, 1)):
        assert all(one.original is other.original for one, other in zip(chosen, faces, strict=True))
    assert "original" not in repr(faces.faces[0])
    entries = report_faces(faces, "found").to_dict()["faces"]
    assert max(len(str(value)) for entry in entries for value in entry.values()) < 99
    # a track's square is another one
    assert all(face.original is None for face in track_faces(faces, settings=TrackSettings(lead=0)))


@pytest.mark.parametrize(
    "change",
    [
        lambda crops: crops.roll(1, 0),
        lambda crops: softened(crops).roll(1, 0),
        lambda crops: crops.flip(2).roll(1, 0) * 0.7,
        lambda crops: crops[:1].expand_as(crops),
    ],
    ids=["turns", "turns, softened", "turns, mirrored and dark", "one for all"],
)
def test_faces_do_not_change_places(group, change):
    images, crops, faces, _ = group
    report = replace_faces(images, change(crops), faces)[2]
    assert {action for action, _ in actions(report)} == {"redacted"}
    others = [entry for entry in report.entries if "it is another face of these pictures" in entry.reason]
    assert len(others) >= 2 and all(entry.verdict == "still the original" for entry in others)


def test_faces_change_places_where_that_is_meant(group):
    images, crops, faces, _ = group
    report = replace_faces(images, crops.roll(1, 0), faces, look=Look("swapped", swap=True))[2]
    assert actions(report) == {("swapped", "")}
