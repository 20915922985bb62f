"""Originals and results: who is still the same person, who is a stranger, and of whom nobody can say."""

import dataclasses
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter
from strangers import forgetful
from test_recognition_verdict import reading

from face_anonymizer.modules.evaluation.face_own import SharedReader
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.fingerprint import take_fingerprint
from face_anonymizer.modules.faces.outcomes import FOUND, REDACTED, SWAPPED
from face_anonymizer.modules.faces.paste import repaint
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.coverage import covered_share
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.masks import FaceShapes
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.paste.placement import placements_in
from face_anonymizer.modules.faces.paste.verdicts import Sight
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.settings import KEEP, PasteSettings, RedactSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, IBUG_68, Face, Faces
from face_anonymizer.modules.recognition.covers import open_share, through_share, uncovered
from face_anonymizer.modules.recognition.pairs import identity_judge, read_pairs
from face_anonymizer.modules.recognition.pixels import one_colour
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.recognition.settings import ReaderSettings
from face_anonymizer.modules.recognition.verdict import FAILED, NOT_MEASURABLE, SAME_PERSON, STRANGER, verify
from face_anonymizer.modules.recognition.verifying import Told, verify_faces

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

# of assets/astronaut.jpg, as the pack's detector finds them (test_detection.py holds that)
BOX = np.array([172.0, 52, 272, 178])
POINTS = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])
MIDDLE = np.array([223.0, 118.0])
FACES = Faces(1, 512, 512, (Face(0, BOX, 0.9, POINTS, FIVE_POINTS, "test"),))
SIDE = 192  # of the crops


def tensor(picture):
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


@pytest.fixture(scope="module")
def photo(request):
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture(scope="module")
def reader():
    return FaceReader()


@pytest.fixture(scope="module")
def original(reader, photo):
    return reader.read(tensor(photo), FACES)


@pytest.fixture(scope="module")
def people(request):
    """The drawn people of assets/synthetic_group.jpg: pictures, crops, faces with matrices."""
    images = tensor(Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg"))
    crops, faces = crop_faces(images, detect_faces(load_face_networks(), images), SIDE)
    return images, crops, forgetful(faces)


def jpeg(picture):
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=30)
    return Image.open(data)


def placed(right=0.0, down=0.0, scale=1.0, degrees=0.0, mirrored=False):
    """The face somewhere else in its place."""
    angle = np.deg2rad(degrees)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
    if mirrored:
        back = np.diag([-1.0, 1.0]) @ back
    shift = MIDDLE - back @ (MIDDLE + np.array([right, down]))
    matrix = (*back[0], shift[0], *back[1], shift[1])
    return lambda picture: picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def recoloured(picture):
    red, green, blue = picture.split()
    return Image.merge("RGB", (red.point(lambda v: v * 0.7), blue, green.point(lambda v: min(255, v * 1.2))))


SAME = {
    "as it was": lambda picture: picture,
    "jpeg 30": jpeg,
    "blur 2": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
    "recoloured": recoloured,
    "grey": lambda picture: picture.convert("L"),
    "64 pixels": lambda picture: picture.resize((292, 292), Image.Resampling.LANCZOS).resize((512, 512)),
    "mirrored": placed(mirrored=True),
    "mirrored elsewhere": placed(20, mirrored=True),
    "further down": placed(down=20),
    "turned": placed(degrees=30),
    "a closer crop": placed(scale=1.5),
    "a wider crop": placed(scale=0.7, down=-10),
}


@pytest.mark.parametrize("change", SAME)
def test_one_person_is_never_a_stranger(reader, photo, original, change):
    (pair,) = read_pairs(original, tensor(SAME[change](photo)), FACES, reader.read)
    assert pair.verification.verdict == SAME_PERSON, pair.verification.reason


def pasted(photo, crop):
    """Somebody else's crop in the photo, as nobody looks at it."""
    images = tensor(photo)
    _, faces = crop_faces(images, FACES, SIDE)
    return replace_faces(images, crop[None], faces, PasteSettings(keep_faces="1"))[0]


def test_other_people_are_never_taken_for_her_by_both(reader, photo, original, people):
    """Drawn faces, at that: one of the five is nearer to her than dlib's threshold, which was made for photographs."""
    verdicts = []
    for crop in people[1]:
        (pair,) = read_pairs(original, pasted(photo, crop), FACES, reader.read)
        assert not all(opinion.same for opinion in pair.verification.opinions), pair.verification.reason
        assert pair.verification.passed == (pair.verification.verdict == STRANGER)
        verdicts.append(pair.verification.verdict)
    assert verdicts.count(STRANGER) == 4, verdicts


