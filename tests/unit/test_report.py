"""Reports: what was found and what became of it."""

import dataclasses
import json

import numpy as np
import pytest

from face_anonymizer.modules.faces import notes
from face_anonymizer.modules.faces.notes import ANOTHER_PERSON, Doubt
from face_anonymizer.modules.faces.outcomes import ANONYMIZED, FOUND, KEPT, KEPT_BY_USER, REDACTED, Outcome, box_of
from face_anonymizer.modules.faces.report import Report, entries_elsewhere, join_reports, report_faces
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces


def face(image=0, left=10.0, **more) -> Face:
    return Face(image, np.array([left, 20, left + 50, 70.04]), 0.91234, np.zeros((0, 2)), BOX_ONLY, "test", **more)


def test_json_holds_what_the_schema_says():
    faces = Faces(3, 480, 640, (face(0), face(2, track=4)), kept=(face(0, 200.0),))
    report = json.loads(report_faces(faces, ANONYMIZED, seed=7, reasons={1: (REDACTED, "too small")}).to_json())
    assert report["schema"] == "face-anonymizer/report/1"
    assert (report["images"], report["height"], report["width"]) == (3, 480, 640)
    assert report["images_without_faces"] == [1]
    assert report["actions"] == {"anonymized": 1, "redacted": 1, "kept": 1}
    first, kept, second = report["faces"]
    assert first == {
        **{"image": 0, "box": [10.0, 20.0, 60.0, 70.0], "size": 50.0, "score": 0.912, "source": "test"},
        **{"track": None, "action": "anonymized", "seed": 7, "reason": ""},
        **{"number": 1, "verdict": "", "covered": None},
        **{"verification": None, "attempts": None, "degree": None},
    }
    assert kept["action"] == "kept" and kept["reason"] == "not selected" and kept["seed"] is None
    assert second["image"] == 2 and second["track"] == 4 and second["reason"] == "too small" and second["seed"] is None


def test_of_a_clip_persons_and_frames_are_counted():
    one = Faces(16, 480, 640, tuple(face(i, track=0) for i in range(16)))
    assert report_faces(one, ANONYMIZED).to_text().splitlines() == [
        "1 person anonymized in 16 frames",
        "not verified: no recogniser was asked about 16 painted faces",
    ]
    two = Faces(3, 480, 640, (face(0, track=0), face(0, 200.0, track=5), face(1, track=0)))
    assert report_faces(two, REDACTED).to_text().startswith("2 persons redacted in 2 frames\n1 of 3")
    mixed = Faces(2, 480, 640, (face(0, track=0), face(1)))
    assert report_faces(mixed, FOUND).to_text() == "2 faces found"


def test_seeds_are_those_of_the_sampler():
    tracked = Faces(2, 9, 9, (face(0, track=3), face(1, track=3)))
    single = Faces(1, 9, 9, (face(), face(left=100.0)))
    assert [entry.seed for entry in report_faces(tracked, ANONYMIZED, 2**64 - 1).entries] == [2, 2]
    assert [entry.seed for entry in report_faces(single, ANONYMIZED, 5).entries] == [5, 6]
    assert [entry.seed for entry in report_faces(single, REDACTED, 5).entries] == [None, None]


def test_a_later_step_speaks_for_what_it_did():
    chosen, other = face(), face(left=200.0)
    painted = report_faces(Faces(1, 9, 9, (chosen,), kept=(other,)), ANONYMIZED, 1)
    covered = report_faces(Faces(1, 9, 9, (other,), kept=(chosen,)), REDACTED)
    both = covered.after(painted)
    assert {entry.box[0]: entry.action for entry in both.entries} == {10.0: "anonymized", 200.0: "redacted"}
    assert covered.after(None) is covered
    with pytest.raises(ValueError, match=r"1 images of 9x9.*2 of 9x9"):
        report_faces(Faces(2, 9, 9), FOUND).after(painted)


def test_what_recognisers_said_of_a_painting_stays_told_when_it_is_covered():
    painted = report_faces(Faces(1, 9, 9, (face(),)), ANONYMIZED, 1)
    said = {"verdict": "same person", "reason": "distance 0.3"}
    entry = dataclasses.replace(painted.entries[0], verification=said, attempts=4, degree=1.5)
    painted = dataclasses.replace(painted, entries=(entry,), elsewhere=entries_elsewhere([face(left=300.0)]))
    (covered,) = report_faces(Faces(1, 9, 9, (face(),)), REDACTED).after(painted).entries
    assert (covered.action, covered.seed) == ("redacted", None)
    assert (covered.verification, covered.attempts, covered.degree) == (said, 4, 1.5)
    again = report_faces(Faces(1, 9, 9, (face(),)), ANONYMIZED, 2).after(painted)
    assert again.entries[0].verification is None and again.elsewhere == ()
    assert report_faces(Faces(1, 9, 9), REDACTED).after(painted).elsewhere == painted.elsewhere, "nobody looked again"


