"""Colour profiles written anew: what says how colours look, and nothing else of what a profile may carry.

A profile may hold texts, a camera's or a screen's serial number, dates, private tags, anything between its tags and
behind its end. So none is copied: white, primaries and tone curves are read, checked and written into a new one.
ICC.1:2022 has the layouts; numbers in brackets are its sections.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

RGB, GRAY = b"RGB ", b"GRAY"
_TABLES = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2")  # they overrule primaries and curves (8.10)
_CURVE_TAGS = {RGB: (b"rTRC", b"gTRC", b"bTRC"), GRAY: (b"kTRC",)}
_PRIMARY_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ")
_PARAMETERS = (1, 3, 4, 5, 7)  # of a parametric curve, by its type (10.18)
_MOST_TAGS = 200
_MOST_POINTS = 4096  # of a tone curve that is a table; a longer one is thinned out
_LARGEST = 16 << 16  # of a number of 16.16 bits: sixteen
_D50 = (63190, 65536, 54061)  # the white of all profiles (7.2.16), in 1/65536


class UnusableProfile(ValueError):
    """It cannot be written anew; the message says why, as the rest of "its colour profile ..."."""


class TableProfile(UnusableProfile):
    """Colours go by a table of many thousand entries: such a profile is applied, not kept."""


@dataclass(frozen=True)
class Curve:
    """How bright a level is.

    Args:
        table: uint16 levels at even steps; () for a straight line, one value for an exponent in 1/256. None where it is
            parametric.
        kind: of a parametric curve, 0..4.
        parameters: of a parametric curve, in 1/65536.
    """

    table: tuple[int, ...] | None = None
    kind: int = 0
    parameters: tuple[int, ...] = ()

    def at(self, levels: np.ndarray) -> np.ndarray:
        """The brightness, 0..1 and linear, of levels of 0..1. float64, of the same shape."""
        if self.table is not None:
            if len(self.table) > 1:
                return np.interp(levels, np.linspace(0, 1, len(self.table)), np.array(self.table) / 65535)
            return levels ** (self.table[0] / 256) if self.table else levels
        g, a, b, c, d, e, f = self._all_parameters
        with np.errstate(all="ignore"):
            curved = np.maximum(a * levels + b, 0) ** g + e
        return np.clip(np.nan_to_num(np.where(levels >= d, curved, c * levels + f)), 0, 1)

    @cached_property
    def _all_parameters(self) -> tuple[float, ...]:
        """g a b c d e f of (a x + b)^g + e from d on and c x + f below, which all types are cases of."""
        p = [value / 65536 for value in self.parameters]
        if self.kind == 0:
            return (p[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        if self.kind >= 3:
            return (*p, 0.0, 0.0)[:7]
        start = -p[2] / p[1] if p[1] else 0.0
        offset = p[3] if self.kind == 2 else 0.0
        return (*p[:3], 0.0, start, offset, offset)

    def encoded(self) -> bytes:
        """As the content of a tag."""
        if self.table is None:
            head = b"para\0\0\0\0" + struct.pack(">HH", self.kind, 0)
            return head + struct.pack(f">{len(self.parameters)}i", *self.parameters)
        return b"curv\0\0\0\0" + struct.pack(f">I{len(self.table)}H", len(self.table), *self.table)


@dataclass(frozen=True)
class Profile:
    """What of a profile says how colours look.

    Args:
        space: RGB or GRAY.
        curves: one for gray, three for RGB.
        primaries: XYZ of red, green and blue, in 1/65536, seen at the white of profiles; () for gray.
        white: XYZ of the medium, in 1/65536.
        adaptation: the nine numbers that turn the white into that of profiles; () where there are none.
        version: of the ICC's format, 2 or 4.
        intent: the rendering intent, 0..3.
        cicp: primaries, transfer, matrix and range by ITU-T H.273, where the profile says them.
    """

    space: bytes
    curves: tuple[Curve, ...]
    primaries: tuple[tuple[int, ...], ...] = ()
    white: tuple[int, ...] = _D50
    adaptation: tuple[int, ...] = ()
    version: int = 4
    intent: int = 0
    cicp: tuple[int, ...] | None = None

    def in_channels(self, channels: int) -> Profile | None:
        """The profile for pictures of this many channels: as gray as the gray one, as RGB with the curve of gray.

        None for RGB whose three curves differ, and a picture of gray.
        """
        space = GRAY if channels < 3 else RGB
        if space == self.space:
            return self
        if space == RGB:
            return replace(self, space=RGB, curves=self.curves * 3, primaries=SRGB.primaries)
        return replace(self, space=GRAY, curves=self.curves[:1], primaries=()) if len(set(self.curves)) == 1 else None

    def encoded(self) -> bytes:
        """The bytes of a profile that holds this and no text but its own format's name."""
        tags = {b"desc": _text(b"desc", self.version), b"cprt": _text(b"cprt", self.version)}
        tags[b"wtpt"] = _xyz(self.white)
        if self.adaptation:
            tags[b"chad"] = b"sf32\0\0\0\0" + struct.pack(">9i", *self.adaptation)
        tags |= {name: _xyz(value) for name, value in zip(_PRIMARY_TAGS, self.primaries, strict=False)}
        tags |= {name: curve.encoded() for name, curve in zip(_CURVE_TAGS[self.space], self.curves, strict=True)}
        if self.cicp:
            tags[b"cicp"] = b"cicp\0\0\0\0" + bytes(self.cicp)
        places: dict[bytes, int] = {}  # equal contents stand once (7.3.1)
        body, start = b"", 132 + 12 * len(tags)
        for content in tags.values():
            if content not in places:
                places[content] = start + len(body)
                body += content + bytes(-len(content) % 4)
        table = b"".join(name + struct.pack(">II", places[content], len(content)) for name, content in tags.items())
        head = struct.pack(">I4xI4s4s4s", start + len(body), 0x02400000 if self.version == 2 else 0x04300000,
                           b"mntr", self.space, b"XYZ ")  # fmt: skip
        head += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(24) + struct.pack(">I3i", self.intent, *_D50)
        return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def parse_profile(data: bytes) -> Profile:
    """Read of a profile what says how colours look.

    Args:
        data: of a profile for RGB or gray, of any size.

    Raises:
        TableProfile: its colours go by a table.
        UnusableProfile: it is broken, or for other colours.
    """
    if len(data) < 132 or data[36:40] != b"acsp":
        raise UnusableProfile("is broken: it has no head")
    if data[12:16] in (b"link", b"abst", b"nmcl"):
        raise UnusableProfile("is none of a picture")
    space, version = data[16:20], data[8]
    if space not in (RGB, GRAY):
        raise UnusableProfile(f"is for other colours ({space.decode('ascii', 'replace').strip()})")
    tags = _tags(data)
    if any(name in tags for name in _TABLES) or data[20:24] != b"XYZ ":
        raise TableProfile("is a table")
    missing = [name.decode() for name in (*_CURVE_TAGS[space], *_primary_tags(space)) if name not in tags]
    if missing:
        raise UnusableProfile(f"is broken: it lacks {', '.join(missing)}")
    primaries = tuple(_read_xyz(tags[name]) for name in _primary_tags(space))
    if primaries and abs(np.linalg.det(np.array(primaries) / 65536)) < 1e-4:
        raise UnusableProfile("is broken: its primaries lie on a line")
    chad, cicp = tags.get(b"chad", b""), tags.get(b"cicp", b"")
    return Profile(
        space,
        tuple(_read_curve(tags[name]) for name in _CURVE_TAGS[space]),
        primaries,
        _read_xyz(tags[b"wtpt"]) if b"wtpt" in tags else _D50,
        _bounded(struct.unpack(">9i", chad[8:44])) if chad[:4] == b"sf32" and len(chad) >= 44 else (),
        2 if version < 4 else 4,
        data[67] & 3,
        tuple(cicp[8:12]) if cicp[:4] == b"cicp" and len(cicp) >= 12 else None,
    )