def painted_over(photo, *box):
    picture = photo.copy()
    picture.paste((40, 40, 40), box)
    return picture


def test_what_cannot_be_measured_is_said_and_fails_only_where_it_could_be(reader, photo, original):
    hidden = tensor(painted_over(photo, 172, 80, 272, 120))
    (failed,) = read_pairs(original, hidden, FACES, reader.read)
    assert failed.verification.verdict == FAILED and "any more: covered" in failed.verification.reason
    (nothing,) = read_pairs(original, torch.full_like(hidden, torch.nan), FACES, reader.read)
    assert nothing.verification.verdict == FAILED and "no clear face" in nothing.verification.reason
    (unknown,) = read_pairs(reader.read(hidden, FACES), tensor(photo), FACES, reader.read)
    assert unknown.verification.verdict == NOT_MEASURABLE and unknown.verification.reason.startswith("covered")
    small = photo.resize((146, 146), Image.Resampling.LANCZOS)
    face = Face(0, BOX * 146 / 512, 0.9, (POINTS + 0.5) * 146 / 512 - 0.5, FIVE_POINTS, "test")
    tiny = Faces(1, 146, 146, (face,))
    (pair,) = read_pairs(reader.read(tensor(small), tiny), tensor(small), tiny, reader.read)
    assert pair.verification.verdict == NOT_MEASURABLE and "32 pixels, 40" in pair.verification.reason


# The judge of a paste


def test_half_a_blend_is_refused_by_the_look_and_by_the_recognisers(reader, photo, people):
    """Her, and twice half of her in another: the look at the detail refuses that, and so do the recognisers."""
    images = tensor(photo).repeat(3, 1, 1, 1)
    several = Faces(3, 512, 512, tuple(replace(FACES.faces[0], image_index=i) for i in range(3)))
    crops, faces = crop_faces(images, several, SIDE)
    crops = torch.stack([people[1][0], (crops[1] + people[1][0]) / 2, (crops[2] + people[1][0]) / 2])
    judge = identity_judge(reader.read)
    result, _, report = replace_faces(
        images, crops, faces, PasteSettings(keep_faces="3"), look=Look(SWAPPED, judges=(judge,))
    )
    assert [entry.action for entry in report.entries] == ["swapped", "redacted", "kept by the user"]
    assert [entry.verdict for entry in report.entries] == ["", "still the original", "still the original"]
    stranger = report.entries[0].verification
    assert stranger["verdict"] == "stranger" and [o["same"] for o in stranger["recognisers"]] == [False, False]
    assert set(stranger["drift"]) == {"pose", "gaze", "expression", "age", "man"}
    assert (result[1, 110, 220] == 0).all() and (result[2, 110, 220] > 0).any()
    assert "recognisers say: 1 stranger" in report.to_text()
    (placement,) = placements_in(2, images, crops, faces).values()
    (verdict,) = judge([Sight(placement, result[2])])
    assert verdict.word == SAME_PERSON and verdict.verification["verdict"] == "same person"
    assert "dlib's distance is 0.4" in verdict.why and "0.6 is the least" in verdict.why


def test_originals_are_read_once_and_what_did_not_change_is_not_read_again(people):
    """Two of a picture's faces refused: the picture is pasted again without them, the third is as it was."""
    images, crops, faces = people
    three = replace(faces, faces=faces.faces[::2])  # apart from each other
    calls = []

    def read(pictures, of):
        calls.append(len(of))
        strangers = [face.box[0] == faces.faces[0].box[0] and not torch.equal(pictures, images) for face in of]
        return [reading(0.9, 0.1) if stranger else reading() for stranger in strangers]

    look = Look(judges=(identity_judge(read),))
    report = replace_faces(images, crops.roll(1, 0)[::2], three, look=look)[2]
    assert [entry.verdict for entry in report.entries] == ["", "same person", "same person"]
    assert calls == [3, 3, 1], "originals, results, and the stranger upright by its landmarks"


