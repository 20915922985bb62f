"""What still shows the original although, as a whole, it is another picture: parts, lines, drawings, veils, turns."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from plain_run import rest_is_long
from scipy.ndimage import gaussian_filter, uniform_filter

from face_anonymizer.modules.faces.alignment import crop_faces
from face_anonymizer.modules.faces.paste.broken import why_broken
from face_anonymizer.modules.faces.paste.detail import compare_detail
from face_anonymizer.modules.faces.paste.likeness import LIMITS, OWN_LIMITS, compare
from face_anonymizer.modules.faces.paste.look import Look
from face_anonymizer.modules.faces.paste.paste_or_redact import replace_faces
from face_anonymizer.modules.faces.settings import PasteSettings
from face_anonymizer.modules.faces.types import FIVE_POINTS, Face, Faces

SIDE = 160
EVERYTHING = np.ones((SIDE, SIDE), bool)
BOX = (181.8, 58.1, 269.7, 178.0)  # of assets/astronaut.jpg, as Detect Faces finds it
POINTS = ((203.9, 100.2), (246.1, 102.9), (224.4, 128.5), (201.1, 139.0), (244.4, 141.4))


@pytest.fixture(scope="module")
def photo(request):
    """The picture of assets/astronaut.jpg, its crop, its face, and the crops of four strangers."""
    root = request.config.rootpath
    picture = Image.open(root / "assets" / "astronaut.jpg").convert("RGB")
    images = torch.from_numpy(np.array(picture)).float()[None] / 255
    face = Face(0, np.array(BOX), 0.9, np.array(POINTS), FIVE_POINTS, "test")
    crops, faces = crop_faces(images, Faces(1, *images.shape[1:3], (face,)), SIDE)
    sheet = Image.open(root / "docs" / "synthetic_faces" / "identities.jpg").convert("RGB")
    tiles = [
        sheet.crop((i * 128, 0, i * 128 + 128, 128)).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for i in range(4)
    ]
    return images, crops, faces, [np.asarray(tile, np.float32) / 255 for tile in tiles]


def cells(crop):
    return np.ascontiguousarray(np.clip(crop, 0, 1).astype(np.float32).transpose(2, 0, 1))


def refused(original, result):
    """Whether the look takes one crop [160, 160, 3] for what was made of the other."""
    pair = cells(original), cells(result), EVERYTHING
    return compare(*pair).is_original or any(figure.is_original for figure in compare_detail(*pair))


def grey(crop):
    return np.repeat((crop @ np.float32([0.299, 0.587, 0.114]))[..., None], 3, -1)


def filtered(crop, kind):
    levels = Image.fromarray((grey(crop)[..., 0] * 255).round().astype(np.uint8))
    return np.repeat(np.asarray(levels.filter(kind), np.float32)[..., None] / 255, 3, -1)


def edges(crop):
    down, right = np.gradient(grey(crop)[..., 0])
    steep = np.hypot(down, right)
    return np.repeat(np.clip(steep / np.quantile(steep, 0.98), 0, 1)[..., None], 3, -1)


def sketch(crop):
    """As a pencil would draw it: what is darker than around it."""
    levels = grey(crop)
    around = 1 - filtered(1 - levels, ImageFilter.GaussianBlur(4))
    return np.clip(levels / np.maximum(around, 1e-3), 0, 1)


def where(chosen):
    """The original at some cells, the stranger at the others."""
    return lambda crop, other: np.where(np.broadcast_to(chosen, (SIDE, SIDE))[..., None], crop, other)


def inverted(chosen):
    return lambda crop, other: where(chosen)(1 - crop, crop)


X, Y = np.arange(SIDE)[None], np.arange(SIDE)[:, None]
LEFT, UPPER = X < SIDE // 2, Y < SIDE // 2
MIXED = {
    "every third line inverted": inverted(Y % 3 == 0),
    "every third line inverted, thick": inverted(Y // 5 % 3 == 0),
    "every other column inverted": inverted(X // 3 % 2 == 0),
    "every third line a stranger's": where(Y // 2 % 3 != 0),
    "left half": where(LEFT),
    "right half": where(~LEFT),
    "upper half": where(UPPER),
    "lower half": where(~UPPER),
    "upper left quarter": where(LEFT & UPPER),
    "upper right quarter": where(~LEFT & UPPER),
    "lower left quarter": where(LEFT & ~UPPER),
    "lower right quarter": where(~LEFT & ~UPPER),
    "checkerboard of cells": where((X + Y) % 2 == 0),
    "checkerboard of 5 cells": where((X // 5 + Y // 5) % 2 == 0),
    "checkerboard of 20 cells": where((X // 20 + Y // 20) % 2 == 0),
    "half and half": lambda crop, other: 0.5 * crop + 0.5 * other,
    "0.7 of it": lambda crop, other: 0.7 * crop + 0.3 * other,
    "0.7 of it, moved": lambda crop, other: 0.7 * np.roll(crop, (5, -7), (0, 1)) + 0.3 * other,
    "0.7 of it, mirrored": lambda crop, other: 0.7 * crop[:, ::-1] + 0.3 * other,
    "left half, paler": lambda crop, other: where(LEFT)(crop * 0.8 + 0.1, other),
}
DRAWN = {
    "sketch": sketch,
    "edges": edges,
    "edges on white": lambda crop: 1 - edges(crop),
    "edges, either there or not": lambda crop: (edges(crop) > 0.4).astype(np.float32),
    "contours": lambda crop: filtered(crop, ImageFilter.CONTOUR),
    "embossed": lambda crop: filtered(crop, ImageFilter.EMBOSS),
    "solarized": lambda crop: np.where(crop > 0.5, 1 - crop, crop),
    "posterized": lambda crop: np.round(crop * 3) / 3,
    "channels turned": lambda crop: crop[..., [2, 0, 1]],
}


def looked_up(crop, x, y):
    """A crop whose places, -1..1, are looked up elsewhere in it."""
    grid = torch.from_numpy(np.stack(np.broadcast_arrays(x, y), -1).astype(np.float32))[None]
    moved = torch.nn.functional.grid_sample(
        torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None],
        grid,
        padding_mode="border",
        align_corners=False,
    )
    return moved[0].permute(1, 2, 0).numpy()


U, V = ((axis + 0.5) / SIDE * 2 - 1 for axis in (X, Y))
RADIUS = np.hypot(U, V)


def blown_up(power):
    factor = np.where(RADIUS < 0.9, (RADIUS / 0.9) ** power, 1)
    return lambda crop: looked_up(crop, U * factor, V * factor)


def swirled(degrees):
    angle = np.deg2rad(degrees) * np.clip(1 - RADIUS / 0.9, 0, 1)
    cosine, sine = np.cos(angle), np.sin(angle)
    return lambda crop: looked_up(crop, U * cosine - V * sine, U * sine + V * cosine)


def waved(amount, periods, both=True):
    """By so much of the half side, in so many periods."""
    phases = np.pi * periods * U, np.pi * periods * V
    return lambda crop: looked_up(
        crop, U + amount * np.sin(phases[1]), V + (amount * np.sin(phases[0]) if both else 0 * U)
    )


BENT = {
    "bulge": blown_up(0.3),
    "pinch": blown_up(-0.2),
    "swirl": swirled(30),
    "swirl the other way": swirled(-40),
    "wave": waved(0.04, 2),
    "narrow waves": waved(0.03, 5),
    "rows moved by a sine": waved(0.08, 3, both=False),
    "a bulge, mirrored": lambda crop: blown_up(0.3)(crop[:, ::-1]),
    "a wave, paler": lambda crop: waved(0.04, 2)(0.7 * crop + 0.2),
}


@pytest.mark.parametrize("kind", BENT)
def test_what_was_bent_still_shows_the_original(photo, kind):
    _, crops, _, others = photo
    for original in (crops[0].numpy(), others[0]):
        assert refused(original, BENT[kind](original))
    assert not any(refused(crops[0].numpy(), BENT[kind](other)) for other in others[:2])
    assert not any(refused(other, BENT[kind](crops[0].numpy())) for other in others[:1])


@pytest.mark.parametrize("kind", rest_is_long(MIXED, *list(MIXED)[::2]))
def test_what_is_mixed_with_a_stranger_still_shows_the_original(photo, kind):
    _, crops, _, others = photo
    original = crops[0].numpy()
    assert all(refused(original, MIXED[kind](original, other)) for other in others[:2])
    assert all(refused(other, MIXED[kind](other, original)) for other in others[2:3])


@pytest.mark.parametrize("kind", DRAWN)
def test_what_was_drawn_of_the_original_still_shows_it(photo, kind):
    original = photo[1][0].numpy()
    assert refused(original, DRAWN[kind](original))
    assert not any(refused(original, DRAWN[kind](other)) for other in photo[3][:2])


@pytest.mark.parametrize("degrees", [25, 30, 37, 45, 60, 75, 110, 150, 200])
@pytest.mark.parametrize("mirrored", [False, True], ids=["", "mirrored"])
def test_a_turned_face_is_found(photo, degrees, mirrored):
    original = photo[1][0].numpy()
    picture = Image.fromarray((original[:, :: -1 if mirrored else 1] * 255).round().astype(np.uint8))
    assert refused(original, np.asarray(picture.rotate(degrees, Image.Resampling.BICUBIC), np.float32) / 255)


def test_strangers_pass_far_below_all_limits(photo):
    _, crops, _, others = photo
    people = [crops[0].numpy(), *others[:3]]
    for one in range(len(people)):
        for other in range(len(people)):
            if one != other:
                pair = cells(people[one]), cells(people[other]), EVERYTHING
                assert not compare(*pair).is_original
                assert max(figure.nearness for figure in compare_detail(*pair)) < 0.75


def test_the_same_light_on_a_face_of_its_own_detail_passes(photo):
    """As the published model paints where head, light and pose stay: all but the finest detail agrees nearly."""
    _, crops, _, others = photo
    original, other = crops[0].numpy(), others[0]

    def finest(crop):
        picture = torch.from_numpy(crop).permute(2, 0, 1)[None]
        fine, coarse = (
            torch.nn.functional.interpolate(
                torch.nn.functional.interpolate(picture, size=side, mode="bilinear", antialias=True),
                SIDE,
                mode="bicubic",
            )
            for side in (SIDE, 20)
        )
        return (fine - coarse)[0].permute(1, 2, 0).numpy()

    result = original - 0.6 * finest(original) + 0.6 * finest(other)
    likeness = compare(cells(original), cells(result), EVERYTHING)
    assert likeness.bands[2] > LIMITS[2] and likeness.limits == OWN_LIMITS and not likeness.is_original
    # the same with no detail of its own is the original, blurred
    blurred = compare(cells(original), cells(original - finest(original)), EVERYTHING)
    assert blurred.limits == LIMITS and blurred.is_original


def test_the_report_says_how_much_of_the_original_is_there(photo):
    images, crops, faces, others = photo
    other = torch.from_numpy(others[0])[None]
    half = torch.cat([crops[:, :, :80], other[:, :, 80:]], 2)
    (entry,) = replace_faces(images, half, faces, look=Look(degree=1.25))[2].entries
    assert (entry.action, entry.verdict) == ("redacted", "still the original")
    assert re.search(r"\d\d\.\d% of its places are the original's, 6% is the most, at degree 1.25$", entry.reason)
    (entry,) = replace_faces(images, other, faces)[2].entries
    assert (entry.action, entry.reason) == ("anonymized", "")


@pytest.mark.parametrize("size, place", [(0.25, (1.0, 1.0)), (0.33, (0.0, 0.1)), (0.4, (0.5, 0.9)), (0.5, (1.0, 0.0))])
def test_a_small_copy_in_the_crop_is_found(photo, size, place):
    images, crops, faces, others = photo
    side = round(SIDE * size)
    copy = Image.fromarray((crops[0].numpy() * 255).round().astype(np.uint8)).resize(
        (side, side), Image.Resampling.LANCZOS
    )
    x, y = (round(at * (SIDE - side)) for at in place)
    result = torch.from_numpy(others[1].copy())[None]
    result[0, y : y + side, x : x + side] = torch.from_numpy(np.asarray(copy, np.float32) / 255)
    (entry,) = replace_faces(images, result, faces, PasteSettings(feather=0.0))[2].entries
    assert (entry.action, entry.verdict) == ("redacted", "still the original")
    assert "a copy of it, 0." in entry.reason


def test_what_the_mask_keeps_is_for_the_coverage_to_judge(photo):
    """Kept eyes are the user's wish, and 0.9 of the oval is replaced; they hide nothing that the crop brings back."""
    images, crops, faces, others = photo
    other = torch.from_numpy(others[0])[None]
    settings = PasteSettings(keep=("eyes",))
    _, _, report = replace_faces(images, other, faces, settings)
    assert (report.entries[0].action, report.entries[0].reason) == ("anonymized", "")
    assert 0.9 <= report.entries[0].covered < 0.99
    (entry,) = replace_faces(images, torch.cat([crops[:, :, :80], other[:, :, 80:]], 2), faces, settings)[2].entries
    assert (entry.action, entry.verdict) == ("redacted", "still the original")
    both = replace_faces(images, other, faces, PasteSettings(keep=("eyes", "mouth")))[2].entries[0]
    assert (both.action, both.verdict) == ("redacted", "kept") and 0.8 < both.covered < 0.9