def clean_profile(data: bytes | None, channels: int) -> bytes | None:
    """A profile written anew for a picture of this many channels; None where there is none that fits.

    Args:
        data: the profile of a file; None for none.
        channels: 1 or 2 for gray, 3 or 4 for RGB, alpha included.

    Raises:
        TableProfile, UnusableProfile: as parse_profile.
    """
    if data is None:
        return None
    profile = parse_profile(data).in_channels(channels)
    return None if profile is None else profile.encoded()


# Made from numbers ------------------------------------------------------------------------------------------------

_D65 = (0.3127, 0.3290)
# The curve of sRGB (IEC 61966-2-1) and that of cameras by ITU-R BT.709, both parametric of type 3.
SRGB_CURVE = Curve(None, 3, (157286, 62119, 3417, 5072, 2651))
BT709_CURVE = Curve(None, 3, (145636, 59632, 5904, 14564, 5308))


def to_srgb_curve(light: np.ndarray) -> np.ndarray:
    """Levels of 0..1 by the curve of sRGB for linear light of 0..1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def gamma_curve(exponent: float) -> Curve:
    """The curve of levels to this power."""
    return Curve(None, 0, (round(exponent * 65536),))


def profile_of(chromaticities: tuple[float, ...], curve: Curve) -> Profile:
    """The RGB profile of primaries and one curve.

    Args:
        chromaticities: x and y of white, red, green and blue.
        curve: of all three channels.

    Raises:
        UnusableProfile: no colours are made of these.
    """
    xy = np.array(chromaticities, float).reshape(4, 2)
    if not np.isfinite(xy).all() or (np.abs(xy[:, 1]) < 1e-5).any() or np.abs(xy).max() > 4:
        raise UnusableProfile("is broken: its primaries are no colours")
    white, *primaries = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(1)) / xy[:, 1]], 1)
    matrix = np.stack(primaries, 1)
    if abs(np.linalg.det(matrix)) < 1e-4:
        raise UnusableProfile("is broken: its primaries lie on a line")
    adaptation = _bradford(white)
    columns = adaptation @ (matrix * np.linalg.solve(matrix, white))
    rows = tuple(_bounded(tuple(int(v) for v in np.round(column * 65536))) for column in columns.T)
    return Profile(RGB, (curve,) * 3, rows, _D50, tuple(int(v) for v in np.round(adaptation.ravel() * 65536)))


def _bradford(white: np.ndarray) -> np.ndarray:
    """The matrix that turns colours seen at this white into those seen at the white of profiles (annex E)."""
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = (cones @ (np.array(_D50) / 65536)) / (cones @ white)
    return np.linalg.inv(cones) @ (cones * scale[:, None])


# Tags -------------------------------------------------------------------------------------------------------------


def _tags(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack(">I", data[128:132])
    if count > _MOST_TAGS:
        raise UnusableProfile(f"is broken: it would have {count} tags")
    tags = {}
    for i in range(count):
        entry = data[132 + 12 * i : 144 + 12 * i]
        if len(entry) < 12:
            raise UnusableProfile("is broken: it is cut off")
        name, start, size = struct.unpack(">4sII", entry)
        if start + size > len(data):
            # of a tag that is not read it does not matter
            if name in (*_PRIMARY_TAGS, *_CURVE_TAGS[RGB], *_CURVE_TAGS[GRAY], *_TABLES):
                raise UnusableProfile("is broken: it is cut off")
            continue
        tags[name] = data[start : start + size]
    return tags


def _primary_tags(space: bytes) -> tuple[bytes, ...]:
    return _PRIMARY_TAGS if space == RGB else ()


def _bounded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if max(map(abs, numbers)) > _LARGEST:
        raise UnusableProfile("is broken: its numbers are no colours")
    return numbers


def _read_xyz(content: bytes) -> tuple[int, ...]:
    if content[:4] != b"XYZ " or len(content) < 20:
        raise UnusableProfile("is broken: it has no colours where they should stand")
    return _bounded(struct.unpack(">3i", content[8:20]))


def _read_curve(content: bytes) -> Curve:
    curve = None
    if content[:4] == b"curv" and len(content) >= 12:
        (count,) = struct.unpack(">I", content[8:12])
        if len(content) >= 12 + 2 * count:
            table = struct.unpack(f">{count}H", content[12 : 12 + 2 * count])
            if count > _MOST_POINTS:
                even = np.interp(np.linspace(0, 1, _MOST_POINTS), np.linspace(0, 1, count), table)
                table = tuple(int(v) for v in np.round(even))
            curve = Curve(table)
    elif content[:4] == b"para" and len(content) >= 12:
        kind = struct.unpack(">H", content[8:10])[0]
        if kind < len(_PARAMETERS) and len(content) >= 12 + 4 * _PARAMETERS[kind]:
            curve = Curve(
                None, kind, _bounded(struct.unpack(f">{_PARAMETERS[kind]}i", content[12 : 12 + 4 * _PARAMETERS[kind]]))
            )
    if curve is None:
        raise UnusableProfile("is broken: it has no curve where one should stand")
    values = curve.at(np.linspace(0, 1, 4096))
    # What does not rise is no tone curve, and may be anything else that was put there.
    if (np.diff(values) < -1e-6).any() or values[-1] - values[0] < 0.05:
        raise UnusableProfile("is broken: its curves do not rise")
    return curve


def _xyz(numbers: tuple[int, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *numbers)


def _text(tag: bytes, version: int) -> bytes:
    text = "Colours" if tag == b"desc" else "CC0"
    if version >= 4:
        words = text.encode("utf-16-be")
        return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(words), 28) + words
    words = text.encode() + b"\0"
    if tag == b"cprt":
        return b"text\0\0\0\0" + words
    return b"desc\0\0\0\0" + struct.pack(">I", len(words)) + words + bytes(8 + 3 + 67)


SRGB_CHROMATICITIES = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SRGB = profile_of(SRGB_CHROMATICITIES, SRGB_CURVE)