def test_faces_too_small_to_measure_leave_marked_and_are_not_read_twice(people):
    images, crops, faces = people
    calls = []

    def read(pictures, of):
        calls.append(len(of))
        return [reading(reason="too small: 14 pixels, 40 are needed") for _ in of]

    report = replace_faces(images, crops.roll(1, 0), faces, look=Look(judges=(identity_judge(read),)))[2]
    assert report.count() == {"anonymized": len(faces)} and calls == [len(faces)]
    assert {entry.verification["verdict"] for entry in report.entries} == {NOT_MEASURABLE}
    assert f"recognisers say: {len(faces)} not measurable (number 1, 2, 3, 4, 5)" in report.to_text()


# Pictures before and after


def test_a_swap_by_accident_does_not_pass_and_is_noted_with_both_numbers(reader, people):
    images, crops, faces = people
    exchanged = crops[[1, 0, 2, 3, 4]]
    exchanged[2] = people[1][2].flip(1)  # upside down: nobody
    after = replace_faces(images, exchanged, faces, PasteSettings(fallback=KEEP, keep_faces="1-5"))[0]
    two = replace(faces, faces=faces.faces[:2], kept=faces.faces[2:3], fingerprint=take_fingerprint(images))
    found = verify_faces(images, after, two, reader.read)
    assert {one.verdict for one in found.verifications} == {SAME_PERSON} and found.failed == (0, 1)
    assert all("another face of these pictures" in one.reason for one in found.verifications)
    assert [note.split(":")[0] for note in found.notes] == [
        "the result of face 1 is the person of face 2",
        "the result of face 2 is the person of face 1",
    ]


def stand_in(befores, afters):
    """A reader of prepared readings, by the scores of faces: originals' in pictures of 0, results' in those of 1."""

    def read(pictures, of):
        values = [float(pictures[face.image_index].max()) for face in of]
        names = [(int(face.score * 10), value > 0.5) for face, value in zip(of, values, strict=True)]
        return [(afters if is_result else befores)[name] for name, is_result in names]

    return read


def clip(count, **more):
    """Pictures of zeros and of ones, and a face a picture whose score names it."""
    faces = tuple(
        Face(i, np.array([8.0, 8, 24, 24]), i / 10 + 0.01, np.zeros((0, 2)), BOX_ONLY, "test", **more)
        for i in range(count)
    )
    return torch.zeros(count, 32, 32, 3), torch.ones(count, 32, 32, 3), Faces(count, 32, 32, faces)


def test_a_track_stays_one_person_and_no_frame_passes_for_the_original():
    before, after, faces = clip(6, track=4)
    hidden = reading(reason="covered or blurred")
    originals = {i: reading(0.02 * i) for i in range(6)} | {3: hidden}
    stranger = reading(0.9, 0.1)
    results = {i: stranger for i in range(6)} | {1: reading(0.3, 0.1), 3: reading(0.1, 0.9), 4: reading(3.0, -0.9)}
    found = verify_faces(before, after, faces, stand_in(originals, results))
    assert [one.verdict for one in found.verifications] == [
        *(STRANGER, SAME_PERSON, STRANGER, SAME_PERSON, STRANGER, STRANGER),
    ]
    assert found.failed == (1, 3)
    assert found.verifications[3].reason.endswith("(its original in frame 3)"), "the middle one of those that show"
    assert "another person than in frame 1: dlib's distance is 2.100" in found.verifications[4].reason
    assert found.notes == (
        "person 5 passes for the original in 2 of 6 (frame 2, 4)",
        "person 5 is another person than in most frames in 1 of 6 (frame 5)",
    )


def test_a_result_that_is_somebody_of_other_frames_does_not_pass():
    """Two people, who are never in one frame; the second one alone leaves as a stranger."""
    before, after, faces = clip(4, track=0)
    later = (replace(one, track=int(one.image_index > 1)) for one in faces)
    faces = replace(faces, faces=tuple(later))
    other = reading(4.0, -0.9)
    originals = {0: reading(), 1: reading(), 2: other, 3: other}
    results = {0: reading(0.9, 0.1), 1: reading(4.1, -0.9), 2: reading(9.0, 0.2), 3: reading(9.0, 0.2)}
    found = verify_faces(before, after, faces, stand_in(originals, results))
    assert [one.verdict for one in found.verifications] == [STRANGER, SAME_PERSON, STRANGER, STRANGER]
    assert found.verifications[1].reason.startswith("as person 2 in other frames: dlib's distance is 0.1")
    assert any(note.startswith("the result of person 1 is person 2, who is in other frames") for note in found.notes)
    swapped = verify_faces(before, after, faces, stand_in(originals, results), told=Told(swapped=[1]))
    assert swapped.verifications[1].passed
    unselected = replace(faces, faces=faces.faces[:2], kept=faces.faces[2:])
    found = verify_faces(before, after, unselected, stand_in(originals, results))
    assert [one.verdict for one in found.verifications] == [STRANGER, SAME_PERSON]
    assert found.verifications[1].reason.startswith("as person 2 in other frames: dlib's distance is 0.1")
    untracked = replace(unselected, kept=tuple(replace(face, track=None) for face in unselected.kept))
    found = verify_faces(before, after, untracked, stand_in(originals, results))
    assert found.verifications[1].reason.startswith("as a face that was kept in other frames: dlib's distance is 0.1")


