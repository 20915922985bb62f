"""The colours that a photo's file says: a profile, or numbers that a profile is made of.

PNG says them in five ways (PNG specification, section 11.3.2: cICP before iCCP before sRGB before gAMA and cHRM), AVIF,
HEIC and JPEG 2000 in a box of their own, cameras in EXIF.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..output import icc, png

_MOST_BYTES = 64 << 20  # of a profile that is unpacked
_CHROMATICITIES = {  # x and y of white, red, green and blue, by the numbers of ITU-T H.273
    1: icc.SRGB_CHROMATICITIES,
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.3127, 0.3290, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_CURVES = {
    **dict.fromkeys((1, 6, 14, 15), icc.BT709_CURVE),
    **{4: icc.gamma_curve(2.2), 5: icc.gamma_curve(2.8), 8: icc.gamma_curve(1), 13: icc.SRGB_CURVE},
}
_HDR = (16, 18)  # PQ and HLG, whose brightness no curve of a profile holds
_UNKNOWN = 2
_ADOBE_RGB = icc.profile_of((0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), icc.gamma_curve(2.19921875))
_SRGB_GAMMA = (2.1, 2.3)  # exponents that are written for sRGB: what PNG calls 1/2.2


@dataclass(frozen=True)
class Colour:
    """What a file says of its colours.

    Args:
        profile: an ICC profile as the file has it, or one that is made of what it says; None for sRGB.
        cicp: primaries, transfer, matrix and range of high dynamic range; None for any other.
        notes: what of it could not be used.
    """

    profile: bytes | None = None
    cicp: tuple[int, int, int, int] | None = None
    notes: tuple[str, ...] = ()


NOTHING_SAID = Colour()


def colour_of(image: Image.Image, data: bytes) -> Colour:
    """What a photo's file says of its colours.

    Args:
        image: opened from the data by Pillow.
        data: of the whole file.
    """
    if data.startswith(png.SIGNATURE):
        return _colour_of_png(data)
    profile = image.info.get("icc_profile") or None
    if profile is None and image.format in ("AVIF", "HEIF", "JPEG2000"):
        return _colour_of_box(data)
    if profile is None and image.mode in ("RGB", "RGBA") and _is_adobe_rgb(image):
        profile = _ADOBE_RGB.encoded()
    return Colour(profile)


def colour_of_file(file: str | Path) -> Colour:
    """What the file of a photo says of its colours; nothing where it cannot be read as a picture."""
    try:
        data = Path(file).read_bytes()
        if data.startswith(png.SIGNATURE):
            return _colour_of_png(data)
        with Image.open(file) as picture:
            return colour_of(picture, data)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # SyntaxError: Pillow, of some heads
        return Colour()


def _colour_of_png(data: bytes) -> Colour:
    chunks: dict[bytes, bytes] = {}
    for name, content in png.read_chunks(data):
        if name == b"IDAT":
            break
        if name in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"):
            chunks.setdefault(name, content)
    if len(chunks.get(b"cICP", b"")) == 4:
        return _colour_of_numbers(tuple(chunks[b"cICP"]))  # type: ignore[arg-type]
    if b"iCCP" in chunks:
        packed = chunks[b"iCCP"].partition(b"\0")[2][1:]
        try:
            return Colour(zlib.decompressobj().decompress(packed, _MOST_BYTES))
        except zlib.error:
            return Colour(notes=("its colour profile is broken, and was left out",))
    if b"sRGB" in chunks:
        return Colour(icc.SRGB.encoded())
    if b"gAMA" in chunks or b"cHRM" in chunks:
        return _colour_of_gamma(chunks.get(b"gAMA"), chunks.get(b"cHRM"))
    return Colour()


def _colour_of_gamma(gama: bytes | None, chrm: bytes | None) -> Colour:
    try:
        curve, exponent = icc.SRGB_CURVE, 2.2
        if gama is not None:
            exponent = 100000 / struct.unpack(">I", gama)[0]
            if not 0.2 <= exponent <= 8:
                raise icc.UnusableProfile("is broken: its gamma is none")
            if not _SRGB_GAMMA[0] <= exponent <= _SRGB_GAMMA[1]:
                curve = icc.gamma_curve(exponent)
        if chrm is None and curve is icc.SRGB_CURVE:
            return Colour()
        xy = icc.SRGB_CHROMATICITIES
        if chrm is not None:
            xy = tuple(value / 100000 for value in struct.unpack(">8I", chrm))
        return Colour(icc.profile_of(xy, curve).encoded())
    except (struct.error, ZeroDivisionError, icc.UnusableProfile):
        return Colour(notes=("its gamma and primaries (gAMA, cHRM) are broken, and were left out",))


def _colour_of_numbers(numbers: tuple[int, int, int, int]) -> Colour:
    primaries, transfer = numbers[:2]
    if transfer in _HDR:
        return Colour(cicp=(*numbers[:2], 0, 1))  # the pixels are RGB of full range by now
    if primaries == 1 and transfer in (13, _UNKNOWN):
        return Colour(icc.SRGB.encoded())
    if _UNKNOWN in (primaries, transfer):
        return Colour()
    if primaries in _CHROMATICITIES and transfer in _CURVES:
        return Colour(icc.profile_of(_CHROMATICITIES[primaries], _CURVES[transfer]).encoded())
    return Colour(
        notes=(f"its colours (number {primaries}, {transfer} of ITU-T H.273) are not known here, and are lost",)
    )


def _colour_of_box(data: bytes) -> Colour:
    """Of the box `colr` (ISO/IEC 23008-12, 6.5.5; ISO/IEC 15444-1, I.5.3.3)."""
    place = data.find(b"colr", 0, 1 << 20)
    if place < 4:
        return Colour()
    size = int.from_bytes(data[place - 4 : place], "big")
    content = data[place + 4 : place - 4 + size]
    if content[:4] == b"nclx" and len(content) >= 10:
        primaries, transfer = struct.unpack(">HH", content[4:8])
        # Most AVIF files say BT.709 and mean, as every viewer does, the curve of sRGB.
        return _colour_of_numbers((primaries, 13 if transfer in (1, 6) else transfer, 0, 1))
    if content[:4] in (b"prof", b"rICC"):
        return Colour(content[4:])
    if content[:1] in (b"\x02", b"\x03"):
        return Colour(content[3:])
    return Colour()


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Whether EXIF says so in the way of cameras (DCF 2.0: no profile, colour space 65535, interoperability R03)."""
    try:
        exif = image.getexif()
        return exif.get_ifd(0x8769).get(0xA001) == 0xFFFF and exif.get_ifd(0xA005).get(1) in ("R03", b"R03\0", "R03\0")
    except Exception:  # of a broken block Pillow raises what it comes upon
        return False