@pytest.mark.parametrize(
    ("said", "outcome", "told"),
    [
        ({"verdict": "same person"}, Outcome(REDACTED), True),
        ({"verdict": "failed"}, Outcome(REDACTED, "the oval too", "covered by the oval too"), True),
        ({"verdict": "stranger"}, Outcome(REDACTED), False),  # nobody refused it: it was covered later
        ({"verdict": "stranger"}, Outcome(REDACTED, "still the original: 0.99", "still the original"), False),
        ({"verdict": "same person"}, Outcome(REDACTED, "still the original: 0.99", "still the original"), False),
        ({"verdict": "same person", "of": "result"}, Outcome(REDACTED, cover="solid"), False),  # of another cover
    ],
)
def test_a_covered_face_is_told_the_story_of_what_was_refused_and_of_nothing_else(said, outcome, told):
    first = report_faces(Faces(1, 9, 9, (face(),)), REDACTED if "of" in said else ANONYMIZED, 1)
    first = dataclasses.replace(first, entries=(dataclasses.replace(first.entries[0], verification=said, attempts=3),))
    (entry,) = report_faces(Faces(1, 9, 9, (face(),)), ANONYMIZED, reasons={0: outcome}).after(first).entries
    assert (entry.verification, entry.attempts) == ((said, 3) if told else (None, None))
    assert (entry.reason, entry.cover) == (outcome.reason, outcome.cover)


def test_a_doubt_about_faces_ends_when_a_later_step_has_changed_them_all():
    one, other = face(), face(left=200.0)
    keys = [(0, box_of(each)) for each in (one, other)]
    doubt = Doubt("the result of face 1 is the person of face 2", ANOTHER_PERSON, (0,), keys)
    first = report_faces(Faces(1, 9, 9, (one, other)), ANONYMIZED, 1).noting(doubt, Doubt("x", "about no face"))

    def kinds(*faces, action=REDACTED):
        later = report_faces(Faces(1, 9, 9, faces), action).after(first)
        assert later.notes == first.notes
        return [note.kind for note in later.notes if isinstance(note, Doubt)]

    assert kinds(one) == kinds(one, other, action=FOUND) == [ANOTHER_PERSON, "about no face"]
    assert kinds(one, other) == ["about no face"]
    assert kinds(one, dataclasses.replace(other, box=other.box + 2.0)) == ["about no face"], "found anew"
    part = first.shifted(3, 9)
    assert next((note.kind, note.images, note.faces) for note in part.notes) == (ANOTHER_PERSON, (), ())


def test_a_face_whose_box_moved_a_little_is_one_row_whatever_was_done_to_it():
    """Another search of the very picture, or boxes that were steadied."""
    chosen, other = face(), face(left=200.0)
    first = report_faces(Faces(2, 480, 640, (chosen,), kept=(other,)), REDACTED)
    moved = [dataclasses.replace(one, box=one.box + 0.25) for one in (chosen, other)]
    again = Faces(2, 480, 640, (moved[0],), kept=(moved[1], face(1)))
    named = first.as_known(again)
    assert [box_of(one) for one in (*named, *named.kept)] == [box_of(one) for one in (chosen, other, face(1))]
    assert first.actions_of(named) == [REDACTED]
    said = {"verdict": "stranger"}
    verified = report_faces(named, FOUND).after(first).verified(named, [said])
    assert [entry.action for entry in verified.entries] == [REDACTED, KEPT, KEPT]
    assert verified.entries[0].verification == said | {"of": "result"}
    for action in (FOUND, KEPT):
        later = report_faces(again, action, reasons={0: Outcome(action, "why")}).after(first)
        assert [(entry.action, entry.box[0]) for entry in later.entries] == [
            (REDACTED, 10.0),
            (KEPT, 200.0),
            (KEPT, 10.0),
        ]
    # at the same place, and too far off for the same box: two; changed anew: one
    far = Faces(2, 480, 640, (dataclasses.replace(chosen, box=chosen.box + 4.0),))
    assert box_of(first.as_known(far).faces[0]) == box_of(far.faces[0])
    assert len(report_faces(far, FOUND).after(first).entries) == 3
    assert len(report_faces(far, REDACTED).after(first).entries) == 2
    # two at one place are two
    both = Faces(2, 480, 640, (moved[0], dataclasses.replace(chosen, box=chosen.box - 0.25)))
    assert len(report_faces(first.as_known(both), FOUND).after(first).entries) == 3


def test_what_a_later_step_merely_kept_keeps_its_outcome_but_for_a_better_reason():
    one, other = face(), face(left=200.0)
    both = Faces(1, 9, 9, (one, other))
    first = report_faces(both, ANONYMIZED, 1, {1: (KEPT, "not selected")})
    later = report_faces(both, REDACTED, reasons={i: Outcome(KEPT, "kept: 12 %", "kept", 0.12) for i in range(2)})
    merged = later.after(first)
    assert [(entry.action, entry.verdict) for entry in merged.entries] == [("anonymized", ""), ("kept", "kept")]
    assert report_faces(both, REDACTED).after(later).count() == {"redacted": 2}


