"""Faces know their picture: another one of the same size is refused, a graded, saved or changed copy is not."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance

from face_anonymizer.modules.faces.alignment import check_faces, crop_faces
from face_anonymizer.modules.faces.fingerprint import join_fingerprints, take_fingerprint
from face_anonymizer.modules.faces.paste.compositing import paste_faces
from face_anonymizer.modules.faces.paste.redaction import redact_faces
from face_anonymizer.modules.faces.settings import MODES, SHAPES, RedactSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face, Faces

POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])
BOX = np.array([182.0, 58, 270, 178])


def to_tensor(picture):
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


def to_pil(images):
    return Image.fromarray((images[0].clamp(0, 1) * 255).round().byte().numpy())


@pytest.fixture(scope="module")
def scene(request):
    """The astronaut, her face with the picture's fingerprint, and another picture of the same size."""
    assets = request.config.rootpath / "assets"
    images = to_tensor(Image.open(assets / "astronaut.jpg"))
    face = Face(0, BOX, 1.0, POINTS, FIVE_POINTS, "test")
    other = to_tensor(Image.open(assets / "synthetic_group.jpg").resize((512, 512)))
    return images, Faces(1, 512, 512, (face,), fingerprint=take_fingerprint(images)), other


def saved(images):
    data = io.BytesIO()
    to_pil(images).save(data, "JPEG", quality=10)
    return to_tensor(Image.open(data))


def with_a_caption(images):
    images = images.clone()
    images[:, 440:] = 1
    return images


ACCEPTED = {
    "itself": lambda images: images,
    "jpeg 10": saved,
    "grey": lambda images: images.mean(-1, keepdim=True),
    "with alpha": lambda images: torch.cat([images, images[..., :1]], -1),
    "gamma 0.5": lambda images: images**0.5,
    "gamma 2": lambda images: images**2,
    "contrast 1.6": lambda images: ((images - 0.5) * 1.6 + 0.5).clamp(0, 1),
    "very dark": lambda images: images * 0.2,
    "a cast": lambda images: (images + torch.tensor([0.15, 0, -0.1])).clamp(0, 1),
    "colourful": lambda images: to_tensor(ImageEnhance.Color(to_pil(images)).enhance(2)),
    "a caption": with_a_caption,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_copy_is_accepted(scene, name):
    images, faces, _ = scene
    check_faces(ACCEPTED[name](images), faces)


def test_what_was_made_of_its_faces_is_accepted(scene):
    images, faces, _ = scene
    crops, cropped = crop_faces(images, faces, 128)
    pasted, _ = paste_faces(images, 1 - crops, cropped)
    for mode in MODES:
        redacted, _ = redact_faces(pasted, faces, RedactSettings(mode, "crop", margin=0.3))
        check_faces(redacted, cropped)


@pytest.mark.parametrize("change", ["another", "turned", "mirrored", "blank", "noise"])
def test_another_picture_of_that_size_is_refused(scene, change):
    images, faces, other = scene
    picture = {
        "another": other,
        "turned": images.flip(1),
        "mirrored": images.flip(2),
        "blank": torch.full_like(images, 0.5),
        "noise": torch.rand(images.shape, generator=torch.Generator().manual_seed(0)),
    }[change]
    for use in (
        lambda: crop_faces(picture, faces, 64),
        lambda: redact_faces(picture, faces),
        lambda: paste_faces(picture, torch.zeros(1, 64, 64, 3), crop_faces(images, faces, 64)[1]),
    ):
        with pytest.raises(ValueError, match=r"Picture 1 is not the one.*agree by .*0\.90 is the least.*Detect Faces"):
            use()


def test_a_portrait_that_fills_its_picture_is_known_too(scene):
    """The crop takes the whole picture: what is around the box decides."""
    images, faces, other = scene
    close = images[:, 50:190, 155:295]
    face = dataclasses.replace(faces.faces[0], box=BOX - [155, 50, 155, 50], points=POINTS - [155, 50])
    faces = Faces(1, 140, 140, (face,), fingerprint=take_fingerprint(close))
    check_faces(close**0.7, faces)
    for shape in SHAPES:
        check_faces(redact_faces(close, faces, RedactSettings("solid", shape, margin=0.3))[0], faces)
    stranger = torch.nn.functional.interpolate(other[:, 150:400, 60:310].movedim(-1, 1), (140, 140)).movedim(1, -1)
    with pytest.raises(ValueError, match=r"0\.60 is the least"):
        check_faces(stranger, faces)
    # somebody else's portrait that is covered at that place
    with pytest.raises(ValueError, match=r"0\.60 is the least"):
        check_faces(redact_faces(stranger, dataclasses.replace(faces, fingerprint=None))[0], faces)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_packs_own_portrait_is_known_under_its_cover(request, shape):
    """More of it is face and hair than the box, and a cover reaches out of that."""
    images = to_tensor(Image.open(request.config.rootpath / "assets" / "synthetic_portrait.jpg"))
    box = np.array([84.4, 64.0, 295.6, 332.0])  # as the pack's detector finds it
    face = Face(0, box, 0.9, np.zeros((0, 2)), BOX_ONLY, "test")
    faces = Faces(1, 384, 384, (face,), fingerprint=take_fingerprint(images))
    check_faces(saved(redact_faces(images, faces, RedactSettings("solid", shape))[0]), faces)
    with pytest.raises(ValueError, match="Picture 1 is not the one"):
        check_faces(images.flip(1), faces)


def with_a_smiley(images, box):
    """A yellow face laid over a face: it reaches out of the box, in several colours."""
    picture = to_pil(images)
    draw = ImageDraw.Draw(picture)
    (x, y), radius = (box[:2] + box[2:]) / 2, 0.62 * (box[2:] - box[:2]).max()
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), (255, 210, 40))
    for right in (-0.35, 0.35):
        middle = x + right * radius, y - 0.35 * radius
        draw.ellipse((*(v - radius / 10 for v in middle), *(v + radius / 10 for v in middle)), (60, 40, 10))
    draw.arc((x - radius / 2, y - radius * 0.4, x + radius / 2, y + radius * 0.55), 20, 160, (60, 40, 10), 20)
    return to_tensor(picture)


