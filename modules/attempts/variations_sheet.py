"""Variations of a face as one picture: a row a degree, a column a seed, and what recognisers say below each. Pure."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..recognition.verdict import SAME_PERSON, STRANGER, Verification
from .variations import Variations, figures

_TILES = (192, 320)  # pixels of a side, at least and at most
_COLOURS = {STRANGER: (0, 120, 40), SAME_PERSON: (190, 0, 0)}
_GREY = (90, 90, 90)


def draw_sheet(made: Variations) -> torch.Tensor:
    """The sheet, for the eye only (8 bits a channel). It shows the original, at the left.

    Args:
        made: the variations.

    Returns:
        float32 [1, H, W, 3], 0..1.
    """
    tile = min(max(made.original.shape[0], _TILES[0]), _TILES[1])
    line = tile // 10
    head, below = 2 * line, round(2.6 * line)
    width, height = tile * (1 + len(made.seeds)), head + (tile + below) * len(made.degrees)
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(line * 0.8)

    def write(column: int, y: float, text: str, colour=(0, 0, 0)) -> None:
        pen.text((tile * (column + 0.5), y), text, colour, font, anchor="mm")

    write(0, head / 2, "original")
    for column, seed in enumerate(made.seeds, 1):
        write(column, head / 2, f"seed {seed}")
    for row, (degree, crops, said) in enumerate(zip(made.degrees, made.crops, made.said, strict=True)):
        top = head + row * (tile + below)
        if row == 0:
            sheet.paste(_picture(made.original, tile), (0, top))
            write(0, top + tile + line * 0.7, f"degree {degree:g} at the right")
        else:
            write(0, top + tile / 2, f"degree {degree:g}")
        for column, (crop, one) in enumerate(zip(crops, said, strict=True), 1):
            sheet.paste(_picture(crop, tile), (tile * column, top))
            colour = _COLOURS.get(one.verdict, _GREY)
            write(column, top + tile + line * 0.7, one.verdict, colour)
            write(column, top + tile + line * 1.7, _words(one), colour)
    return torch.from_numpy(np.array(sheet)).float()[None] / 255


def _words(said: Verification) -> str:
    distance, cosine = figures(said)
    return f"dlib {distance}  FaceRes {cosine}" if distance else ""


def _picture(crop: torch.Tensor, tile: int) -> Image.Image:
    levels = (torch.nan_to_num(crop).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    picture = Image.fromarray(levels)
    return picture if picture.size == (tile, tile) else picture.resize((tile, tile), Image.Resampling.LANCZOS)