def test_a_face_that_shows_one_colour_is_covered_whoever_did_it(reader, photo):
    solid = painted_over(photo, 150, 30, 290, 200)
    noisy = np.array(solid).astype(float) + np.random.default_rng(0).normal(0, 1.5, (512, 512, 1))
    noisy = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    for picture, covered in ((solid, [0]), (noisy, [0]), (photo, []), (painted_over(photo, 172, 80, 272, 120), [])):
        assert one_colour(tensor(picture), FACES, tensor(photo)) == covered
    for dim in (photo.point(lambda value: value * 0.03), photo.point(lambda value: 242 + value * 0.05)):
        assert one_colour(tensor(dim), FACES, tensor(photo)) == []
    x0, y0, x1, y1 = FACES.faces[0].box
    for share, covered in ((0.93, [0]), (0.7, [])):  # of the box: a cover that lags behind in a film, and one too small
        x, y, wide, high = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * share / 2, (y1 - y0) * share / 2
        round_cover = photo.copy()
        ImageDraw.Draw(round_cover).ellipse((x - wide, y - high, x + wide, y + high), fill=(0, 0, 0))
        assert one_colour(tensor(round_cover), FACES, tensor(photo)) == covered, share
    blurred = photo.filter(ImageFilter.GaussianBlur(12))
    for picture in (blurred, photo.convert("L")):
        assert one_colour(tensor(picture), FACES, tensor(photo)) == []
    covered = one_colour(tensor(solid), FACES, tensor(photo))
    found = verify_faces(tensor(photo), tensor(solid), FACES, reader.read, told=Told(covered=covered))
    assert found.verifications == (None,) and found.with_covers() == ("1 face is covered",)


def test_what_was_covered_is_no_failure_and_swaps_to_one_person_are_no_accident():
    before, after, faces = clip(1)
    two = replace(faces, faces=(faces.faces[0], replace(faces.faces[0], score=0.11)))
    hidden, stranger = reading(reason="no clear face"), reading(0.9, 0.1)
    read = stand_in({0: reading(), 1: reading(1.9, -0.5)}, {0: hidden, 1: hidden})
    found = verify_faces(before, after, two, read, told=Told(covered=[1]))
    assert [one and one.verdict for one in found.verifications] == [FAILED, None] and found.failed == (0,)
    read = stand_in({0: reading(), 1: reading(1.9, -0.5)}, {0: stranger, 1: stranger})
    (note,) = verify_faces(before, after, two, read).notes
    assert note.startswith("the results of faces 1 and 2 are one person: dlib's distance is 0.000")
    assert verify_faces(before, after, two, read, told=Told(swapped=[0, 1])).notes == ()


def test_many_notes_are_cut():
    before, after, faces = clip(1)
    crowd = replace(faces, faces=tuple(replace(faces.faces[0], score=i / 10 + 0.01) for i in range(8)))
    read = stand_in({i: reading(5.0 + i, -0.9) for i in range(8)}, {i: reading(0.9, 0.1) for i in range(8)})
    notes = verify_faces(before, after, crowd, read).notes
    assert len(notes) == 13 and notes[-1] == "and 16 more like this"


def test_pictures_that_do_not_belong_together_and_no_face(photo):
    images = tensor(photo)
    known = replace(FACES, fingerprint=take_fingerprint(images))
    other = torch.rand((1, 512, 512, 3), generator=torch.Generator().manual_seed(0))
    for before, after, words in (
        (images, images[:, :256], "before is 1 images of 512x512 pixels, after 1 images of 512x256"),
        (images.repeat(2, 1, 1, 1), images, "before is 2 images of 512x512 pixels, after 1"),
        (other, images, "before: Picture 1 is not the one in which these faces were found"),
        (images, other, "after: Picture 1 is not the one"),
        (images[:, :256], images[:, :256], "before: The faces belong to 1 images of 512x512"),
    ):
        with pytest.raises(ValueError, match=words):
            verify_faces(before, after, known, read=None)
    none = verify_faces(images, images, replace(known, faces=()), read=None)
    assert none.verifications == () and none.notes == () and none.failed == ()


