"""A film whose frames come one after the other: who must not be seen in it, and who has to stay one person."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from test_attempts import NumberEngine
from test_recognition_verdict import reading

from face_anonymizer.modules.attempts.settings import AttemptSettings
from face_anonymizer.modules.attempts.studio import Proof
from face_anonymizer.modules.faces.detect.glance import Glance
from face_anonymizer.modules.faces.notes import NOT_ONE_PERSON
from face_anonymizer.modules.faces.settings import SAME_NOISE, PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces, Painted
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
from face_anonymizer.modules.recognition import clip_people
from face_anonymizer.modules.recognition.clip_people import ClipPeople, meet
from face_anonymizer.modules.recognition.pairs import Pair
from face_anonymizer.modules.recognition.verdict import NOT_MEASURABLE, SAME_PERSON, STRANGER, verify
from face_anonymizer.modules.video.clip_jobs import Clip, ClipJobs, Machine
from face_anonymizer.modules.video.files import WHOLE

BOX = np.array([0.0, 0, 60, 60])
STRANGE = reading(0.9, 0.1)
HIDDEN = reading(reason="covered or blurred")


def face(frame=0, track=0, box=BOX, **more):
    return Face(frame, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test", track=track, **more)


def pair(before, after, again=None):
    return Pair(before, after, again, verify(before, after))


def met(*people):
    """ClipPeople of tracks 0, 1, ..., each with these originals."""
    found = ClipPeople()
    for track, originals in enumerate(people):
        for original in originals:
            found.learn(face(track=track), original)
    return found


def test_a_frame_does_not_pass_for_its_person_in_other_frames():
    """In this frame the original is turned away, or looks otherwise than it does most of the time."""
    people = met([reading(0.02 * i) for i in range(5)])
    for before in (HIDDEN, reading(-0.9, -1)):
        said = people.against(face(), pair(before, reading(0.1, 0.1)))
        assert said.verdict == SAME_PERSON and said.reason.startswith("like its other frames: dlib's distance is 0.0")
    assert people.against(face(), pair(HIDDEN, STRANGE)).verdict == NOT_MEASURABLE
    assert people.against(face(), pair(reading(), STRANGE)).verdict == STRANGER
    assert people.against(face(track=None), pair(HIDDEN, reading(0.1, 0.1))).verdict == NOT_MEASURABLE
    upright = people.against(face(), pair(reading(-0.9, -1), STRANGE, again=reading(0.1, 0.1)))
    assert upright.verdict == SAME_PERSON, "the second, upright reading counts too"


def test_against_a_single_other_frame_or_another_person_both_have_to_say_so():
    people = met([reading()] * 4 + [reading(2.0, 0.0)], [reading(4.0, -1)] * 3)
    own, other = reading(2.1, 0.0), reading(4.1, -1)
    assert people.against(face(), pair(reading(), own)).reason.startswith("like another frame of it: dlib's distance")
    assert people.against(face(), pair(reading(), other)).reason.startswith("like somebody else of the clip: dlib's")
    assert people.against(face(track=7), pair(reading(), other)).verdict == SAME_PERSON
    for alone in (reading(2.1, -1), reading(4.1, 0.0), reading(5.5, -1)):
        assert people.against(face(), pair(reading(), alone)).verdict == STRANGER
    small = face(box=np.array([0.0, 0, 30, 30]))
    assert people.against(small, pair(HIDDEN, own)).verdict == NOT_MEASURABLE, "pasted so small, nobody reads it"


def test_people_are_met_in_the_frames_of_a_clip_also_those_who_are_kept():
    other = reading(4.0, -1)
    chosen = tuple(face(frame) for frame in range(3))
    kept = tuple(face(frame, track=1) for frame in (3, 4))
    faces = Faces(5, 64, 64, chosen, kept)
    asked = []

    def read(pictures, of):
        frame = int(pictures[0, 0, 0, 0])
        asked.append(frame)
        return [reading() if frame < 3 else other for _ in of]

    frames = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 64, 64, 3)
    people = meet(frames, faces, read)
    assert sorted(asked) == [0, 1, 2, 3, 4], "each frame that shows a key face is read once"
    said = people.against(chosen[0], pair(reading(), reading(4.1, -1)))
    assert said.verdict == SAME_PERSON and said.reason.startswith("like somebody else of the clip: dlib's distance")


def test_who_was_changed_by_an_earlier_step_in_another_frame_is_somebody(monkeypatch):
    """Their frame shows a cover by now: the report of that step remembers whom it hid."""
    asked = []

    class Before:
        def __init__(self, traces, read, settings):
            self.traces = traces

        def of(self, image):
            asked.append(image)
            return [(face(image), reading(4.0, -1))]

    monkeypatch.setattr(clip_people, "EarlierPeople", Before)
    traces = [SimpleNamespace(image=frame, original=object()) for frame in (1, 2)]
    faces = Faces(3, 64, 64, (face(0),))
    people = meet(torch.zeros(3, 64, 64, 3), faces, lambda _, of: [reading() for _ in of], earlier=traces)
    said = people.against(faces.faces[0], pair(reading(), reading(4.1, -1)))
    assert sorted(asked) == [1, 2] and said.verdict == SAME_PERSON
    assert said.reason.startswith("like a face that an earlier step changed: dlib's distance")


def test_of_very_many_people_those_nearest_in_time_are_compared():
    """Of hundreds of strangers some look alike: in a long film every result would be like somebody's."""
    people = ClipPeople()
    for track in range(60):
        people.learn(face(frame=10 * track, track=track), reading(5.0 * track, -1 if track in (0, 50) else 0.0))
    near, far = reading(5.0 * 10 + 0.1, 0.0), reading(5.0 * 59 + 0.1, 0.0)
    own = reading(0.0, -1)
    assert people.against(face(track=0), pair(own, near)).verdict == SAME_PERSON
    assert people.against(face(track=0), pair(own, far)).verdict == STRANGER
    assert people.against(face(track=50), pair(own, far)).verdict == SAME_PERSON


