"""The picture as it was does not go out with a report of the result, however it was resized, mirrored or cropped."""

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from plain_run import rest_is_long

from face_anonymizer.modules.faces.comparing import Comparison
from face_anonymizer.modules.faces.fingerprint import take_fingerprint
from face_anonymizer.modules.faces.notes import NOT_COMPARED
from face_anonymizer.modules.faces.outcomes import ANONYMIZED
from face_anonymizer.modules.faces.report import join_reports, report_faces
from face_anonymizer.modules.faces.types import FIVE_POINTS, Face, Faces

WAYS = Image.Transpose
BOXES = ((182.0, 58, 270, 178), (30.0, 300, 80, 360))  # of her face, and of a place that stands for a smaller one
POINTS = np.array([(202.6, 101.8), (247.0, 104.6), (223.0, 126.0), (203.4, 142.4), (240.6, 144.9)])


def to_tensor(picture):
    return torch.from_numpy(np.array(picture)).float()[None] / 255


@pytest.fixture(scope="module")
def photo(request):
    """A photo and what was made of its two faces: others, of the same light and in the same place."""
    assets = request.config.rootpath / "assets"
    before = Image.open(assets / "astronaut.jpg").convert("RGB")
    group = Image.open(assets / "synthetic_group.jpg").convert("RGB")
    after = before.copy()
    for box, place in zip(BOXES, ((170, 60, 300, 240), (330, 70, 460, 250)), strict=True):
        x0, y0, x1, y1 = map(int, box)
        face = group.crop(place).resize((x1 - x0, y1 - y0))
        after.paste(Image.blend(before.crop((x0, y0, x1, y1)), face, 0.7), (x0, y0))
    return before, after


def faces_of(images, count=1):
    found = tuple(
        Face(i, np.array(box), 1.0, POINTS, FIVE_POINTS, "test", track=n)
        for i in range(count)
        for n, box in enumerate(BOXES)
    )
    return Faces(count, 512, 512, found, fingerprint=take_fingerprint(images))


@pytest.fixture(scope="module")
def report(photo):
    before, after = map(to_tensor, photo)
    return report_faces(faces_of(before), ANONYMIZED).traced(before, after)


def compared(report, *pictures):
    comparison = Comparison(report, len(pictures))
    for number, picture in enumerate(pictures):
        comparison.look_at(number, to_tensor(picture)[0] if isinstance(picture, Image.Image) else picture)
    return comparison


def seen(report, *pictures):
    comparison = compared(report, *pictures)
    return len(comparison.open_faces), comparison.unknown


def part(picture, *shares):
    return picture.crop([round(share * 512) for share in shares])


def jpeg(picture):
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


CHANGES = {
    "as it is": lambda p: p,
    "JPEG 30, reduced": lambda p: jpeg(p.resize((300, 300))),
    "gray": lambda p: p.convert("L").convert("RGB"),
    "mirrored": lambda p: p.transpose(WAYS.FLIP_LEFT_RIGHT),
    "a quarter turn": lambda p: p.transpose(WAYS.ROTATE_270),
    "a half turn, enlarged": lambda p: p.transpose(WAYS.ROTATE_180).resize((700, 700)),
    "other proportions": lambda p: p.resize((512, 300)),
    "shifted": lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0, 4, 0, 1, -3)),
    "slightly cropped": lambda p: part(p, 0.03, 0.03, 0.97, 0.97),
    "slightly cropped, to its size": lambda p: part(p, 0.03, 0.03, 0.97, 0.97).resize(p.size),
    "turned by 5 degrees": lambda p: p.rotate(5, Image.Resampling.BICUBIC),
    "on a larger sheet": lambda p: part(p, -0.3, -0.1, 1.1, 1.2),
}


@pytest.mark.parametrize(
    "name", rest_is_long(CHANGES, "as it is", "JPEG 30, reduced", "mirrored", "shifted", "turned by 5 degrees")
)
def test_the_original_is_seen_and_the_result_is_not_refused(photo, report, name):
    before, after = map(CHANGES[name], photo)
    assert seen(report, before) == (2, [])
    comparison = compared(report, after)
    assert (comparison.open_faces, comparison.unknown, comparison.unlike) == (set(), [], {})


def test_a_negative_of_the_original_shows_it(photo, report):
    assert seen(report, ImageOps.invert(photo[0])) == (2, [])


