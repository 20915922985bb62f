"""A contact sheet: rows are people, columns are conditions, with names above."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..files import replaced_whole

_LABEL_HEIGHT = 20
_JPEG_QUALITY = 85


def save_sheet(file: Path, columns: Mapping[str, np.ndarray], tile: int = 128) -> None:
    """Save a contact sheet as a JPEG, whole or not at all.

    Args:
        file: of the sheet.
        columns: name -> uint8 [rows, S, S, 3]; all have the same number of rows.
        tile: side of each picture in pixels.
    """
    rows = len(next(iter(columns.values())))
    sheet = Image.new("RGB", (tile * len(columns), _LABEL_HEIGHT + tile * rows), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (name, pictures) in enumerate(columns.items()):
        pen.text((tile * (column + 0.5), _LABEL_HEIGHT / 2), name, "black", font, anchor="mm")
        for row, picture in enumerate(pictures):
            image = Image.fromarray(picture)
            if image.size != (tile, tile):
                image = image.resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(image, (tile * column, _LABEL_HEIGHT + tile * row))
    with replaced_whole(file) as part:
        sheet.save(part, "JPEG", quality=_JPEG_QUALITY, optimize=True)
