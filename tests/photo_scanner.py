"""Search a picture file for what must not be in it: words and numbers, pictures within, and parts that are no pixels.

Everything is searched that a reader could find without knowing where it is: the bytes as they are and unpacked, every
picture that begins anywhere, every channel and every frame of the picture itself, every part of the file by its name.
"""

import base64
import functools
import io
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from planted_photos import LATITUDE, WORDS, original

from face_anonymizer.modules.output import xmp

_PICTURE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM")
_ALIKE = 0.8  # correlation with the original, from which on a picture shows it
# What a result may hold. SOF0..2, tables, scans and the end of JPEG; of APP parts JFIF, our XMP and a profile.
_JPEG_PARTS = {"C0", "C1", "C2", "C4", "DB", "DD", "DA", "D9"}
_PNG_PARTS = {"IHDR", "IDAT", "IEND"}
_WEBP_PARTS = {"VP8 ", "VP8L", "VP8X", "ALPH"}
_ICC_TAGS = {"desc", "cprt", "wtpt", "chad", "cicp", "rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC", "kTRC"}


def scan(data: bytes) -> list[str]:
    """What a result must not hold, a line each; nothing for a clean one."""
    return [*words_in(data), *pictures_in(data), *parts_in(data)]


# Words ------------------------------------------------------------------------------------------------------------


def words_in(data: bytes) -> list[str]:
    """The planted words, numbers and pixels, wherever they stand, in any usual form, packed or not."""
    found = []
    needles = _needles()
    for where, content in [("", data), *_unpacked(data)]:
        lower = content.lower()
        found += [f"{what}{where}" for what, needle in needles if needle in content or needle.lower() in lower]
    return sorted(set(found))


def _needles() -> list[tuple[str, bytes]]:
    needles = []
    for word in WORDS:
        plain = word.encode()
        forms = [plain, word.encode("utf-16-le"), word.encode("utf-16-be"), plain.hex().encode()]
        forms += [base64.b64encode(plain[i:])[2:-4] for i in range(3)]
        needles += [(f"the words {word!r}", form) for form in forms]
    for order in "<>":
        needles.append(("the place", struct.pack(f"{order}II", *LATITUDE[2])))
    pixels = np.asarray(original())
    needles += [("pixels of the original", rows.tobytes()) for rows in (pixels[20], pixels[20, :, ::-1])]
    return needles


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every zlib stream that begins anywhere, up to a limit; runs of base64."""
    for head in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        place = data.find(head)
        while place >= 0:
            try:
                content = zlib.decompressobj().decompress(data[place:], 1 << 23)
            except zlib.error:
                content = b""
            if len(content) > 16:
                yield f", packed at {place}", content
            place = data.find(head, place + 1)


# Pictures ---------------------------------------------------------------------------------------------------------


def pictures_in(data: bytes) -> list[str]:
    """Pictures that show the original: those that begin anywhere in the file, and the file's own, by channel."""
    found = []
    contents = [("", data), *_unpacked(data)]
    contents += [("in base64, ", base64.b64decode(run)) for run in _base64_runs(data)]
    for where, content in contents:
        starts = {0}
        for head in _PICTURE_HEADS:
            place = content.find(head)
            while place >= 0:
                starts.add(place)
                place = content.find(head, place + 1)
        for place in sorted(starts):
            if any(shows_original(levels) for levels in _channels(content[place:])):
                found.append(f"a picture of the original, {where}at {place}")
    return found


def _base64_runs(data: bytes) -> list[bytes]:
    place, runs = data.find(b"/9j/"), []  # how every JPEG begins in base64
    while place >= 0:
        end = place
        while end < len(data) and (chr(data[end]).isalnum() or data[end] in b"+/="):
            end += 1
        runs.append(data[place : end - (end - place) % 4])
        place = data.find(b"/9j/", end)
    return runs


def _channels(data: bytes) -> Iterator[np.ndarray]:
    """Every channel of every frame of a picture, as its file has it: what is under alpha 0 too, and alpha itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as picture:
                for i in range(min(getattr(picture, "n_frames", 1), 8)):
                    picture.seek(i)
                    if picture.width * picture.height > 1 << 22:
                        return
                    frame = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
                    yield from np.moveaxis(np.asarray(frame).astype(float), -1, 0)
        except Exception:  # of bytes that are no picture Pillow raises what it comes upon
            return


def shows_original(levels: np.ndarray) -> bool:
    """Whether a channel shows the original anywhere, at its own size or as small as its blocks allow."""
    return any(_correlation(levels, side) > _ALIKE for side in (48, 24) if min(levels.shape) >= side)


def _correlation(levels: np.ndarray, side: int) -> float:
    """The largest correlation of a picture with a channel of the original over all places where that fits into it."""
    channels, window, norms = _spectra(side, levels.shape)
    spectrum, squares = np.fft.rfft2(levels), np.fft.rfft2(levels**2)
    mean = np.fft.irfft2(spectrum * window, levels.shape) / side**2
    square = np.fft.irfft2(squares * window, levels.shape) / side**2
    spread = np.sqrt(np.maximum(square - mean**2, 1.0)) * side
    fits = tuple(slice(0, size - side + 1) for size in levels.shape)
    products = np.fft.irfft2(spectrum * channels, levels.shape) / norms
    return float((products / spread)[(slice(None), *fits)].max())


@functools.cache
def _spectra(side: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the original's channels without their means, of a window of its size, and the channels' norms."""
    wanted = np.moveaxis(np.asarray(original().resize((side, side), Image.Resampling.BOX)).astype(float), -1, 0)
    wanted -= wanted.mean((1, 2), keepdims=True)
    window = np.conj(np.fft.rfft2(np.ones((side, side)), shape))
    return np.conj(np.fft.rfft2(wanted, shape)), window, np.sqrt((wanted**2).sum((1, 2), keepdims=True))


