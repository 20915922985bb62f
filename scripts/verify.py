"""What two recognisers say of each face of a result: a stranger, the same person, or not measurable. No ComfyUI.

    python scripts/with_env.py scripts/verify.py photo.jpg photo_anonymized.png
    python scripts/with_env.py scripts/verify.py clip.mov clip_anonymized.mp4
    python scripts/with_env.py scripts/verify.py PHOTOS OUT

Two photos of one size, or two videos of one size and as many frames, which are read a few frames at a time; or two
folders, whose files are paired by name, NAME with NAME or NAME_anonymized, as anonymize.py calls its results; the
second may lie in the first. Each result serves one original, and results of nobody are named. The faces are found in
the first, the original. Nothing is written. A face of which one colour alone shows is covered; under a mosaic or blur
it is read.

Exit status: 0 every face is a stranger's or covered (of a video: each person in some frame, and nobody else in the
others), 1 one is not, could not be measured or is doubted (two that became one), a file has no result of its own, or
two, a result holds more than was looked at (a thumbnail, a second picture or video track, colours under what is
transparent, bytes behind its end or of unknown kind), or no file shows a face; 2 wrong arguments, or no file has a
result. A file without a face counts for nothing, unless its result has one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.runs.engines import EngineMissing
from face_anonymizer.modules.runs.verify_files import PairsRefused, verify_files
from face_anonymizer.modules.terminal import shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the original photo or video, or a folder of them")
    parser.add_argument("after", type=Path, help="what became of it, or of them")
    options = parser.parse_args(arguments)
    try:
        return 0 if verify_files(options.before, options.after, say) else 1
    except (PairsRefused, EngineMissing) as error:
        print(shown(error, keep="\n"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def say(text: str) -> None:
    print(shown(text, keep="\n"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
