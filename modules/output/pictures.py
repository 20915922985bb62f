"""Files written whole or not at all, and pictures that carry nothing but their pixels."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .provenance import fitting_profile, jpeg_with_xmp, xmp_packet

FORMATS = ("png", "jpeg", "webp")
EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
PART_PREFIX, PART_SUFFIX = ".face_anonymizer-", ".part"  # of the hidden file that a kill may leave behind

_LARGEST_SIDE = {"png": 2**31 - 1, "jpeg": 65500, "webp": 16383}  # in pixels, of each format's own limits
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A hidden empty file beside `target` to write to; it becomes `target` when the block ends without an error.

    On an error or an interrupt nothing is left; after a kill at most the hidden file, `.face_anonymizer-*.part`. A file
    that is there already is never replaced. Raises OSError, naming file and folder and the next step: FileExistsError,
    PermissionError, a full disk. Errors of the block that are not about space pass as they are.
    """
    target = Path(target)
    part = target.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}{PART_SUFFIX}")
    try:
        with _explained(target):
            if target.exists():
                raise FileExistsError(errno.EEXIST, "exists")
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        with _explained(target, _NO_SPACE):
            yield part
        with _explained(target):
            _flush(part)
            _publish(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write `data` to the new file `target`, whole or not at all; raises as written_whole."""
    with written_whole(target) as part:
        part.write_bytes(data)


def save_image(
    image: torch.Tensor,
    path: Path,
    format: str = "png",
    quality: int = 95,
    icc_profile: bytes | None = None,
    mark: bool = False,
) -> None:
    """Save a picture without EXIF, GPS, thumbnail, prompt, workflow or any other text, whole or not at all.

    image: float [H, W, C], C = 1, 3 or 4, values 0..1, rounded to 8 bits. PNG and WEBP keep alpha; a JPEG shows what is
    transparent on white. quality: 1..100 of JPEG and WEBP; a WEBP of quality 100 is lossless. icc_profile: kept where
    it fits the picture's channels. mark: write the XMP packet of provenance.py, which says that a trained model made a
    part of the picture. Raises ValueError for another shape, format or a size that the format cannot hold, else as
    written_whole.
    """
    if format not in FORMATS:
        raise ValueError(f"Pictures are saved as {', '.join(FORMATS)}, not as {format}.")
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"A picture is [height, width, 1, 3 or 4 channels], but this one is {list(image.shape)}.")
    height, width, channels = image.shape
    if max(height, width) > _LARGEST_SIDE[format]:
        raise ValueError(
            f"The picture has {width}x{height} pixels, but {format} holds at most {_LARGEST_SIDE[format]} a side: "
            "save it as png."
        )
    if channels == 4 and format == "jpeg":
        alpha = image[..., 3:]
        image, channels = image[..., :3] * alpha + (1 - alpha), 3
    if channels == 1 and format == "webp":
        image, channels = image.expand(-1, -1, 3), 3
    levels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    picture = Image.fromarray(levels[..., 0] if channels == 1 else levels)
    data = _encoded(picture, format, quality, fitting_profile(icc_profile, channels), mark)
    write_whole(path, data)


def _encoded(picture: Image.Image, format: str, quality: int, profile: bytes | None, mark: bool) -> bytes:
    options: dict = {"icc_profile": profile}
    if format == "png":
        options |= {"compress_level": 4, "pnginfo": PngInfo()}
        if mark:
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp_packet().decode())
    elif format == "webp":
        options |= {"quality": quality, "lossless": quality == 100, "exact": True, "xmp": xmp_packet() if mark else b""}
    else:
        options |= {"quality": quality}
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    data = buffer.getvalue()
    return jpeg_with_xmp(data, xmp_packet()) if mark and format == "jpeg" else data


def _flush(file: Path) -> None:
    """Wait until the file's bytes are on the disk: only then may it have its name."""
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _publish(part: Path, target: Path) -> None:
    """Give `part` the name `target`, unless something has it."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # A file system without hard links: take the name with an empty file first, then put the whole one in its place.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            os.replace(part, target)
        except BaseException:
            target.unlink()
            raise


@contextlib.contextmanager
def _explained(target: Path, only: tuple[int, ...] | None = None) -> Iterator[None]:
    """Turn OSErrors, or those with an errno in `only`, into ones that name file, folder and the next step."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise OSError(error.errno, _advice(target, error)) from error


def _advice(target: Path, error: OSError) -> str:
    name, folder = target.name, target.parent
    if error.errno in _NO_SPACE:
        return f"No space for {name} in {folder}; nothing was left there. Free some space or choose another folder."
    if error.errno in _READ_ONLY:
        return f"{name} cannot be written into {folder}: it is read-only. Allow writing there or choose another folder."
    if error.errno == errno.EEXIST:
        return f"{name} is in {folder} already and is not replaced. Choose another name."
    if error.errno == errno.ENOENT:
        return f"{name} cannot be written: the folder {folder} does not exist. Make it or choose another folder."
    return f"{name} cannot be written into {folder}: {error.strerror}. Choose another name or folder."
