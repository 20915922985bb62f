"""What a picture of a dataset costs in each stage but the painting: CPU seconds, each the median of the repeats.

    python scripts/with_env.py tools/run.py benchmarks.datasets
    python scripts/with_env.py tools/run.py benchmarks.datasets --width 1800 --format jpeg --thorough none

A tar of copies of assets/synthetic_group.jpg (five faces) at the named width, as JPEG, goes through the stages of
modules/datasets in this process, on one thread, without Ray: read, find, change (covered), save, and the shard written.
From these, and from what a GPU needs for a face, docs/datasets.md says how many CPUs go beside how many GPUs.

Exit status: 0 done, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image

from face_anonymizer.modules.datasets import ends, state
from face_anonymizer.modules.datasets.chunks import Shard
from face_anonymizer.modules.datasets.options import WEBDATASET
from face_anonymizer.modules.datasets.stages import Changer, Finder
from face_anonymizer.modules.datasets.work import Work
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.output.formats import EXTENSIONS
from face_anonymizer.modules.runs.anonymize_folder import read_own_settings
from face_anonymizer.modules.runs.folder_options import FolderOptions

BATCH = 2


def write_tar(path: Path, width: int, count: int) -> int:
    """A tar of so many pictures; the bytes of one."""
    with Image.open(PACK / "assets" / "synthetic_group.jpg") as photo:
        file = io.BytesIO()
        photo.resize((width, width * photo.height // photo.width)).save(file, "JPEG", quality=90)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            info = tarfile.TarInfo(f"{number:06}.jpg")
            info.size = len(file.getvalue())
            tar.addfile(info, io.BytesIO(file.getvalue()))
    return len(file.getvalue())


def timed(do: Callable[[], object]) -> tuple[object, float]:
    """What it gives, and its CPU seconds."""
    started = time.process_time()
    result = do()
    return result, time.process_time() - started


def measure(work: Work, shard: Shard, repeats: int) -> dict[str, list[float]]:
    """Stage -> CPU seconds a picture, one a repeat; a first round does not count."""
    find, change = Finder(work), Changer(work)
    seconds: dict[str, list[float]] = {name: [] for name in ("read", "find", "change", "save", "write the shard")}
    for repeat in range(repeats + 1):
        (chunk, end), read = timed(lambda: list(ends.read(work, shard)))
        chunk, found = timed(lambda chunk=chunk: find(chunk))
        chunk, changed = timed(lambda chunk=chunk: change(chunk))
        assert not [item.error for item in chunk.items if item.error]
        _, saved = timed(lambda chunk=chunk: ends.save(work, chunk))
        _, wrote = timed(lambda end=end: ends.finish(work, shard, end.number))
        if repeat:
            for name, value in zip(seconds, (read, found, changed, saved, wrote), strict=True):
                seconds[name].append(value / BATCH)
    return seconds


def rows(seconds: dict[str, list[float]]) -> Iterable[str]:
    """Lines of a table."""
    for name, values in seconds.items():
        median = statistics.median(values)
        yield f"| {name} | {median:.4f} | {3600 / max(median, 1e-6):,.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=900, help="of the pictures, in pixels; their height is two thirds")
    parser.add_argument("--format", choices=EXTENSIONS, default="png", help="of the results")
    parser.add_argument("--thorough", choices=("photos", "none"), default="photos")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="face_anonymizer_") as name:
        folder = Path(name)
        size = write_tar(folder / "a.tar", options.width, BATCH)
        asked = FolderOptions(
            paths=(), output=folder, redact=True, engine="diffusers", format=options.format, thorough=options.thorough
        )
        work = Work(asked.of_results(read_own_settings(None)), str(folder / "out"), "run", batch=BATCH)
        (folder / "out" / state.FOLDER).mkdir(parents=True)
        (folder / "out" / state.FOLDER / "claim.json").write_text(json.dumps({"run": "run"}))
        shard = Shard("a", "a.tar", WEBDATASET, str(folder), "a.tar")
        seconds = measure(work, shard, options.repeats)
    print(
        f"{options.width}x{options.width * 2 // 3}, {size / 1000:.0f} kB each, five faces, results as {options.format}"
    )
    print("| stage | CPU seconds a picture | pictures an hour and CPU |\n|---|--:|--:|")
    print("\n".join(rows(seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