def shown(people, frame, result, **more):
    digest = str(frame)
    people.saw(digest, result)
    people.saw("another attempt", reading(9.0))
    people.leave([(frame, face(painted=Painted(1, 1.25, 0, digest=digest), **more))])


@pytest.mark.parametrize("odd", [[0], [3], [7], [8, 40], [99]])
def test_a_track_stays_one_person_from_its_first_frame_to_its_last(odd):
    people = ClipPeople()
    for frame in range(100):
        if frame == 50:
            shown(people, frame, HIDDEN)
        else:
            shown(people, frame, reading(3.0, -0.9) if frame in odd else reading(0.004 * frame))
    (note,) = people.notes()
    assert note.kind == NOT_ONE_PERSON and list(note.images) == odd and [image for image, _ in note.faces] == odd
    named = ", ".join(str(frame + 1) for frame in odd)
    assert note == f"person 1 is another person than in the frames around in {len(odd)} of 99 (frame {named})"


def test_a_few_frames_are_judged_at_the_end_and_one_person_is_no_note():
    people = ClipPeople()
    for frame in range(3):
        shown(people, frame, reading(3.0 * (frame == 1), 1 - 1.5 * (frame == 1)))
    assert [note.images for note in people.notes()] == [(1,)]
    people = ClipPeople()
    for frame in range(30):
        shown(people, frame, reading(0.05 * frame, 0.7), track=frame % 2 or None)
    assert people.notes() == ()


def test_two_people_of_one_frame_that_became_one_are_noted():
    people = ClipPeople()
    painted = [Painted(1, 1.25, 0, digest=digest) for digest in "abc"]
    for digest, result in zip("abc", (reading(3.0), reading(3.1), reading(3.2)), strict=True):
        people.saw(digest, result)
    first, second, elsewhere = (face(track=track, painted=how) for track, how in enumerate(painted))
    people.leave([(0, first), (0, second), (1, elsewhere)])
    (note,) = people.notes()
    assert note.kind == NOT_ONE_PERSON and note.startswith("the results of persons 1 and 2 are one person: dlib's")


def test_memory_does_not_grow_with_the_frames():
    people = ClipPeople()
    for frame in range(400):
        shown(people, frame, reading(), box=BOX + frame % 7)
    (one,) = people._shown.values()
    assert len(one.sample) < 16 and not one.waiting and not people._new


# Through a file

HEIGHT, WIDTH, COUNT, SIDE = 64, 160, 9, 48
LEFT, RIGHT = np.array([10.0, 8, 60, 56]), np.array([100.0, 8, 150, 56])


class TexturedEngine(NumberEngine):
    """Paints a texture whose red tells whose face it is: 0.2 for the one at the left, which is bright, else 0.8."""

    resolution = SIDE

    def encode(self, images):
        return images[..., 0].mean((1, 2)).view(-1, 1, 1, 1)

    def decode(self, latents):
        coarse = torch.rand((1, 2, 6, 6), generator=torch.Generator().manual_seed(3))
        texture = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic").clamp(0, 1)[0].movedim(0, -1)
        reds = [0.2 if number > 0.5 + 0.5 else 0.8 for number in latents.view(-1, 3)[:, 0].tolist()]
        return torch.stack([torch.cat([torch.full((SIDE, SIDE, 1), red), texture], -1) for red in reds]).float()


def write_film(path, count=COUNT, paint=lambda picture, number: None):
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(25), options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        waves = generator.uniform(-12, 12, (8, 20)).repeat(8, 0).repeat(8, 1)
        levels = np.where(np.arange(WIDTH) < WIDTH // 2, 200, 50) + waves
        for number in range(count):
            picture = np.repeat(levels.astype(np.uint8)[..., None], 3, 2)
            paint(picture, number)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())
    return str(path)


