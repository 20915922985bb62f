"""What is seen on a face: what still shows the original is found, whatever was done to it; strangers are not."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from plain_run import rest_is_long
from strangers import forgetful

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.paste.verdicts import (
    BROKEN,
    NOT_FINITE,
    STILL_ORIGINAL,
    TOO_SMALL,
    UNCHANGED,
    Verdict,
)
from face_anonymizer.modules.faces.settings import PasteSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
BOX = np.array([182.0, 58, 270, 178])
SIDE = 256  # of the crops


def to_pil(crop):
    return Image.fromarray((crop.clamp(0, 1) * 255).round().byte().numpy())


def to_tensor(picture):
    return torch.from_numpy(np.array(picture.convert("RGB"))).float() / 255


def jpeg(quality):
    def change(crop):
        data = io.BytesIO()
        to_pil(crop).save(data, "JPEG", quality=quality)
        return to_tensor(Image.open(data))

    return change


def blurred(share):
    """By a Gaussian of this share of the crop's side."""
    return lambda crop: to_tensor(to_pil(crop).filter(ImageFilter.GaussianBlur(share * SIDE)))


def noisy(deviation):
    def change(crop):
        return crop + torch.randn(crop.shape, generator=torch.Generator().manual_seed(0)) * deviation

    return change


def moved(right=0.0, down=0.0, scale=1.0, degrees=0.0):
    """Shifted by shares of the side, scaled and turned about its middle."""
    angle, middle = np.deg2rad(degrees), SIDE / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    start = middle - turn @ (middle + SIDE * np.array([right, down]))
    matrix = np.column_stack([turn, start]).ravel().tolist()
    size = (SIDE, SIDE)
    return lambda crop: to_tensor(
        to_pil(crop).transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    )


def grey(crop):
    return crop.mean(-1, keepdim=True).expand(-1, -1, 3)


def heat(crop):
    """A colour map: black, red, yellow, white."""
    return (3 * grey(crop) - torch.tensor([0.0, 1, 2])).clamp(0, 1)


def posterized(levels):
    return lambda crop: (crop * (levels - 1)).round() / (levels - 1)


def lit(amount):
    """Darker on one side, brighter on the other."""
    return lambda crop: crop * torch.linspace(1 - amount, 1 + amount, SIDE)[None, :, None]


def one_after_the_other(*changes):
    def change(crop):
        for one in changes:
            crop = one(crop).clamp(0, 1)
        return crop

    return change


def mirrored(crop):
    return crop.flip(1)


SAME = {
    "eight bits": lambda crop: to_tensor(to_pil(crop)),
    "jpeg 10": jpeg(10),
    "jpeg 5": jpeg(5),
    "reduced to 48": lambda crop: to_tensor(to_pil(crop).resize((48, 48)).resize((SIDE, SIDE))),
    "mosaic of 32": lambda crop: to_tensor(to_pil(crop).resize((32, 32)).resize((SIDE, SIDE), 0)),
    "blur 0.4 %": blurred(0.004),
    "blur 1.6 %": blurred(0.016),
    "noise 10 %": noisy(0.1),
    "noise 30 %": noisy(0.3),
    "brightness 0.9": lambda crop: crop * 0.9,
    "brightness 1.3": lambda crop: crop * 1.3,
    "contrast 0.5": lambda crop: (crop - 0.5) * 0.5 + 0.5,
    "gamma 0.5": lambda crop: crop**0.5,
    "gamma 2": lambda crop: crop**2,
    "a cast": lambda crop: crop + torch.tensor([0.15, 0, -0.1]),
    "grey": grey,
    "BGR": lambda crop: crop.flip(2),
    "negative": lambda crop: 1 - crop,
    "heat": heat,
    "posterized to 3": posterized(3),
    "equalized": lambda crop: to_tensor(ImageOps.equalize(to_pil(crop))),
    "lit from a side": lit(0.6),
    "shift 1 %": moved(0.01, 0.01),
    "shift 5 %": moved(-0.05, 0.04),
    "scale 1.02": moved(scale=1.02),
    "scale 1.1": moved(scale=1.1),
    "scale 0.9": moved(scale=0.9),
    "turn 2": moved(degrees=2),
    "turn 10": moved(degrees=-10),
    "mirror": mirrored,
    "grey, mirror, jpeg 20": one_after_the_other(grey, mirrored, jpeg(20)),
    "negative, shift 3 %": one_after_the_other(lambda crop: 1 - crop, moved(0.03, 0.02)),
    "heat, turn 5, blur 1 %": one_after_the_other(heat, moved(degrees=5), blurred(0.01)),
    "blur 0.8 %, noise 10 %": one_after_the_other(blurred(0.008), noisy(0.1)),
    "shift 3 %, gamma, jpeg 30": one_after_the_other(moved(0.03, 0.02), lambda crop: crop**0.6, jpeg(30)),
}


