"""The whole method in one node: equal to the single nodes, in any number of parts, one person one seed."""

from dataclasses import replace

import numpy as np
import pipeline
import pytest
import torch

from face_anonymizer import nodes as pack
from face_anonymizer.modules.attempts.schedule import attempt_seed
from face_anonymizer.modules.attempts.settings import AttemptSettings
from face_anonymizer.modules.attempts.studio import Proof
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.settings import SAME_FACE, SAME_NOISE
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces
from face_anonymizer.modules.model.painting import anonymize_crops, swap_crops
from face_anonymizer.modules.model.settings import DDPM, PaintSettings, SamplerSettings
from face_anonymizer.modules.recognition.verdict import SAME_PERSON, STRANGER, Verification
from face_anonymizer.modules.video.people import PeoplePainter
from face_anonymizer.nodes.painting import notes_on_choice

STEPS = 2


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return pipeline.load_least()


def face_images(count: int) -> torch.Tensor:
    return pipeline.face_images(count, pipeline.LEAST_SIZE)


def faces_of(tracks) -> Faces:
    """One face an image, as Crop Faces gives them."""
    box = np.array([10.0, 10, 60, 70])
    found = (Face(i, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test", track=track) for i, track in enumerate(tracks))
    return Faces(len(tracks), 128, 128, tuple(found))


def crops_of(model, crops, faces, **settings) -> torch.Tensor:
    settings = {"seed": 7, "steps": STEPS, "sampler_name": DDPM} | settings
    return pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, **settings)[0]


def test_equals_the_single_nodes(model):
    crops = face_images(3)
    expected = model.vae.decode(pipeline.anonymize(model, crops, seed=7, steps=STEPS))
    assert torch.equal(crops_of(model, crops, faces_of([None] * 3)), expected)
    inputs = pipeline.references(model, crops, crops)
    latents = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=STEPS, faces=faces_of([None] * 3))[0]
    assert torch.equal(model.vae.decode(latents["samples"]), expected)


def test_parts_change_nothing_but_rounding(model):
    crops = face_images(3)
    whole = crops_of(model, crops, faces_of([None] * 3))
    for at_once in (1, 2):
        parts = crops_of(model, crops, faces_of([None] * 3), faces_at_once=at_once)
        difference = (parts - whole).abs().max().item()
        print(f"{at_once} at once against 3: {difference:.1e}")
        assert difference < 2e-5


def test_a_person_keeps_one_seed_over_the_frames(model):
    crops = face_images(1).repeat(4, 1, 1, 1)
    tracked = crops_of(model, crops, faces_of([0, 1, 0, 1]))
    assert torch.allclose(tracked[0], tracked[2], atol=2e-5) and torch.allclose(tracked[1], tracked[3], atol=2e-5)
    assert (tracked[0] - tracked[1]).abs().mean() > 0.01
    alone = crops_of(model, crops[:2], faces_of([None, None]))
    assert torch.allclose(alone, tracked[:2], atol=2e-5)


@pytest.mark.parametrize("sampler", [DDPM, "dpmpp_2m"])
def test_one_face_anew_leaves_all_others_as_they_were_to_the_bit(model, sampler):
    crops = face_images(3)
    before = crops_of(model, crops, faces_of([None] * 3), sampler_name=sampler)
    settings = {"seed": 7, "steps": STEPS, "sampler_name": sampler, "face_seeds": "2: 99"}
    after, told = pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces_of([None] * 3), **settings).args
    assert torch.equal(after[[0, 2]], before[[0, 2]]) and (after[1] - before[1]).abs().mean() > 0.01
    assert [face.painted.seed for face in told] == [7, 99, 9]
    alone = crops_of(model, crops[1:2], faces_of([None]), sampler_name=sampler, seed=99)
    assert torch.allclose(alone[0], after[1], atol=2e-5)


def test_a_person_anew_is_anew_in_all_frames(model):
    crops = face_images(1).repeat(4, 1, 1, 1)
    before = crops_of(model, crops, faces_of([0, 1, 0, 1]))
    after = crops_of(model, crops, faces_of([0, 1, 0, 1]), face_seeds="2: 99")
    assert torch.equal(after[::2], before[::2]) and torch.allclose(after[1], after[3], atol=2e-5)
    assert (after[1] - before[1]).abs().mean() > 0.01


def test_a_seed_for_nobody_is_refused(model):
    with pytest.raises(ValueError, match="face_seeds names no face by 4: the numbers are 1 to 3"):
        crops_of(model, face_images(3), faces_of([None] * 3), face_seeds="4: 1")


