"""Pictures that carry nothing but their pixels, a colour profile and a mark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..files import write_whole
from .encoding import encode_picture
from .formats import QUALITY


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
        picture: [H, W, C], 0..1: of the photo's size, or enlarged or reduced as a whole.
        hidden: bool [h, w], of photos.hidden.hidden_of.

    Raises:
        ValueError: the picture has another shape than the photo, so that nobody knows where the hidden parts are in it.
    """
    if not hidden.any():
        return picture
    (height, width), (rows, columns) = picture.shape[:2], hidden.shape
    if abs(height * columns - width * rows) > max(height, width) + max(rows, columns):  # a pixel of either side
        raise ValueError(
            f"The photo hides parts of itself under its alpha, and Load Image gives them all the same. The photo is "
            f"{columns}x{rows}, the picture that is saved {width}x{height}: it was cropped or padded since, so that "
            "nobody knows where these parts are in it. Save the photo without transparency first, or join its mask to "
            "it right behind the loader (Join Image with Alpha)."
        )
    where = torch.from_numpy(hidden)
    if where.shape != picture.shape[:2]:
        # Every pixel that a hidden one may have gone into: no filter reaches further than three pixels of the coarser.
        reached = torch.nn.functional.max_pool2d(where[None, None].float(), 7, 1, 3)
        reached = torch.nn.functional.adaptive_max_pool2d(reached, (height, width))
        where = torch.nn.functional.max_pool2d(reached, 7, 1, 3)[0, 0] > 0
    picture = picture.clone()
    picture[..., :3][where.to(picture.device)] = 1.0
    return picture
