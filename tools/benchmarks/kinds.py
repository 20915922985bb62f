"""What still shows the original, by kind and strength, and what does not: the pictures that benchmarks.look judges.

Crops are float32 [S, S, 3], 0..1, numpy; strengths that are lengths are shares of the crop's side.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy.interpolate import RBFInterpolator

from face_anonymizer.modules.faces.paste.colour import LUMA, match_colour

Change = Callable[[np.ndarray], np.ndarray]


def to_pil(crop: np.ndarray) -> Image.Image:
    """A crop as a picture of 8 bits."""
    return Image.fromarray((np.clip(crop, 0, 1) * 255).round().astype(np.uint8))


def to_array(picture: Image.Image) -> np.ndarray:
    """A picture as a crop."""
    return np.asarray(picture.convert("RGB"), np.float32) / 255


def _jpeg(quality: float) -> Change:
    def change(crop):
        data = io.BytesIO()
        to_pil(crop).save(data, "JPEG", quality=int(quality))
        return to_array(Image.open(data))

    return change


def _blur(share: float) -> Change:
    return lambda crop: to_array(to_pil(crop).filter(ImageFilter.GaussianBlur(share * len(crop))))


def _noise(deviation: float) -> Change:
    return lambda crop: crop + np.random.default_rng(0).normal(0, deviation, crop.shape)


def _salt(share: float) -> Change:
    def change(crop):
        drawn = np.random.default_rng(0).random(crop.shape[:2])[..., None]
        return np.where(drawn < share / 2, 0, np.where(drawn > 1 - share / 2, 1, crop))

    return change


def _affine(
    right: float = 0.0, down: float = 0.0, scale: float = 1.0, degrees: float = 0.0, wide: float = 1.0
) -> Change:
    def change(crop):
        side = len(crop)
        angle, middle = np.deg2rad(degrees), side / 2
        turn = np.array([[np.cos(angle) * wide, -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        start = middle - turn @ (middle + side * np.array([right, down]))
        matrix = np.column_stack([turn, start]).ravel().tolist()
        picture = to_pil(crop).transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        return to_array(picture)

    return change


def _reduced(side: float, back: Image.Resampling = Image.Resampling.BICUBIC) -> Change:
    size = (int(side), int(side))
    return lambda crop: to_array(
        to_pil(crop).resize(size, Image.Resampling.LANCZOS).resize((len(crop), len(crop)), back)
    )


def _grey(crop: np.ndarray) -> np.ndarray:
    return np.repeat((crop @ np.float32(LUMA))[..., None], 3, -1)


def _heat(crop: np.ndarray) -> np.ndarray:
    return np.clip(3 * _grey(crop) - np.float32([0, 1, 2]), 0, 1)


def _jet(crop: np.ndarray) -> np.ndarray:
    return np.clip(1.5 - np.abs(4 * _grey(crop) - np.float32([3, 2, 1])), 0, 1)


def _hue(share: float) -> Change:
    def change(crop):
        levels = np.array(to_pil(crop).convert("HSV"))
        levels[..., 0] = (levels[..., 0].astype(int) + round(share * 256)) % 256
        return to_array(Image.fromarray(levels, "HSV"))

    return change


def _bent(amount: float) -> Change:
    """The same face drawn over the same head: bent by a share of the crop's half side."""

    def change(crop):
        side = len(crop)
        y, x = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
        across = x + amount * np.sin(3 * y + 1) * (1 - x**2)
        along = y + amount * np.sin(4 * x) * (1 - y**2)
        return _looked_up(crop, np.stack([across, along], -1).astype(np.float32), True)

    return change


def _together(*changes: Change) -> Change:
    def change(crop):
        for one in changes:
            crop = np.clip(one(crop), 0, 1).astype(np.float32)
        return crop

    return change


def _mirror(crop: np.ndarray) -> np.ndarray:
    return crop[:, ::-1]


def _contrast(gain: float) -> Change:
    return lambda crop: (crop - 0.5) * gain + 0.5


def _times(gain: float) -> Change:
    return lambda crop: crop * gain


def _gamma(power: float) -> Change:
    return lambda crop: crop**power


def _posterize(levels: float) -> Change:
    return lambda crop: np.round(crop * (levels - 1)) / (levels - 1)


def _lit(amount: float) -> Change:
    return lambda crop: crop * np.linspace(1 - amount, 1 + amount, len(crop), dtype=np.float32)[None, :, None]


def _pillow(enhance: Callable) -> Change:
    return lambda crop: to_array(enhance(to_pil(crop)))


