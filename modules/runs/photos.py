"""Which files are photos, and how one is read: by folder runs, for pairs, in the evaluation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

PHOTO_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))


class UnreadablePhoto(ValueError):
    """The file is not one whole picture."""


def open_photo(file: Path | BinaryIO) -> Image.Image:
    """The one picture of a file, decoded, as it lies in the file.

    Raises:
        UnreadablePhoto: it cannot be decoded, or holds several pictures.
    """
    try:
        image = Image.open(file)
        image.load()
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        raise UnreadablePhoto(f"It cannot be read: {error}") from error
    # A phone's MPO file has the photo first, and then its depth map or a smaller copy.
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != "MPO":
        raise UnreadablePhoto(f"It holds {count} pictures. Save each as a file of its own, or all as a video.")
    return image


def as_png(data: bytes) -> BinaryIO | None:
    """The picture of a photo's bytes as PNG: upright, with its colour profile and nothing else of its metadata.

    So the server neither gets to know nor keeps where and with which camera it was taken, and the pixels are those that
    Pillow reads: ComfyUI's own reader gives those of a JPEG up to 18 levels off, and fills the rest of a truncated file
    with gray.

    Returns:
        None for pictures of more than 8 bits of gray, which are sent as they are.

    Raises:
        UnreadablePhoto: as open_photo.
    """
    with open_photo(io.BytesIO(data)) as image:
        if image.mode.startswith(("I", "F")):
            return None
        try:
            upright = ImageOps.exif_transpose(image)
            if upright.mode not in ("L", "LA", "RGB", "RGBA"):
                upright = upright.convert("RGBA" if "transparency" in image.info else "RGB")
            upright.info = {}
            png = io.BytesIO()
            upright.save(png, "PNG", compress_level=1, icc_profile=image.info.get("icc_profile"))
            return png
        except Exception as error:  # a broken EXIF block or profile
            raise UnreadablePhoto(f"It cannot be read: {error}") from error
