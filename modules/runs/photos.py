"""Which files are photos, and how one is read, wherever photos are read: folder runs, pairs, the evaluation."""

from __future__ import annotations

import io
from typing import BinaryIO

from PIL import Image, ImageOps

PHOTO_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))


class UnreadablePhoto(ValueError):
    """The file is not one whole picture."""


def as_png(data: bytes) -> BinaryIO | None:
    """The picture of a photo's bytes as PNG: upright, with its colour profile and nothing else of its metadata.

    So the server neither gets to know nor keeps where and with which camera it was taken, and the pixels are those that
    Pillow reads: ComfyUI's own reader gives those of a JPEG up to 18 levels off, and fills the rest of a truncated file
    with gray. None for pictures of more than 8 bits of gray, which are sent as they are. Raises UnreadablePhoto, for
    files of several pictures too.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            # A phone's MPO file has the photo first, and then its depth map or a smaller copy.
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise UnreadablePhoto(
                    f"It holds {image.n_frames} pictures. Save each as a file of its own, or all as a video."
                )
            if image.mode.startswith(("I", "F")):
                return None
            upright = ImageOps.exif_transpose(image)
            if upright.mode not in ("L", "LA", "RGB", "RGBA"):
                upright = upright.convert("RGBA" if "transparency" in image.info else "RGB")
            upright.info = {}
            png = io.BytesIO()
            upright.save(png, "PNG", compress_level=1, icc_profile=image.info.get("icc_profile"))
            return png
    except UnreadablePhoto:
        raise
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        raise UnreadablePhoto(f"It cannot be read: {error}") from error
