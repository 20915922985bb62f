"""The ICC profile of a picture file, and whether it fits another picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

_RGB_PROFILE, _GRAY_PROFILE = b"RGB ", b"GRAY"


def icc_profile(file: str | Path) -> bytes | None:
    """The ICC colour profile of a picture file; None where it has none or cannot be read as a picture."""
    try:
        with Image.open(file) as picture:
            return picture.info.get("icc_profile")
    except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for some broken headers
        return None


def fitting_profile(profile: bytes | None, channels: int) -> bytes | None:
    """The profile if it describes pictures of this many channels, else None.

    A CMYK photo, say, is RGB by the time it is saved: its profile would turn all colours wrong.

    Args:
        profile: an ICC profile, whose bytes 16 to 19 name its colours (ICC.1:2022, 7.2.8); None for no profile.
        channels: 1 for grey, 3 or 4 for RGB.
    """
    space = _GRAY_PROFILE if channels == 1 else _RGB_PROFILE
    return profile if profile is not None and profile[16:20] == space else None
