"""Two steps on one picture or film: each counts faces from 1, and the report of both has no two under one name."""

import numpy as np
import pytest
from test_clip_people import (
    COUNT,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    TexturedEngine,
    face,
    machine_of,
    reader_of,
    write_film,
)
from test_recognition_verdict import reading

from face_anonymizer.modules.attempts.settings import AttemptSettings
from face_anonymizer.modules.attempts.studio import Proof
from face_anonymizer.modules.faces.notes import NOT_ONE_PERSON, Doubt
from face_anonymizer.modules.faces.outcomes import ANONYMIZED, FOUND, REDACTED
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.settings import SAME_NOISE, PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
from face_anonymizer.modules.proof.report import results_of_report
from face_anonymizer.modules.video.clip_jobs import Clip
from face_anonymizer.modules.video.files import WHOLE

ANEW = LEFT + np.array([3.0, -2, 2, 3])  # where a detector finds what was painted at the left
BOXES = [np.array([x, 0.0, x + 60, 60]) for x in (0, 100, 200, 300)]


def in_photo(*wanted, kept=()):
    """Faces 0 to 3 of a photo, as Select Faces gives the wanted ones."""

    def some(places):
        return tuple(Face(0, BOXES[i], 0.9, np.zeros((0, 2)), BOX_ONLY, "test") for i in places)

    return Faces(1, 60, 400, some(wanted), some(kept))


def in_clip(frames=range(2), **tracks):
    """Faces of two people, each under its number: left=0 or right=1; or kept_left=0, kept_right=1, anew=0."""
    places = {"left": LEFT, "right": RIGHT, "anew": ANEW, "kept_left": LEFT, "kept_right": RIGHT, "kept_anew": ANEW}
    found = {name: [face(frame, track, places[name]) for frame in frames] for name, track in tracks.items()}
    taken = [one for name, faces in found.items() if not name.startswith("kept") for one in faces]
    kept = [one for name, faces in found.items() if name.startswith("kept") for one in faces]
    return Faces(COUNT, HEIGHT, WIDTH, tuple(taken), tuple(kept))


def told(report):
    return [(row.face, row.action) for file in results_of_report(report.to_dict(), ()) for row in file.rows]


def test_chosen_faces_of_two_steps_have_numbers_of_their_own():
    first = report_faces(in_photo(2, kept=(0, 1, 3)), ANONYMIZED)
    assert told(first)[0] == ("face 1", "anonymized")
    both = report_faces(in_photo(0, 1, 3, kept=(2,)), REDACTED).after(first)
    assert dict(told(both)) == {f"face {n}": "redacted" for n in (1, 2, 3)} | {"face 4": "anonymized"}
    assert [entry.number for entry in both.entries if entry.action == ANONYMIZED] == [None], (
        "it was 1 of the first step"
    )
    seen = report_faces(in_photo(0, 1, 2, 3), FOUND).after(both)
    assert {entry.box[0]: entry.number for entry in seen.entries} == {0: 1, 100: 2, 200: 3, 300: 4}
    assert dict(told(seen))["face 3"] == "anonymized", "as Verify Faces, which got them all, counts them"


def test_notes_of_a_first_step_say_that_they_count_as_it_did():
    """Faces 2 and 3 are 1 and 2 of the first step, and two people in one of the second, which counts all."""
    first = report_faces(in_photo(1, 2, kept=(0, 3)), ANONYMIZED)
    keys = [(entry.image, entry.box) for entry in first.entries if entry.action == ANONYMIZED]
    words = "the results of faces 1 and 2 are one person: dlib's distance is 0.4"
    said = {"verdict": "same person", "reason": "as face 2: dlib's distance is 0.4", "recognisers": [], "drift": None}
    first = first.verified(in_photo(1), [said], [Doubt(words, NOT_ONE_PERSON, [0], keys[1:], keys[:1]), "plain"])
    again = report_faces(in_photo(1, 2, kept=(0, 3)), FOUND).after(first)
    assert again.notes == first.notes and again.entries == first.entries, "the same faces under the same numbers"
    both = report_faces(in_photo(0, 1, 2, 3), FOUND).after(first)
    earlier = " (counted as in an earlier step)"
    assert both.notes == (f"{words}{earlier}", "plain")
    assert both.notes[0].to_dict()["kind"] == NOT_ONE_PERSON and both.notes[0].faces == tuple(keys[1:])
    (reason,) = [entry.verification["reason"] for entry in both.entries if entry.verification]
    assert reason == f"as face 2: dlib's distance is 0.4{earlier}"
    more = both.verified(in_photo(), [], [Doubt("the results of faces 2 and 3 are one person: 0.4", NOT_ONE_PERSON)])
    last = report_faces(in_photo(3), REDACTED).after(more)
    assert [note.count(earlier) for note in last.notes] == [1, 0, 1], "told once, and of each step"