def test_one_synthetic_face_is_swapped_onto_every_frame(model):
    crops = face_images(3)
    faces = faces_of([0, 0, 0])
    best = replace(faces.faces[1], score=1.0)
    faces = replace(faces, faces=(faces.faces[0], best, faces.faces[2]))
    swapped = crops_of(model, crops, faces, identity="same face")
    synthetic = crops_of(model, crops[1:2], faces_of([0]))
    expected = crops_of(model, crops, faces, degree=0.0, source=synthetic)
    assert torch.equal(swapped, expected)
    with pytest.raises(ValueError, match="Track Faces"):
        crops_of(model, crops, faces_of([None] * 3), identity="same face")
    with pytest.raises(ValueError, match="3 crops but 4 faces"):
        crops_of(model, crops, faces_of([0, 0, 0, 1]), identity="same face")


def test_a_source_is_swapped_as_the_single_nodes_swap_it(model):
    source, crops = face_images(2).split(1)
    inputs = pipeline.references(model, source, crops, degree=0.0)
    latents = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=STEPS)[0]["samples"]
    swapped = crops_of(model, crops, faces_of([None]), degree=0.0, source=source)
    assert torch.equal(swapped, model.vae.decode(latents))
    larger = torch.nn.functional.interpolate(source.movedim(-1, 1), scale_factor=2).movedim(1, -1)
    assert crops_of(model, crops, faces_of([None]), degree=0.0, source=larger).shape == crops.shape
    with pytest.raises(ValueError, match="2 source faces for 3 crops"):
        crops_of(model, face_images(3), faces_of([None] * 3), source=face_images(2))


@pytest.mark.parametrize("name", ["dpmpp_2m", "euler", "ddim", "dpmpp_sde"])
def test_samplers_of_the_host_paint(model, name):
    crops = face_images(2)
    painted = crops_of(model, crops, faces_of([None, None]), sampler_name=name)
    again = crops_of(model, crops, faces_of([None, None]), sampler_name=name)
    assert painted.shape == crops.shape and painted.isfinite().all() and torch.equal(painted, again)
    assert (painted - crops).abs().mean() > 0.05


def test_no_crops_and_crops_of_other_faces(model):
    none = torch.zeros(0, 64, 64, 3)
    assert crops_of(model, none, faces_of([])).shape == none.shape
    with pytest.raises(ValueError, match="2 crops but 1 faces"):
        crops_of(model, face_images(2), faces_of([None]))


POINTS = np.array([[203.0, 100.5], [245.5, 102.7], [223.5, 127.5], [203.5, 139.5], [243.5, 141.0]])


@pytest.fixture(scope="module")
def portrait():
    """A photo, its face as Crop Faces gives it, and the same face said to be too small for recognisers."""
    image = pipeline.photo()
    face = Face(0, np.array([172.0, 52, 272, 178]), 0.9, POINTS, FIVE_POINTS, "test")
    crops, faces = crop_faces(image, Faces(1, *image.shape[1:3], (face,)), pipeline.LEAST_SIZE)
    small = replace(faces.faces[0], box=np.array([172.0, 52, 192, 72]))
    return image, crops.repeat(2, 1, 1, 1), replace(faces, faces=(faces.faces[0], small))


def test_recognisers_look_and_what_never_passes_is_covered(model, portrait):
    """The tiny model paints no faces: what was measurable is not any more. What was not is painted once and leaves."""
    image, crops, faces = portrait
    settings = {"seed": 7, "steps": 1, "sampler_name": DDPM, "attempts": 2}
    plain, told = pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, **settings).result
    assert [(face.painted.attempts, face.painted.seed, face.painted.verification) for face in told] == [
        (1, 7, None),
        (1, 8, None),
    ]
    painted, told = pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, **settings, verify="on").result
    refused, left = (face.painted for face in told)
    assert painted[0].isnan().all() and torch.equal(painted[1], plain[1]), "the first attempt is what it was"
    assert (refused.verification["verdict"], refused.attempts) == ("failed", 2)
    assert refused.refused.endswith("after 2 attempts")
    assert (left.verification["verdict"], left.attempts, left.refused) == ("not measurable", 1, "")
    only = replace(told, faces=told.faces[:1])
    result, _, report = pack.FaceAnonPasteFaces.execute(image, only, painted[:1]).result
    assert report.count() == {"redacted": 1} and (result[0, 110:130, 215:230] == 0).all()
    assert report.entries[0].reason.startswith("failed: cannot be measured any more")
    assert report.entries[0].attempts == 2
    kept, told = pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, **settings, verify="on", keep="1").result
    assert kept.isfinite().all() and told.faces[0].painted.kept
    degrees = [told.faces[0].painted.degree, told.faces[0].painted.seed]
    assert degrees in ([1.25, 7], [1.5, attempt_seed(7, 1)])


