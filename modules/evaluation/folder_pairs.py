"""Two folders, originals and results, paired by name; who is in them; and which face of a result belongs to which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
        name: of the original, without its suffix; with it where another original is called so too.
        original: its file.
        result: the file of the result.
    """

    name: str
    original: Path
    result: Path


def pair_files(
    originals: Path, results: Path, suffixes: Collection[str] = PHOTO_SUFFIXES, what: str = "picture"
) -> tuple[list[PhotoPair], list[str]]:
    """Pair the pictures of two folders by name, as folder runs call their results (runs/jobs.py).

    The result of NAME.* is NAME.*, NAME_anonymized.*, NAME_redacted.* or NAME_swapped.*, the first that exists. Where
    there are a NAME.jpg and a NAME.png, theirs are NAME.jpg_anonymized.* and NAME.png_anonymized.*; one of the two that
    was done alone may have the shorter name.

    Args:
        originals: folder of the photos as they were.
        results: folder of their results.
        suffixes: of the files that count, in small letters.
        what: they are, for the messages.

    Returns:
        Pairs, sorted by name, and the names of originals without a result.

    Raises:
        ValueError: a folder is missing or has no picture, an original has two results, or nothing fits.
    """
    before, after = _pictures(originals, suffixes, what), _pictures(results, suffixes, what)
    found: dict[Path, Path | None] = {}
    for name, files in before.items():
        # by its whole name first, which no other original has
        own = {file: _result_of(file.relative_to(originals).as_posix(), name, results, after) for file in files}
        left = [file for file in files if own[file] is None]
        if len(left) == 1:
            own[left[0]] = _ending_with(name, after, set(own.values()))
        found |= own
    pairs, alone = [], []
    for name, files in sorted(before.items()):
        for file in files:
            told, result = name if len(files) == 1 else file.relative_to(originals).as_posix(), found[file]
            if result is None:
                alone.append(told)
            else:
                pairs.append(PhotoPair(told, file, result))
    if not pairs:
        raise ValueError(
            f"No {what} in {results} belongs to one in {originals}: results are called like their originals, or "
            f"NAME_anonymized."
        )
    return pairs, alone


def _result_of(whole: str, name: str, results: Path, after: Mapping[str, list[Path]]) -> Path | None:
    """The result that is called as an original is, with its suffix; None where there is none.

    Args:
        whole: of the original below its folder.
        name: the same without suffix.
        results: folder of the results.
        after: names without suffix -> results.
    """
    return results / whole if results / whole in after.get(name, ()) else _ending_with(whole, after)


def _ending_with(name: str, after: Mapping[str, list[Path]], taken: Collection[Path | None] = ()) -> Path | None:
    """The result whose name is this one with an ending, and is no other original's; None where there is none."""
    for ending in _ENDINGS:
        fitting = [path for path in after.get(name + ending, ()) if path not in taken]
        if len(fitting) > 1:
            raise ValueError(f"{fitting[0]} and {fitting[1]} have one name: rename or move one of them.")
        if fitting:
            return fitting[0]
    return None


def _pictures(folder: Path, suffixes: Collection[str], what: str) -> dict[str, list[Path]]:
    """Name below the folder, without suffix -> the files that are called so."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    found: dict[str, list[Path]] = {}
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()):
        found.setdefault(file.relative_to(folder).with_suffix("").as_posix(), []).append(file)
    if not found:
        raise ValueError(f"There is no {what} in {folder}: {', '.join(sorted(suffixes))} are read.")
    return found


def identities_of(names: Sequence[str], labels: Path) -> list[str]:
    """Who each of these pictures shows.

    Args:
        names: of pictures, as pair_files gives them.
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
        known[name] = identity
        if path.suffix.lower() in PHOTO_SUFFIXES:
            known.setdefault(path.with_suffix("").as_posix(), identity)
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
