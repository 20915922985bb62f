"""Two folders, originals and results, paired by name; who is in them; and which face of a result belongs to which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ..faces import boxes as box_math
from ..faces.types import Face
from ..output.formats import EXTENSIONS
from ..photos.kinds import PHOTO, PHOTO_SUFFIXES, VIDEO, kind_of
from ..photos.reading import UnreadablePhoto, read_photo
from ..runs.jobs import VIDEO_SUFFIXES, Source, plan_jobs
from ..runs.labels import read_labels

_ENDINGS = ("_anonymized", "_redacted", "_swapped")  # of the names that folder runs give
_WHAT = {PHOTO: "picture", VIDEO: "video"}  # for the messages
_SUFFIXES = {PHOTO: PHOTO_SUFFIXES, VIDEO: VIDEO_SUFFIXES}
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


class _Results:
    """The results of a folder, each of which serves one original at most."""

    def __init__(self, files: Mapping[str, Path], originals: Mapping[str, Path]):
        """Args are names below a folder -> files."""
        self.files = files
        self.of: dict[str, str] = {}  # original -> its result, both by name
        self.twice: dict[str, list[str]] = {}  # original -> results that differ in their suffix alone
        self._originals, self._taken = originals, dict[str, str]()  # result -> original
        self._fitting: dict[str, list[str]] = {}
        self._called: dict[str, list[str]] = {}
        for name in files:
            self._called.setdefault(_stem(name), []).append(name)

    def called(self, name: str, original: str) -> list[list[str]]:
        """For each ending, and none, the results of that name and any suffix.

        Args:
            name: before the ending.
            original: whose they may be; what is called as another original is, suffix and all, is not.
        """
        named = (self._called.get(name + ending, ()) for ending in ("", *_ENDINGS))
        return [[each for each in some if each == original or each not in self._originals] for some in named]

    def offer(self, fitting: Mapping[str, list[list[str]]]) -> None:
        """Give results to as many originals as can have one of their own; who has one has one afterwards.

        Args:
            fitting: original -> results that may be its, the likelier ones first, beside those of earlier offers; of
                two that stand together nobody knows which it is.
        """
        for original, names in fitting.items():
            for some in names:
                mine = self.twice if len(some) > 1 else self._fitting
                mine.setdefault(original, []).extend(some)
        for original in sorted(fitting, key=lambda name: (-len(name), name)):  # a longer name is said by fewer results
            if original not in self.of:
                self._give(original, set())

    def _give(self, original: str, asked: set[str]) -> bool:
        """Whether there is a result for an original; whoever has it takes another one, if there is one for it."""
        for result in self._fitting.get(original, ()):
            if result in asked:
                continue
            asked.add(result)
            if result not in self._taken or self._give(self._taken[result], asked):
                self.of[original], self._taken[result] = result, original
                return True
        return False


def pair_files(originals: Path, results: Path, kind: str = PHOTO) -> tuple[list[PhotoPair], list[str]]:
    """Pair the pictures of two folders by name, as folder runs call their results (runs/jobs.py).

    Names that a run over the folder gives come first. Else the result of NAME.* is NAME.*, NAME_anonymized.*,
    NAME_redacted.* or NAME_swapped.*. Where there are a NAME.jpg and a NAME.png, theirs are NAME.jpg_anonymized.* and
    NAME.png_anonymized.*; one of the two that was done alone may have the shorter name. A result serves one original:
    beside b.jpg and b_redacted.jpg, b_redacted.png is that of the first, b_redacted_redacted.png that of the second.

    Args:
        originals: folder of the photos as they were. As in a run, what a file is, its first bytes say before its name,
            and the folder of the results may lie in it.
        results: folder of their results.
        kind: PHOTO or VIDEO, which files count.

    Returns:
        Pairs, sorted by name, and the names of originals without a result of their own.

    Raises:
        ValueError: a folder is missing or has no picture, an original has two results that differ in their suffix
            alone, or nothing fits.
    """
    before = _files(originals, kind, results)
    found, stems = _Results(_files(results, kind), before), Counter(map(_stem, before))
    found.offer(_planned(before, found.files, kind))
    found.offer({name: [[name]] for name in before if name in found.files})
    found.offer({name: found.called(name, name) for name in before})
    # one of the two who share a stem may have the shorter name, where the other has its own
    waiting = Counter(_stem(name) for name in before if name not in found.of)
    left = [name for name in before if waiting[_stem(name)] == (name not in found.of)]
    found.offer({name: found.called(_stem(name), name) for name in left})
    pairs, alone = [], []
    for name, file in sorted(before.items(), key=lambda item: (_stem(item[0]), item[0])):
        told = _stem(name) if stems[_stem(name)] == 1 else name
        if name in found.of:
            pairs.append(PhotoPair(told, file, found.files[found.of[name]]))
        elif name in found.twice:
            first, second = (found.files[each] for each in found.twice[name][:2])
            raise ValueError(f"{first} and {second} have one name: rename or move one of them.")
        else:
            alone.append(told)
    if not pairs:
        raise ValueError(
            f"No {_WHAT[kind]} in {results} belongs to one in {originals}: results are called like their originals, or "
            f"NAME_anonymized."
        )
    return pairs, alone


def unread_results(pairs: Sequence[PhotoPair], results: Path, kind: str = PHOTO) -> dict[str, str]:
    """The results that are in no pair.

    Args:
        pairs: that pair_files made.
        results: folder of the results.
        kind: PHOTO or VIDEO, which files count.

    Returns:
        Name of the result -> name of the pair whose original it may be of too; "" where it fits none.
    """
    read = {pair.result for pair in pairs}
    known = {pair.name.removesuffix(pair.original.suffix): pair.name for pair in pairs}
    known |= {pair.name: pair.name for pair in pairs}
    left = [path.relative_to(results).as_posix() for path in _of_kind(results, kind) if path not in read]
    bases = {name: [_stem(name).removesuffix(ending) for ending in ("", *_ENDINGS)] for name in left}
    return {name: next((known[base] for base in bases[name] if base in known), "") for name in left}


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _planned(before: Mapping[str, Path], after: Mapping[str, Path], kind: str) -> dict[str, list[list[str]]]:
    """Original -> for each sort of run, what is there of that which it calls the result; it cuts long names."""
    sources = [Source(name, file, kind) for name, file in before.items()]
    planned: dict[str, list[list[str]]] = {name: [] for name in before}
    for ending in _ENDINGS:
        some: dict[str, list[str]] = {name: [] for name in before}
        for suffix in EXTENSIONS.values() if kind == PHOTO else (".mp4",):
            for job in plan_jobs(sources, ending, {kind: suffix}):
                some[job.source.name] += [job.result] if job.result in after else []
        for name, results in some.items():
            planned[name].append(results)
    return planned


def _files(folder: Path, kind: str, without: Path | None = None) -> dict[str, Path]:
    """Name below the folder -> file, of all that are of a kind, sorted. Hidden ones are none, as in a run; nor is what
    lies in another folder below it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    found = {path.relative_to(folder).as_posix(): path for path in _of_kind(folder, kind, without)}
    if not found:
        raise ValueError(
            f"There is no {_WHAT[kind]} in {folder} that is read here: name the folder that holds them. Results are "
            "made by scripts/anonymize.py."
        )
    return found


def has_files(folder: Path, kind: str, without: Path | None = None) -> bool:
    """Whether a folder or one below it, but one that is not to be read, has files of a kind, PHOTO or VIDEO."""
    return next(_of_kind(folder, kind, without), None) is not None


def _of_kind(folder: Path, kind: str, without: Path | None = None) -> Iterator[Path]:
    root = folder.resolve()
    left_out = None if without is None or without.resolve() == root else without.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or left_out in (root / name).parents:
            continue
        if path.is_file() and sort_of(path) == kind:
            yield path


def sort_of(path: Path) -> str | None:
    """PHOTO, VIDEO or None: by the first bytes, as in a run; by the name where only that says that it is a picture."""
    found = kind_of(path, VIDEO_SUFFIXES)
    if found.kind is not None or not found.picture:
        return found.kind
    return next((kind for kind, suffixes in _SUFFIXES.items() if path.suffix.lower() in suffixes), None)


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
