"""Pictures that carry nothing but their pixels, a colour profile and a mark."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..files import write_whole
from .formats import FORMATS, QUALITY
from .icc import fitting_profile
from .xmp import jpeg_with_xmp, xmp_packet

_LARGEST_SIDE = {"png": 2**31 - 1, "jpeg": 65500, "webp": 16383}  # in pixels, of each format's own limits


def save_image(
    image: torch.Tensor,
    path: Path,
    format: str = "png",
    quality: int = QUALITY,
    *,
    icc_profile: bytes | None = None,
    mark: bool = False,
) -> None:
    """Save a picture without EXIF, GPS, thumbnail, prompt, workflow or any other text, whole or not at all.

    Args:
        image: float [H, W, C], C = 1, 3 or 4, 0..1, rounded to 8 bits. PNG and WEBP keep alpha; a JPEG shows what is
            transparent on white.
        path: of the new file.
        format: one of FORMATS.
        quality: 1..100, of JPEG and WEBP; a WEBP of quality 100 is lossless.
        icc_profile: the colour profile; left out where it does not fit the picture's channels.
        mark: write the XMP packet that says that a trained model made a part of the picture.

    Raises:
        ValueError: another shape or format, or a size that the format cannot hold.
        OSError: as files.written_whole.
    """
    if format not in FORMATS:
        raise ValueError(f"Pictures are saved as {', '.join(FORMATS)}, not as {format}.")
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"A picture is [height, width, 1, 3 or 4 channels], but this one is {list(image.shape)}.")
    height, width, channels = image.shape
    if max(height, width) > _LARGEST_SIDE[format]:
        raise ValueError(
            f"The picture has {width}x{height} pixels, but {format} holds at most {_LARGEST_SIDE[format]} a side: "
            "save it as png."
        )
    if channels == 4 and format == "jpeg":
        alpha = image[..., 3:]
        image, channels = image[..., :3] * alpha + (1 - alpha), 3
    if channels == 1 and format == "webp":
        image, channels = image.expand(-1, -1, 3), 3
    levels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    picture = Image.fromarray(levels[..., 0] if channels == 1 else levels)
    data = _encoded(picture, format, quality, fitting_profile(icc_profile, channels), mark)
    write_whole(path, data)


def _encoded(picture: Image.Image, format: str, quality: int, profile: bytes | None, mark: bool) -> bytes:
    options: dict = {"icc_profile": profile}
    if format == "png":
        options |= {"compress_level": 4, "pnginfo": PngInfo()}
        if mark:
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp_packet().decode())
    elif format == "webp":
        options |= {"quality": quality, "lossless": quality == 100, "exact": True, "xmp": xmp_packet() if mark else b""}
    else:
        options |= {"quality": quality}
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    data = buffer.getvalue()
    return jpeg_with_xmp(data, xmp_packet()) if mark and format == "jpeg" else data
