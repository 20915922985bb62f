"""The formats that pictures are saved in. No torch here: commands read them without loading anything."""

from __future__ import annotations

EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
FORMATS = tuple(EXTENSIONS)
QUALITY = 95  # of jpeg and webp, 1..100