# Parts ------------------------------------------------------------------------------------------------------------


def parts_in(data: bytes) -> list[str]:
    """Parts of a PNG, JPEG or WEBP file that no result needs, what stands behind its end among them."""
    reader = {b"\x89P": _png_parts, b"\xff\xd8": _jpeg_parts, b"RI": _webp_parts}.get(data[:2])
    return ["neither PNG nor JPEG nor WEBP"] if reader is None else [text for text in reader(data) if text]


def _png_parts(data: bytes) -> Iterator[str]:
    place, name, packed = 8, "", b""
    while place + 8 <= len(data) and name != "IEND":
        (size,) = struct.unpack(">I", data[place : place + 4])
        name, content = data[place + 4 : place + 8].decode("latin1"), data[place + 8 : place + 8 + size]
        place += 12 + size
        if name == "IDAT":
            packed += content
        elif name == "iCCP":
            title, _, rest = content.partition(b"\0")
            if title not in (b"ICC", b"ICC Profile"):
                yield f"a profile called {title!r}"
            yield from _profile_parts(zlib.decompress(rest[1:]))
        elif name == "iTXt":
            yield _mark(content.rpartition(b"\0")[2])
        elif name == "cICP":
            yield "" if size == 4 else "a cICP part of another size"
        elif name not in _PNG_PARTS or size > 13:
            yield f"the part {name}"
    stream = zlib.decompressobj()
    stream.decompress(packed)
    yield "something behind the pixels" if stream.unused_data else ""
    yield f"{len(data) - place} bytes behind the end" if place != len(data) else ""


def _jpeg_parts(data: bytes) -> Iterator[str]:
    place, profile = 2, b""
    while place < len(data):
        marker = f"{data[place + 1]:02X}"
        if marker == "D9":
            place += 2
            break
        (size,) = struct.unpack(">H", data[place + 2 : place + 4])
        content = data[place + 4 : place + 2 + size]
        place += 2 + size
        if marker == "E0":
            yield "" if content[:5] == b"JFIF\0" and len(content) == 14 else "an APP0 part with more than its head"
        elif marker == "E1":
            yield _mark(content.removeprefix(b"http://ns.adobe.com/xap/1.0/\0"))
        elif marker == "E2" and content.startswith(b"ICC_PROFILE\0"):
            profile += content[14:]
        elif marker not in _JPEG_PARTS:
            yield f"the part {marker}"
        if marker == "DA":
            while place < len(data) and not (data[place] == 0xFF and data[place + 1] not in (0, *range(0xD0, 0xD8))):
                place += 1
    if profile:
        yield from _profile_parts(profile)
    yield f"{len(data) - place} bytes behind the end" if place != len(data) else ""


def _webp_parts(data: bytes) -> Iterator[str]:
    end = 8 + struct.unpack("<I", data[4:8])[0]
    yield f"{len(data) - end} bytes behind the end" if end != len(data) else ""
    place = 12
    while place + 8 <= end:
        name, (size,) = data[place : place + 4].decode("latin1"), struct.unpack("<I", data[place + 4 : place + 8])
        content = data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
        if name == "ICCP":
            yield from _profile_parts(content)
        elif name == "XMP ":
            yield _mark(content)
        elif name not in _WEBP_PARTS:
            yield f"the part {name}"


def _mark(content: bytes) -> str:
    return "" if content == xmp.xmp_packet() else "an XMP packet or EXIF block that is not ours"


def _profile_parts(data: bytes) -> Iterator[str]:
    """Of a profile: other tags than those of colours, bytes that belong to no tag, texts in the head."""
    size, count = struct.unpack(">I", data[:4])[0], struct.unpack(">I", data[128:132])[0]
    yield "" if size == len(data) else "a profile with another size than it says"
    yield "a profile whose head names a maker" if any(data[4:8] + data[40:44] + data[48:64] + data[80:128]) else ""
    used = bytearray(132 + 12 * count) + bytearray(b"\1" * (len(data) - 132 - 12 * count))
    for i in range(count):
        name, start, length = struct.unpack(">4sII", data[132 + 12 * i : 144 + 12 * i])
        used[start : start + length + (-length % 4)] = bytes(length + (-length % 4))
        content = data[start : start + length]
        text = name in (b"desc", b"cprt") and len(content) > 110
        expected = {b"XYZ ": 20, b"sf32": 44, b"cicp": 12, b"para": 40, b"curv": 12 + 2 * 4096}.get(content[:4], 110)
        if name.decode("latin1") not in _ICC_TAGS or text or length > expected:
            yield f"a profile with {name.decode('latin1')} of {length} bytes"
    yield "a profile with bytes that belong to no tag" if any(used[: len(data)]) else ""
