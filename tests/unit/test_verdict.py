"""Crops that must not be pasted: those that hide nobody are found, those that show another face are not."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste.unfit import NOT_FINITE, TOO_SMALL, UNCHANGED, unfit_crops
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces

POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
BOX = np.array([182.0, 58, 270, 178])
SCALES = {"103 px": 1.0, "412 px": 4.0, "26 px": 0.25}


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


def reduced(side):
    return lambda crop: to_tensor(to_pil(crop).resize((side, side), Image.Resampling.BICUBIC).resize((512, 512)))


def like_a_vae(crop):
    noise = torch.randn(crop.shape, generator=torch.Generator().manual_seed(0)) * 6 / 255
    return to_tensor(to_pil(crop).filter(ImageFilter.GaussianBlur(1.5))) + noise


def other_size(crop):
    return to_tensor(to_pil(crop).resize((384, 384), Image.Resampling.LANCZOS))


def warped(amount):
    def change(crop):
        y, x = torch.meshgrid(torch.linspace(-1, 1, 512), torch.linspace(-1, 1, 512), indexing="ij")
        across = x + amount * torch.sin(3 * y + 1) * (1 - x**2)
        along = y + amount * torch.sin(4 * x) * (1 - y**2)
        grid = torch.stack([across, along], -1)[None]
        channels_first = crop.permute(2, 0, 1)[None]
        return torch.nn.functional.grid_sample(channels_first, grid, align_corners=True)[0].permute(1, 2, 0)

    return change


def barred(crop):
    crop = crop.clone()
    crop[180:220, 150:360] = 0.1
    return crop


SAME = {
    "identity": lambda crop: crop,
    "eight bits": lambda crop: to_tensor(to_pil(crop)),
    "jpeg 90": jpeg(90),
    "jpeg 30": jpeg(30),
    "reduced to 64": reduced(64),
    "like a VAE": like_a_vae,
    "another size": other_size,
    "a cast": lambda crop: crop + torch.tensor([12, 0, -8]) / 255,
}
OTHER = {
    "warped by 2 %": warped(0.02),
    "warped by 5 %": warped(0.05),
    "mirrored": lambda crop: crop.flip(1),
    "white": torch.ones_like,
    "blurred away": lambda crop: to_tensor(to_pil(crop).filter(ImageFilter.GaussianBlur(24))),
    "a bar over the eyes": barred,
    "noise": lambda crop: torch.rand(crop.shape, generator=torch.Generator().manual_seed(0)),
}


@pytest.fixture(scope="module")
def astronaut(request):
    return Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB")


def cut(picture, scale=1.0):
    images = to_tensor(picture.resize([round(512 * scale)] * 2, Image.Resampling.LANCZOS))[None]
    member = Face(0, BOX * scale, 1.0, (POINTS + 0.5) * scale - 0.5, FIVE_POINTS, "test")
    return images, *crop_faces(images, Faces(*images.shape[:3], (member,)), 512)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_what_hides_nobody_is_unchanged(astronaut, scale):
    images, crops, faces = cut(astronaut, scale)
    verdicts = {name: unfit_crops(images, change(crops[0])[None], faces) for name, change in SAME.items()}
    assert verdicts == {name: {0: UNCHANGED} for name in SAME}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_another_face_is_fit(astronaut, scale):
    images, crops, faces = cut(astronaut, scale)
    verdicts = {name: unfit_crops(images, change(crops[0])[None], faces) for name, change in OTHER.items()}
    assert verdicts == {name: {} for name in OTHER}


@pytest.mark.parametrize("channels", [1, 4])
def test_dark_pictures_and_other_channels(astronaut, channels):
    images, _, faces = cut(astronaut)
    images = images / 8
    images = images.mean(-1, keepdim=True) if channels == 1 else torch.cat([images, images[..., :1]], -1)
    crops, faces = crop_faces(images, faces, 512)
    for change in ("identity", "eight bits", "jpeg 90"):
        assert unfit_crops(images, SAME[change](crops[0])[None], faces) == {0: UNCHANGED}
    for change in ("warped by 2 %", "warped by 5 %", "mirrored"):
        assert unfit_crops(images, OTHER[change](crops[0])[None], faces) == {}


def test_reasons_and_indices(astronaut):
    images = to_tensor(astronaut)[None].expand(2, -1, -1, -1)
    face = Face(0, BOX, 1.0, POINTS, FIVE_POINTS, "test")
    small = Face(1, np.array([30.0, 30, 45, 45]), 1.0, np.zeros((0, 2)), BOX_ONLY, "test")
    second = dataclasses.replace(face, image_index=1)
    faces = Faces(2, 512, 512, (face, small, second, face, small))
    crops, faces = crop_faces(images, faces, 128)
    crops[2] = 1 - crops[2]
    crops[3, 7, 8, 2] = torch.nan
    crops[4, 0, 0, 0] = torch.inf
    assert unfit_crops(images, crops, faces) == {0: UNCHANGED, 1: TOO_SMALL, 3: NOT_FINITE, 4: NOT_FINITE}
    assert unfit_crops(images, crops, faces, min_size=15) == {0: UNCHANGED, 1: UNCHANGED, 3: NOT_FINITE, 4: NOT_FINITE}
    assert unfit_crops(images, crops[:0], dataclasses.replace(faces, faces=())) == {}


def test_only_what_the_picture_shows_is_compared(astronaut):
    # half of the face is beyond the border: white in the crop, whatever the model painted there
    images, _, faces = cut(astronaut.crop((226, 0, 512, 512)).resize((512, 512)))
    crops, faces = crop_faces(images, dataclasses.replace(faces, faces=(shifted(faces.faces[0], -220),)), 256)
    white = crops.amin(-1) == 1
    painted = torch.where(white[..., None], 0.3, crops)
    assert white.float().mean() > 0.3
    assert unfit_crops(images, painted, faces) == {0: UNCHANGED}
    away = crop_faces(images, dataclasses.replace(faces, faces=(shifted(faces.faces[0], -900),)), 64)
    assert unfit_crops(images, *away) == {}


def shifted(face, x):
    return dataclasses.replace(face, points=face.points + np.array([x, 0]), box=face.box + np.array([x, 0, x, 0]))


def test_refusals(astronaut):
    images, crops, faces = cut(astronaut)
    bare = Faces(1, 512, 512, (Face(0, BOX, 1.0, POINTS, FIVE_POINTS, "test"),))
    for arguments, message in (
        ((images, crops[:0], faces), "0 crops but 1 faces: connect"),
        ((images, crops, bare), "connect FaceAnonCropFaces"),
        ((images[:, :100], crops, faces), "512x512.*512x100"),
    ):
        with pytest.raises(ValueError, match=message):
            unfit_crops(*arguments)
