"""What a file is, by its first bytes and its name: a photo, a video, a picture that is not read, or something else.

Only the standard library.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

PHOTO, VIDEO = "photo", "video"

HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif", ".heics", ".heifs"))  # read where pillow-heif is installed
PHOTO_SUFFIXES = HEIF_SUFFIXES | {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".qoi", ".pcx", ".sgi"),
}
_RAW_SUFFIXES = frozenset((
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".x3f", ".3fr", ".erf", ".kdc", ".mrw", ".iiq", ".rwl"),
))  # fmt: skip
_UNREAD_SUFFIXES = frozenset((
    *(".psd", ".psb", ".xcf", ".jxl", ".jxr", ".wdp", ".hdp", ".exr", ".hdr", ".dds", ".ico", ".icns", ".cur", ".svg"),
    *(".eps", ".ai", ".wmf", ".emf", ".fits", ".fit", ".jls"),
))  # fmt: skip
NO_PICTURES = frozenset((  # of files that graphs name beside pictures, and that nobody takes for one
    *(".txt", ".md", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".toml", ".py", ".html", ".cube", ".srt", ".ttf"),
    *(".otf", ".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".onnx", ".pkl", ".engine"),
    *(".wav", ".flac"),
))  # fmt: skip
HEAD_BYTES = 64  # of a file, that are needed to tell what it is

_JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xffO\xffQ")
# Sure enough to take a file for a photo whatever its name is.
_PHOTO_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
_AVIF_BRANDS = (b"avif", b"avis")
_VIDEO_HEADS = (b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"\0\0\x01\xba", b"\0\0\x01\xb3")


class Kind(NamedTuple):
    """What a file is.

    Args:
        kind: PHOTO or VIDEO; None for what is not done.
        why: it is not done; "" for photos and videos.
        picture: it shows something, and so may show a face, done or not.
    """

    kind: str | None
    why: str = ""
    picture: bool = True


def kind_of(path: Path, video_suffixes: frozenset[str]) -> Kind:
    """What a file is. Its first bytes decide where they can, then its name.

    Args:
        path: of a regular file.
        video_suffixes: in small letters, of the videos that are read.
    """
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b""  # whoever reads it will say why it cannot be read
    if suffix in _RAW_SUFFIXES:  # many of them look like a TIFF with a small copy of the picture
        return Kind(None, f"a camera's raw file ({suffix}): develop it, and save it as TIFF, PNG or JPEG")
    found = kind_by_content(head)
    if found is None and suffix in PHOTO_SUFFIXES:
        found = "heif" if suffix in HEIF_SUFFIXES else PHOTO
    if found == "heif":
        return heif_kind()
    if found == PHOTO:
        return Kind(PHOTO)
    if suffix == ".ts" and found is None and b"G" not in (head[:1], head[4:5]):
        return Kind(None, "neither a photo nor a video", picture=False)  # TypeScript has that name too
    if suffix in video_suffixes or found == VIDEO:
        return Kind(VIDEO)
    if found is not None or suffix in _UNREAD_SUFFIXES:
        what = found or suffix[1:].upper()
        return Kind(None, f"a picture that is not read ({what}): save it as PNG, TIFF or JPEG")
    return Kind(None, "neither a photo nor a video", picture=False)


def heif_kind() -> Kind:
    """What a HEIC photo is: one that is read, where its decoder is installed."""
    if importlib.util.find_spec("pillow_heif"):
        return Kind(PHOTO)
    return Kind(None, "a HEIC photo, which needs a decoder: pip install pillow-heif, or save it as JPEG")


def kind_by_content(head: bytes) -> str | None:
    """PHOTO, VIDEO, "heif", or the name of a format of pictures that is not read; None where the bytes do not tell.

    Args:
        head: the first HEAD_BYTES of a file, or all of a shorter one.
    """
    if head.startswith((*_PHOTO_HEADS, *_JPEG_2000)) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return PHOTO
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), _ftyp_size(head)), 4))}
        if head[8:12] in _AVIF_BRANDS or (head[8:12] in _HEIF_BRANDS and brands & {*_AVIF_BRANDS}):
            return PHOTO
        if head[8:12] in _HEIF_BRANDS:
            return "heif"
        return "CR3" if head[8:12] == b"crx " else VIDEO
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return VIDEO
    if head.startswith(_VIDEO_HEADS) or head[4:8] in (b"moov", b"mdat"):
        return VIDEO
    if head.startswith((b"\xff\n", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JPEG XL"
    if head.startswith(b"8BPS"):
        return "Photoshop"
    return None


def _ftyp_size(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")
