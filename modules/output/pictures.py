"""Pictures that carry nothing but their pixels, a colour profile and a mark."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from ..files import write_whole
from .encoding import encode_picture
from .formats import QUALITY

_log = logging.getLogger("face_anonymizer")


def save_image(
    image: torch.Tensor,
    path: Path,
    format: str = "png",
    quality: int = QUALITY,
    *,
    icc_profile: bytes | None = None,
    mark: bool = False,
    cicp: tuple[int, int, int, int] | None = None,
) -> None:
    """Save a picture without EXIF, GPS, thumbnail, prompt, workflow or any other text, whole or not at all.

    Args:
        image: float [H, W, C], C = 1, 3 or 4, 0..1, rounded to 8 bits. PNG and WEBP keep alpha, and nothing of what
            lies under alpha 0; a JPEG shows what is transparent on white.
        path: of the new file.
        format: one of FORMATS.
        quality: 1..100, of JPEG and WEBP; a WEBP of quality 100 is lossless.
        icc_profile: the colour profile of the photo, which is written anew; left out where it does not fit.
        mark: write the XMP packet that says that a trained model made a part of the picture.
        cicp: colours by ITU-T H.273, see encoding.encode_picture.

    Raises:
        ValueError: another shape or format, or a size that the format cannot hold.
        OSError: as files.written_whole.
    """
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"A picture is [height, width, 1, 3 or 4 channels], but this one is {list(image.shape)}.")
    levels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    write_whole(path, encode_picture(levels, format, quality, profile=icc_profile, mark=mark, cicp=cicp))


def emptied(picture: torch.Tensor, hidden: np.ndarray) -> torch.Tensor:
    """A picture that is white where its photo hides something.

    ComfyUI's Load Image gives the colours alone, so that what is hidden would be seen in the result.

    Args:
        picture: [H, W, C], 0..1.
        hidden: bool [H, W], of photos.reading.hidden_pixels. A picture of another size stays as it is, with a line in
            the log.
    """
    if picture.shape[:2] != hidden.shape:
        _log.warning("The photo has transparent parts, but another size than the picture: what they hide may be seen.")
        return picture
    picture = picture.clone()
    picture[..., :3][torch.from_numpy(hidden).to(picture.device)] = 1.0
    return picture
