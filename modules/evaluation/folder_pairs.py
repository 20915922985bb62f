"""Two folders, originals and results, paired by name; who is in them; and which face of a result belongs to which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..faces import boxes as box_math
from ..faces.types import Face
from ..photos.kinds import PHOTO_SUFFIXES
from ..photos.reading import UnreadablePhoto, read_photo
from ..runs.labels import read_labels

_ENDINGS = ("", "_anonymized", "_redacted", "_swapped")  # of the names that results have
_SAME_PLACE = 0.2  # least overlap of two boxes, intersection over union: a changed face keeps its place


class PhotoPair(NamedTuple):
    """A photo and its result.

    Attributes:
        name: of the original, without its suffix.
        original: its file.
        result: the file of the result.
    """

    name: str
    original: Path
    result: Path


def pair_files(
    originals: Path, results: Path, suffixes: Collection[str] = PHOTO_SUFFIXES, what: str = "picture"
) -> tuple[list[PhotoPair], list[str]]:
    """Pair the pictures of two folders by name.

    The result of NAME.* is NAME.*, NAME_anonymized.*, NAME_redacted.* or NAME_swapped.*, the first that exists.

    Args:
        originals: folder of the photos as they were.
        results: folder of their results.
        suffixes: of the files that count, in small letters.
        what: they are, for the messages.

    Returns:
        Pairs, sorted by name, and the names of originals without a result.

    Raises:
        ValueError: a folder is missing or has no picture, two files of one folder have one name, or nothing fits.
    """
    before, after = _pictures(originals, suffixes, what), _pictures(results, suffixes, what)
    pairs, alone = [], []
    for name, original in sorted(before.items()):
        found = next((after[name + ending] for ending in _ENDINGS if name + ending in after), None)
        if found is None:
            alone.append(name)
        else:
            pairs.append(PhotoPair(name, original, found))
    if not pairs:
        raise ValueError(
            f"No {what} in {results} belongs to one in {originals}: results are called like their originals, or "
            f"NAME_anonymized."
        )
    return pairs, alone


def _pictures(folder: Path, suffixes: Collection[str], what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    found: dict[str, Path] = {}
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{found[name]} and {file} have one name: rename or move one of them.")
        found[name] = file
    if not found:
        raise ValueError(f"There is no {what} in {folder}: {', '.join(sorted(suffixes))} are read.")
    return found


def identities_of(names: Sequence[str], labels: Path) -> list[str]:
    """Who each of these pictures shows.

    Args:
        names: of pictures, as pair_files gives them: without suffix.
        labels: a list as runs.labels reads it; its files may have a suffix or none.

    Raises:
        ValueError: the list cannot be read, or lacks pictures.
    """
    try:
        read = read_labels(labels)
    except (OSError, ValueError) as error:
        raise ValueError(f"{labels} is no list of names and people. {error}") from None
    known = {}
    for name, identity in read.items():
        path = Path(name)
        known[path.with_suffix("").as_posix() if path.suffix.lower() in PHOTO_SUFFIXES else name] = identity
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{labels} does not say who is in {len(missing)} pictures, such as {missing[0]}: add them.")
    return [known[name] for name in names]


def read_picture(file: Path) -> np.ndarray:
    """uint8 [H, W, 3], as it is looked at. Raises ValueError for a file that is no picture."""
    try:
        return read_photo(file.read_bytes()).seen
    except UnreadablePhoto as error:
        raise ValueError(f"{file} cannot be read as a picture. {error} Take it away.") from None


def match_faces(faces: Sequence[Face], others: Sequence[Face]) -> list[Face | None]:
    """For each face the other one in its place, or None.

    Pairs are made by the greatest overlap of boxes first; no other face serves two.
    """
    boxes, other_boxes = (np.reshape([face.box for face in some], (-1, 4)) for some in (faces, others))
    overlaps = box_math.iou(boxes, other_boxes)
    matched: list[Face | None] = [None] * len(faces)
    while overlaps.size and overlaps.max() >= _SAME_PLACE:
        row, column = divmod(int(overlaps.argmax()), len(others))
        matched[row] = others[column]
        overlaps[row], overlaps[:, column] = -1, -1
    return matched
