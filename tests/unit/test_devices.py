"""The pack's own tensor code on a card without float64: it runs there, and gives what the CPU gives, bit for bit."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from clips import make_clip
from PIL import Image
from plain_run import rest_is_long
from pretended_device import OnCard, pretended_device

from face_anonymizer.modules.evaluation.synthetic_backend import SyntheticBackend
from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect import centerface
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.drawing import draw_faces
from face_anonymizer.modules.faces.paste import resampling
from face_anonymizer.modules.faces.paste.colour import match_colour
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.paste.redaction import redact_faces
from face_anonymizer.modules.faces.selection import select_faces
from face_anonymizer.modules.faces.settings import (
    MODES,
    PARTS,
    REGIONS,
    SHAPES,
    DetectSettings,
    PasteSettings,
    RedactSettings,
)
from face_anonymizer.modules.faces.track.scene_cuts import thumbnail
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, IBUG_68, Face, Faces
from face_anonymizer.modules.model.clip_input import preprocess
from face_anonymizer.modules.model.states import SOURCE, ReferenceStates, interpolate_states
from face_anonymizer.modules.output.pictures import save_image
from face_anonymizer.modules.recognition.pairs import identity_judge
from face_anonymizer.modules.recognition.reader import FaceReader, ReaderNetworks
from face_anonymizer.modules.recognition.settings import ReaderSettings
from face_anonymizer.modules.recognition.verifying import verify_faces
from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.regressor import SyntheticRegressor
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.video.files import read_chunks, rewrite

FIVE = np.array([[58.0, 62], [98, 64], [77, 88], [62, 110], [95, 111]])


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def smooth(height, width, channels=3):
    coarse = torch.nn.functional.interpolate(noise(1, channels, 8, 8), (height, width), mode="bicubic")
    return coarse.clamp(0, 1).movedim(1, -1).contiguous()


@pytest.fixture
def found():
    """Three faces of a picture of 200 x 300 pixels, one of each layout; the last one leaves the picture."""
    turns = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.array([200, 90]) + np.stack([34 * np.sin(turns), -44 * np.cos(turns)], 1)
    return Faces(
        1,
        200,
        300,
        (
            Face(0, np.array([48.0, 38, 108, 128]), 0.9, FIVE, FIVE_POINTS, "test"),
            Face(0, np.array([166.0, 46, 234, 134]), 0.8, ring, IBUG_68, "test"),
            Face(0, np.array([250.0, 120, 310, 210]), 0.7, np.zeros((0, 2)), BOX_ONLY, "test"),
        ),
    )


def same(ours, theirs):
    """Whether a result on the card, and one on the CPU, are the same to the bit."""
    if isinstance(ours, OnCard):
        ours = ours.values
    return torch.equal(ours, theirs)


def sampled(images, **options):
    return torch.nn.functional.grid_sample(images, images[:, :2].movedim(1, -1), align_corners=False, **options)


@pytest.fixture(autouse=True)
def like_apples(monkeypatch):
    """The card calls itself "cuda", samples no better than "mps"; channels lie as on the CPU, which computes."""
    as_apples(monkeypatch)


def as_apples(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resampling, "_WITHOUT_SAMPLING", ("cuda",))
    patch.setattr(centerface, "_CHANNELS_LAST", ("cpu", "cuda"))


def test_the_pretended_card_refuses_what_real_ones_refuse():
    with pretended_device() as put:
        images = put(noise(1, 3, 100, 130))
        assert str(images.device) == "cuda:0" and type(images * 2) is OnCard and type(images.cpu()) is torch.Tensor
        for refused, message in (
            (lambda: images.double(), "no float64"),
            (lambda: torch.zeros(2, dtype=torch.float64, device=images.device), "no float64"),
            (lambda: torch.from_numpy(np.ones(3)).to(images.device), "no float64"),
            (lambda: images.sum(dtype=torch.float64), "no float64"),
            (lambda: images + noise(130), "on one device"),
            (lambda: noise(130)[put(torch.tensor([1]))], "on one device"),
            (lambda: images.numpy(), "numpy"),
            (lambda: torch.nn.functional.adaptive_avg_pool2d(images, (36, 64)), "must be divisible"),
            (lambda: sampled(images, mode="bicubic"), "cubic"),
            (lambda: sampled(images, padding_mode="border"), "border"),
        ):
            with pytest.raises((TypeError, RuntimeError), match=message):
                refused()


@pytest.fixture(scope="module")
def searched(request):
    """A photo, upright and turned, and its faces as the CPU finds them: thorough, with points refined."""
    photo = Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")
    photo = photo.resize((96, 96), box=(96, 0, 352, 256))
    turned = photo.transpose(Image.Transpose.ROTATE_180)
    images = torch.stack([torch.from_numpy(np.array(picture)).float() / 255 for picture in (photo, turned)])
    with pytest.MonkeyPatch.context() as patch:
        as_apples(patch)
        expected = detect_faces(load_face_networks(), images, DetectSettings(thorough=True))
    assert {face.image_index for face in expected} == {0, 1}
    return images, expected


@pytest.mark.parametrize(
    "gpu_only", rest_is_long([False, True], True), ids=["pictures on the CPU", "pictures on the card"]
)
def test_detection(searched, gpu_only):
    """With points refined, thorough and turned: every way to a face."""
    images, expected = searched
    with pretended_device() as put:
        seen = detect_faces(
            put(load_face_networks()), put(images) if gpu_only else images, DetectSettings(thorough=True)
        )
    assert [face.score for face in seen] == [face.score for face in expected]
    for ours, theirs in zip(seen, expected, strict=True):
        assert np.array_equal(ours.box, theirs.box) and np.array_equal(ours.points, theirs.points)


PASTED = list(zip(REGIONS, (3, 1, 4), strict=True))


@pytest.mark.parametrize(("region", "channels"), rest_is_long(PASTED, *PASTED[:2]))
def test_crop_and_paste(found, region, channels):
    """Crops come back from the model on the intermediate device, which need not be that of the picture."""
    images = smooth(200, 300, channels)
    crops, faces = crop_faces(images, found, 128)
    painted, protect = 1 - crops, noise(1, 200, 300)
    painted[1] = crops[1] + 0.01  # not changed: redacted
    pasting = PasteSettings(region=region, colour_match=0.7, keep=PARTS)
    expected = replace_faces(images, painted, faces, pasting, protect=protect)
    enlarged = paste_faces(
        images, painted.repeat_interleave(3, 1).repeat_interleave(3, 2), faces, PasteSettings(region=region)
    )
    with pretended_device() as put:
        here, mine = crop_faces(put(images), found, 128)
        assert same(here, crops)
        for given in (put(painted), painted):
            result, mask, report = replace_faces(put(images), given, mine, pasting, protect=put(protect))
            assert same(result, expected[0]) and same(mask, expected[1]) and report == expected[2]
        again = put(painted).repeat_interleave(3, 1).repeat_interleave(3, 2)
        assert all(map(same, paste_faces(put(images), again, mine, PasteSettings(region=region)), enlarged))


def test_colours():
    crop, reference, weights = noise(96, 96, 3), smooth(120, 120)[0], noise(128, 128)
    expected = match_colour(crop, reference, weights)
    with pretended_device() as put:
        assert same(match_colour(put(crop), put(reference), put(weights)), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_redaction(found, mode, shape):
    images = smooth(200, 300)
    expected = redact_faces(images, found, RedactSettings(mode, shape))
    with pretended_device() as put:
        assert all(map(same, redact_faces(put(images), found, RedactSettings(mode, shape)), expected))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(36, 64), (270, 480), (20, 90), (101, 33)], ids=str)
def test_thumbnails(size, channels):
    image = noise(*size, channels)
    expected = thumbnail(image)
    with pretended_device() as put:
        assert np.array_equal(thumbnail(put(image)), expected)


def test_drawing_and_selection(found):
    images, mask = smooth(200, 300), torch.zeros(1, 200, 300)
    mask[:, :, :150] = 1
    drawn, (selected, rest) = draw_faces(images, found), select_faces(found, mask=mask)
    assert len(selected) and len(rest)
    with pretended_device() as put:
        assert same(draw_faces(put(images), found), drawn)
        assert [len(part) for part in select_faces(found, mask=put(mask))] == [len(selected), len(rest)]


def test_faces_are_read_and_judged(found):
    """The networks on the card, and then the pictures, too."""
    images, networks = smooth(200, 300), ReaderNetworks()
    crops, faces = crop_faces(images, replace(found, faces=found.faces[:1]), 64)
    settings = ReaderSettings(min_size=0, max_yaw=180, max_pitch=180, min_certainty=0, max_unsteady=9)

    def judged(images, crops):
        read = FaceReader(settings, networks).read
        report = replace_faces(images, crops, faces, look=Look(judges=(identity_judge(read, settings),)))[2]
        return verify_faces(images, images.flip(2), faces, read).verifications, report.to_dict()

    expected = judged(images, crops.roll(32, 1))
    assert expected[1]["faces"][0]["verification"] is not None and expected[0][0].difference is not None
    with pretended_device() as put:
        put(networks)
        assert judged(images, crops.roll(32, 1)) == expected
        assert judged(put(images), put(crops.roll(32, 1))) == expected


def test_pictures_and_clips_are_written(tmp_path):
    image = smooth(40, 64, 4)[0]
    clip = make_clip(tmp_path / "clip.mp4", frames=3, size=(64, 48))
    save_image(image, tmp_path / "cpu.png")
    rewrite(clip, tmp_path / "cpu.mp4", lambda frames, _: 1 - frames)
    with pretended_device() as put:
        save_image(put(image), tmp_path / "card.png")
        save_image(put(image), tmp_path / "card.jpg", "jpeg")
        rewrite(clip, tmp_path / "card.mp4", lambda frames, _: 1 - put(frames))
    assert (tmp_path / "card.png").read_bytes() == (tmp_path / "cpu.png").read_bytes()
    (_, ours), (_, theirs) = (next(read_chunks(str(tmp_path / f"{name}.mp4"), 8)) for name in ("card", "cpu"))
    assert torch.equal(ours, theirs)


def test_what_the_model_takes():
    images, state, null = noise(2, 40, 50, 3), noise(2, 6, 8).half(), noise(1, 6, 8).half()
    pixels = preprocess(images, 32, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    states = ReferenceStates(SOURCE, {0: state}, {0: null}, {0: 0}, (2, 3))
    expected = interpolate_states(states, 1.25).conditional[0]
    with pretended_device() as put:
        assert same(preprocess(put(images), 32, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), pixels)
        there = replace(states, conditional={0: put(state)}, unconditional={0: put(null)})
        assert same(interpolate_states(there, 1.25).conditional[0], expected)


def test_synthetic_faces_and_their_regressor():
    identity, attributes = sample_identities(2, 5), sample_attributes(2, 5)
    expected = render(identity, attributes, 32)
    with pretended_device() as put:
        rendered = render(identity, attributes, 32, "cuda:0")
        assert all(same(getattr(rendered, part.name), getattr(expected, part.name)) for part in fields(expected))
        assert SyntheticBackend(put(SyntheticRegressor())).reliability == 1
