"""Whether a part of a file holds a picture, in whichever form, or is long and of unknown kind."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator

from PIL import Image

from .blocks import open_block
from .parts import BEHIND, COPY, KNOWN, LARGE, Found, Part, is_blank

_SEARCHED = 8 << 20  # bytes of a part that are looked at; a longer one is told whatever it is
_TRIES = 64  # starts that are looked at: where more only look so, one may be
_DEEP = 4  # texts in texts
_PIXELS = 50_000_000  # a picture that says it has more is not decoded to see whether it has
# Where a picture may start, and where one starts that needs no decoding: of films, and of formats without a decoder.
_START = re.compile(
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|\xff\x4f\xff\x51|\0\0\0\x0cjP  "
    rb"|BM....\0\0\0\0....[\x0c(4@l|8]\0\0\0"
    rb"|(?P<sure>\0\0\0[\x0c-\xff]ftyp[a-zA-Z0-9 ]{4}|8BPS\0\x01\0{6}|\x1aE\xdf\xa3[\x93-\xaf\x01])",
    re.DOTALL,
)
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "JPEG2000", "BMP")
# Bytes written as letters, in one line or in several, as in XMP, in profiles in texts of PNG and in addresses (data:)
_LETTERS = re.compile(
    rb"[A-Za-z0-9+/_-]{16,}(?:(?:\s|\\n|\\r|&#x?[0-9aAdD]{1,2};)*[A-Za-z0-9+/_-]{16,})*[A-Za-z0-9+/_-]*=*"
)
_BREAKS = re.compile(rb"\s|\\n|\\r|&#x?[0-9aAdD]{1,2};")
_DIGESTS = (32, 40, 56, 64, 96, 128)  # letters of check sums
_FEW, _CALM = 40, 0.7  # different letters, and the share of neighbours of one sort: bytes have more, and fewer such
_SORTS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/", b"A" * 26 + b"a" * 26 + b"0" * 10 + b"+++"
)
_CONTROLS = bytes({*range(1, 9), 11, 12, *range(14, 32), 127})
_MORE_CONTROLS = bytes(range(128, 160))


def tell(found: Iterable[Found]) -> tuple[str, ...]:
    """What is to be told of the parts of a file, in words.

    Args:
        found: by those who walk its format.
    """
    words: dict[str, None] = {}
    unknown: dict[str, int] = {}
    for each in _opened(found):
        if isinstance(each, str):
            words[each] = None
            continue
        has_picture, left = _look(each)
        if has_picture:
            words[COPY] = None
        if left:
            unknown[each.where] = unknown.get(each.where, 0) + left
    words |= {f"{count:,} bytes {where}": None for where, count in unknown.items() if count > LARGE}
    return tuple(words)


def _opened(found: Iterable[Found], deep: int = _DEEP) -> Iterator[Found]:
    """The same, with what is itself made of parts, such as EXIF, taken apart."""
    for each in found:
        inner = None if isinstance(each, str) or each.kind == BEHIND or not deep else open_block(each)
        if inner is None:
            yield each
        else:
            yield from _opened(inner, deep - 1)


def _look(part: Part, deep: int = _DEEP) -> tuple[bool, int]:
    """Whether a part holds a picture, and how many of its bytes are of unknown kind."""
    content = part.content
    if is_blank(content):
        return False, 0
    if len(content) > _SEARCHED or (part.kind == BEHIND and len(content) > LARGE):
        return False, len(content)
    if _holds_picture(content, part.kind):
        return True, 0
    if not _is_text(content):
        return False, 0 if part.kind == KNOWN else len(content)
    has_picture, unknown = False, 0
    for run in _LETTERS.finditer(content):
        written = _written(_BREAKS.sub(b"", run[0])) if deep else None
        if written is None:
            continue
        for inner in _opened([Part(part.where, written)]):
            if isinstance(inner, str):
                has_picture |= inner == COPY
                continue
            one, left = _look(inner, deep - 1)
            has_picture |= one
            unknown += left if len(written) > LARGE and not _are_words(run[0]) else 0
    return has_picture, unknown


def _are_words(run: bytes) -> bool:
    """Whether letters that could be bytes are words, paths or check sums instead."""
    pieces = _BREAKS.sub(b" ", run).split()
    letters = b"".join(pieces)
    if re.fullmatch(rb"[0-9a-fA-F]+", letters):
        return all(len(piece) in _DIGESTS for piece in pieces)
    sorts = letters.translate(_SORTS)
    same = sum(one == other for one, other in itertools.pairwise(sorts))
    return len(set(letters)) < _FEW or same > _CALM * len(sorts)


def _written(letters: bytes) -> bytes | None:
    """The bytes that are written as letters; None where they are none."""
    with contextlib.suppress(binascii.Error, ValueError):
        if re.fullmatch(rb"[0-9a-fA-F]+", letters):
            return bytes.fromhex(letters[: len(letters) // 2 * 2].decode())
        letters = letters.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        return base64.b64decode(letters + b"=" * (-len(letters) % 4))
    return None


def _is_text(content: bytes) -> bool:
    """Whether bytes are a text in a usual code, maybe behind a few numbers."""
    return any(_reads(content[skipped:]) for skipped in (0, 4, 8))


def _reads(content: bytes) -> bool:
    if not any(content[1::2]) or not any(content[::2]):  # UTF-16
        content = content.replace(b"\0", b"")
    if content.translate(None, _CONTROLS) != content:
        return False
    with contextlib.suppress(UnicodeDecodeError):
        content.decode()
        return True
    return content.translate(None, _MORE_CONTROLS) == content


def _holds_picture(content: bytes, kind: str) -> bool:
    for number, start in enumerate(_START.finditer(content), 1):
        if number > _TRIES:
            return kind != KNOWN  # coded pixels have many by chance
        rest = content[start.start() :]
        if _is_picture(rest) if start["sure"] is None else len(rest) > LARGE:
            return True
    return False


def _is_picture(data: bytes) -> bool:
    """Whether something can be seen in a picture: it is decoded, and of more than one colour."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large or odd pictures
        try:
            # the end of a JPEG may lie behind what was cut out: a mark of the end more harms none
            with Image.open(io.BytesIO(data + b"\xff\xd9"), formats=_FORMATS) as image:
                if image.width * image.height > _PIXELS:
                    return True
                extrema = image.convert("RGBA").getextrema()
        except Image.DecompressionBombError:
            return True
        except Exception:  # bytes that only look so: Pillow raises what it comes upon
            return False
    return any(low != high for low, high in extrema)