def reader_of(originals, results):
    """Readings by what is seen: bright is the original at the left, dark at the right; painted ones by their red."""

    def read(pictures, faces):
        found = []
        for one in faces:
            picture = pictures[one.image_index]
            x0, y0, x1, y1 = (int(edge) for edge in one.box)
            inside = picture[max(y0, 0) + 8 : y1 - 8, max(x0, 0) + 8 : x1 - 8]
            red, green = float(inside[..., 0].mean()), inside[..., 1]
            is_painted = float((inside[..., 0] - green).abs().mean()) > 0.05
            found.append((results if is_painted else originals)[red < 0.5 if is_painted else red > 0.5])
        return found

    return read


def machine_of(read):
    def find(picture, faces, painted):
        return Glance((1.0,) * len(faces), ())

    return ClipJobs(Machine(lambda *_: None, lambda: find, lambda: read, lambda: None))


@pytest.mark.parametrize("region", ["crop", "oval"])
def test_a_result_that_is_somebody_else_of_the_film_is_covered(tmp_path, region):
    """The results at the left look like the original at the right, whom each frame by itself does not know."""
    film = write_film(tmp_path / "film.mp4")
    # never in one frame together
    where = [(frame, int(frame == 8), RIGHT if frame == 8 else LEFT) for frame in range(COUNT)]
    faces = Faces(COUNT, HEIGHT, WIDTH, tuple(face(*one) for one in where))
    read = reader_of({True: reading(), False: reading(4.0, 0.0)}, {True: reading(4.1, 0.0), False: reading(9, -1)})

    _, report = machine_of(read).anonymize(
        *(Clip(film, WHOLE), tmp_path / "out.mp4", faces, TexturedEngine()),
        painting=PaintSettings(1.25, 7, SamplerSettings(steps=1)),
        pasting=PasteSettings(region=region),
        identity=SAME_NOISE,
        proof=Proof(lambda *_: pytest.fail("who else is in the film is not known to this one"), AttemptSettings(1)),
    )
    by_track = {0: set(), 1: set()}
    for entry in report.entries:
        by_track[entry.track].add((entry.action, entry.reason.split(": dlib's")[0]))
    words = "same person: like somebody else of the clip"
    assert by_track[0] == {("redacted", words)}, report.to_text()
    assert {action for action, _ in by_track[1]} == {"anonymized"}, report.to_text()


def test_the_finished_frame_is_judged_and_not_the_crop_alone(tmp_path):
    """In the frame, where the face is smaller, recognisers take it for the original."""
    film = write_film(tmp_path / "film.mp4")
    faces = Faces(COUNT, HEIGHT, WIDTH, tuple(face(frame, 0, LEFT) for frame in range(COUNT)))
    in_crops = reader_of({True: reading()}, {True: reading(9, -1)})
    in_frames = reader_of({True: reading()}, {True: reading(0.3, -1)})

    def read(pictures, of):
        return (in_crops if pictures.shape[1] == pictures.shape[2] else in_frames)(pictures, of)

    _, report = machine_of(read).anonymize(
        *(Clip(film, WHOLE), tmp_path / "out.mp4", faces, TexturedEngine()),
        painting=PaintSettings(1.25, 7, SamplerSettings(steps=1)),
        pasting=PasteSettings(),
        identity=SAME_NOISE,
        proof=Proof(lambda *_: [], AttemptSettings(1)),
    )
    assert report.count() == {"redacted": COUNT} and {entry.verdict for entry in report.entries} == {SAME_PERSON}


def test_a_written_film_is_verified_against_its_original(tmp_path):
    """The one at the left is a stranger but in frame 4, the one at the right the original throughout."""

    def paint(picture, number):
        generator = np.random.default_rng(1 + (number == 3))
        texture = generator.uniform(0, 255, (4, 4, 3)).repeat(12, 0).repeat(12, 1)
        texture[..., 0] = 200 if number == 3 else 50
        picture[8:56, 10:58] = texture

    film, result = write_film(tmp_path / "film.mp4"), write_film(tmp_path / "result.mp4", paint=paint)
    where = [(frame, track, (LEFT, RIGHT)[track]) for frame in range(COUNT) for track in (0, 1)]
    faces = Faces(COUNT, HEIGHT, WIDTH, tuple(face(*one) for one in where))
    read = reader_of({True: reading(), False: reading(4.0, 0.0)}, {True: reading(9, -1), False: reading(12, 0.2)})
    done = []
    clips = Clip(film, WHOLE), Clip(result, WHOLE)
    report = machine_of(read).verify(*clips, faces, lambda *at: done.append(at))
    left = [entry.verification["verdict"] for entry in report.entries if entry.track == 0]
    right = {entry.verification["verdict"] for entry in report.entries if entry.track == 1}
    assert left == [STRANGER] * COUNT and right == {SAME_PERSON} and done[-1] == (COUNT, COUNT)
    assert sorted(report.notes) == [
        "person 1 is another person than in the frames around in 1 of 9 (frame 4)",
        f"person 2 passes for the original in 9 of 9 (frame {', '.join(str(i + 1) for i in range(COUNT))})",
    ]
    short = Clip(write_film(tmp_path / "short.mp4", 7), WHOLE)
    with pytest.raises(ValueError, match="The original has 9 frames of 160x64 pixels, the result 7 frames"):
        machine_of(read).verify(clips[0], short, faces, lambda *at: None)
