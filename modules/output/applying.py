"""Colour profiles applied: pictures turned into sRGB, the colours of pictures without a profile."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms


def to_srgb(levels: np.ndarray, profile: bytes) -> np.ndarray | None:
    """A picture in sRGB, by Pillow's LittleCMS.

    Args:
        levels: uint8 [H, W, C]: 1 or 2 channels are gray, 3 or 4 RGB, alpha last where there are 2 or 4.
        profile: the ICC profile of its colours.

    Returns:
        uint8 [H, W, 3], or 4 with alpha; None where this Pillow has no LittleCMS, or the profile is none for it.
    """
    gray = levels.shape[-1] < 3
    colours = Image.fromarray(np.ascontiguousarray(levels[..., 0] if gray else levels[..., :3]))
    picture = picture_to_srgb(colours, profile)
    if picture is None:
        return None
    alpha = levels[..., -1:] if levels.shape[-1] in (2, 4) else levels[..., :0]
    return np.concatenate([np.asarray(picture), alpha], axis=-1)


def picture_to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image | None:
    """A picture of gray, RGB, CMYK or LAB as RGB in sRGB.

    Args:
        picture: of mode L, RGB, CMYK or LAB.
        profile: the ICC profile of its colours; None for LAB, which needs none.

    Returns:
        None where this Pillow has no LittleCMS, or the profile is none for it or for this picture.
    """
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError):  # ImportError: a Pillow without LittleCMS
        return None
