"""What recognisers say of photos and their results, of two files or two folders. No ComfyUI here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .engines import DIFFUSERS, choose_engine


class PairsRefused(ValueError):
    """There is nothing to compare; the message says why and what to do."""


def verify_files(before: Path, after: Path, say: Callable[[str], None]) -> bool:
    """Say of each face of the originals what two recognisers see of it in the results.

    Args:
        before: a photo, or a folder of photos.
        after: its result, or a folder of results, which are paired by name.
        say: takes the lines of each pair.

    Returns:
        Whether there are faces, all have a result, and each is a stranger's there.

    Raises:
        PairsRefused: a path is missing, one is a file and the other a folder, or nothing fits.
        EngineMissing: packages are missing.
    """
    for path in (before, after):
        if not path.exists():
            raise PairsRefused(f"No such file or folder: {path}")
    if before.is_dir() != after.is_dir():
        raise PairsRefused(f"{before} and {after} are a file and a folder: name two photos, or two folders of photos.")
    choose_engine(DIFFUSERS)  # raises for packages that are missing
    from ..evaluation.folder_pairs import PhotoPair, pair_files
    from ..headless.anonymizer import Anonymizer
    from ..photos.reading import UnreadablePhoto, read_photo
    from ..recognition.verdict import STRANGER

    pairs, alone = [PhotoPair(before.name, before, after)], []
    if before.is_dir():
        try:
            pairs, alone = pair_files(before, after)
        except ValueError as error:
            raise PairsRefused(str(error)) from None
    anonymizer, all_strangers = Anonymizer(), not alone
    for pair in pairs:
        try:
            original, result = (read_photo(file.read_bytes()).seen for file in (pair.original, pair.result))
            report = anonymizer.verify(original, result)
        except (OSError, UnreadablePhoto, ValueError) as error:
            say(f"{pair.name}: {error}")
            all_strangers = False
            continue
        verdicts = [(entry.verification or {}).get("verdict") for entry in report.entries]
        all_strangers &= bool(verdicts) and set(verdicts) == {STRANGER}
        say(f"{pair.name}: {report.to_text()}")
    for name in alone:
        say(f"{name}: it has no result in {after}")
    return all_strangers