def few_lines(crop):
    levels = grey(gaussian_filter(crop, (3, 3, 0)))
    return (levels > np.quantile(levels[40:120, 40:120], 0.05)).astype(np.float32)


STYLES = {
    "1 bit": lambda crop: (grey(crop) > np.median(grey(crop))).astype(np.float32),
    "1 bit, few lines": few_lines,
    "contrast": lambda crop: np.clip((crop - np.median(crop)) * 8 + 0.5, 0, 1),
    "high key": lambda crop: np.clip(crop * 2.5, 0, 1),
    "lines on white": lambda crop: 1 - edges(crop),
}
BROKEN = {
    "white": lambda crop: np.ones_like(crop),
    "one colour, full": lambda crop: np.ones_like(crop) * np.float32([1, 0, 1]),
    "blown out": lambda crop: np.clip(crop * 60, 0, 1),
    "one edge": lambda crop: np.broadcast_to((X > 80).astype(np.float32)[..., None], crop.shape).copy(),
    "one dot": lambda crop: np.broadcast_to((np.hypot(X - 80, Y - 80) > 6)[..., None], crop.shape).astype(np.float32),
    "noise": lambda crop: np.random.default_rng(0).random(crop.shape, np.float32).round(),
}


@pytest.mark.parametrize("kind", [*STYLES, *BROKEN])
def test_an_ink_style_is_a_picture_and_a_blown_out_crop_is_none(photo, kind):
    _, crops, _, others = photo
    for other in others[:3]:
        why = why_broken(torch.from_numpy((STYLES | BROKEN)[kind](other))[:, :, :3], crops[0])
        assert (why is None) == (kind in STYLES), why