@pytest.mark.parametrize("chosen", ["left", "right"])
def test_who_is_kept_in_a_clip_has_the_number_of_the_preview(chosen):
    other = {"left": "kept_right", "right": "kept_left"}[chosen]
    tracks = {chosen: chosen == "right", other: chosen == "left"}
    names = {f"person {int(tracks[chosen]) + 1}": "anonymized", f"person {int(tracks[other]) + 1}": "kept"}
    rows = told(report_faces(in_clip(**{name: int(track) for name, track in tracks.items()}), ANONYMIZED))
    assert len(rows) == 2 and dict(rows) == names


def test_people_who_were_followed_anew_stay_the_ones_they_were():
    first = report_faces(in_clip(left=0, kept_right=1), ANONYMIZED)
    alone = report_faces(in_clip(right=0), REDACTED).after(first)
    assert sorted(told(alone)) == [("person 1", "redacted"), ("person 2", "anonymized")]
    both = report_faces(in_clip(right=0, kept_left=1), REDACTED).after(first)
    assert sorted(told(both)) == [("person 1", "redacted"), ("person 2", "anonymized")]
    some = report_faces(in_clip(range(1), left=4, right=5), REDACTED).after(first)
    assert {(entry.track, entry.number) for entry in some.entries} == {(4, 5), (5, 6), (5, None)}
    assert {entry.image for entry in some.entries if entry.track == 4} == {0, 1}, (
        "also in the frame that it did not see"
    )


def test_a_report_of_one_step_is_as_it_was_after_itself():
    first = report_faces(in_clip(left=0, kept_right=1), ANONYMIZED)
    again = report_faces(in_clip(left=0, kept_right=1), FOUND).after(first)
    assert again.entries == first.entries


def test_what_a_film_shows_painted_is_found_anew_as_one_person(tmp_path):
    """The one at the left is painted, the one at the right in a second step, which finds the first at another place and
    counts the other way round."""
    film = write_film(tmp_path / "film.mp4")
    read = reader_of({True: reading(), False: reading(4.0, 0.0)}, {True: reading(9, -1), False: reading(12, -1)})
    jobs = machine_of(read)

    def paint(clip, name, faces):
        return jobs.anonymize(
            *(clip, tmp_path / name, faces, TexturedEngine()),
            painting=PaintSettings(1.25, 7, SamplerSettings(steps=1)),
            pasting=PasteSettings(),
            identity=SAME_NOISE,
            proof=Proof(lambda *_: [], AttemptSettings(1)),
        )

    every = range(COUNT)
    once, first = paint(Clip(film, WHOLE), "once.mp4", in_clip(every, left=0, kept_right=1))
    for faces in (in_clip(every, right=0, kept_anew=1), in_clip(every, right=0)):
        clip = Clip(str(once), WHOLE, first)
        _, report = paint(clip, f"twice{len(faces.kept)}.mp4", faces)
        assert len(report.entries) == 2 * COUNT, "each is one in every frame"
        assert report.count() == {"anonymized": 2 * COUNT}, report.to_text()
        assert sorted(told(report)) == [("person 1", "anonymized"), ("person 2", "anonymized")]
        assert {entry.track for entry in report.entries if entry.box[0] < 50} == {1}
        assert {entry.verification["verdict"] for entry in report.entries} == {"stranger"}
