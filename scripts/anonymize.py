"""Anonymize photos and videos, single files or whole folders, in ComfyUI or without one.

    python scripts/with_env.py scripts/anonymize.py PHOTOS clip.mp4 --output OUT --model face-anon-simple
    python scripts/with_env.py scripts/anonymize.py PHOTOS --output OUT --redact
    python scripts/with_env.py scripts/anonymize.py PHOTOS --output OUT --redact --server http://gpu:8188 --workers 2

Each source becomes OUT/FOLDERS/NAME_anonymized.png or .mp4 (_redacted, _swapped), without metadata. Folders are
read with all below them; hidden files and linked folders are left out, and other files are listed as skipped. Sources
are never touched and nothing is overwritten. A result is written whole or not at all: after a kill, Ctrl-C or a full
disk the same command goes on where it stopped (OUT/face_anonymizer_journal.jsonl). A file that cannot be read is
reported and the rest is done. OUT/face_anonymizer_report.json says what became of every file and face; it and the
journal name the sources, so keep them when you publish the results (--anonymous-report: the report names digests).
face_anonymizer_report.html beside it is the same for readers, .csv for spreadsheets; these name no source.

A ComfyUI that is here does it, by the shipped graphs, in a temporary folder that is removed at the end, after a kill
too. Without one, or with --engine diffusers, this process does it (docs/python.md). With --server a
running one is used: ComfyUI deletes no file on request, so uploads (under random names) are replaced by empty files
when their result is there, and results stay in its output folder. Use only servers that may see the faces.

A missed face is a leak: photos are searched thoroughly, videos with --thorough all (else a face that is lost for a few
frames is covered from those around). Two recognisers look at every painted face; what is no stranger after all
attempts, or cannot be painted, is redacted (--fallback). The demo model, which ships with the pack, paints synthetic
faces of nobody, is not for real use and not verified: without --model it does the pack's samples, all else on --demo.

Exit status: 0 all done, 1 refused, stopped, some files failed, are pictures that cannot be read here, or are red in the
page's headline: faces that stayed open, came out broken, were seen beside the list or pass for an original (not those
that --fallback keep leaves), 2 wrong arguments, an output folder that cannot be written, or nothing that paints, 130
interrupted. Amber is 0: what no recogniser could measure or was asked of, and what is doubtful. The end names both.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.faces.settings import IDENTITIES
from face_anonymizer.modules.output.formats import EXTENSIONS
from face_anonymizer.modules.runs import folder_report as reports
from face_anonymizer.modules.runs.anonymize_folder import run_folder
from face_anonymizer.modules.runs.arguments import add_redaction, add_refusals
from face_anonymizer.modules.runs.engines import ENGINES
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.modules.terminal import shown


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names of files may be no valid text
    return run_folder(parse_arguments(arguments), show_report, say)


def say(text: object) -> None:
    print(shown(text, keep="\n"), file=sys.stderr)


def show_report(report: Mapping) -> None:
    """Print the table, every error, every file that was skipped and what a result does not keep of its source."""
    print(reports.format_table(report))
    for line in reports.format_remarks(report):
        say(line)


def parse_arguments(arguments: list[str] | None) -> FolderOptions:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # what is not given stays at the default of FolderOptions
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a photo, a video, or a folder")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results; made if need be")
    parser.add_argument("--format", choices=EXTENSIONS, help="of photos; png by default")
    parser.add_argument("--quality", type=int, help="1..100, of jpeg and webp")
    parser.add_argument("--engine", choices=ENGINES, help="auto (default): ComfyUI where one is here, else diffusers")
    parser.add_argument("--server", dest="servers", action="append", metavar="URL", help="a running ComfyUI; or more")
    parser.add_argument("--anonymous-report", action="store_true", help="the report has digests of files, no names")
    parser.add_argument("--workers", type=int, help="files at a time, over all servers; one a server by default")
    parser.add_argument("--min-score", type=float, help="of the detector; lower finds more, also no faces")
    parser.add_argument("--thorough", choices=("photos", "all", "none"), help="look in tiles too; photos by default")
    paint = parser.add_argument_group("anonymize")
    paint.add_argument("--model", help="a folder under models/face_anon of ComfyUI or the pack; diffusers takes a path")
    paint.add_argument("--demo", action="store_true", help="the demo model, to see what a run does; not for real use")
    paint.add_argument("--source", type=Path, metavar="PHOTO", help="swap: all get the largest face of this photo")
    paint.add_argument("--degree", type=float, help="0..2; 1.25 anonymizes (default)")
    paint.add_argument("--steps", type=int, help="1..1000; by default the model's own for photos, 25 for videos")
    for name in ("--guidance-from", "--guidance-to"):
        paint.add_argument(name, type=float, help="share of the noise levels; guidance everywhere (0, 1) by default")
    paint.add_argument("--seed", type=int, help="of each file: face i of a photo has seed + i")
    paint.add_argument("--size", type=int, help="side of a photo's crop in pixels; the model's own by default")
    paint.add_argument("--identity", choices=IDENTITIES, help="of a person in a video")
    add_refusals(paint)
    add_redaction(parser)
    try:
        return FolderOptions(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
