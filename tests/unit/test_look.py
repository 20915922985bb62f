"""The look at the result: how much of a face was replaced, what a detector finds on it, and what is said of it."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from PIL import Image
from strangers import forgetful

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect import glance as glance_module
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.detect.glance import glance
from face_anonymizer.modules.faces.numbers import note_on_numbers, percent
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.coverage import LEAST, covered_share
from face_anonymizer.modules.faces.paste.look import Look, judge_coverage
from face_anonymizer.modules.faces.paste.masks import FaceShapes
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.settings import (
    KEEP,
    MODES,
    MOST_FEATHER,
    PARTS,
    REGIONS,
    SHAPES,
    PasteSettings,
    RedactSettings,
)
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

SIDE = 128


@pytest.fixture(scope="module")
def networks():
    return load_face_networks()


@pytest.fixture(scope="module")
def group(request, networks):
    """The drawn people of assets/synthetic_group.jpg: pictures, other people's crops for each, faces with matrices."""
    picture = Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB")
    images = torch.from_numpy(np.array(picture)).float()[None] / 255
    crops, faces = crop_faces(images, detect_faces(networks, images), SIDE)
    return images, crops.roll(1, 0), forgetful(faces)


def originals_share(images, result, mask, shapes):
    """How much of the original is mixed into the result, over the oval: what the mask says, at every pixel."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in mask.shape[1:]), indexing="ij")
    return float((1 - mask[0])[shapes.field("oval", x, y) > 0].mean())


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("feather", [0.05, pytest.param(0.25, marks=pytest.mark.long), 0.5])
def test_no_feather_lets_a_tenth_of_the_original_through_as_anonymized(group, region, feather):
    images, crops, faces = group
    result, mask, report = replace_faces(images, crops, faces, PasteSettings(feather, region, fallback=KEEP))
    for entry, face in zip(report.entries, faces, strict=True):
        left = originals_share(images, result, mask, FaceShapes(face))
        if entry.action == "anonymized":
            assert left < 0.1 and entry.covered > LEAST
        else:
            assert (entry.action, entry.verdict) == ("kept", "kept") and left > 0.09
    limited = f"feather {feather:g} was limited to {MOST_FEATHER[region]:g}: with region {region}"
    assert [note[: len(limited)] for note in report.notes] == ([limited] if feather > MOST_FEATHER[region] else [])
    assert report.count().get("anonymized", 0) >= (1 if region == "box" else 5)


def test_the_share_is_that_of_the_mask(group):
    images, crops, faces = group
    _, mask = paste_faces(images, crops, faces, PasteSettings(feather=0.5))
    for face in faces:
        exact = 1 - originals_share(images, None, mask, FaceShapes(face))
        assert covered_share(mask[0], FaceShapes(face)) == pytest.approx(exact, abs=0.01)


def test_what_is_protected_or_kept_is_not_anonymized_and_is_covered(group):
    images, crops, faces = group
    everything = torch.ones(images.shape[:3])
    for protect, share in ((everything, 0.0), (everything / 2, 0.5)):
        result, mask, report = replace_faces(images, crops, faces, protect=protect)
        assert {(entry.action, entry.verdict) for entry in report.entries} == {("redacted", "kept")}
        assert all(entry.covered == pytest.approx(share, abs=0.01) for entry in report.entries)
        said = re.search(r"([0-9.]+)% of the face's oval was replaced, 90% is the least", report.to_text())
        assert said and float(said[1]) / 100 == pytest.approx(share, abs=0.01)
        for face in faces:
            assert originals_share(images, result, mask, FaceShapes(face)) < 0.1
    result, _, report = replace_faces(images, crops, faces, PasteSettings(keep_faces="2"), protect=everything)
    assert [entry.action for entry in report.entries][:3] == ["redacted", "kept by the user", "redacted"]
    x0, y0, x1, y1 = faces.faces[1].box.astype(int)
    assert torch.equal(result[0, y0:y1, x0:x1], images[0, y0:y1, x0:x1])
    whole = replace_faces(images, crops, faces, PasteSettings(keep=PARTS, fallback="mosaic"))[2]
    assert {face["cover"] for face in whole.to_dict()["faces"]} == {"mosaic"}
    assert "cover" not in report.to_dict()["faces"][1] and report.entries[0].cover == "solid"
    assert whole.notes[0].startswith("of every face that was pasted the original's eyes, nose, mouth stay")
    assert {(entry.action, entry.verdict) for entry in whole.entries} == {("redacted", "kept")}
    assert all(0.5 < entry.covered < 0.9 for entry in whole.entries)


def test_a_neighbours_crop_is_no_new_face():
    """Two faces a crop apart: what the right one's crop shows of the left face is the left face's original."""
    image = torch.rand((1, 120, 200, 3), generator=torch.Generator().manual_seed(1))
    boxes = ([40.0, 30, 90, 90], [95.0, 30, 145, 90])
    found = tuple(Face(0, np.array(box), 0.9, np.zeros((0, 2)), BOX_ONLY, "test") for box in boxes)
    coarse = torch.rand((2, 3, 9, 9), generator=torch.Generator().manual_seed(2))
    crops = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic").clamp(0, 1).movedim(1, -1)
    _, faces = crop_faces(image, Faces(1, 120, 200, found), 64)
    both = replace_faces(image, crops, faces, PasteSettings(fallback=KEEP))[2]
    assert [entry.action for entry in both.entries] == ["anonymized"] * 2
    assert min(entry.covered for entry in both.entries) > 0.97


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_without_margin_leaves_a_tenth(group, mode, shape):
    images, _, faces = group
    result, mask, report = cover_and_look(images, faces, RedactSettings(mode, shape, margin=0.0))
    assert report.count() == {"redacted": len(faces)} and {entry.cover for entry in report.entries} == {mode}
    for entry, face in zip(report.entries, faces, strict=True):
        assert originals_share(images, result, mask, FaceShapes(face)) < 0.1 and entry.covered >= 0.9
    if shape == "ellipse":
        assert "the ellipse with margin 0 covers 6" in report.to_text()
        assert "% of the face's oval, 90% is the least: the oval was covered too" in report.to_text()
        kept = cover_and_look(images, faces, RedactSettings(mode, shape, margin=0.0, keep_faces="1-5"))[2]
        assert {entry.action for entry in kept.entries} == {"kept by the user"}


def test_by_default_the_shapes_are_enough(group):
    images, _, faces = group
    for shape in SHAPES:
        report = cover_and_look(images, faces, RedactSettings(shape=shape))[2]
        assert {(entry.action, entry.reason) for entry in report.entries} == {("redacted", "")}


def test_the_detector_looks_at_what_was_painted_and_elsewhere(group, networks):
    images, crops, faces = group
    looks = Look(find=lambda picture, alone, painted: glance(networks, picture, alone, painted))
    texture = torch.nn.functional.interpolate(
        torch.rand((1, 3, 12, 12), generator=torch.Generator().manual_seed(0)), (SIDE, SIDE), mode="bicubic"
    )
    crops = crops.clone()
    crops[2] = texture[0].permute(1, 2, 0).clamp(0, 1)
    report = replace_faces(images, crops, faces, look=looks)[2]
    assert [entry.verdict for entry in report.entries] == ["", "", "no face found on it", "", ""]
    assert report.entries[2].action == "broken" and "0.3 is the least" in report.entries[2].reason
    assert report.to_text().startswith("4 faces anonymized, 1 face broken\nbroken: no face found on it: the detector's")
    assert report.elsewhere == ()
    three = Faces(1, faces.height, faces.width, faces.faces[:3])
    report = replace_faces(images, crops[[0, 1, 0]], three, look=looks)[2]
    assert len(report.elsewhere) == 2 and "2 faces elsewhere" in report.to_text()
    listed = Faces(1, faces.height, faces.width, faces.faces[:3], faces.faces[3:])
    assert replace_faces(images, crops[[0, 1, 0]], listed, look=looks)[2].elsewhere == ()


def test_a_covered_face_that_is_still_found_failed(group, networks):
    images, _, faces = group
    looks = Look("redacted", find=lambda picture, alone, painted: glance(networks, picture, alone, painted))
    report = cover_and_look(images, faces, look=looks)[2]
    assert report.count() == {"redacted": len(faces)} and report.elsewhere == ()
    first = Faces(1, faces.height, faces.width, faces.faces[:1])
    # a detector that sees a face wherever one was listed, whatever the picture shows
    looks = Look("redacted", find=lambda picture, alone, painted: glance(networks, images[0], alone, painted))
    (entry,) = cover_and_look(images, first, look=looks)[2].entries
    assert (entry.action, entry.verdict) == ("kept", "a face is found on it") and "below 0.5" in entry.reason
    (entry,) = cover_and_look(images, first, RedactSettings("mosaic"), look=looks)[2].entries
    assert (entry.action, entry.verdict) == ("redacted", "a face is found on it")


def test_a_share_below_the_least_does_not_read_like_it():
    words = [judge_coverage(share).why for share in (0.8999, 0.85)]
    assert words == [f"{share} of the face's oval was replaced, 90% is the least" for share in ("89.9%", "85.0%")]
    assert judge_coverage(0.9).why == "" and percent(1.0) == "100.0%" and percent(0.29) == "29.0%"


def test_numbers_that_nobody_has_are_told():
    faces = Faces(1, 9, 9, (Face(0, np.array([0.0, 0, 5, 5]), 0.9, np.zeros((0, 2)), BOX_ONLY, "test"),) * 3)
    assert note_on_numbers(faces, "1, 2-99, 3", "keep") == note_on_numbers(faces, "", "keep") == ()
    assert note_on_numbers(faces, "2, 99, 7-1000000000", "keep") == (
        "keep names no face by 99, 7: the numbers are 1 to 3",
    )
    assert note_on_numbers(Faces(1, 9, 9), "1", "keep") == ("keep names no face by 1: there is none",)


@pytest.mark.parametrize("box", [(215, 150, 270, 200), (180, 110, 235, 260)], ids=["the middle", "a half"])
def test_a_small_box_of_another_detector_leaves_nothing_open(group, networks, box):
    images, crops, _ = group
    find = lambda picture, alone, painted: glance(networks, picture, alone, painted)  # noqa: E731
    found = Face(0, np.array(box, float), 0.9, np.zeros((0, 2)), BOX_ONLY, "bounding_box")
    small = crop_faces(images, Faces(1, *images.shape[1:3], (found,)), SIDE)[1]
    whole = FaceShapes(Face(0, np.array([173.4, 106.2, 295.7, 261.1]), 0.9, np.zeros((0, 2)), BOX_ONLY, "centerface"))
    _, mask, report = cover_and_look(images, small, look=Look("redacted", find=find))
    assert report.entries[0].verdict == "covered as the detector sees it" and covered_share(mask[0], whole) > 0.9
    _, mask, report = replace_faces(images, crops[:1], small, PasteSettings(region="oval"), look=Look(find=find))
    assert (report.entries[0].action, report.entries[0].verdict) == ("redacted", "kept")
    assert "of the face that the detector sees there was replaced, 75% is the least" in report.entries[0].reason
    assert covered_share(mask[0], whole) > 0.9


def test_a_good_box_of_another_detector_passes(group, networks):
    images, crops, faces = group
    looks = Look(find=lambda picture, alone, painted: glance(networks, picture, alone, painted))
    found = tuple(dataclasses.replace(face, source="bounding_box") for face in faces.faces[:2])
    given = Faces(1, *images.shape[1:3], found)
    assert {entry.action for entry in replace_faces(images, crops[:2], given, look=looks)[2].entries} == {"anonymized"}
    covered = cover_and_look(images, given, look=dataclasses.replace(looks, action="redacted"))[2]
    assert {(entry.action, entry.reason) for entry in covered.entries} == {("redacted", "")}


def test_faces_that_stand_elsewhere_in_another_photo_of_the_scene_are_covered(group, networks):
    """A burst: the same picture to the fingerprint, the people half a face aside of where they were found."""
    images, crops, faces = group
    looks = Look(find=lambda picture, alone, painted: glance(networks, picture, alone, painted))
    one = Faces(1, faces.height, faces.width, faces.faces[:1])
    cut = crop_faces(images, one, SIDE)[1]  # which remembers what it was cut from
    aside = images.roll(62, 2)
    _, mask, report = replace_faces(aside, crops[:1], cut, PasteSettings(region="oval"), look=looks)
    (entry,) = report.entries
    assert (entry.action, entry.verdict) == ("redacted", "kept")
    assert re.search(r"it overlaps by 0\.3\d with where it was found, 0\.4 is the least: another picture", entry.reason)
    x0, y0, x1, y1 = one.faces[0].box + np.array([62, 0, 62, 0])
    there = Face(0, np.array([x0, y0, x1, y1]), 0.9, np.zeros((0, 2)), BOX_ONLY, "test")
    assert covered_share(mask[0], FaceShapes(there)) > 0.9
    # where it was painted over, or graded, it stands where it was
    for picture in (replace_faces(images, crops[:1], cut)[0], images**0.8):
        (entry,) = replace_faces(picture, crops[2:3], cut, look=looks)[2].entries
        assert (entry.action, entry.reason) == ("anonymized", "")


def test_a_covered_picture_is_looked_at_in_integers_alone(group, networks, monkeypatch):
    """Where they see nothing: an open face beside a covered one is seen, with the score of float32."""
    images, _, faces = group
    covered, *_ = cover_and_look(images, faces, RedactSettings(mode="solid"))
    exact, looks = glance_module.first_look, []
    monkeypatch.setattr(glance_module, "first_look", lambda *given: looks.append(given) or exact(*given))
    assert glance(networks, covered[0], faces, ()).scores == (0.0,) * len(faces) and not looks
    open_ = glance(networks, images[0], faces, ())
    assert min(open_.scores) > 0.5 and len(looks) == 1
    monkeypatch.setattr(glance_module, "sees_nothing", lambda *_: False)
    assert glance(networks, images[0], faces, ()).scores == open_.scores
    looks.clear()
    glance(networks, covered[0], faces, range(len(faces)))  # of painted ones, something is left
    assert looks
