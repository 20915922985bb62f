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
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.runs.journal import JournalRefused
from face_anonymizer.modules.terminal import shown
from face_anonymizer.modules.training.pair_lists import make_pairs
from face_anonymizer.modules.training.pair_pictures import LeftOut, PairSettings


def main(arguments: list[str] | None = None) -> int:
    settings = parse_arguments(arguments)
    left_out = LeftOut(say)
    try:
        make_pairs(settings, left_out, lambda line: print(shown(line, keep="\n")))
    except (OSError, ValueError, JournalRefused) as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    return int(left_out.failed)


def say(line: str) -> None:
    print(shown(line, keep="\n"), file=sys.stderr)


def parse_arguments(arguments: list[str] | None) -> PairSettings:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # what is not given stays at the default of PairSettings
    )
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photos, a folder a person or --labels")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder for crops, swaps and lists")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="who is who: .csv, .json or .jsonl")
    parser.add_argument("--identities", type=int, help="people that there must be at least; all are taken")
    parser.add_argument("--min-photos", type=int, help="people with fewer usable photos are left out")
    parser.add_argument("--per-photo", type=int, help="swaps a photo, each with another person")
    parser.add_argument("--size", type=int, help="side of all pictures; default: the model's, or 512")
    parser.add_argument("--min-score", type=float, help="0..1, of the detector, for a photo's face")
    parser.add_argument("--seed", type=int, help="of the plan and of the swaps' noise")
    swapper = parser.add_mutually_exclusive_group()
    swapper.add_argument("--model", help="model folder, or its name in ComfyUI's or the pack's models/face_anon")
    swapper.add_argument("--swapped", type=Path, metavar="DIR", help="swaps that another tool made: PHOTO__FACE.png")
    parser.add_argument("--steps", type=int, help="of sampling, with --model")
    parser.add_argument("--guidance", type=float, help="guidance scale, with --model")
    parser.add_argument("--batch", type=int, help="faces that are swapped at once")
    try:
        return PairSettings(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