FEW = ("eight bits", "jpeg 10", "noise 10 %", "gamma 2", "heat", "shift 5 %", "turn 10", "mirror")


@pytest.fixture(scope="module")
def astronaut(request):
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture(scope="module")
def people(request):
    """The drawn people of assets/synthetic_group.jpg: pictures, and faces with crops of 256 pixels."""
    images = to_tensor(Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg"))[None]
    crops, faces = crop_faces(images, detect_faces(load_face_networks(), images), SIDE)
    return images, crops, forgetful(faces)


def cut(picture, scale=1.0, side=SIDE):
    images = to_tensor(picture.resize([round(512 * scale)] * 2, Image.Resampling.LANCZOS))[None]
    member = Face(0, BOX * scale, 1.0, (POINTS + 0.5) * scale - 0.5, FIVE_POINTS, "test")
    return images, *crop_faces(images, Faces(*images.shape[:3], (member,)), side)


def verdicts(images, crops, faces, settings=PasteSettings(), look=Look()):
    report = replace_faces(images, crops, faces, settings, look=look)[2]
    return [entry.verdict or entry.action for entry in report.entries]


@pytest.mark.parametrize("scale", rest_is_long([1.0, 2.5, 0.3], 1.0, 0.3), ids=["103 px", "258 px", "31 px"])
def test_what_still_shows_the_original_is_refused(astronaut, scale):
    images, crops, faces = cut(astronaut, scale)
    kinds = SAME if scale == 1 else {name: SAME[name] for name in FEW}
    passed = {
        name: found
        for name, change in kinds.items()
        if (found := verdicts(images, change(crops[0])[None], faces)[0]) not in (UNCHANGED, STILL_ORIGINAL)
    }
    assert passed == {}


def test_as_it_was_is_called_unchanged_and_the_figure_and_the_threshold_are_named(astronaut):
    images, crops, faces = cut(astronaut)
    (entry,) = replace_faces(images, crops, faces)[2].entries
    assert (entry.action, entry.verdict) == ("redacted", UNCHANGED)
    assert entry.reason.startswith("unchanged: its structure agrees by 0.99") and "0.93 is the most" in entry.reason
    (entry,) = replace_faces(images, crops**0.5, faces, look=Look(degree=0.3))[2].entries
    assert entry.verdict == STILL_ORIGINAL and entry.reason.endswith("is the most, at degree 0.3")
    (entry,) = replace_faces(images, crops**0.5, faces, look=Look(degree=0.0))[2].entries
    assert entry.verdict == UNCHANGED and entry.reason.endswith("at degree 0")


def test_settings_that_keep_the_person_are_refused_however_it_was_drawn(people):
    images, crops, faces = people
    for settings, word, reason in (
        ({"degree": 0.0}, UNCHANGED, "degree 0 keeps the identity, 0.5 is the least"),
        ({"degree": 0.3}, STILL_ORIGINAL, "degree 0.3 keeps the identity, 0.5 is the least"),
        ({"denoise": 0.3}, STILL_ORIGINAL, "denoise 0.3 keeps the picture, more than 0.5 is needed"),
    ):
        report = replace_faces(images, crops.roll(1, 0), faces, look=Look(**settings))[2]
        assert {(entry.verdict, entry.reason) for entry in report.entries} == {(word, f"{word}: {reason}")}
    assert verdicts(images, crops.roll(1, 0), faces, look=Look(degree=1.25, denoise=1.0)) == ["anonymized"] * len(faces)


def test_other_people_in_its_place_are_not(astronaut, people):
    images, crops, faces = people
    assert verdicts(images, crops.roll(1, 0), faces) == ["anonymized"] * len(faces)
    assert verdicts(images, crops.roll(2, 0).flip(2), faces) == ["anonymized"] * len(faces)
    photo = cut(astronaut)
    for crop in crops:
        assert verdicts(photo[0], crop[None], photo[2]) == ["anonymized"]


@pytest.mark.parametrize("channels", [1, 4])
def test_dark_pictures_and_other_channels(astronaut, people, channels):
    images, _, faces = cut(astronaut)
    images = images / 8
    images = images.mean(-1, keepdim=True) if channels == 1 else torch.cat([images, images[..., :1]], -1)
    crops, faces = crop_faces(images, faces, SIDE)
    for change in ("eight bits", "gamma 0.5", "shift 5 %", "mirror"):
        assert verdicts(images, SAME[change](crops[0])[None], faces)[0] in (UNCHANGED, STILL_ORIGINAL), change
    assert verdicts(images, people[1][:1] / 8, faces) == ["anonymized"]


def test_broken_crops_and_indices(astronaut, people):
    images = to_tensor(astronaut)[None].expand(2, -1, -1, -1)
    face = Face(0, BOX, 1.0, POINTS, FIVE_POINTS, "test")
    small = Face(1, np.array([30.0, 30, 45, 45]), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")
    second = dataclasses.replace(face, image_index=1)
    crops, faces = crop_faces(images, Faces(2, 512, 512, (face, small, second)), 128)
    noise = torch.rand((128, 128, 3), generator=torch.Generator().manual_seed(0))
    stranger = torch.nn.functional.avg_pool2d(people[1][0].permute(2, 0, 1), 2).permute(1, 2, 0)
    for crop, expected in (
        (torch.full_like(noise, 0.4), BROKEN),
        ((noise > 0.5).float(), BROKEN),
        (noise, BROKEN),
        ((stranger - 0.5) * 30 + 0.5, "anonymized"),  # drawn in ink
        (stranger, "anonymized"),
    ):
        found = verdicts(images, torch.stack([crop.clamp(0, 1), crops[1], crops[2]]), faces)
        assert found == [expected, TOO_SMALL, UNCHANGED]
    crops[0, 7, 8, 2], crops[1, 0, 0, 0] = torch.nan, torch.inf
    assert verdicts(images, crops, faces) == [NOT_FINITE, NOT_FINITE, UNCHANGED]
    assert verdicts(images, crops[:0], dataclasses.replace(faces, faces=())) == []


def test_only_what_the_picture_shows_is_compared(astronaut):
    # half of the face is beyond the border: white in the crop, whatever the model painted there
    images, _, faces = cut(astronaut.crop((226, 0, 512, 512)).resize((512, 512)))
    crops, faces = crop_faces(images, dataclasses.replace(faces, faces=(shifted(faces.faces[0], -220),)), SIDE)
    white = crops.amin(-1) == 1
    painted = torch.where(white[..., None], 0.3, crops)
    assert white.float().mean() > 0.3
    assert verdicts(images, painted, faces)[0] in (UNCHANGED, STILL_ORIGINAL)
    away = crop_faces(images, dataclasses.replace(faces, faces=(shifted(faces.faces[0], -900),)), 64)
    assert verdicts(images, *away) == ["anonymized"]


def shifted(face, x):
    return dataclasses.replace(face, points=face.points + np.array([x, 0]), box=face.box + np.array([x, 0, x, 0]))


def test_further_judges_are_asked_for_what_passes_and_decide(astronaut, people):
    asked = []

    def recogniser(sights):
        asked.append([sight.placement.face.box[0] for sight in sights])
        return [Verdict("same person", "distance 0.2, 0.6 is the least") for _ in sights]

    images, crops, faces = people
    mixed = crops.roll(1, 0)
    mixed[0] = crops[0]
    found = verdicts(images, mixed, faces, look=Look(judges=(recogniser,)))
    assert found == [UNCHANGED] + ["same person"] * (len(faces) - 1)
    assert [len(boxes) for boxes in asked] == [len(faces) - 1]