def test_what_needs_recognisers_says_so(model, portrait):
    _, crops, faces = portrait
    asked = (({"degree_mode": "auto"}, "degree_mode auto"), ({"keep_traits": "expression and pose"}, "and pose"))
    for settings, says in asked:
        with pytest.raises(ValueError, match=f"{says} needs recognisers: set verify"):
            crops_of(model, crops, faces, **settings)
    with pytest.raises(ValueError, match="verify is one of off, auto, on"):
        crops_of(model, crops, faces, verify="yes")


def test_what_a_demonstration_leaves_undone_is_said():
    """Nobody verifies it unless told to, so that there is nothing to choose by."""
    auto, fixed = AttemptSettings(degree_mode="auto"), AttemptSettings()
    said = ("degree_mode auto does nothing: a demonstration is not verified, set verify to on",)
    assert notes_on_choice(None, auto) == said
    assert notes_on_choice(Proof(lambda *_: [], auto), auto) == notes_on_choice(None, fixed) == ()


def refusing(*numbers):
    """Recognisers who take the results of some calls' first crops for the original: (call, place) pairs."""
    calls = []

    def recognise(originals, results, faces):
        calls.append(len(results))
        said = [SAME_PERSON if (len(calls) - 1, place) in numbers else STRANGER for place in range(len(results))]
        return [Verification(word, "a figure") for word in said]

    return recognise, calls


@pytest.mark.parametrize("identity", [SAME_NOISE, SAME_FACE])
def test_a_person_of_a_clip_is_painted_again_as_a_whole(model, identity):
    """Two people in three frames. A key frame of the second does not pass at first, one of all frames not at last."""
    crops = face_images(2).repeat(3, 1, 1, 1)
    faces = faces_of([0, 1, 0, 1, 0, 1])
    painting = PaintSettings(1.25, 7, SamplerSettings(steps=1))
    same_noise = identity == SAME_NOISE
    refused = [(0, 4), (2, 2)] if same_noise else [(0, 1), (2, 2), (3, 0)]
    recognise, calls = refusing(*refused)
    painter = PeoplePainter(
        model,
        painting,
        identity,
        faces,
        crops_at=lambda places: crops[places],
        batches=[6],
        proof=Proof(recognise, AttemptSettings(attempts=2)),
    )
    painted, told = painter.paint(crops, faces)
    if same_noise:
        assert calls == [6, 3, 3, 3], "three key frames of both, of the second again, then all frames by degree"
        seeds = [face.painted.seed for face in told]
        assert seeds == [7, attempt_seed(8, 1)] * 3
        assert [bool(crop.isnan().any()) for crop in painted] == [False] * 4 + [True, False]
        assert {face.painted.degree for face in told.faces[1::2]} == {1.5}
        alone = crops_of(model, crops[:1], faces_of([0]), steps=1)
    else:
        assert calls == [2, 1, 6, 1], "the best frame of both, of the second again, all frames, one frame again"
        assert [bool(crop.isnan().any()) for crop in painted] == [False, False, True, False, False, False]
        assert [face.painted.attempts for face in told] == [1, 2, 2, 2, 1, 2]
        return
    assert torch.allclose(painted[0], alone[0], atol=2e-5)


def test_a_synthetic_face_is_read_once_for_all_frames(model):
    """Two people in four frames, in two batches: states of their synthetic faces stay from batch to batch."""
    read = []

    class Watched(type(model)):
        def source_states(self, latents, embeds):
            read.append((len(latents), embeds.degree))
            return super().source_states(latents, embeds)

    crops, tracks = face_images(4), [0, 1, 0, 1]
    painting = PaintSettings(1.25, 7, SamplerSettings(steps=1))
    painter = PeoplePainter(
        Watched(*model), painting, SAME_FACE, faces_of(tracks), crops_at=lambda places: crops[places], batches=[2, 2]
    )
    frames = [painter.paint(crops[start : start + 2], faces_of([0, 1]))[0] for start in (0, 2)]
    assert read == [(2, 1.25), (2, 0.0)], "each person once, and once more as the source of all frames"
    synthetic = anonymize_crops(model, crops[:2], [0, 1], painting)
    for start, painted in zip((0, 2), frames, strict=True):
        anew = swap_crops(model, synthetic, crops[start : start + 2], [0, 1], replace(painting, degree=0.0))
        assert torch.equal(painted, anew), "as when every batch reads them anew"