@pytest.mark.parametrize("scale, aside", [(1.25, 0.0), (1.2, 0.02), (1.12, 0.06)])
def test_what_was_enlarged_and_moved_still_shows_the_original(photo, scale, aside):
    for original in (photo[1][0].numpy(), photo[3][0], photo[3][2]):
        assert refused(original, looked_up(original, U / scale + 2 * aside, V / scale + aside))


CUT_OFF = {
    "blurred": lambda crop: gaussian_filter(crop, (3.2, 3.2, 0)),
    "enlarged": lambda crop: looked_up(crop, U / 1.25, V / 1.25),
    "moved to the left": lambda crop: looked_up(crop, U / 1.12 + 0.12, V / 1.12 + 0.06),
    "moved to the right": lambda crop: looked_up(crop, U / 1.12 - 0.12, V / 1.12 + 0.06),
}


@pytest.mark.parametrize("kind", CUT_OFF)
@pytest.mark.parametrize("cut", [(0, -30), (20, 0)], ids=["below", "left"])
def test_of_a_face_that_reaches_out_of_the_picture_only_what_is_there_counts(photo, kind, cut):
    """What went beyond the border when the original was moved, or came in from there, is neither like it nor unlike."""
    images, _, _, others = photo
    (x0, y0, x1, y1), (across, down) = (round(value) for value in BOX), cut
    x0, y0, x1, y1 = x0 - 10 + across, y0 - 10, x1 + 10, y1 + 10 + down
    part = images[:, y0:y1, x0:x1]
    face = Face(0, np.array(BOX) - (x0, y0, x0, y0), 0.9, np.array(POINTS) - (x0, y0), FIVE_POINTS, "test")
    crops, faces = crop_faces(part, Faces(1, *part.shape[1:3], (face,)), SIDE)
    moved = torch.from_numpy(CUT_OFF[kind](crops[0].numpy()))[None]
    assert replace_faces(part, moved, faces)[2].entries[0].verdict == "still the original"
    other = torch.from_numpy(CUT_OFF[kind](others[1]))[None]
    assert replace_faces(part, other, faces)[2].entries[0].action == "anonymized"