def test_a_report_is_enriched_and_keeps_what_stands_there():
    one, other = Face(0, np.array([1.04, 2, 30, 40]), 0.9, np.zeros((0, 2)), BOX_ONLY, "test"), clip(1)[2].faces[0]
    faces = Faces(1, 64, 64, (one, other))
    report = report_faces(faces, FOUND, reasons={1: (REDACTED, "too small")})
    assert report.actions_of(Faces(1, 64, 64, (other, replace(one, image_index=3)))) == [REDACTED, None]
    again = report.verified(faces, [{"verdict": "stranger"}, None], ("a note",))
    assert [entry.verification for entry in again.entries] == [{"verdict": "stranger"}, None]
    assert [entry.action for entry in again.entries] == ["found", "redacted"] and again.notes == ("a note",)
    assert again.verified(faces, [None, None]) == again
    assert dataclasses.replace(again, entries=report.entries, notes=()) == report


def test_a_face_that_was_found_anew_is_the_one_that_the_report_knows():
    two = (
        Face(0, np.array([1.0, 2, 30, 40]), 0.9, np.zeros((0, 2)), BOX_ONLY, "test"),
        Face(0, np.array([33.0, 2, 60, 40]), 0.9, np.zeros((0, 2)), BOX_ONLY, "test"),
    )
    faces = Faces(1, 64, 64, two)
    report = report_faces(faces, REDACTED)
    moved = replace(faces, faces=(replace(two[0], box=two[0].box + 0.25), two[1], replace(two[1], box=two[1].box + 20)))
    known = report.as_known(moved)
    assert [tuple(face.box) for face in known][:2] == [tuple(face.box) for face in two]
    assert report.actions_of(known) == [REDACTED, REDACTED, None]
    assert report_faces(known, FOUND).after(report).count() == {"redacted": 2, "found": 1}


def test_an_evaluation_looks_again_at_who_seems_a_stranger_as_verify_faces_does(photo):
    """The astronaut, found a sixth of a face too high: off the middle, dlib takes the face for another one."""
    shared, (face,) = SharedReader(FaceReader(ReaderSettings(faceres_same=0.98))), FACES.faces
    higher = replace(face, points=POINTS - (0, 15), box=BOX - (0, 15, 0, 15))
    pictures, faces = [np.array(photo)] * 3, [higher, None, face]
    originals = shared.read(pictures, [face] * 3)
    once = shared.read(pictures, faces)
    assert verify(originals[0], once[0], shared.settings).verdict == STRANGER
    found = shared.verify(originals, pictures, faces)
    assert [verification.verdict for verification in found] == [SAME_PERSON, FAILED, SAME_PERSON]
    unseen = shared.verify([None], pictures[:1], [face])
    assert unseen[0].verdict == NOT_MEASURABLE


def test_an_original_that_recognisers_do_not_know_is_no_stranger(reader, people):
    """Its negative, and originals of one batch in another order."""
    images, _, faces = people
    found = verify_faces(images, 1 - images, faces, reader.read)
    assert {one.verdict for one in found.verifications} <= {SAME_PERSON, FAILED, NOT_MEASURABLE}
    assert found.failed == tuple(range(len(faces)))