def curve(function):
    return lambda p: p.point([round(255 * function(i / 255)) for i in range(256)] * 3)


def noisy(picture):
    grain = np.random.default_rng(0).normal(0, 15, (*picture.size[::-1], 3))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


GRADINGS = {
    "brighter": curve(lambda x: x**0.6),
    "darker": curve(lambda x: x**2),
    "more contrast": curve(lambda x: 0.5 - 0.5 * np.cos(np.pi * x)),
    "inverted": ImageOps.invert,
    "equalized": ImageOps.equalize,
    "few levels": lambda p: ImageOps.posterize(p, 3),
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(2)),
    "sharpened": lambda p: p.filter(ImageFilter.UnsharpMask(3, 200)),
    "grainy": noisy,
    "in lower resolution": lambda p: p.resize((96, 96), Image.Resampling.LANCZOS).resize(p.size),
    "a vignette": lambda p: Image.composite(
        p, Image.new("RGB", p.size), ImageOps.invert(Image.radial_gradient("L")).resize(p.size)
    ),
}


@pytest.mark.parametrize("name", GRADINGS)
def test_a_grading_of_the_result_is_the_result(photo, report, name):
    comparison = compared(report, GRADINGS[name](photo[1]))
    assert comparison.judged() is report


BLENDED = list(itertools.product(["as it is", "JPEG 30, reduced", "mirrored", "shifted"], [0.3, 0.35]))


@pytest.mark.parametrize(
    ("name", "share"), rest_is_long(BLENDED, ("as it is", 0.3), ("JPEG 30, reduced", 0.35), ("shifted", 0.3))
)
def test_a_result_that_was_blended_with_its_original_is_told(photo, report, name, share):
    """Nobody looked at that; at such shares, and in a result that is near to it, recognisers still know the person."""
    before, after = photo
    other = Image.blend(after, before, share)
    other.paste(after.crop((0, 290, 90, 370)), (0, 290))  # at one of the two faces
    comparison = compared(report, CHANGES[name](other))
    assert comparison.open_faces == set() and comparison.unknown == []
    assert {number: [key[1] for key in keys] for number, keys in comparison.unlike.items()} == {0: [BOXES[0]]}
    (doubt,) = comparison.judged().notes
    assert doubt.startswith("NOT COMPARED: at 1 face of picture 1 ") and (doubt.kind, doubt.images) == (
        NOT_COMPARED,
        (0,),
    )


def test_something_else_in_the_place_of_a_face_is_told(photo, report, request):
    other = (
        Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB").crop((170, 60, 300, 240))
    )
    later = photo[1].copy()
    later.paste(other.resize((110, 150)), (170, 45))
    assert list(compared(report, later).unlike) == [0]
    later.paste(Image.new("RGB", (130, 160)), (160, 40))  # a cover shows nothing
    assert compared(report, later).unlike == {}


def test_what_was_covered_may_be_compressed_and_a_second_step_is_the_result_of_both(photo):
    """Mosaics keep much of the original's structure; of two steps the last shows."""
    before, after = photo
    for size in (6, 12):
        mosaic = before.copy()
        for x0, y0, x1, y1 in (tuple(map(int, box)) for box in BOXES):
            part = before.crop((x0, y0, x1, y1))
            mosaic.paste(part.resize((size, size), Image.Resampling.BOX).resize(part.size, 0), (x0, y0))
        covered = report_faces(faces_of(to_tensor(before)), "redacted").traced(*map(to_tensor, (before, mosaic)))
        for change in (jpeg, CHANGES["JPEG 30, reduced"], CHANGES["mirrored"]):
            assert compared(covered, change(mosaic)).judged() is covered
        blended = compared(covered, Image.blend(mosaic, before, 0.5))
        assert blended.open_faces or blended.unlike
    first, second = map(to_tensor, (after, ImageOps.mirror(after)))
    steps = [report_faces(faces_of(to_tensor(before)), ANONYMIZED).traced(to_tensor(before), first)]
    steps.append(report_faces(faces_of(to_tensor(before)), ANONYMIZED).traced(first, second))
    both = steps[1].after(steps[0])
    assert compared(both, second[0]).judged() is both and list(compared(both, first[0]).unlike) == [0]


