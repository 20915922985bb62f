"""The bytes of a picture file: its pixels, a colour profile and a mark. No torch here: commands write with it too."""

from __future__ import annotations

import logging
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import png
from .applying import to_srgb
from .formats import FORMATS, QUALITY
from .icc import TableProfile, UnusableProfile, clean_profile
from .xmp import jpeg_with_xmp, xmp_packet

_LARGEST_SIDE = {"png": 2**31 - 1, "jpeg": 65500, "webp": 16383}  # in pixels, of each format's own limits
_log = logging.getLogger("face_anonymizer")


def encode_picture(
    levels: np.ndarray,
    format: str = "png",
    quality: int = QUALITY,
    *,
    profile: bytes | None = None,
    mark: bool = False,
    cicp: tuple[int, int, int, int] | None = None,
) -> bytes:
    """A picture file without EXIF, GPS, thumbnail, prompt, workflow or any other text.

    What lies under alpha 0 is not written: its colours are emptied. A profile is written anew (see icc.py), or applied
    where it is a table; one that does not fit or is broken is left out, with a line in the log.

    Args:
        levels: uint8 or uint16 [H, W, C], C = 1, 2, 3 or 4, gray or RGB, alpha last where there are 2 or 4. Only PNG
            keeps 16 bits, PNG and WEBP alpha; a JPEG shows what is transparent on white.
        format: one of FORMATS.
        quality: 1..100, of JPEG and WEBP; a WEBP of quality 100 is lossless.
        profile: the ICC profile of the picture's colours, as a file has it; None for none.
        mark: write the XMP packet that says that a trained model made a part of the picture.
        cicp: primaries, transfer, matrix and range by ITU-T H.273, which alone PNG keeps; None for none.

    Raises:
        ValueError: another shape or format, or a size that the format cannot hold.
    """
    if format not in FORMATS:
        raise ValueError(f"Pictures are saved as {', '.join(FORMATS)}, not as {format}.")
    height, width, channels = levels.shape
    if max(height, width) > _LARGEST_SIDE[format]:
        raise ValueError(
            f"The picture has {width}x{height} pixels, but {format} holds at most {_LARGEST_SIDE[format]} a side: "
            "save it as png."
        )
    if levels.dtype == np.uint16 and format != "png":
        levels = eight_bits(levels)
    if channels in (2, 4):
        levels = _emptied(levels)
        if format == "jpeg":
            levels = _joined_on_white(levels)
    if levels.shape[-1] < 3 and format == "webp":
        levels = np.concatenate([levels[..., :1]] * 3 + [levels[..., 1:]], axis=-1)
    levels, profile = _in_its_colours(levels, profile)
    if levels.dtype == np.uint16:
        extra = [(b"cICP", bytes(cicp))] if cicp else []
        extra += [(b"iCCP", png.profile_chunk(profile))] if profile else []
        extra += [(b"iTXt", png.xmp_chunk(xmp_packet()))] if mark else []
        return png.deep_png(levels, extra)
    data = _encoded(levels, format, quality, profile, mark)
    return png.with_chunk(data, b"cICP", bytes(cicp)) if cicp and format == "png" else data


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """uint16 levels as uint8, rounded."""
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _emptied(levels: np.ndarray) -> np.ndarray:
    """The same without colours where alpha is 0: what lies there is not seen, but could be read."""
    hidden = levels[..., -1] == 0
    if not hidden.any():
        return levels
    levels = levels.copy()
    levels[hidden] = 0
    return levels


def _joined_on_white(levels: np.ndarray) -> np.ndarray:
    alpha = levels[..., -1:].astype(np.uint32)
    return ((levels[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _in_its_colours(levels: np.ndarray, profile: bytes | None) -> tuple[np.ndarray, bytes | None]:
    """The levels and a profile for them, written anew; other levels and no profile where it had to be applied."""
    try:
        return levels, clean_profile(profile, levels.shape[-1])
    except TableProfile:
        if levels.dtype == np.uint8 and profile is not None and (converted := to_srgb(levels, profile)) is not None:
            return converted, None
        _log.warning("The photo's colour profile is a table that could not be applied, and is left out.")
    except UnusableProfile as error:
        _log.warning("The photo's colour profile %s. It is left out.", error)
    return levels, None


def _encoded(levels: np.ndarray, format: str, quality: int, profile: bytes | None, mark: bool) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(levels[..., 0] if levels.shape[-1] == 1 else levels))
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