def test_refusals_faces_elsewhere_and_notes_are_told():
    outcomes = {i: Outcome(REDACTED, f"still the original: it agrees by 0.9{i}", "still the original") for i in (1, 2)}
    outcomes[0] = Outcome(KEPT_BY_USER, "kept: 48 % was replaced, 90 % is the least", "kept", 0.4812)
    report = report_faces(Faces(1, 9, 9, (face(), face(), face())), ANONYMIZED, reasons=outcomes)
    report = dataclasses.replace(
        report, elsewhere=entries_elsewhere([face(left=300.0)]), notes=("feather was limited",)
    )
    assert report.to_text().splitlines() == [
        "2 faces redacted, 1 face kept by the user",
        "kept by the user: kept: 48 % was replaced, 90 % is the least (1, number 1)",
        "redacted: still the original, such as it agrees by 0.91 (2, number 2, 3)",
        "a face elsewhere, in the result and not in the list: it is as before",
        "feather was limited",
    ]
    found = json.loads(report.to_json())
    assert [(entry["verdict"], entry["covered"]) for entry in found["faces"]] == [
        ("kept", 0.481),
        *[("still the original", None)] * 2,
    ]
    assert found["elsewhere"] == [
        {"image": 0, "box": [300.0, 20.0, 350.0, 70.0], "size": 50.0, "score": 0.912, "source": "test"}
    ]
    assert found["notes"] == ["feather was limited"]
    joined = join_reports([report.shifted(2, 9)], 9, 9, 9)
    assert [entry.image for entry in joined.elsewhere] == [2] and joined.notes == report.notes


def test_text_for_people():
    assert Report(1, 9, 9).to_text() == "No face found: the picture is unchanged"
    assert Report(5, 9, 9).to_text() == "No face found: the pictures are unchanged"
    assert report_faces(Faces(1, 9, 9, (face(),)), FOUND).to_text() == "1 face found"
    mixed = report_faces(Faces(3, 9, 9, (face(), face(), face(1))), ANONYMIZED, reasons={0: (REDACTED, "not finite")})
    assert mixed.to_text().splitlines() == [
        "2 faces anonymized, 1 face redacted",
        "redacted: not finite (1)",
        "not verified: no recogniser was asked about 2 painted faces",
        "1 of 3 pictures without a face",
    ]
    known = mixed.verified(Faces(3, 9, 9, (face(),)), [{"verdict": "stranger"}])
    assert "recognisers say: 2 stranger" in known.to_text() and "asked about 1 painted face" in known.to_text()
    demo = mixed.noting("not verified: demo is a demonstration and paints drawn faces")
    assert demo.to_text().count("not verified") == 1


def test_parts_of_a_clip_are_one_report():
    whole = Faces(5, 9, 9, (face(0, track=1), face(3, track=0), face(4, track=1)))
    parts = []
    for start in (0, 2, 4):
        part = whole.window(start, min(start + 2, 5))
        parts.append(report_faces(part, REDACTED).shifted(start, 5))
    assert join_reports(parts, 5, 9, 9) == report_faces(whole, REDACTED)
    assert [f.image_index for f in whole.window(2, 4).shifted(2)] == [3] and whole.window(2, 4).shifted(
        2
    ).image_count == 4


def test_what_a_result_has_not_is_said_everywhere():
    half = Report(4, 9, 9, incomplete="4 of 24 frames", notes=("left out: subtitle track",))
    told = half.to_dict()
    assert (told["incomplete"], told["notes"]) == ("4 of 24 frames", ["left out: subtitle track"])
    assert "NOT WHOLE: 4 of 24 frames. Look at the result.\nleft out: subtitle track" in half.to_text()
    whole = Report(4, 9, 9).to_dict()
    assert "incomplete" not in whole and whole["notes"] == []
    later = Report(4, 9, 9, notes=("left out: subtitle track",)).after(half)
    assert (later.incomplete, later.notes) == (half.incomplete, half.notes)


def test_a_doubt_that_comes_a_second_time_stays_one():
    """In the same words, after a later step had settled the first."""
    one, other = (0, (1.0, 2.0, 3.0, 4.0)), (1, (5.0, 6.0, 7.0, 8.0))
    first = notes.Doubt("eyes stay", notes.PARTS_KEPT, [0], [one])
    (found,) = notes.joined(["eyes stay", first])
    assert isinstance(found, notes.Doubt) and found.kind == notes.PARTS_KEPT
    (found,) = notes.joined([first, "eyes stay", notes.Doubt("eyes stay", notes.PARTS_KEPT, [1], [other])])
    assert found.images == (0, 1) and found.faces == (one, other)
    assert isinstance(notes.settled([found], [one])[0], notes.Doubt)
    assert not isinstance(notes.settled([found], [one, other])[0], notes.Doubt)
    everywhere = notes.joined([first, notes.Doubt("eyes stay", notes.PARTS_KEPT), "other"])
    assert everywhere == ("eyes stay", "other") and everywhere[0].images == () and everywhere[0].faces == ()