def test_a_paste_refuses_who_is_somebody_else_of_the_picture():
    """Readings as if each result were the other's original; the pixels are nobody's."""
    image = smooth(0, 128, 256)
    boxes = ([20.0, 20, 100, 110], [150.0, 20, 230, 110])
    found = tuple(Face(0, np.array(box), i / 10 + 0.01, np.zeros((0, 2)), BOX_ONLY, "t") for i, box in enumerate(boxes))
    faces = crop_faces(image, Faces(1, 128, 256, found), 96)[1]
    first, second = reading(), reading(1.9, -0.5)

    def read(pictures, of):
        shown = (second, first) if not torch.equal(pictures[0], image[0]) else (first, second)
        return [shown[int(face.score * 10)] for face in of]

    new = torch.cat([smooth(1, 96, 96), smooth(2, 96, 96)])
    for swap in (False, True):
        look = Look(judges=(identity_judge(read, swap=swap),), swap=swap)
        report = replace_faces(image, new, faces, PasteSettings(), look=look)[2]
        assert report.count() == ({"anonymized": 2} if swap else {"redacted": 2})
        assert all(("as another face of the picture" in entry.reason) != swap for entry in report.entries)

    def read_unclear(pictures, of):
        shown = (second, first) if not torch.equal(pictures[0], image[0]) else (reading(reason="no clear face"), second)
        return [shown[int(face.score * 10)] for face in of]

    look = Look(judges=(identity_judge(read_unclear),))
    entry = replace_faces(image, new, faces, PasteSettings(), look=look)[2].entries[0]
    assert entry.action == "redacted" and "as another face of the picture" in entry.reason
    given_up = torch.cat([new[:1], torch.full_like(new[:1], torch.nan)])
    unselected = replace(faces, faces=faces.faces[:1], kept=faces.faces[1:])
    for crops, of, more in ((given_up, faces, {}), (new, faces, {"keep_faces": "2"}), (new[:1], unselected, {})):
        if more:  # what the user keeps is the original itself
            crops = torch.cat([new[:1], crop_faces(image, faces, 96)[0][1:]])
        look = Look(judges=(identity_judge(read, among=of),))
        entry = replace_faces(image, crops, of, PasteSettings(**more), look=look)[2].entries[0]
        assert entry.action == "redacted" and "as another face of the picture" in entry.reason, of


def test_who_was_covered_or_painted_in_a_first_step_is_somebody_all_the_same():
    """The second face is covered first; then the first one is painted as that person, who is nowhere to be seen."""
    image, first, second = smooth(0, 128, 256), reading(), reading(1.9, -0.5)
    boxes = ([20.0, 20, 100, 110], [150.0, 20, 230, 110])
    faces = Faces(1, 128, 256, tuple(Face(0, np.array(b), 0.9, np.zeros((0, 2)), BOX_ONLY, "t") for b in boxes))
    left, right = (replace(faces, faces=faces.faces[i : i + 1], kept=faces.faces[1 - i : 2 - i]) for i in (0, 1))
    covered, _, report = cover_and_look(image, right)
    _, left = crop_faces(covered, left, 96)
    shows_second = smooth(1, 96, 96)

    def read(pictures, of):
        """By what is shown: the first face, a cover, a small picture that is remembered, or what was painted."""
        if pictures.shape[1] == pictures.shape[2]:
            return [second for _ in of]
        nothing = reading(reason="covered or blurred")
        as_it_was = [torch.equal(pictures[face.image_index], covered[0]) for face in of]
        sides = [face.box[0] < 128 for face in of]
        return [
            (first if was else second) if is_left else nothing for was, is_left in zip(as_it_was, sides, strict=True)
        ]

    for earlier, action in (((), "anonymized"), (report.traces, "redacted")):
        look = Look(judges=(identity_judge(read, among=left, earlier=earlier),))
        pasted, _, done = replace_faces(covered, shows_second, left, PasteSettings(), look=look)
        entry = next(entry for entry in done.entries if entry.action != "kept")
        assert entry.action == action, entry.reason
    assert entry.reason.startswith("same person: as a face that an earlier step changed: dlib's distance is 0.000")
    pasted = replace_faces(covered, shows_second, left, PasteSettings())[0]
    for earlier, passed in (((), True), (report.traces, False)):
        found = verify_faces(covered, pasted, left, read, told=Told(earlier=earlier))
        assert found.verifications[0].passed == passed, found.verifications[0].reason
    assert report.traces[0].original is not None and not {"original", "traces"} & report.to_dict().keys()