def smoothest(crop):
    """Kuwahara's filter: the mean of that of four squares of 5 around a cell that deviates least."""
    mean, squares = uniform_filter(crop, (5, 5, 0)), uniform_filter(grey(crop)[..., 0] ** 2, 5)
    deviation = squares - uniform_filter(grey(crop)[..., 0], 5) ** 2
    moves = [(down, right) for down in (-2, 2) for right in (-2, 2)]
    best = np.argmin([np.roll(deviation, by, (0, 1)) for by in moves], 0)
    return np.choose(best[..., None], [np.roll(mean, by, (0, 1)) for by in moves])


def in_oil(crop):
    """The mean of the most frequent of eight levels around a cell."""
    level = (grey(crop)[..., 0] * 7.99).astype(int)
    masks = [(level == k).astype(np.float64) for k in range(8)]
    counts = np.stack([uniform_filter(mask, 7) for mask in masks])
    means = [
        uniform_filter(mask[..., None] * crop, (7, 7, 0)) / np.maximum(count, 1e-6)[..., None]
        for mask, count in zip(masks, counts, strict=True)
    ]
    return np.choose(counts.argmax(0)[..., None], means)


def frosted(crop):
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, SIDE, SIDE)) * 8 / 128
    return looked_up(crop, U + x, V + y)


