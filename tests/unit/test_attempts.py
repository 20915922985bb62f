"""The loop of painting and looking, with an engine of plain numbers and recognisers that know them. No ComfyUI here."""

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from face_anonymizer.modules.attempts.loop import Sitter
from face_anonymizer.modules.attempts.people import KEY_FRAMES, choose_for_people
from face_anonymizer.modules.attempts.schedule import attempt_seed, fixed_schedule
from face_anonymizer.modules.attempts.settings import (
    ALL_TRAITS,
    DEGREES,
    EXPRESSION_POSE,
    LEAST,
    AttemptSettings,
)
from face_anonymizer.modules.attempts.studio import Proof, Studio
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.settings import PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.modules.model.painting import anonymize_crops
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
from face_anonymizer.modules.model.states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates
from face_anonymizer.modules.recognition.reading import Difference
from face_anonymizer.modules.recognition.verdict import (
    FAILED,
    NOT_MEASURABLE,
    SAME_PERSON,
    STRANGER,
    Verification,
    opinions,
)

SIDE = 2
ONE_STEP = SamplerSettings(steps=1)
UNSEEN = Difference(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def chance(seed: int) -> float:
    """0..1, of a seed alone."""
    return int.from_bytes(hashlib.sha256(str(seed % 2**64).encode()).digest()[:4], "big") / 2**32


class NumberEngine:
    """Encodes a crop as the number in it and paints that number again, in a share of attempts, or another one.

    What it paints has three channels: the number, the degree and the chance of its seed.
    """

    resolution = SIDE

    def __init__(self, share: float = 0.0):
        self.share = share
        self.encoded = 0
        self.read = Counter()  # role -> references that were read
        self.painted: list[tuple[float, int, float]] = []  # number, seed, degree of every crop that was painted
        self.runs: list[int] = []

    def encode(self, images):
        self.encoded += len(images)
        return images[:, :1, :1, 0].unsqueeze(1)

    def embed(self, images):
        return ImageEmbeds(torch.ones(len(images), 1, 1))

    def source_states(self, latents, embeds):
        return self._states(SOURCE, latents, embeds)

    def driving_states(self, latents, embeds):
        return self._states(DRIVING, latents, embeds)

    def _states(self, role, latents, embeds):
        self.read[role] += len(latents)
        conditional = {"layer": latents.flatten(1).unsqueeze(2)}
        unconditional = {"layer": torch.zeros(1, 1, 1)} if role == SOURCE else {}
        size = (latents.shape[2], latents.shape[3])
        return ReferenceStates(role, conditional, unconditional, {"layer": "layer"}, size, 0.0, embeds.degree)

    def sample(self, references, seeds, sampler, on_step=None):
        faces = references.check("", 1)
        numbers = references.driving_states.conditional["layer"].flatten().tolist()
        degree = references.source_embeds.degree
        assert faces == len(seeds) == len(numbers)
        self.runs.append(faces)
        self.painted += [(number, seed % 2**64, degree) for number, seed in zip(numbers, seeds, strict=True)]
        for step in range(sampler.steps):
            on_step(step, None, None, sampler.steps)
        rows = [
            (number if chance(seed) < self.share else number + 0.5, degree, chance(seed))
            for number, seed in zip(numbers, seeds, strict=True)
        ]
        return torch.tensor(rows, dtype=torch.float64)

    def decode(self, latents):
        return latents.view(-1, 1, 1, 3).expand(-1, SIDE, SIDE, -1)

    def progress(self, settings, runs, faces):
        return CountedProgress(runs)


class CountedProgress:
    def __init__(self, expected=0, stop_at=None):
        self.expected, self.runs, self.stop_at = expected, 0, stop_at

    def add_runs(self, count):
        self.expected += count

    def start_run(self, faces, again=False):
        if self.runs == self.stop_at:
            raise KeyboardInterrupt
        self.runs += 1

    def step(self, step, denoised, x, steps):
        pass


def by_number(originals, results, faces):
    """One person where the number is the original's; nothing to say of faces under 40 pixels."""
    said = []
    for original, result, face in zip(originals, results, faces, strict=True):
        if face.size < 40:
            said.append(Verification(NOT_MEASURABLE, f"too small: {face.size:.0f} pixels, 40 are needed"))
        else:
            is_same = float(original[0, 0, 0]) == float(result[0, 0, 0])
            difference = replace(UNSEEN, dlib=0.2 if is_same else 0.9, faceres=0.9 if is_same else 0.2)
            verdict = SAME_PERSON if is_same else STRANGER
            said.append(Verification(verdict, f"dlib's {difference.dlib}", difference, opinions(difference)))
    return said


def crops_of(numbers) -> torch.Tensor:
    return torch.tensor(list(numbers), dtype=torch.float64).view(-1, 1, 1, 1).expand(-1, SIDE, SIDE, 3)


def faces_of(sizes, tracks=None, images=None) -> Faces:
    tracks = tracks or [None] * len(sizes)
    found = tuple(
        Face(
            *(0 if images is None else images[i], np.array([0.0, 0, size, size]), 0.9),
            *(np.zeros((0, 2)), BOX_ONLY, "test"),
            track=tracks[i],
        )
        for i, size in enumerate(sizes)
    )
    return Faces(1 if images is None else max(images) + 1, 100, 100, found)


def studio_of(engine, painting, recognise=by_number, progress=None, keep="", **settings) -> Studio:
    proof = Proof(recognise, AttemptSettings(**settings), keep)
    return Studio(engine, painting, proof, progress or CountedProgress())


def test_attempts_are_the_next_seeds_and_then_higher_degrees():
    degrees = {n: [attempt.degree for attempt in fixed_schedule(7, 1.25, n)] for n in (1, 2, 3, 4, 7)}
    assert degrees[1] == [1.25] and degrees[2] == [1.25, 1.5] and degrees[3] == [1.25, 1.25, 1.5]
    assert degrees[4] == [1.25, 1.25, 1.375, 1.5] and degrees[7] == pytest.approx([*[1.25] * 4, 4 / 3, 17 / 12, 1.5])
    for degree in (1.5, 2.0):
        assert {attempt.degree for attempt in fixed_schedule(0, degree, 4)} == {degree}
    assert {attempt.degree for attempt in fixed_schedule(0, 0.0, 4, swaps=True)} == {0.0}, "a swap's source stays"
    seeds = [attempt.seed for attempt in fixed_schedule(7, 1.25, 4)]
    assert seeds == [attempt_seed(7, number) for number in range(4)] and seeds[0] == 7
    # torch's generator on the CPU is made of the lower half alone
    near = {attempt_seed(seed, number) % 2**32 for seed in range(3000) for number in range(8)}
    assert len(near) == 3000 * 8, "no attempt has the noise of another face"


SHARE, COUNT = 0.4, 1000


@pytest.fixture(scope="module")
def crowd():
    """1,000 faces, of which two in five paintings show the original."""
    engine, painting = NumberEngine(SHARE), PaintSettings(1.25, 7, ONE_STEP, faces_at_once=8)
    crops, faces = crops_of(range(COUNT)), faces_of([60.0] * COUNT)
    progress = CountedProgress(COUNT // 8)
    painted, told = studio_of(engine, painting, progress=progress).paint_faces(crops, faces)
    return engine, progress, painted, told


def expected_attempts(seed: int, attempts: int = 4) -> tuple[int, bool]:
    """How often a face is painted, and whether the last of it passes."""
    for number in range(attempts):
        if chance(attempt_seed(seed, number)) >= SHARE:
            return number + 1, True
    return attempts, False


def test_nothing_unverified_leaves(crowd):
    _, _, painted, told = crowd
    left = 0
    for i, (crop, face) in enumerate(zip(painted, told, strict=True)):
        count, passes = expected_attempts(7 + i)
        how = face.painted
        assert how.attempts == count and (how.verification["verdict"] == STRANGER) == passes == (not how.refused)
        if passes:
            assert crop.isfinite().all() and float(crop[0, 0, 0]) != i
            assert how.seed == attempt_seed(7 + i, count - 1)
            left += 1
        else:
            assert crop.isnan().all() and how.refused.endswith("after 4 attempts") and "0.2" in how.refused
    assert left == sum(expected_attempts(7 + i)[1] for i in range(COUNT)) and 950 < left < COUNT


def test_a_batch_costs_its_faces_and_the_failures(crowd):
    engine, progress, _, told = crowd
    assert engine.encoded == COUNT, "each is encoded once, as source and driving image"
    raised = sum(degree != 1.25 for _, _, degree in engine.painted)
    assert raised and engine.read == {DRIVING: COUNT, SOURCE: COUNT + raised}, "once, and the source anew by degree"
    assert len(engine.painted) == sum(face.painted.attempts for face in told)
    assert len(engine.painted) == sum(expected_attempts(7 + i)[0] for i in range(COUNT))
    assert len(set(engine.painted)) == len(engine.painted), "nothing is painted twice"
    assert progress.expected == progress.runs == len(engine.runs) and max(engine.runs) == 8


def test_results_do_not_depend_on_batch_order_or_neighbours(crowd):
    _, _, painted, told = crowd
    chosen = [0, 1, 2, 3, 500, *range(900, 930)]
    for i in chosen[:8]:  # alone
        alone, face = studio_of(NumberEngine(SHARE), PaintSettings(1.25, 7 + i, ONE_STEP)).paint_faces(
            crops_of([i]), faces_of([60.0])
        )
        assert torch.equal(alone[0].nan_to_num(-1), painted[i].nan_to_num(-1))
        assert face.faces[0].painted == told.faces[i].painted
    for order, at_once in ((chosen[::-1], 3), (sorted(chosen, key=chance), 16)):
        studio = studio_of(NumberEngine(SHARE), PaintSettings(1.25, 0, ONE_STEP))
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            sitters = [Sitter((row,), 7 + i) for row, i in enumerate(part)]
            for i, one in zip(part, studio.attend(crops_of(part), [told.faces[i] for i in part], sitters), strict=True):
                assert (one.attempt.seed, one.painted) == (told.faces[i].painted.seed, told.faces[i].painted.attempts)
                assert not one.passed or torch.equal(one.crops[0], painted[i])


def test_faces_that_all_pass_are_painted_as_without_recognisers():
    crops, painting = crops_of(range(5)), PaintSettings(1.25, 3, ONE_STEP, faces_at_once=2)
    plain, proven = NumberEngine(), NumberEngine()
    expected = anonymize_crops(plain, crops, range(5), painting)
    painted, told = studio_of(proven, painting).paint_faces(crops, faces_of([60.0] * 5))
    assert torch.equal(painted, expected) and proven.painted == plain.painted and proven.runs == plain.runs == [2, 2, 1]
    assert [face.painted.seed for face in told] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("mode", ["fixed", LEAST])
def test_a_crowd_too_small_to_measure_is_painted_once_and_not_blocked(mode):
    sizes = [12 + i % 9 for i in range(40)]
    engine = NumberEngine(1.0)
    studio = studio_of(engine, PaintSettings(1.25, 0, ONE_STEP), degree_mode=mode, traits=ALL_TRAITS)
    painted, told = studio.paint_faces(crops_of(range(40)), faces_of(sizes))
    assert len(engine.painted) == 40 and painted.isfinite().all()
    assert {degree for _, _, degree in engine.painted} == {1.25}
    for face in told:
        assert (face.painted.attempts, face.painted.refused) == (1, "")
        assert face.painted.verification["verdict"] == NOT_MEASURABLE


def test_a_face_is_kept_by_its_number_whatever_is_seen():
    engine = NumberEngine(1.0)
    studio = studio_of(engine, PaintSettings(1.25, 0, ONE_STEP), keep="2")
    painted, told = studio.paint_faces(crops_of(range(3)), faces_of([60.0] * 3))
    assert [bool(crop.isnan().any()) for crop in painted] == [True, False, True]
    assert [face.painted.kept for face in told] == [False, True, False] and all(face.painted.refused for face in told)


def test_a_result_that_cannot_be_measured_is_painted_again():
    def blind(originals, results, faces):
        said = by_number(originals, results, faces)
        seen = [float(result[0, 0, 2]) > 0.5 for result in results]
        return [one if ok else Verification(FAILED, "no clear face") for one, ok in zip(said, seen, strict=True)]

    engine = NumberEngine()
    painted, told = studio_of(engine, PaintSettings(1.25, 0, ONE_STEP), blind, attempts=8).paint_faces(
        crops_of(range(20)), faces_of([60.0] * 20)
    )
    assert painted.isfinite().all() and (painted[:, 0, 0, 2] > 0.5).all()
    assert any(face.painted.attempts > 1 for face in told)


def by_degree(needed):
    """Strangers from a degree of their own on, by needed[number] -> {degree: dlib's distance}; 0.9 without a word."""

    def recognise(originals, results, faces):
        said = []
        for original, result in zip(originals, results, strict=True):
            distance = needed.get(int(original[0, 0, 0]), {}).get(float(result[0, 0, 1]), 0.9)
            difference = replace(UNSEEN, dlib=distance, faceres=0.2)
            verdict = STRANGER if distance >= 0.6 else SAME_PERSON
            said.append(Verification(verdict, "", difference, opinions(difference)))
        return said

    return recognise


def test_auto_is_the_smallest_degree_that_is_enough_with_the_same_noise():
    near = {
        0: {0.5: 0.3, 0.625: 0.4},  # a stranger from 0.75 on
        1: {degree: 0.65 for degree in DEGREES[:4]},  # a stranger at once, but not by the margin of 0.1
        2: {0.5: 0.75, 0.625: 0.2},  # not evenly
        3: {0.5: 0.7},  # by just the margin
    }
    engine = NumberEngine()
    studio = studio_of(engine, PaintSettings(1.25, 40, ONE_STEP), by_degree(near), degree_mode=LEAST)
    painted, told = studio.paint_faces(crops_of(range(4)), faces_of([60.0] * 4))
    assert [face.painted.degree for face in told] == [0.75, 1.0, 0.5, 0.5]
    assert [face.painted.attempts for face in told] == [3, 5, 1, 1] and painted.isfinite().all()
    assert {(number, seed) for number, seed, _ in engine.painted} == {(i, 40 + i) for i in range(4)}, "one noise each"
    assert engine.encoded == 4


def test_auto_without_a_degree_that_is_enough_goes_on_with_the_next_seeds():
    never = {degree: 0.3 for degree in DEGREES}
    barely = never | {0.75: 0.65, 1.0: 0.69996}
    engine = NumberEngine()
    studio = studio_of(engine, PaintSettings(1.25, 40, ONE_STEP), by_degree({0: never, 1: barely}), degree_mode=LEAST)
    painted, told = studio.paint_faces(crops_of(range(2)), faces_of([60.0] * 2))
    assert [face.painted.attempts for face in told] == [len(DEGREES) + 3] * 2
    assert painted[0].isnan().all() and told.faces[1].painted.degree == 1.0, "of those that pass the farthest"
    assert told.faces[1].painted.verification["reason"] == "no degree kept the margin of 0.1: it is 0.09996"
    mine = [(seed, degree) for number, seed, degree in engine.painted if number == 0]
    assert mine[len(DEGREES) :] == [(attempt_seed(40, k), 1.5) for k in (1, 2, 3)]
    with pytest.raises(ValueError, match="set degree_mode to fixed"):
        studio.paint_faces(crops_of(range(1)), faces_of([60.0]), lambda places: crops_of(places))


def by_drift(originals, results, faces):
    """All strangers; the pose drifts by the chance of the seed, the age the other way."""
    said = []
    for result in results:
        luck = float(result[0, 0, 2])
        difference = Difference(0.9, 0.2, 30 * luck, float("nan"), 0.0, 90 * (1 - luck), 0.0)
        said.append(Verification(STRANGER, "", difference, opinions(difference)))
    return said


def test_the_attempt_with_the_least_drift_is_chosen_where_traits_are_kept():
    for traits, best in ((EXPRESSION_POSE, min), (ALL_TRAITS, max)):
        engine = NumberEngine()
        studio = studio_of(engine, PaintSettings(1.25, 5, ONE_STEP), by_drift, traits=traits)
        painted, told = studio.paint_faces(crops_of(range(6)), faces_of([60.0] * 6))
        assert len(engine.painted) == 6 * 4, "all attempts are painted"
        for i, face in enumerate(told):
            seeds = [attempt_seed(5 + i, number) for number in range(4)]
            assert face.painted.seed == best(seeds, key=chance) and face.painted.attempts == 4
            assert float(painted[i, 0, 0, 2]) == pytest.approx(chance(face.painted.seed))


@pytest.mark.parametrize("original_is_seen", [True, False])
def test_an_attempt_that_closes_the_eyes_has_not_kept_the_gaze(original_is_seen):
    """Of the original's closed eyes no attempt tells anything: then head and expression decide."""

    def recognise(originals, results, faces):
        said = []
        for result in results:
            luck = float(result[0, 0, 2])
            is_closed = luck == max(map(chance, seeds)) or not original_is_seen
            gaze = float("nan") if is_closed else 24.0
            difference = Difference(0.9, 0.2, 3 * (1 - luck), gaze, 0.0, 0.0, 0.0)
            said.append(Verification(STRANGER, "", difference, opinions(difference)))
        return said

    seeds = [attempt_seed(5, number) for number in range(4)]
    studio = studio_of(NumberEngine(), PaintSettings(1.25, 5, ONE_STEP), recognise, traits=EXPRESSION_POSE)
    _, told = studio.paint_faces(crops_of([0]), faces_of([60.0]))
    by_luck = sorted(seeds, key=chance)
    assert told.faces[0].painted.seed == by_luck[-2 if original_is_seen else -1]


def test_traits_are_compared_at_the_smallest_degree_that_is_enough():
    """A higher degree that keeps more is none that auto may take."""

    def recognise(originals, results, faces):
        said = []
        for original, result in zip(originals, results, strict=True):
            degree, luck = (float(value) for value in result[0, 0, 1:])
            is_enough = degree >= (0.75, 1.75)[int(original[0, 0, 0])]
            difference = Difference(0.9 if is_enough else 0.65, 0.2, 30 * (2 - degree + luck), 0.0, 0.0, 0.0, 0.0)
            said.append(Verification(STRANGER, "", difference, opinions(difference)))
        return said

    engine = NumberEngine()
    settings = {"traits": EXPRESSION_POSE, "degree_mode": LEAST, "attempts": 5}
    studio = studio_of(engine, PaintSettings(1.25, 40, ONE_STEP), recognise, **settings)
    _, told = studio.paint_faces(crops_of(range(2)), faces_of([60.0] * 2))
    seeds = [attempt_seed(40, number) for number in range(5)]
    mine = [(seed, degree) for number, seed, degree in engine.painted if number == 0]
    assert mine == [(40, 0.5), (40, 0.625), *((seed, 0.75) for seed in seeds)]
    best = told.faces[0].painted
    assert (best.degree, best.seed, best.attempts) == (0.75, min(seeds, key=chance), 7)
    assert told.faces[1].painted.attempts == len(DEGREES) + 4, "no degree was enough"
    alone = studio_of(NumberEngine(), PaintSettings(1.25, 40, ONE_STEP), recognise, **settings | {"attempts": 1})
    _, told = alone.paint_faces(crops_of([0]), faces_of([60.0]))
    assert (told.faces[0].painted.degree, told.faces[0].painted.attempts) == (0.75, 3)


def clip_of(lengths) -> tuple[torch.Tensor, Faces]:
    """People who stand in so many frames each, in one batch of crops: person p in frame f has the number 100 p + f."""
    places = [(frame, person) for person, length in enumerate(lengths) for frame in range(length)]
    places.sort()
    faces = faces_of([60.0] * len(places), [person for _, person in places], [frame for frame, _ in places])
    return crops_of(100 * person + frame for frame, person in places), faces


def test_a_person_of_a_clip_keeps_one_attempt_over_all_frames():
    crops, faces = clip_of([12, 12, 2])
    painting, settings = PaintSettings(1.25, 7, ONE_STEP, faces_at_once=8), AttemptSettings()
    engine = NumberEngine(SHARE)
    studio = studio_of(engine, painting)
    chosen = choose_for_people(studio, faces, lambda places: crops[places], painting, settings)
    keys = engine.painted.copy()
    assert {number % 100 // 4 for number, *_ in keys if number < 200} == {0, 1, 2}, "one of each third"
    for person, frames in enumerate((KEY_FRAMES, KEY_FRAMES, 2)):
        count, passes = expected_attempts(7 + person)
        assert passes and chosen[person] == (fixed_schedule(7 + person, 1.25, 4)[count - 1], count)
        assert sum(100 * person <= number < 100 * person + 100 for number, *_ in keys) == frames * count
    attempts = [chosen[face.track] for face in faces]
    painted, told = studio.paint_chosen(crops, faces, attempts)
    assert len(engine.painted) - len(keys) == len(crops), "every frame is painted once"
    assert painted.isfinite().all() and {(f.track, f.painted.seed) for f in told} == {
        (person, attempt.seed) for person, (attempt, _) in chosen.items()
    }
    alone = choose_for_people(
        studio_of(NumberEngine(SHARE), replace(painting, faces_at_once=3)), faces, crops.__getitem__, painting, settings
    )
    assert alone == chosen, "whoever is painted together"


def test_frames_that_do_not_pass_do_not_leave():
    crops, faces = clip_of([9])

    def turned(originals, results, seen):
        said = by_number(originals, results, seen)
        bad = [int(original[0, 0, 0]) == 4 for original in originals]
        return [Verification(SAME_PERSON, "near") if b else one for b, one in zip(bad, said, strict=True)]

    painting = PaintSettings(1.25, 7, ONE_STEP)
    studio = studio_of(NumberEngine(), painting, turned)
    chosen = choose_for_people(studio, faces, lambda places: crops[places], painting, AttemptSettings())
    painted, told = studio.paint_chosen(crops, faces, [chosen[0]] * 9)
    assert [place for place, crop in enumerate(painted) if crop.isnan().any()] == [4]
    assert told.faces[4].painted.refused.startswith("near, after")


def test_one_attempt_paints_no_key_frames():
    crops, faces = clip_of([5])
    engine, painting = NumberEngine(1.0), PaintSettings(1.25, 7, ONE_STEP)
    studio = studio_of(engine, painting, attempts=1)
    chosen = choose_for_people(studio, faces, crops.__getitem__, painting, AttemptSettings(attempts=1))
    assert not engine.painted and chosen[0][0].seed == 7


def test_a_user_can_stop_between_attempts():
    progress = CountedProgress(1, stop_at=2)
    engine = NumberEngine(1.0)
    with pytest.raises(KeyboardInterrupt):
        studio_of(engine, PaintSettings(1.25, 0, ONE_STEP), progress=progress).paint_faces(
            crops_of(range(3)), faces_of([60.0] * 3)
        )
    assert len(engine.painted) == 6 and progress.expected == 3


@pytest.fixture(scope="module")
def scene():
    """A picture with three faces, their crops, and new ones for them."""

    def picture(seed):
        coarse = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
        return torch.nn.functional.interpolate(coarse, (256, 256), mode="bicubic").clamp(0, 1).movedim(1, -1)

    boxes = ((30, 30, 90, 100), (150, 30, 210, 100), (30, 150, 90, 220))
    found = tuple(Face(0, np.array(box, float), 0.9, np.zeros((0, 2)), BOX_ONLY, "test") for box in boxes)
    crops, faces = crop_faces(picture(0), Faces(1, 256, 256, found), 64)
    return picture(0), faces, crops, crop_faces(picture(1), faces, 64)[0]


class Redrawing(NumberEngine):
    """Paints given crops, whatever it is asked for."""

    def __init__(self, results):
        super().__init__()
        self.results = results

    def decode(self, latents):
        return self.results[: len(latents)]


def refusing(*refused):
    def recognise(originals, results, faces):
        x = [face.box[0] + 1000 * face.box[1] for face in faces]
        said = [SAME_PERSON if place in refused else STRANGER for place in x]
        return [Verification(word, "dlib's distance is 0.300, 0.5 is the least", UNSEEN) for word in said]

    return recognise


def prove(scene, refused=(), keep=""):
    """Crops and faces as Anonymize Crops gives them, where the faces with these left upper corners never pass."""
    image, faces, crops, results = scene
    studio = studio_of(Redrawing(results), PaintSettings(1.25, 3, ONE_STEP), refusing(*refused), keep=keep, attempts=1)
    return image, *studio.paint_faces(crops, faces)


def test_paste_covers_what_never_passed_and_says_so(scene):
    image, painted, told = prove(scene, refused=[150030])
    result, _, report = replace_faces(image, painted, told)
    assert [entry.action for entry in report.entries] == ["anonymized", "anonymized", "redacted"]
    last = report.entries[2]
    assert last.reason == "same person: dlib's distance is 0.300, 0.5 is the least, after 1 attempt"
    assert (last.attempts, last.degree, last.seed, last.verification["verdict"]) == (1, 1.25, None, SAME_PERSON)
    assert [entry.seed for entry in report.entries[:2]] == [3, 4]
    assert all(entry.verification["verdict"] == STRANGER for entry in report.entries[:2])
    assert (result[0, 165:205, 45:75] == 0).all()
    # without the faces of Anonymize Crops: covered all the same
    result, _, report = replace_faces(image, painted, scene[1])
    assert [(entry.action, entry.verdict) for entry in report.entries][2] == ("redacted", "not finite")
    assert (result[0, 165:205, 45:75] == 0).all() and report.entries[0].attempts is None


def test_a_face_that_the_user_keeps_is_pasted_and_reported_as_the_users(scene):
    image, painted, told = prove(scene, refused=[150030], keep="3")
    result, mask, report = replace_faces(image, painted, told)
    last = report.entries[2]
    assert (last.action, last.verdict, last.seed) == ("kept by the user", SAME_PERSON, 5)
    assert mask[0, 185, 60] == 1 and not torch.equal(result[0, 185, 60], image[0, 185, 60])
    assert report.to_text().splitlines()[0] == "2 faces anonymized, 1 face kept by the user"


def test_a_kept_painting_that_is_no_picture_is_covered_all_the_same(scene):
    """The user keeps what was painted, not the original."""
    image, painted, told = prove(scene, refused=[150030], keep="3")
    painted[2] = 0.3  # one colour
    result, _, report = replace_faces(image, painted, told)
    assert (report.entries[2].action, report.entries[2].verdict) == ("redacted", "broken")
    assert (result[0, 165:205, 45:75] == 0).all()


def test_a_verdict_on_a_crop_holds_for_that_crop_pasted_whole(scene):
    image, painted, told = prove(scene)
    others = painted.clone()
    others[0] += 0.01
    _, _, report = replace_faces(image, others, told)
    assert [entry.verification is None for entry in report.entries] == [True, False, False]
    assert report.notes[0].startswith("1 face was pasted otherwise than recognisers saw the crop")
    for settings in (PasteSettings(region="oval"), PasteSettings(keep=("eyes",)), PasteSettings(colour_match=0.5)):
        _, _, report = replace_faces(image, painted, told, settings)
        assert all(entry.verification is None and entry.attempts == 1 for entry in report.entries)
    _, _, report = replace_faces(image, painted, told, protect=torch.zeros(1, 256, 256))
    assert all(entry.verification is None for entry in report.entries)
    recropped = crop_faces(image, told, 64)[1]
    assert all(face.painted is None for face in recropped), "a new crop was not painted"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"attempts": 0}, "1 to 32"),
        ({"traits": "hair"}, "keep_traits is one of"),
        ({"degree_mode": "least"}, "degree_mode is one of"),
    ],
)
def test_settings_out_of_range(settings, says):
    with pytest.raises(ValueError, match=says):
        AttemptSettings(**settings)
    assert list(DEGREES) == sorted(DEGREES) and all(b - a == 0.125 for a, b in pairwise(DEGREES))
