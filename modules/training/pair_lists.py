"""From photos of labelled people to lists of triples: what scripts/make_pairs.py does, one step after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

from ..files import json_lines, write_whole
from ..host.process import find_model
from ..model import checkpoint
from ..runs.jobs import PHOTO, find_sources
from ..runs.labels import read_labels
from . import pairing, triples
from .pair_pictures import LeftOut, PairSettings, crop_path, find_swaps, make_crops, make_swaps


def make_pairs(settings: PairSettings, left_out: LeftOut, say: Callable[[str], None]) -> None:
    """Make crops, swaps and lists of triples from photos of labelled people.

    Args:
        settings: what is asked for.
        left_out: filled with the files that do not get into the lists.
        say: takes a line for each thing that was made.

    Raises:
        OSError, ValueError, JournalRefused: with the next step.
    """
    if settings.swapped is not None and not settings.swapped.is_dir():
        raise FileNotFoundError(f"--swapped {settings.swapped} is no folder. Name that of the swaps in swaps.jsonl.")
    model = None if settings.model is None else find_model(settings.model)
    size = settings.size or (512 if model is None else checkpoint.read_settings(model).resolution)
    identities = find_identities(settings, left_out)
    # before an hour of detection, and again after it
    pairing.select_people(pairing.group(identities), settings.min_photos, settings.identities)
    names = pairing.photo_names(identities)
    found = make_crops(settings, size, names, left_out)
    people, too_few = pairing.select_people(
        pairing.group({name: identities[names[name]] for name in found}), settings.min_photos, settings.identities
    )
    for name, why in too_few.items():
        left_out.add(names[name], why)
    pairs = pairing.plan_pairs(people, settings.per_photo, settings.seed)
    plan = ({"photo": crop_path(p.photo), "face": crop_path(p.face), "swapped": f"{p.swap}.png"} for p in pairs)
    write_list(settings.output / "swaps.jsonl", plan, say)
    say(f"{len(people)} people, {sum(map(len, people.values()))} photos, {len(pairs)} swaps of {size} pixels")
    swapped = {}
    if model is not None:
        swapped = make_swaps(settings, size, model, pairs)
    elif settings.swapped is not None:
        swapped = find_swaps(settings, size, pairs, left_out)
    if left_out.lines or (settings.output / "left_out.jsonl").exists():
        write_list(settings.output / "left_out.jsonl", left_out.lines, say)
    if settings.model is None and settings.swapped is None:
        say(f"Make the swaps of {settings.output / 'swaps.jsonl'} and go on with --swapped DIR, or take --model.")
        return
    lines = [pair.triples(crop_path, swapped[pair.swap]) for pair in pairs if pair.swap in swapped]
    if not lines:
        raise FileNotFoundError(f"{settings.swapped} has none of the swaps that {settings.output}/swaps.jsonl names.")
    for phase, kinds in ((1, 2), (2, 1)):
        file = settings.output / f"triples_phase_{phase}.jsonl"
        write_list(file, (line for both in lines for line in both[:kinds]), say)
        say(f"{file}: {len(triples.read_triples([file]))} triples")


def find_identities(settings: PairSettings, left_out: LeftOut) -> dict[str, str]:
    """Photo -> identity, of the photos that are there and have a label."""
    found = find_sources([settings.photos], settings.output)
    photos = [source.name for source in found.sources if source.kind == PHOTO]
    for folder, why in found.unreadable.items():
        left_out.add(folder, why, failed=True)
    videos = {source.name: "a video" for source in found.sources if source.kind != PHOTO}
    for file, why in (found.skipped | found.undone | videos).items():
        left_out.add(file, why)
    labels = pairing.folder_labels(photos) if settings.labels is None else read_labels(settings.labels)
    present = set(photos)
    for photo in sorted(labels.keys() - present):
        left_out.add(photo, f"no such photo in {settings.photos}, and {settings.labels} names it", failed=True)
    for photo in sorted(present - labels.keys()):
        left_out.add(photo, f"no label in {settings.labels}" if settings.labels else "in no person's folder")
    return {photo: identity for photo, identity in labels.items() if photo in present}


def write_list(file: Path, lines: Iterable[dict], say: Callable[[str], None]) -> None:
    """Write JSON lines, whole or not at all.

    Another list of that name is renamed first, to NAME.1.jsonl and so on; an equal one stays as it is.

    Args:
        file: where to.
        lines: one object a line.
        say: takes a line where an older list was renamed.
    """
    data = json_lines(lines)
    if file.exists():
        if file.read_bytes() == data:
            return
        olds = (file.with_suffix(f".{number}{file.suffix}") for number in itertools.count(1))
        old = file.rename(next(old for old in olds if not old.exists()))
        say(f"The {file.name} that was there is now {old}.")
    write_whole(file, data)
