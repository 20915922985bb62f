"""Read a photo: as it is looked at, in 8 bits, upright, opaque; and as its result is written, with depth and alpha.

The nodes see `Photo.seen`. What they change in it is carried over to the photo's own levels by `Photo.finish`, so that
nothing else of it is lost: 16 bits stay 16 bits, a cut-out stays a cut-out.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..output import icc
from ..output.applying import picture_to_srgb, to_srgb
from ..output.png import xmp_chunk
from ..output.xmp import xmp_packet
from .alpha import separate
from .colour import NOTHING_SAID, Colour, colour_of
from .levels import ALL_LEVELS, Range, bits_of, colour_of_16_bits, look_range, sixteen_bits
from .pages import UnreadablePhoto, open_photo, orientation_of

__all__ = ["Photo", "UnreadablePhoto", "open_photo", "read_photo"]

_log = logging.getLogger("face_anonymizer")
_SAME = 1  # levels that are no change: what another host's rounding may make of them
_OTHER_TRANSFER = 0.1  # of a tone curve from that of sRGB, from which on a picture is looked at with the latter


@dataclass(frozen=True)
class Photo:
    """A photo.

    Args:
        seen: uint8 [H, W, 3], upright: what is looked at.
        levels: uint16 [H, W, 1 or 3], its own levels; None where `seen` has them.
        looked: the levels that are black and white in `seen`.
        alpha: [H, W] of the type of its levels; None for an opaque picture.
        colour: a profile of RGB or gray, or none.
        notes: what of the file did not stay as it was, whatever it is saved as.
        bits: of a channel in the file.
    """

    seen: np.ndarray
    levels: np.ndarray | None = None
    looked: Range = ALL_LEVELS
    alpha: np.ndarray | None = None
    colour: Colour = NOTHING_SAID
    notes: tuple[str, ...] = ()
    bits: int = 8

    def is_finished_by_nodes(self, format: str) -> bool:
        """Whether what the nodes save in this format is the result: it has neither depth nor alpha to be given back."""
        return self.alpha is None and (format != "png" or (self.levels is None and self.colour.cicp is None))

    def said(self, format: str) -> tuple[str, ...]:
        """What is lost of the photo when it is saved in this format."""
        lost = []
        if self.bits > 8 and (self.levels is None or format != "png"):
            keeps = "" if self.levels is None else ": save it as png to keep them"
            lost.append(f"its {self.bits} bits a channel became 8{keeps}")
        if self.alpha is not None and format == "jpeg":
            lost.append("what is transparent in it was joined on white")
        if self.colour.cicp and format != "png":
            lost.append("its high dynamic range (PQ or HLG) is not marked: save it as png")
        return (*self.notes, *self.colour.notes, *lost)

    def as_png(self, mark: bool = False) -> BinaryIO:
        """What is looked at as PNG, with its profile and nothing else.

        Args:
            mark: but for the packet that says that a trained model made a part of it.
        """
        file, texts = io.BytesIO(), PngInfo()
        profile = icc.clean_profile(self.colour.profile, 3)
        if mark:
            texts.add(b"iTXt", xmp_chunk(xmp_packet()))
        Image.fromarray(self.seen).save(file, "PNG", compress_level=1, icc_profile=profile, pnginfo=texts)
        return file

    def finish(self, changed: np.ndarray) -> np.ndarray:
        """The result with the photo's own depth and alpha.

        Args:
            changed: uint8 [H, W, 3]: `seen` as the nodes give it back.

        Returns:
            uint8 or uint16 [H, W, C]: the photo's own levels where the nodes changed nothing; gray stays gray while
            what they changed is gray; with alpha, which is opaque where they changed something.

        Raises:
            ValueError: it has another size.
        """
        if changed.shape != self.seen.shape:
            raise ValueError(f"The graph made {changed.shape[1]}x{changed.shape[0]} pixels of {self.size}.")
        where: np.ndarray = np.any(np.abs(changed.astype(np.int16) - self.seen) > _SAME, axis=-1, keepdims=True)
        own, new = self.seen, changed
        if self.levels is not None:
            own, new = self.levels, self.looked.deep(changed)
            if own.shape[-1] == 1:
                if (changed[where[..., 0]] == changed[where[..., 0]][:, :1]).all():
                    new = new[..., :1]
                else:
                    own = np.repeat(own, 3, -1)
        result = np.where(where, new, own)
        if self.alpha is None:
            return result
        alpha = np.where(where, np.iinfo(self.alpha.dtype).max, self.alpha[..., None])
        return np.concatenate([result, alpha.astype(result.dtype)], axis=-1)

    @property
    def size(self) -> str:
        """In words, for messages."""
        return f"{self.seen.shape[1]}x{self.seen.shape[0]}"


def read_photo(data: bytes) -> Photo:
    """Read a photo from the bytes of its file, whatever the file's name.

    Raises:
        UnreadablePhoto: it cannot be read as one whole picture; the message says why and what to do.
    """
    with open_photo(io.BytesIO(data)) as image:
        try:
            return _read(image, data)
        except UnreadablePhoto:
            raise
        except Exception as error:  # a broken EXIF block or profile: Pillow raises what it comes upon
            raise UnreadablePhoto(f"It cannot be read: {error}. Open it in an editor and save it anew.") from error


def _read(image: Image.Image, data: bytes) -> Photo:
    bits, colour = bits_of(image, data), colour_of(image, data)
    notes = image.info.get("notes", ())
    photo = None
    if image.mode.startswith(("I", "F")):
        photo = _deep_gray(image, data)
    elif bits > 8 and image.format != "AVIF":
        photo = _deep_colour(image, data)
    if photo is None:
        photo = _of_8_bits(image, colour)
        colour = photo.colour
    photo = replace(photo, colour=colour, notes=(*notes, *photo.notes), bits=max(bits, 8) if bits != 1 else 8)
    return _with_usual_curve(_with_clean_profile(photo))


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """A picture as EXIF says that it is to be shown.

    Args:
        array: [H, W, ...].
        orientation: 1..8, by EXIF (CIPA DC-008, tag 274); anything else is 1.
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)  # 5; what is left is as for 1..4
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _of_8_bits(image: Image.Image, colour: Colour) -> Photo:
    notes: tuple[str, ...] = ()
    orientation = orientation_of(image)
    if image.mode in ("CMYK", "LAB"):
        converted = picture_to_srgb(image, colour.profile if image.mode == "CMYK" else None)
        if converted is None and image.mode == "LAB":
            raise UnreadablePhoto("Its colours are CIELAB, which this Pillow cannot turn into RGB. Save it as RGB.")
        if converted is None and colour.profile:
            notes = ("its colour profile for print is broken, so that its colours are rough",)
        image, colour = converted or image.convert("RGB"), Colour(notes=colour.notes)
    if "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBA", "RGBa"):
        rgba = upright(np.asarray(image.convert("RGBA")), orientation)
        seen, alpha, note = separate(rgba[..., :3], rgba[..., 3])
        notes = (*notes, note) if note else notes
        return Photo(seen, alpha=alpha, colour=colour, notes=notes)
    return Photo(upright(np.asarray(image.convert("RGB")), orientation), colour=colour, notes=notes)