def test_a_portrait_is_known_by_its_corners_beside_a_smiley(scene):
    images, faces, other = scene
    left, top, side = 162, 54, 128  # a smiley leaves 68 cells of the corners
    box = BOX - [left, top, left, top]
    face = dataclasses.replace(faces.faces[0], box=box, points=POINTS - [left, top])

    def cut(picture, right=0):
        return picture[:, top : top + side, left + right : left + right + side]

    faces = Faces(1, side, side, (face,), fingerprint=take_fingerprint(cut(images)))
    for changed in (cut(images), saved(cut(images)), (cut(images) + 0.15).clamp(0, 1)):
        check_faces(with_a_smiley(changed, box), faces)
    for wrong in (cut(images).flip(1), cut(images).flip(2), cut(images, 15), cut(other)):
        with pytest.raises(ValueError, match="Picture 1 is not the one"):
            check_faces(with_a_smiley(wrong, box), faces)


def test_batches_windows_and_clips(scene):
    images, _, other = scene
    batch = torch.cat([images, other, images * 0.5])
    taken = take_fingerprint(batch)
    check_faces(batch, Faces(3, 512, 512, fingerprint=taken))
    with pytest.raises(ValueError, match="Picture 2 is not"):
        check_faces(torch.cat([images, images, images]), Faces(3, 512, 512, fingerprint=taken))
    with pytest.raises(ValueError, match="Picture 10 is not"):  # of a film, of which this is the second chunk
        check_faces(torch.cat([images, images, images]), Faces(3, 512, 512, fingerprint=taken), first=8)
    last = Faces(3, 512, 512, fingerprint=taken).window(2, 3)
    assert last.fingerprint.numbers == [0]
    check_faces(images, last)
    keyframes = join_fingerprints([take_fingerprint(batch, 2), None, take_fingerprint(batch, 2).shifted(8)])
    assert keyframes.numbers == [0, 2, 8, 10]
    assert Faces(11, 512, 512, fingerprint=keyframes).window(8, 11).shifted(8).fingerprint.numbers == [8, 10]
    assert join_fingerprints([None]) is None
    check_faces(other, Faces(1, 512, 512))  # faces of elsewhere have no fingerprint
