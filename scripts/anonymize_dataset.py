"""Anonymize a dataset on Ray: folders of photos, webdataset tars or parquet, on this machine or a cluster.

    python scripts/with_env.py scripts/anonymize_dataset.py SHARDS --output OUT --model face-anon-simple
    face-anonymizer dataset s3://b/photos --output s3://b/out --model /models/face-anon --address auto --workers 8
    face-anonymizer dataset table.parquet --output OUT --redact --column image --keep-columns label split

The output has the form of the input: a tar for each tar, a parquet file for each, photos under their names. With each
result goes a row of figures and words (docs/datasets.md), and nothing else of the original: no metadata, no other
column or member but those that --keep-columns names. Keys, names of files and the order of rows stay, as captions hang
on them: where these name people, change them before. What is kept is not looked at.

The pack and the extras headless and dataset must be installed on every machine, models and folders must lie under one
path. Inputs are never touched. A shard is written whole; after a kill the same command goes on where it stopped, and of
two runs on one output the second is refused. A picture that cannot be done is a row that says why. Ray's own statistics
are off.

Exit status: 0 all done, 1 refused, stopped, some pictures failed, a tar was cut, or faces stayed open or came out
broken, 2 wrong arguments, packages are missing, or an output that cannot be written, 130 interrupted.
"""

import argparse
import sys
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.datasets.options import AUTO, FORMS, DatasetOptions
from face_anonymizer.modules.datasets.run import run_dataset
from face_anonymizer.modules.output.formats import EXTENSIONS
from face_anonymizer.modules.runs.arguments import add_redaction, add_refusals
from face_anonymizer.modules.runs.engines import DIFFUSERS
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.modules.terminal import shown

_OF_THE_DATASET = ("inputs", "output", "form", "column", "keep", "batch", "address", "workers", "gpus_per_worker")


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names of files may be no valid text
    return run_dataset(parse_arguments(arguments), say)


def say(text: object) -> None:
    print(shown(text, keep="\n"), file=sys.stderr)


def parse_arguments(arguments: list[str] | None) -> DatasetOptions:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # what is not given stays at the default of the options
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="folder, tar or parquet: a path, or s3://... etc.")
    parser.add_argument("--output", required=True, help="folder for the results, likewise: empty, or of this command")
    parser.add_argument("--form", choices=(AUTO, *FORMS), help="of the input; auto (default): by what is there")
    parser.add_argument("--column", help="of parquet, with the encoded pictures; image by default")
    parser.add_argument("--keep-columns", "--keep", dest="keep", nargs="+", metavar="NAME",
                        help="columns, or suffixes of tars' members such as txt, that are copied unseen")  # fmt: skip
    parser.add_argument("--format", choices=EXTENSIONS, help="of results; png by default")
    parser.add_argument("--quality", type=int, help="1..100, of jpeg and webp")
    parser.add_argument("--min-score", type=float, help="of the detector; lower finds more, also no faces")
    parser.add_argument("--thorough", choices=("photos", "none"), help="look in tiles too; photos by default")
    where = parser.add_argument_group("Ray")
    where.add_argument("--address", help="of a cluster, or auto; without it Ray is started here")
    where.add_argument("--workers", type=int, help="that change faces at the same time, one model each; 1 by default")
    where.add_argument("--gpus-per-worker", type=float, help="0.5: two share one; one by default where there are any")
    where.add_argument("--batch", type=int, help="pictures that go through the stages together; 8 by default")
    paint = parser.add_argument_group("anonymize")
    paint.add_argument("--model", help="a model folder, or its name in models/face_anon")
    paint.add_argument("--demo", action="store_true", help="the demo model, to see what a run does; not for real use")
    paint.add_argument("--source", type=Path, metavar="PHOTO", help="swap: all get the largest face of this photo")
    paint.add_argument("--degree", type=float, help="0..2; 1.25 anonymizes (default)")
    paint.add_argument("--steps", type=int, help="1..1000; the model's own by default")
    paint.add_argument("--seed", type=int, help="of each picture: its face i has seed + i")
    paint.add_argument("--size", type=int, help="side of a crop in pixels; the model's own by default")
    add_refusals(paint)
    add_redaction(parser)
    given = vars(parser.parse_args(arguments))
    own = {name: given.pop(name) for name in _OF_THE_DATASET if name in given}
    try:
        faces = FolderOptions(paths=(), output=Path(own["output"]), engine=DIFFUSERS, **given)
        return DatasetOptions(**own, faces=faces)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
