"""Lists of training triples: JSON lines or webdataset shards, and the pictures that they name.

A triple is (source, driving, truth): source and truth show one person, driving and truth the same pose, expression,
gaze and background (section 3.1 of the paper). A list of many triples over few pictures is stored as indices.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..files import read_json_lines

ROLES = ("source", "driving", "truth")
# The second names are those of the official code's train.jsonl (github.com/hanweikung/face_anon_simple, README).
_NAMES = {
    "source": ("source", "source_image"),
    "driving": ("driving", "conditioning_image", "driving_image"),
    "truth": ("truth", "ground_truth", "image"),
}
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names}


class UnusablePicture(ValueError):
    """A picture of the list cannot be read or has another size; the message names it and its list."""


class Picture(NamedTuple):
    """A picture in a file or in a shard.

    Args:
        path: of the file or shard.
        offset: of its first byte in the file.
        size: in bytes; 0: the whole file.
        origin: the line or sample that names it, for messages.
    """

    path: str
    offset: int
    size: int
    origin: str

    @property
    def place(self) -> tuple[str, int, int]:
        """What distinguishes it from others: two lists may name one picture."""
        return self.path, self.offset, self.size


@dataclass(frozen=True)
class Triples:
    """A list of triples.

    Args:
        pictures: each distinct one once.
        indices: int64 [triples, 3], the numbers of source, driving image and truth of each triple.
    """

    pictures: list[Picture]
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def fingerprint(self) -> str:
        """A digest of the pictures' paths, sizes and times: changes when one of them does."""
        digest = hashlib.sha256()
        stats = {path: os.stat(path) for path in {picture.path for picture in self.pictures}}
        for picture in self.pictures:
            stat = stats[picture.path]
            digest.update(f"{picture.place} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def read_triples(files: Iterable[Path]) -> Triples:
    """The triples of one or more lists: .jsonl (paths relative to the file) or .tar (webdataset shards).

    A line is an object with `source`, `driving` and `truth`, or the official code's `source_image`,
    `conditioning_image` and `ground_truth`; other keys are ignored. In a shard the members of a triple share their
    name up to the first dot: 00012.source.png, 00012.driving.png, 00012.truth.png.

    Raises:
        FileNotFoundError: a list or a picture is missing.
        ValueError: a line or a sample is no triple, a shard is damaged, or there is no triple at all.
    """
    numbers: dict[tuple, int] = {}
    pictures: list[Picture] = []
    rows: list[list[int]] = []
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"The list of triples {file} is missing.")
        for triple in _read_shard(file) if file.suffix == ".tar" else _read_lines(file):
            row = []
            for picture in triple:
                number = numbers.setdefault(picture.place, len(pictures))
                if number == len(pictures):
                    pictures.append(picture)
                row.append(number)
            rows.append(row)
    if not rows:
        raise ValueError(f"No triple in {', '.join(map(str, files)) or 'no file'}; a line of a list names one.")
    missing = [picture for picture in pictures if not picture.size and not os.path.isfile(picture.path)]
    if missing:
        raise FileNotFoundError(
            f"{missing[0].path} is missing ({missing[0].origin} names it), and {len(missing) - 1} more pictures are. "
            f"Paths in a list are relative to the list's folder; make the missing pictures or remove their lines."
        )
    return Triples(pictures, np.array(rows, dtype=np.int64))


def load_picture(picture: Picture, resolution: int | None) -> np.ndarray:
    """Read a picture as RGB.

    Args:
        picture: of a list.
        resolution: side in pixels that it must have; None takes any square whose side is a multiple of 8.

    Returns:
        uint8 [side, side, 3].

    Raises:
        UnusablePicture: it cannot be read, or has another size.
    """
    try:
        with open(picture.path, "rb") as file:
            file.seek(picture.offset)
            image = Image.open(io.BytesIO(file.read(picture.size or -1))).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # PIL
        raise UnusablePicture(
            f"{_name(picture)} is unreadable ({error}); {picture.origin} names it. Make it again or remove the line."
        ) from error
    width, height = image.size
    side = resolution or width
    if (width, height) != (side, side) or side % 8:
        wanted = f"all are {resolution}x{resolution}" if resolution else "a square with a multiple of 8 is needed"
        raise UnusablePicture(
            f"{_name(picture)} is {width}x{height} pixels, but {wanted}; {picture.origin} names it. Bring all pictures "
            f"to one size (512x512 in the paper; the crop node makes such faces), or set --resolution."
        )
    return np.asarray(image)


def _name(picture: Picture) -> str:
    return f"{picture.path} at byte {picture.offset}" if picture.size else picture.path


def _read_lines(file: Path) -> Iterator[list[Picture]]:
    folder = str(file.parent)
    for origin, entry in read_json_lines(file):
        yield [Picture(os.path.join(folder, _pick(entry, role, origin)), 0, 0, origin) for role in ROLES]


def _pick(entry: dict, role: str, origin: str) -> str:
    for name in _NAMES[role]:
        if isinstance(entry.get(name), str):
            return entry[name]
    raise ValueError(f"{origin} has no {' or '.join(_NAMES[role])}: a path to the {role} image. It has {list(entry)}.")


def _read_shard(file: Path) -> Iterator[list[Picture]]:
    triples: dict[str, dict[str, Picture]] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            for member in shard:
                folder, _, base = member.name.rpartition("/")
                key, _, rest = base.partition(".")
                role = _ROLE_OF.get(rest.split(".")[0])
                if member.isfile() and role is not None:
                    picture = Picture(str(file), member.offset_data, member.size, f"{file} sample {key}")
                    triples.setdefault(f"{folder}/{key}", {})[role] = picture
    except tarfile.TarError as error:
        raise ValueError(f"{file} is no tar file, or a compressed or damaged one ({error}). Make it again.") from error
    for key, triple in triples.items():
        missing = [role for role in ROLES if role not in triple]
        if missing:
            raise ValueError(
                f"{file}: sample {key.lstrip('/')} has no {', '.join(missing)} image. Its members are named like "
                f"{key.lstrip('/')}.{missing[0]}.png."
            )
        yield [triple[role] for role in ROLES]
