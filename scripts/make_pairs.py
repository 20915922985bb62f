"""Make triples for training from photos of labelled people, by swapping their faces.

    python scripts/with_env.py scripts/make_pairs.py PHOTOS --output OUT --model face-anon-simple
    python scripts/with_env.py scripts/make_pairs.py PHOTOS --labels people.csv --output OUT --model FOLDER --steps 50
    python scripts/with_env.py scripts/make_pairs.py PHOTOS --output OUT                  # crops and the plan alone
    python scripts/with_env.py scripts/make_pairs.py PHOTOS --output OUT --swapped DIR    # swaps by another tool

PHOTOS has a folder a person, or --labels says who is who: .csv with the columns file and identity, .jsonl of objects
with these two, or .json {file: identity}; files relative to PHOTOS. The largest face of every photo is cut out as the
method sees it: OUT/crops/NAME.png, where ann/1.jpg is ann-1. Onto every crop --per-photo other people are swapped,
PHOTO__FACE.png: the photo's pose, expression and background with the face of the other photo.

How the paper's curriculum is read here. Source and truth show one person, driving image and truth one scene. A swap of
B's face onto A's photo makes a triple of each kind:
  synthesized driving, real truth: source another photo of A, driving the swap, truth the photo;
  real driving, synthesized truth: source another photo of B, driving the photo, truth the swap.
OUT/triples_phase_1.jsonl has both kinds, OUT/triples_phase_2.jsonl the first alone, so that training ends on real
pictures: train.py --data OUT/triples_phase_1.jsonl --data-phase-2 OUT/triples_phase_2.jsonl --phase-2-at STEP.

OUT/swaps.jsonl is the plan: `photo`, `face` and `swapped`, a file name, of each swap. --model makes them, into
OUT/swaps; --swapped takes them from DIR, PNG files of the crops' size. The same photos, options and seed give the same
plan. What is left out is told and listed in OUT/left_out.jsonl: photos without a face, without a label, unreadable, or
of people with too few; swaps that DIR lacks. Photos are never touched and nothing is overwritten: where a list changes,
the old one is kept beside it. After a kill the same command goes on where it stopped.

Exit status: 0 all done; 1 refused, or done but for files that are missing or unreadable; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.files import json_lines, write_whole
from face_anonymizer.modules.host.process import find_model
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.runs.jobs import PHOTO, find_sources
from face_anonymizer.modules.runs.journal import JournalRefused
from face_anonymizer.modules.training import pairing, triples
from face_anonymizer.modules.training.pair_pictures import LeftOut, crop_path, find_swaps, make_crops, make_swaps


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    left_out = LeftOut()
    try:
        make_pairs(options, left_out)
    except (OSError, ValueError, JournalRefused) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return int(left_out.failed)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photos, a folder a person or --labels")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder for crops, swaps and lists")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="who is who: .csv, .json or .jsonl")
    parser.add_argument("--identities", type=int, default=2, help="people that there must be at least; all are taken")
    parser.add_argument("--min-photos", type=int, default=2, help="people with fewer usable photos are left out")
    parser.add_argument("--per-photo", type=int, default=1, help="swaps a photo, each with another person")
    parser.add_argument("--size", type=int, help="side of all pictures; default: the model's, or 512")
    parser.add_argument("--min-score", type=float, default=0.3, help="0..1, of the detector, for a photo's face")
    parser.add_argument("--seed", type=int, default=0, help="of the plan and of the swaps' noise")
    swapper = parser.add_mutually_exclusive_group()
    swapper.add_argument("--model", help="model folder, or its name in ComfyUI's or the pack's models/face_anon")
    swapper.add_argument("--swapped", type=Path, metavar="DIR", help="swaps that another tool made: PHOTO__FACE.png")
    parser.add_argument("--steps", type=int, default=200, help="of sampling, with --model")
    parser.add_argument("--guidance", type=float, default=4.0, help="guidance scale, with --model")
    parser.add_argument("--batch", type=int, default=8, help="faces that are swapped at once")
    options = parser.parse_args(arguments)
    if options.size is not None and (options.size < 8 or options.size % 8):
        parser.error("--size is a positive multiple of 8")
    if options.batch < 1 or not 1 <= options.steps <= 1000 or not 0 <= options.min_score <= 1:
        parser.error("--batch is 1 or more, --steps 1 to 1000, --min-score 0 to 1")
    return options


def make_pairs(options: argparse.Namespace, left_out: LeftOut) -> None:
    """Everything that the command line asks for. Raises OSError, ValueError or JournalRefused with the next step."""
    if options.swapped is not None and not options.swapped.is_dir():
        raise FileNotFoundError(f"--swapped {options.swapped} is no folder. Name that of the swaps in swaps.jsonl.")
    model = None if options.model is None else find_model(options.model)
    size = options.size or (512 if model is None else checkpoint.read_settings(model).resolution)
    identities = find_identities(options, left_out)
    # before an hour of detection, and again after it
    pairing.select_people(pairing.group(identities), options.min_photos, options.identities)
    names = pairing.photo_names(identities)
    found = make_crops(options, size, names, left_out)
    people, too_few = pairing.select_people(
        pairing.group({name: identities[names[name]] for name in found}), options.min_photos, options.identities
    )
    for name, why in too_few.items():
        left_out.add(names[name], why)
    pairs = pairing.plan_pairs(people, options.per_photo, options.seed)
    plan = ({"photo": crop_path(p.photo), "face": crop_path(p.face), "swapped": f"{p.swap}.png"} for p in pairs)
    write_list(options.output / "swaps.jsonl", plan)
    print(f"{len(people)} people, {sum(map(len, people.values()))} photos, {len(pairs)} swaps of {size} pixels")
    swapped = {}
    if model is not None:
        swapped = make_swaps(options, size, model, pairs)
    elif options.swapped is not None:
        swapped = find_swaps(options, size, pairs, left_out)
    if left_out.lines or (options.output / "left_out.jsonl").exists():
        write_list(options.output / "left_out.jsonl", left_out.lines)
    if options.model is None and options.swapped is None:
        print(f"Make the swaps of {options.output / 'swaps.jsonl'} and go on with --swapped DIR, or take --model.")
        return
    lines = [pair.triples(crop_path, swapped[pair.swap]) for pair in pairs if pair.swap in swapped]
    if not lines:
        raise FileNotFoundError(f"{options.swapped} has none of the swaps that {options.output}/swaps.jsonl names.")
    for phase, kinds in ((1, 2), (2, 1)):
        file = options.output / f"triples_phase_{phase}.jsonl"
        write_list(file, (line for both in lines for line in both[:kinds]))
        print(f"{file}: {len(triples.read_triples([file]))} triples")


def find_identities(options: argparse.Namespace, left_out: LeftOut) -> dict[str, str]:
    """Photo -> identity, of the photos that are there and have a label."""
    found = find_sources([options.photos], options.output)
    photos = [source.name for source in found.sources if source.kind == PHOTO]
    for folder, why in found.unreadable.items():
        left_out.add(folder, why, failed=True)
    videos = {source.name: "a video" for source in found.sources if source.kind != PHOTO}
    for file, why in (found.skipped | videos).items():
        left_out.add(file, why)
    labels = pairing.folder_labels(photos) if options.labels is None else pairing.read_labels(options.labels)
    present = set(photos)
    for photo in sorted(labels.keys() - present):
        left_out.add(photo, f"no such photo in {options.photos}, and {options.labels} names it", failed=True)
    for photo in sorted(present - labels.keys()):
        left_out.add(photo, f"no label in {options.labels}" if options.labels else "in no person's folder")
    return {photo: identity for photo, identity in labels.items() if photo in present}


def write_list(file: Path, lines) -> None:
    """JSON lines, whole or not at all. Another list of that name is kept beside it, as NAME.1.jsonl and so on."""
    data = json_lines(lines)
    if file.exists():
        if file.read_bytes() == data:
            return
        olds = (file.with_suffix(f".{number}{file.suffix}") for number in itertools.count(1))
        old = file.rename(next(old for old in olds if not old.exists()))
        print(f"The {file.name} that was there is now {old}.")
    write_whole(file, data)


if __name__ == "__main__":
    sys.exit(main())