def test_a_second_pass_is_judged_as_a_first_one():
    """By what the face remembers of its original: read upright, too, and failed where nobody can be told any more."""
    image, first, stranger = smooth(0, 128, 256), reading(), reading(1.9, -0.5)
    box = np.array([20.0, 20, 100, 110])
    faces = Faces(1, 128, 256, (Face(0, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "t"),))
    _, cut = crop_faces(image, faces, 96)
    shown = {}

    def read(pictures, of):
        if pictures.shape[1] == pictures.shape[2] or torch.equal(pictures[0], image[0]):
            return [first for _ in of]
        return [shown["upright" if face.layout == IBUG_68 else "as it is"] for face in of]

    def painted(picture, seed, earlier, **results):
        shown.update(results)
        traces = earlier.traces if earlier is not None else ()
        look = Look(judges=(identity_judge(read, among=cut, earlier=traces),))
        pasted, _, report = replace_faces(
            picture, smooth(seed, 96, 96), cut, PasteSettings(), look=look, earlier=earlier
        )
        return pasted, report.continued(earlier, picture, pasted)

    pasted, once = painted(image, 1, None, **{"as it is": stranger, "upright": stranger})
    hidden = reading(reason="turned away: yaw 60 degrees")
    for number, (result, upright, action, why) in enumerate(
        (
            (stranger, stranger, "anonymized", ""),
            (stranger, first, "redacted", "same person: dlib's distance is 0.000"),
            (hidden, hidden, "redacted", "failed: cannot be measured any more: turned away"),
        )
    ):
        _, twice = painted(pasted, 2 + number, once, **{"as it is": result, "upright": upright})
        (entry,) = twice.entries
        assert entry.action == action and entry.reason.startswith(why), entry.reason
        assert entry.verification["verdict"] == ("stranger" if not why else why.split(":")[0])


@pytest.mark.parametrize(
    ("result", "verdict"), [((1.9, -0.5), STRANGER), ((1.9, 0.9), SAME_PERSON), ((0.1, -0.5), SAME_PERSON)]
)
def test_where_an_earlier_step_painted_the_first_original_counts(result, verdict):
    """Verify Faces as Paste Faces: one recogniser that knows it is enough, and the stranger himself may stay."""
    image = smooth(0, 128, 256)
    faces = Faces(1, 128, 256, (Face(0, np.array([20.0, 20, 100, 110]), 0.9, np.zeros((0, 2)), BOX_ONLY, "t"),))
    pasted, _, report = replace_faces(image, smooth(1, 96, 96), crop_faces(image, faces, 96)[1])
    report = report.continued(None, image, pasted)

    def read(pictures, of):
        is_remembered = pictures.shape[1] == pictures.shape[2]
        return [reading() if is_remembered else reading(*result) for _ in of]

    painted = repaint.painted_over(pasted, faces, report)
    assert painted.keys() == {0}
    found = verify_faces(pasted, pasted, faces, read, told=Told(earlier=report.traces, painted=painted))
    assert [one.verdict for one in found.verifications] == [verdict]
    untold = verify_faces(pasted, pasted, faces, read)
    assert [one.verdict for one in untold.verifications] == [SAME_PERSON]


def test_a_second_pass_over_a_face_too_small_to_be_read_says_so():
    image = smooth(0, 64, 64)
    faces = Faces(1, 64, 64, (Face(0, np.array([16.0, 16, 46, 50]), 0.9, np.zeros((0, 2)), BOX_ONLY, "t"),))
    _, cut = crop_faces(image, faces, 64)
    judge = identity_judge(lambda _, of: [reading(reason="too small") for _ in of], among=cut)
    pasted, _, once = replace_faces(image, smooth(1, 64, 64), cut, look=Look(judges=(judge,)))
    once = once.continued(None, image, pasted)
    _, _, twice = replace_faces(pasted, smooth(2, 64, 64), cut, look=Look(judges=(judge,)), earlier=once)
    assert [report.entries[0].verification["verdict"] for report in (once, twice)] == [NOT_MEASURABLE] * 2
    assert twice.entries[0].action == "anonymized"


@pytest.mark.parametrize("change", ["dim", "pale", "colours of one lightness"])
def test_a_face_that_is_dim_or_pale_is_no_cover(change, photo):
    before, faces = tensor(photo), FACES
    _, _, report = cover_and_look(before, faces)
    luma = before.mean(-1)
    red, blue = 0.5 + (luma - 0.5) * 0.8, torch.full_like(luma, 0.5)
    green = (0.5 - 0.299 * red - 0.114 * blue) / 0.587
    after = {
        "dim": before * 0.03,
        "pale": 0.96 + before * 0.03,
        "colours of one lightness": torch.stack([red, green, blue], -1).clamp(0, 1),
    }[change]
    seen = []

    def find(image, alone, rows):
        seen.append(rows)
        return SimpleNamespace(scores={row: 0.9 for row in rows})

    covered = set(range(len(faces)))
    assert uncovered(before, after, faces, covered, traces=report.traces, find=find).keys() == covered
    assert seen and not uncovered(before, torch.zeros_like(before), faces, covered, traces=report.traces, find=find)