FILTERED = {
    "Kuwahara": smoothest,
    "oil": in_oil,
    "frosted": frosted,
    "blurred by 0.031 of the side": lambda crop: gaussian_filter(crop, (5, 5, 0)),
}


@pytest.mark.parametrize("kind", FILTERED)
def test_what_a_filter_made_of_the_original_still_shows_it(photo, kind):
    _, crops, _, others = photo
    for original in (crops[0].numpy(), others[0]):
        assert refused(original, FILTERED[kind](original))
    assert not any(refused(crops[0].numpy(), FILTERED[kind](other)) for other in others[:3])
    assert not refused(others[0], FILTERED[kind](crops[0].numpy()))


SPARSE = {
    "one pixel in four": (X % 2 == 0) & (Y % 2 == 0),
    "one pixel in nine": (X % 3 == 1) & (Y % 3 == 2),
    "one pixel in sixteen": (X % 4 == 0) & (Y % 4 == 3),
    "any quarter of the pixels": np.random.default_rng(0).random((SIDE, SIDE)) < 0.25,
}


@pytest.mark.parametrize("kind", SPARSE)
def test_pixels_of_the_original_between_those_of_a_stranger_are_found(photo, kind):
    """Pasted smaller than it was cut, they are blended with their neighbours: the crop itself tells."""
    images, _, faces, others = photo
    crops, faces = crop_faces(images, replace(faces, faces=(replace(faces.faces[0], matrix=None),)), 256)
    other = torch.nn.functional.interpolate(torch.from_numpy(others[0]).permute(2, 0, 1)[None], 256, mode="bicubic")
    other = other[0].permute(1, 2, 0).clamp(0, 1)
    chosen = torch.from_numpy(np.tile(np.broadcast_to(SPARSE[kind], (SIDE, SIDE)), (2, 2))[:256, :256].copy())
    mixed = torch.where(chosen[..., None], crops[0], other)[None]
    (entry,) = replace_faces(images, mixed, faces)[2].entries
    assert (entry.action, entry.verdict) == ("redacted", "still the original")
    assert replace_faces(images, other[None], faces)[2].entries[0].action == "anonymized"
