"""Originals that come back: into a picture that was changed already, or at somebody else's place."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.fingerprint import take_fingerprint
from face_anonymizer.modules.faces.originals import CELLS, as_colours
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.exchange import Originals
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.selection import select_faces
from face_anonymizer.modules.faces.settings import (
    KEEP,
    MODES,
    PasteSettings,
    RedactSettings,
    SelectSettings,
    TrackSettings,
)
from face_anonymizer.modules.faces.traces import by_image, open_faces
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
    assert all(face.original.shape == (3, 160, 160) and face.original.dtype == np.uint8 for face in faces)
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


@pytest.mark.parametrize("track", [None, 7], ids=["photos", "a clip"])
def test_somebody_far_away_in_a_large_batch_is_known_too(group, track):
    """The third person is in the last of 120 pictures alone; in a clip somebody else is in all of them."""
    _, _, faces, _ = group
    own, often, rare = faces
    own = replace(own, track=None if track is None else 1)
    others = [replace(often, image_index=i, track=track) for i in range(119)]
    rare = replace(rare, image_index=119, track=None if track is None else 9)
    judge = Originals(Faces(120, faces.height, faces.width, (own, *others, rare)))
    everywhere = np.ones((CELLS, CELLS), bool)
    sight = SimpleNamespace(placement=SimpleNamespace(face=own), result=as_colours(rare.original), visible=everywhere)
    (verdict,) = judge([sight])
    assert verdict is not None and verdict.word == "still the original" and "another face" in verdict.why


def test_faces_change_places_where_that_is_meant(group):
    images, crops, faces, _ = group
    report = replace_faces(images, crops.roll(1, 0), faces, look=Look("swapped", swap=True))[2]
    assert actions(report) == {("swapped", "")}


def graded(images):
    data = io.BytesIO()
    levels = (images[0].clamp(0, 1) ** 0.8 * 0.9 * 255).round().byte().numpy()
    Image.fromarray(levels).save(data, "JPEG", quality=60)
    return torch.from_numpy(np.array(Image.open(data))).float()[None] / 255


@pytest.fixture(scope="module")
def two_steps(group):
    """Faces 1 and 2 were pasted over, face 3 is next: the picture, the report, and the faces of the next step."""
    images, _, faces, strangers = group
    known = replace(faces, fingerprint=take_fingerprint(images))
    first, last = select_faces(known, SelectSettings("1-2"))
    pasted, _, report = replace_faces(images, strangers[:2], first)
    return images, pasted, report, last


def test_a_report_goes_with_its_picture(two_steps):
    _, pasted, report, last = two_steps
    for picture in (pasted, graded(pasted), pasted.mean(-1, keepdim=True)):
        result, _, done = cover_and_look(picture, last)
        whole = done.continued(report, picture, result)
        assert whole.count() == {"anonymized": 2, "redacted": 1}
        assert len(whole.traces) == 3 and "trace" not in whole.to_json() + repr(whole)


@pytest.mark.parametrize("change", [lambda images: images, graded])
def test_a_report_without_its_picture_is_refused(two_steps, change):
    images, _, report, last = two_steps
    picture = change(images)
    result, _, done = cover_and_look(picture, last)
    with pytest.raises(ValueError, match=r"2 faces were changed.*x 173, y 106 of picture 1.*Connect the picture of"):
        done.continued(report, picture, result)


@pytest.mark.parametrize("mode", MODES)
def test_weak_redactions_are_told_apart_too(group, mode):
    images, _, faces, _ = group
    result, _, report = cover_and_look(
        images, faces, RedactSettings(mode, "box" if mode == "solid" else "ellipse", detail=32)
    )
    traces = by_image(report.traces)
    assert open_faces(graded(images), traces) == {trace.key for trace in report.traces}
    assert not open_faces(graded(result), traces) and not open_faces(result, traces)


def test_a_later_step_over_the_same_faces_needs_no_report_between(two_steps, group):
    images, pasted, report, _ = two_steps
    faces = group[2]
    again, _, between = replace_faces(pasted, group[3].roll(1, 0), faces)
    result, _, done = cover_and_look(again, Faces(1, *images.shape[1:3], faces.faces[2:]))
    assert done.continued(report, again, result).count() == {"anonymized": 2, "redacted": 1}
    joined = between.continued(report, pasted, again)
    assert open_faces(images, by_image(joined.traces)) == {trace.key for trace in joined.traces[:3]}
    assert not open_faces(again, by_image(joined.traces))
    # it covers all faces of the report itself: nothing is open in its result
    result, _, done = cover_and_look(images, faces)
    assert done.continued(report, images, result).count() == {"redacted": 3}


def test_what_a_later_step_brings_back_is_kept(group):
    images, crops, faces, _ = group
    covered, _, report = cover_and_look(images, faces)
    back, _, done = replace_faces(covered, crops, faces, PasteSettings(fallback=KEEP))
    assert {entry.action for entry in done.continued(report, covered, back).entries} == {"kept"}
    last = Faces(1, *images.shape[1:3], faces.faces[2:])
    restored = covered.clone()
    restored[:, :300] = images[:, :300]
    _, _, done = cover_and_look(covered, last)
    entries = done.continued(report, covered, restored).entries
    assert [(entry.action, entry.reason) for entry in entries] == [
        *[("kept", "a later step brought the original back")] * 2,
        ("redacted", ""),
    ]


def test_the_report_of_another_photo_is_refused(two_steps):
    _, pasted, report, last = two_steps
    other = torch.rand((1, 6, 9, 3), generator=torch.Generator().manual_seed(0)).movedim(-1, 1)
    other = torch.nn.functional.interpolate(other, pasted.shape[1:3], mode="bicubic").movedim(1, -1).clamp(0, 1)
    elsewhere = replace(last, fingerprint=take_fingerprint(other))
    result, _, done = cover_and_look(other, elsewhere)
    with pytest.raises(ValueError, match="The report is about another picture than picture 1"):
        done.continued(report, other, result)