@pytest.mark.parametrize("mode", ["solid", "mosaic", "blur"])
@pytest.mark.parametrize("graded", [(1.0, 0.0), (0.8, 0.1)])
def test_a_cover_of_which_more_than_a_tenth_is_open_is_no_cover(mode, graded, photo):
    """A strip of the face lies open beside its cover, at the left, as wide as a share of the box."""
    before, faces = tensor(photo), FACES
    covered, mask, report = cover_and_look(before, faces, RedactSettings(mode))
    (face,), (trace,), (gain, offset) = faces.faces, report.traces, graded
    x0, y0, x1, y1 = face.box.astype(int)

    def find(image, alone, rows):
        return SimpleNamespace(scores=dict.fromkeys(rows, 0.0))

    assert open_share(covered[0] * gain + offset, face, trace) == 0
    for share, open_to in ((0.1, 0.023), (0.15, 0.068), (0.3, 0.217), (0.4, 0.341)):
        after, left = covered.clone(), mask.clone()
        strip = (0, slice(y0, y1), slice(x0, x0 + round(share * (x1 - x0))))
        after[strip], left[strip] = before[strip], 0
        truth = 1 - covered_share(left[0], FaceShapes(face))
        assert truth == pytest.approx(open_to, abs=0.001)
        after = after * gain + offset
        # a bound: some pixels of a face are like their cover
        assert open_share(after[0], face, trace) <= truth + 0.002
        said = uncovered(before, after, faces, {0}, traces=report.traces, find=find)
        assert ("of its oval shows it as it was, 10% is the most" in said.get(0, "")) is (truth > 0.1), (share, said)


@pytest.mark.parametrize("mode", ["solid", "mosaic", "blur"])
@pytest.mark.parametrize("pattern", ["every fourth line", "dots"])
def test_a_cover_that_lets_a_face_through_everywhere_is_no_cover(mode, pattern, photo):
    before, faces = tensor(photo), FACES
    covered, _, report = cover_and_look(before, faces, RedactSettings(mode))
    (face,), (trace,) = faces.faces, report.traces
    rows, columns = torch.meshgrid(torch.arange(512), torch.arange(512), indexing="ij")
    shown = rows % 4 == 0 if pattern == "every fourth line" else (rows % 2 == 0) & (columns % 2 == 0)
    after = torch.where(shown[..., None], before, covered)

    def find(image, alone, rows):
        return SimpleNamespace(scores=dict.fromkeys(rows, 0.0))

    def saved(images):
        return tensor(jpeg(Image.fromarray((images[0] * 255).round().byte().numpy())))

    def told(images):
        return uncovered(before, images, faces, {0}, traces=report.traces, find=find)

    for opened in (after, saved(after)):
        assert 0.17 <= through_share(opened[0], face, trace) <= 0.3  # a quarter
        assert "of its oval shows it as it was, 10% is the most" in told(opened)[0]
    for whole in (covered, saved(covered), covered * 0.8 + 0.1, covered**0.6):
        assert through_share(whole[0], face, trace) <= 0.01
        assert not told(whole)


def smooth(seed, height, width):
    coarse = torch.rand((1, 3, height // 8, width // 8), generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return fine.clamp(0, 1).movedim(1, -1)


def test_many_faces_are_let_go_with_their_pictures(monkeypatch):
    """And each is still held against its own original, and those of the pictures around it."""
    before = torch.cat([smooth(seed, 96, 96) for seed in range(10)])
    boxes = np.array([18.0, 16, 78, 80])
    found = tuple(Face(i, boxes, i / 10 + 0.01, np.zeros((0, 2)), BOX_ONLY, "t") for i in range(10))
    faces, after = Faces(10, 96, 96, found), torch.cat([smooth(seed + 20, 96, 96) for seed in range(10)])
    after[3], after[8] = before[3], before[9]
    stranger = stand_in({i: reading() for i in range(10)}, {i: reading(0.9, 0.1) for i in range(10)})

    def read(pictures, of):  # by which side is read, not by how bright it is
        return stranger(
            torch.full_like(pictures, float(any(torch.equal(p, q) for p in pictures for q in after[[0, 4, 9]]))), of
        )

    for most in (400, 5):
        monkeypatch.setattr("face_anonymizer.modules.recognition.verifying._MOST_COMPARED", most)
        found = verify_faces(before, after, faces, read)
        assert found.failed == (3, 8), [one.reason for one in found.verifications]