def test_one_face_that_is_open_in_a_part_is_seen(photo, report):
    before, after = photo
    half_done = after.copy()
    half_done.paste(before.crop((180, 50, 280, 190)), (180, 50))
    assert seen(report, part(half_done, 0.1, 0, 0.8, 0.6).transpose(WAYS.FLIP_LEFT_RIGHT)) == (1, [])
    assert seen(report, part(after, 0.1, 0, 0.8, 0.6).transpose(WAYS.FLIP_LEFT_RIGHT)) == (0, [])


def test_the_original_beside_its_result_is_seen(photo, report):
    sheet = Image.new("RGB", (1024, 512))
    sheet.paste(photo[1], (0, 0))
    sheet.paste(photo[0], (512, 0))
    assert seen(report, sheet) == (2, [])


def test_another_picture_is_told_from_both(report, request):
    other = Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB")
    comparison = compared(report, other.resize((480, 320)))
    assert comparison.open_faces == set() and comparison.unknown == [0]
    assert comparison.judged().notes[-1].startswith("NOT COMPARED: what was saved as picture 1 is none")


@pytest.mark.parametrize("close", [False, True], ids=["two faces", "a close portrait"])
def test_faces_that_were_covered_leave_nothing_to_see(photo, close):
    """Of the portrait half is covered: what became of it is known as well as what it was."""
    before = to_tensor(photo[0])
    after = before.clone()
    after[:, 50:190, 170:280] = 0
    after[:, 290:370, 20:90] = 0
    faces = faces_of(before)
    if close:
        before, after = before[:, 30:210, 140:310], after[:, 30:210, 140:310]
        box = np.array(BOXES[0]) - [140, 30, 140, 30]
        faces = Faces(1, 180, 170, (Face(0, box, 1.0, POINTS, FIVE_POINTS, "t"),), fingerprint=take_fingerprint(before))
    covered = report_faces(faces, "redacted").traced(before, after)
    small, original = (
        torch.nn.functional.interpolate(images.movedim(-1, 1), (130, 130), mode="area").movedim(1, -1)[0].flip(1)
        for images in (after, before)
    )
    assert seen(covered, after[0]) == seen(covered, small) == (0, [])
    assert seen(covered, original) == (len(faces), [])


def test_some_of_a_batch_in_any_order_are_compared_with_their_own(photo):
    """Three pictures, of which the last two come mirrored, the other way round, one of them as it was."""
    before, after = photo
    moved = [(1, 0, 60 * i, 0, 1, 20 * i) for i in range(3)]  # as a camera that moves
    befores, afters = (
        torch.cat([to_tensor(p.transform(p.size, Image.Transform.AFFINE, m)) for m in moved]) for p in (before, after)
    )
    boxes = [
        Face(i, np.array(BOXES[0]) - [60 * i, 20 * i, 60 * i, 20 * i], 1.0, POINTS, FIVE_POINTS, "t") for i in range(3)
    ]
    faces = Faces(3, 512, 512, tuple(boxes), fingerprint=take_fingerprint(befores))
    report = report_faces(faces, ANONYMIZED).traced(befores, afters)
    comparison = Comparison(report, 2)
    comparison.look_at(0, afters[2].flip(1))
    comparison.look_at(1, befores[1].flip(1))
    assert {image for image, _ in comparison.open_faces} == {1} and comparison.unknown == []
    assert seen(report, afters[0], afters[2], befores[1])[0] == 1, "exchanged, as many as there were"


def test_faces_that_other_nodes_found_are_compared_without_a_fingerprint(photo):
    before, after = map(to_tensor, photo)
    both = torch.cat([before.flip(1), before]), torch.cat([after.flip(1), after])
    found = tuple(replace(face, image_index=1) for face in faces_of(before))
    report = report_faces(Faces(2, 512, 512, found), ANONYMIZED).traced(*both)
    assert report.fingerprint is None and [view.image for view in report.views] == [1]
    assert seen(report, photo[0].resize((300, 300))) == (2, [])