# kind -> how it is made, and its strengths from weak to strong
KINDS: dict[str, tuple[Callable[[float], Change], tuple[float, ...]]] = {
    "JPEG, quality": (_jpeg, (30, 10, 5, 2)),
    "blur, share of the side": (_blur, (0.004, 0.008, 0.016, 0.024, 0.032, 0.047)),
    "noise, deviation": (_noise, (0.05, 0.1, 0.2, 0.3, 0.5)),
    "salt and pepper, share": (_salt, (0.1, 0.3, 0.5)),
    "reduced to pixels": (_reduced, (64, 48, 32, 24, 16)),
    "mosaic of blocks": (lambda side: _reduced(side, Image.Resampling.NEAREST), (64, 48, 32, 24, 16)),
    "darker, times": (_times, (0.9, 0.5, 0.2)),
    "brighter, times": (_times, (1.1, 1.3, 1.6, 2.0)),
    "contrast, times": (_contrast, (0.9, 0.5, 0.2, 0.1)),
    "more contrast, times": (_contrast, (1.5, 2.5, 4.0)),
    "gamma": (_gamma, (0.8, 0.5, 0.3)),
    "gamma above 1": (_gamma, (1.25, 2.0, 3.0)),
    "posterized to levels": (_posterize, (8, 4, 3, 2)),
    "hue turned by": (_hue, (0.1, 0.33, 0.5)),
    "light from a side": (_lit, (0.3, 0.6, 0.9)),
    "saturation, times": (lambda gain: _pillow(lambda p: ImageEnhance.Color(p).enhance(gain)), (0.5, 2, 3)),
    "sharpened": (lambda gain: _pillow(lambda p: ImageEnhance.Sharpness(p).enhance(gain)), (2, 5)),
    "shift, share": (lambda share: _affine(share, -share / 2), (0.01, 0.03, 0.05, 0.08, 0.12)),
    "enlarged by": (lambda scale: _affine(scale=scale), (1.02, 1.05, 1.1, 1.2, 1.3)),
    "reduced by": (lambda scale: _affine(scale=scale), (0.98, 0.95, 0.9, 0.85, 0.75)),
    "turn, degrees": (lambda turn: _affine(degrees=turn), (2, 5, 10, 15, 25)),
    "stretched by": (lambda wide: _affine(wide=wide), (1.05, 1.1, 1.2)),
    "bent by": (_bent, (0.01, 0.02, 0.03, 0.05, 0.08)),
}
# what has no strength, and combinations
SINGLE: dict[str, Change] = {
    "as it is": lambda crop: crop,
    "grey": _grey,
    "BGR": lambda crop: crop[..., ::-1],
    "negative": lambda crop: 1 - crop,
    "solarized": lambda crop: np.where(crop > 0.5, 1 - crop, crop),
    "heat map": _heat,
    "jet map": _jet,
    "equalized": _pillow(ImageOps.equalize),
    "median of 7 pixels": _pillow(lambda picture: picture.filter(ImageFilter.MedianFilter(7))),
    "dithered to 1 bit": _pillow(lambda picture: picture.convert("L").convert("1")),
    "mirrored": _mirror,
    "JPEG 30, gamma 0.6, shift 3 %": _together(_jpeg(30), _gamma(0.6), _affine(0.03, 0.02)),
    "blur 0.8 %, noise 0.1": _together(_blur(0.008), _noise(0.1)),
    "grey, mirrored, JPEG 20": _together(_grey, _mirror, _jpeg(20)),
    "mirrored, shift 3 %, contrast 0.6": _together(_mirror, _affine(0.03, -0.02), _contrast(0.6)),
    "turn 5, enlarged 1.05, blur 0.8 %": _together(_affine(degrees=5, scale=1.05), _blur(0.008)),
    "negative, mirrored": _together(lambda crop: 1 - crop, _mirror),
    "heat map, shift 3 %": _together(_heat, _affine(0.03, 0.02)),
    "jet map, turn 5": _together(_jet, _affine(degrees=5)),
    "reduced to 48, JPEG 10, noise 0.05": _together(_reduced(48), _jpeg(10), _noise(0.05)),
}


Mix = Callable[[np.ndarray, np.ndarray], np.ndarray]  # a crop and a stranger's in its place -> both in one