def _deep_gray(image: Image.Image, data: bytes) -> Photo:
    gray = np.asarray(image)
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
        gray = _white_is_zero(gray, image)
    levels, note = sixteen_bits(upright(gray, orientation_of(image)))
    alpha = None
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        alpha = np.where(levels == clear, 0, 65535).astype(np.uint16)
    return _photo_of_levels(levels[..., None], alpha, (note,) if note else ())


def _white_is_zero(gray: np.ndarray, image: Image.Image) -> np.ndarray:
    bits = max(image.tag_v2.get(258, (16,)))  # type: ignore[attr-defined]
    if gray.dtype.kind == "f" or bits > 16:
        return gray.max() - gray
    return (2**bits - 1) - gray.astype(np.int32)


def _deep_colour(image: Image.Image, data: bytes) -> Photo | None:
    """Of 16 bits a channel by FFmpeg; None where it has other levels than Pillow."""
    deep = colour_of_16_bits(data)
    if deep is None:
        return None
    deep = upright(deep, image.info["orientation in file"])
    shallow = upright(np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB")), orientation_of(image))
    if shallow.shape[:2] != deep.shape[:2]:
        return None
    if np.abs(shallow[..., :3].astype(np.int32) - (deep[..., :3] >> 8)).max() > 1:
        return None
    return _photo_of_levels(deep[..., :3], deep[..., 3] if deep.shape[-1] == 4 else None, ())


def _photo_of_levels(levels: np.ndarray, alpha: np.ndarray | None, notes: tuple[str, ...]) -> Photo:
    if alpha is not None:
        levels, alpha, note = separate(np.repeat(levels, 3, -1) if levels.shape[-1] == 1 else levels, alpha)
        notes = (*notes, note) if note else notes
    looked = look_range(levels)
    seen = looked.seen(levels)
    return Photo(np.repeat(seen, 3, -1) if seen.shape[-1] == 1 else seen, levels, looked, alpha, notes=notes)


def _with_clean_profile(photo: Photo) -> Photo:
    """The photo with a profile that can be written anew, or in sRGB without one."""
    profile = photo.colour.profile
    if profile is None:
        return photo
    try:
        parsed = icc.parse_profile(profile)
    except icc.TableProfile:
        converted = to_srgb(photo.seen, profile)
        if converted is None:
            return _without_profile(photo, "its colour profile is a table that cannot be applied, and was left out")
        depth = ("its colours were turned into sRGB, in 8 bits",) if photo.levels is not None else ()
        photo = replace(photo, seen=converted, levels=None, notes=(*photo.notes, *depth))
        if photo.alpha is not None and photo.alpha.dtype == np.uint16:
            photo = replace(photo, alpha=(photo.alpha >> 8).astype(np.uint8))
        return replace(photo, colour=replace(photo.colour, profile=None))
    except icc.UnusableProfile as error:
        return _without_profile(photo, f"its colour profile {error}, and was left out")
    return replace(photo, colour=replace(photo.colour, profile=parsed.encoded()))


def _without_profile(photo: Photo, why: str) -> Photo:
    return replace(photo, colour=replace(photo.colour, profile=None), notes=(*photo.notes, why))


def _with_usual_curve(photo: Photo) -> Photo:
    """The photo with the tone curve of sRGB, where its own is far from it: linear light is too dark to find faces in.

    Its primaries stay as they are; its profile says so.
    """
    if photo.colour.profile is None:
        return photo
    profile = icc.parse_profile(photo.colour.profile)
    levels = photo.seen if photo.levels is None else photo.levels
    top = np.iinfo(levels.dtype).max
    steps = np.linspace(0, 1, top + 1)
    tables = [icc.to_srgb_curve(curve.at(steps)) for curve in profile.curves]
    if max(np.abs(table - steps).max() for table in tables) < _OTHER_TRANSFER:
        return photo
    tables = [np.rint(table * top).astype(levels.dtype) for table in tables]
    usual = np.stack([tables[i % len(tables)][levels[..., i]] for i in range(levels.shape[-1])], -1)
    colour = replace(photo.colour, profile=replace(profile, curves=(icc.SRGB_CURVE,) * len(profile.curves)).encoded())
    if photo.levels is None:
        return replace(photo, seen=usual, colour=colour)
    looked = look_range(usual)
    seen = looked.seen(usual)
    seen = np.repeat(seen, 3, -1) if seen.shape[-1] == 1 else seen
    return replace(photo, seen=seen, levels=usual, looked=looked, colour=colour)