def test_films_keep_few_views_and_are_found_by_their_cells(photo, report):
    before, after = map(to_tensor, photo)
    parts = [report_faces(faces_of(before), ANONYMIZED).traced(before, after, lambda _, i=i: i == 0) for i in range(3)]
    film = join_reports([one.shifted(i, 3) for i, one in enumerate(parts)], 3, 512, 512)
    assert [view.image for view in film.views] == [0] and film.fingerprint.numbers == [0, 1, 2]
    small = [p.transpose(WAYS.FLIP_LEFT_RIGHT).resize((320, 320)) for p in photo]
    comparison = Comparison(film, 3, 1)  # only the first is searched for
    for number, which in enumerate((1, 1, 0)):
        comparison.look_at(number, to_tensor(small[which])[0])
    assert {image for image, _ in comparison.open_faces} == {2}
    comparison = Comparison(film, 3)
    comparison.look_at(1, to_tensor(small[0])[0])  # of which no view was kept
    assert len(comparison.open_faces) == 2


PARTS = {
    "without the chin": (170, 40, 280, 130),
    "one side": (100, 40, 225, 180),
}


@pytest.mark.parametrize("name", rest_is_long(PARTS, "one side"))
def test_a_part_of_a_face_that_is_open_is_seen(photo, report, name):
    """Eyes, nose and mouth are a person, though most of the face's box lies beyond the picture."""
    before, after = (picture.crop(PARTS[name]) for picture in photo)
    before, after = (part.resize((part.width * 2, part.height * 2)) for part in (before, after))
    assert seen(report, before) == (1, []) and seen(report, after) == (0, [])


@pytest.mark.parametrize("share", [0.6, 0.25])
def test_the_original_in_a_corner_of_its_own_result_is_seen(photo, report, share):
    before, after = photo
    for shown, count in ((before, 1), (after, 0)):
        small = shown.resize((round(512 * share), round(512 * share)), Image.Resampling.LANCZOS)
        sheet = after.copy()
        sheet.paste(small, (512 - small.width, 512 - small.height))
        open_faces = compared(report, sheet).open_faces
        assert len(open_faces) >= count and (count or not open_faces)


def test_a_face_crop_of_the_original_in_a_corner_is_seen(photo, report):
    sheet = photo[1].copy()
    sheet.paste(photo[0].crop((160, 40, 290, 190)).resize((78, 90), Image.Resampling.LANCZOS), (420, 10))
    assert [key[1] for key in compared(report, sheet).open_faces] == [BOXES[0]]


def test_a_report_without_faces_and_another_picture(photo, request):
    """Nobody looked at the faces of that one."""
    empty = Faces(1, 512, 512, (), fingerprint=take_fingerprint(to_tensor(photo[0])))
    nothing = report_faces(empty, ANONYMIZED).traced(*map(to_tensor, (photo[0], photo[0])))
    for change in (CHANGES["as it is"], CHANGES["JPEG 30, reduced"], GRADINGS["darker"], CHANGES["mirrored"]):
        assert compared(nothing, change(photo[0])).judged() is nothing
    other = Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB").resize((512, 512))
    assert compared(nothing, other).judged().notes[-1].startswith("NOT COMPARED: what was saved as picture 1 is none")


@pytest.mark.parametrize(
    "change", [ImageFilter.GaussianBlur(3.5), ImageFilter.UnsharpMask(2, 400, 0)], ids=["blur", "sharpened"]
)
def test_small_faces_that_were_blurred_or_sharpened_by_far_are_the_result(request, change):
    """Between the pixels that are compared there is more than a blur leaves."""
    assets = request.config.rootpath / "assets"
    before = Image.open(assets / "synthetic_group.jpg").convert("RGB").resize((480, 320))
    boxes = ((92, 57, 158, 139), (203, 52, 273, 137), (142, 171, 214, 258))
    after = before.copy()
    tiles = Image.open(assets.parent / "docs" / "synthetic_faces" / "identities.jpg").convert("RGB")
    for i, box in enumerate(boxes):
        tile = tiles.crop((i * 128 + 24, 16, i * 128 + 104, 116))
        after.paste(tile.resize((box[2] - box[0], box[3] - box[1])), box[:2])
    found = tuple(Face(0, np.array(box, float), 1.0, POINTS, FIVE_POINTS, "test") for box in boxes)
    images = to_tensor(before)
    faces = Faces(1, 320, 480, found, fingerprint=take_fingerprint(images))
    report = report_faces(faces, ANONYMIZED).traced(images, to_tensor(after))
    assert compared(report, after.filter(change)).judged() is report