def _cells_of(chosen: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Mix:
    """The original at the cells that are chosen by x and y, the stranger at the others."""

    def mix(crop, other):
        index = np.arange(len(crop))
        there = np.broadcast_to(chosen(index[None], index[:, None]), crop.shape[:2])
        return np.where(there[..., None], crop, other)

    return mix


def _inverted_lines(width: float) -> Mix:
    inverted = _cells_of(lambda _x, y: y // int(width) % 3 == 0)
    return lambda crop, _other: inverted(1 - crop, crop)


def _part(right: bool | None, lower: bool | None) -> Mix:
    def chosen(x, y):
        across = np.ones_like(x, bool) if right is None else (x >= x.size // 2) == right
        along = np.ones_like(y, bool) if lower is None else (y >= y.size // 2) == lower
        return across & along

    return _cells_of(chosen)


def _edges(crop: np.ndarray) -> np.ndarray:
    steep = np.hypot(*np.gradient(_grey(crop)[..., 0]))
    return np.repeat(np.clip(steep / np.quantile(steep, 0.98), 0, 1)[..., None], 3, -1)


def _sketch(crop: np.ndarray) -> np.ndarray:
    around = 1 - _blur(0.02)(1 - _grey(crop))
    return np.clip(_grey(crop) / np.maximum(around, 1e-3), 0, 1)


def _small_copy(size: float) -> Mix:
    def mix(crop, other):
        side = round(size * len(crop))
        mixed = other.copy()
        small = to_pil(crop).resize((side, side), Image.Resampling.LANCZOS)
        mixed[-side:, -side:] = to_array(small)
        return mixed

    return mix


# what was mixed with a stranger in its place
MIXED: dict[str, tuple[Callable[[float], Mix], tuple[float, ...]]] = {
    "blend, share of the original": (lambda k: lambda crop, other: k * crop + (1 - k) * other, (0.7, 0.5, 0.4, 0.3)),
    "every third line inverted, pixels wide": (_inverted_lines, (1, 2, 4, 8)),
    "two of three lines the original's, pixels wide": (
        lambda width: _cells_of(lambda _x, y: y // int(width) % 3 != 0),
        (1, 2, 4, 8),
    ),
    "checkerboard, pixels": (
        lambda width: _cells_of(lambda x, y: (x // int(width) + y // int(width)) % 2 == 0),
        (1, 2, 4, 8, 16, 32),
    ),
}
PARTS: dict[str, Mix] = {
    "left half": _part(False, None),
    "upper half": _part(None, False),
    "lower half": _part(None, True),
    "upper left quarter": _part(False, False),
    "lower right quarter": _part(True, True),
    "a drawing of its edges": lambda crop, _other: _edges(crop),
    "a pencil sketch": lambda crop, _other: _sketch(crop),
}
COPIES: dict[str, tuple[Callable[[float], Mix], tuple[float, ...]]] = {
    "a small copy in a corner, share of the side": (_small_copy, (0.6, 0.4, 0.3, 0.25, 0.2)),
}


def swapped(crop: np.ndarray, points: np.ndarray, other: np.ndarray, other_points: np.ndarray) -> np.ndarray:
    """Another person's face on a head: warped so that its five points lie on the head's, with the head's colours,
    inside a soft oval. As near as a stranger can come: pose, light, hair and background are the original's.

    Args:
        crop: the head.
        points: (5, 2), of its face in crop pixels, integers at pixel centres.
        other: the crop of the other person, of the same size.
        other_points: as points.
    """
    side = len(crop)
    ends = np.array([(x, y) for x in (0, side / 2, side) for y in (0, side / 2, side) if (x, y) != (side / 2,) * 2])
    spline = RBFInterpolator(np.r_[points, ends], np.r_[other_points, ends], kernel="thin_plate_spline")
    index = np.linspace(0, side - 1, 17)
    coarse = np.stack(np.meshgrid(index, index), -1).reshape(-1, 2)
    moved = torch.from_numpy(spline(coarse).reshape(17, 17, 2).astype(np.float32)).permute(2, 0, 1)[None]
    fine = torch.nn.functional.interpolate(moved, (side, side), mode="bilinear", align_corners=True)[0]
    grid = ((fine + 0.5) * 2 / side - 1).permute(1, 2, 0).numpy()
    warped = torch.from_numpy(_looked_up(other, grid, False))
    x, y = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    inside = np.hypot((x - 0.496) / 0.303, (y - 0.456) / 0.41)
    core = torch.from_numpy(np.clip((0.95 - inside) / 0.1, 0, 1).astype(np.float32))
    warped = match_colour(warped, torch.from_numpy(crop), core).numpy()
    oval = np.clip((1.12 - inside) / 0.25, 0, 1)[..., None]
    oval = oval * oval * (3 - 2 * oval)
    return (oval * warped + (1 - oval) * crop).astype(np.float32)


def _looked_up(crop: np.ndarray, grid: np.ndarray, corners: bool) -> np.ndarray:
    moved = torch.nn.functional.grid_sample(
        torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None],
        torch.from_numpy(grid)[None],
        padding_mode="border",
        align_corners=corners,
    )
    return moved[0].permute(1, 2, 0).numpy()
