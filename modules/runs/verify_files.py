"""What recognisers say of photos and videos and their results, of two files or two folders. No ComfyUI here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .engines import DIFFUSERS, choose_engine

if TYPE_CHECKING:
    from ..evaluation.folder_pairs import PhotoPair
    from ..faces.report import Report


_COVERED = "covered"  # nothing was said, as nothing shows
_NEW_FACE = "no face found in the original, but one in the result: are the two exchanged?"
_NOT_WALKED = (
    "its result was not looked at beside its film: what else a file of its format may hold is not known here. MP4, "
    "MOV, Matroska, WEBM and AVI are looked through."
)


class PairsRefused(ValueError):
    """There is nothing to compare; the message says why and what to do."""


def verify_files(before: Path, after: Path, say: Callable[[str], None]) -> bool:
    """Say of each face of the originals what two recognisers see of it in the results.

    Args:
        before: a photo, a video, or a folder of both.
        after: its result, or a folder of results, which are paired by name.
        say: takes the lines of each pair.

    Returns:
        Whether there are faces, each file has a result of its own and no second one, and each face is a stranger's
        there, or covered by one colour; of a video each person in some frame, and in no frame anybody else. A file
        without a face, in whose result there is none either, counts for nothing. No result may hold pictures beside the
        one that is shown, as nobody looks at those.

    Raises:
        PairsRefused: a path is missing, one is a file and the other a folder, or nothing fits.
        EngineMissing: packages are missing.
    """
    for path in (before, after):
        if not path.exists():
            raise PairsRefused(f"No such file or folder: {path}")
    if before.is_dir() != after.is_dir():
        raise PairsRefused(f"{before} and {after} are a file and a folder: name two files, or two folders.")
    choose_engine(DIFFUSERS)  # raises for packages that are missing
    from ..headless.anonymizer import Anonymizer

    pairs, missing = _pairs(before, after, say)
    anonymizer, is_good, with_faces = Anonymizer(), not missing, 0

    def look(original: Path, result: Path) -> Report:
        seen = []
        for file, what in ((original, "the original"), (result, "its result")):
            try:
                seen.append(_read(file))
            except Exception as error:
                raise ValueError(f"{what}, {file.name}, cannot be looked at. {_words(error)}") from error
        return anonymizer.verify_video(*seen) if _is_video(original) else anonymizer.verify(*seen)

    for pair in pairs:
        try:
            report, others = look(pair.original, pair.result), _beside(pair.result)
            # as where before and after are exchanged, and the faces were covered
            is_new = not report.entries and bool(look(pair.result, pair.result).entries)
        except Exception as error:  # whatever one file causes, the others are looked at all the same
            say(f"{pair.name}: {_words(error)}")
            is_good = False
            continue
        with_faces += bool(report.entries)
        is_good &= not is_new and not others and (not report.entries or _are_strangers(report))
        say(f"{pair.name}: {_NEW_FACE if is_new else report.to_text()}")
        if others:
            say(f"{pair.name}: its result holds more than was looked at ({', '.join(others)}): save it without.")
        if not _is_walked(pair.result):
            say(f"{pair.name}: {_NOT_WALKED}")
    for line in missing:
        say(line)
    return is_good and with_faces > 0


def _read(file: Path):
    """What is seen of a photo; of a video its path, when it can be opened."""
    from ..photos.reading import read_photo
    from ..video.containers import opened, video_stream

    if not _is_video(file):
        return read_photo(file.read_bytes()).seen
    with opened(str(file)) as container:
        video_stream(container)
    return file


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__  # MemoryError says nothing


def _beside(result: Path) -> tuple[str, ...]:
    """What a file holds beside the picture or the track that is shown, in words."""
    from ..photos.beside import pictures_beside as beside_photo
    from ..video.beside import pictures_beside as beside_video

    return beside_video(result) if _is_video(result) else beside_photo(result)


def _is_walked(result: Path) -> bool:
    from ..video.beside import is_walked

    return not _is_video(result) or is_walked(result)


def _is_video(path: Path) -> bool:
    from ..evaluation.folder_pairs import sort_of
    from ..photos.kinds import VIDEO

    return sort_of(path) == VIDEO


def _pairs(before: Path, after: Path, say: Callable[[str], None]) -> tuple[list[PhotoPair], list[str]]:
    """The files that belong together, and a line for each that has no result, or one more; says what is nobody's."""
    from ..evaluation.folder_pairs import PhotoPair, has_files, pair_files, unread_results
    from ..photos.kinds import PHOTO, VIDEO

    if not before.is_dir():
        if _is_video(before) != _is_video(after):
            raise PairsRefused(f"{before} and {after} are a video and a photo: name two of a kind.")
        return [PhotoPair(before.name, before, after)], []
    pairs, missing = [], []
    for kind in (PHOTO, VIDEO):
        if not has_files(before, kind, after):
            continue
        try:
            found, left = pair_files(before, after, kind)
        except ValueError as error:
            missing.append(str(error))
            continue
        pairs += found
        missing += [f"{name}: it has no result in {after}" for name in left]
        for result, name in unread_results(found, after, kind).items():
            if name:
                missing.append(f"{name}: {after / result} may be its result too, and was not looked at: take one away.")
            else:
                say(f"{after / result} is the result of no file in {before}, and was not looked at.")
    if not pairs:
        raise PairsRefused("\n".join(missing) or f"There is neither a photo nor a video in {before}.")
    return pairs, missing


def _are_strangers(report: Report) -> bool:
    from ..faces.notes import Doubt
    from ..recognition.verdict import NOT_MEASURABLE, STRANGER

    said: dict[tuple[str, int], set] = {}
    for number, entry in enumerate(report.entries):
        person = ("face", number) if entry.track is None else ("person", entry.track)
        verdict = _COVERED if entry.verification is None else entry.verification["verdict"]
        said.setdefault(person, set()).add(verdict)
    doubted = any(isinstance(note, Doubt) for note in report.notes)
    good, rest = {STRANGER, _COVERED}, {NOT_MEASURABLE}
    passed = all(words & good and words <= good | rest for words in said.values())
    return passed and not doubted
