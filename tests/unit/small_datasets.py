"""Small datasets, a stand-in for what changes faces, and a run without Ray."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from face_anonymizer.modules.datasets import ends, rows
from face_anonymizer.modules.datasets.chunks import Chunk, Made, Shard
from face_anonymizer.modules.datasets.options import DatasetOptions
from face_anonymizer.modules.datasets.run import run_dataset
from face_anonymizer.modules.datasets.work import Work
from face_anonymizer.modules.runs.folder_options import FolderOptions


def picture(number: int, side: int = 8) -> bytes:
    """A PNG whose first pixel tells its number."""
    levels = np.full((side, side, 3), 200, np.uint8)
    levels[0, 0] = number // 256, number % 256, 77
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def number_of(result: bytes) -> int:
    """Of a picture that `Inverting` changed."""
    high, low, mark = (255 - int(level) for level in np.array(Image.open(io.BytesIO(result)))[0, 0])
    assert mark == 77, "inverted once"
    return 256 * high + low


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.uname, info.mtime = len(data), "grace", 1_600_000_000
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(first: int, count: int) -> list[tuple[str, bytes]]:
    """Of each key a picture and a caption."""
    both = [
        ((f"{i:04}.jpg", picture(i)), (f"{i:04}.txt", f"caption {i}".encode())) for i in range(first, first + count)
    ]
    return [member for one in both for member in one]


def read_tar(path: Path) -> dict[str, bytes]:
    """Its members, of which none may have told whose it was, nor stand there twice."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert {(m.uname, m.uid, m.mtime) for m in members} <= {("", 0, 0)}
        assert len({m.name for m in members}) == len(members)
        return {m.name: tar.extractfile(m).read() for m in members}


def write_parquet(path: Path, pictures: list, **columns) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if isinstance(pictures[0], dict) else pa.binary()
    table = pa.table({"image": pa.array(pictures, kind), **columns}).replace_schema_metadata({"owner": "grace"})
    pq.write_table(table, path, row_group_size=4)
    return path


def read_parquet(path: Path):
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    assert b"owner" not in (table.schema.metadata or {})
    return table.to_pydict()


class Inverting:
    """In place of finding and changing faces: every level is turned round."""

    def __init__(self, work: Work):
        self.work = work

    def __call__(self, chunk: Chunk) -> Chunk:
        for item in chunk.items:
            if item.error:
                continue
            try:
                levels = np.array(Image.open(io.BytesIO(item.data)).convert("RGB"))
            except OSError:
                item.failed("no picture")
                continue
            item.made = Made(255 - levels, None, None)
            report = {"faces": [], "elsewhere": [], "notes": [], "height": levels.shape[0], "width": levels.shape[1]}
            item.row = rows.row_of(report, 0, 0.0)
        return chunk


def serially(change: Callable[[Work], ends.Stage] = Inverting, most: int | None = None):
    """A runner in this process; `most`: chunks that are saved before it stops, as a kill would."""

    def run(work: Work, shards: Sequence[Shard], told: ends.Told) -> None:
        stage, left = change(work), most
        for shard in shards:
            for chunk in ends.read(work, shard):
                if left == 0:
                    raise ends.Stopped("killed")
                told.saved(ends.save(work, chunk if chunk.is_end else stage(chunk)).pictures)
                left = None if left is None else left - 1
            told.done(shard, ends.finish(work, shard, chunk.number))

    return run


def options(inputs: Path | list[Path], output: Path, **more) -> DatasetOptions:
    faces = FolderOptions(paths=(), output=output, redact=True, engine="diffusers", thorough="none")
    named = [str(path) for path in (inputs if isinstance(inputs, list) else [inputs])]
    return DatasetOptions(inputs=named, output=str(output), **({"faces": faces, "batch": 3} | more))


def run(asked: DatasetOptions, runner=None) -> tuple[int, str]:
    """The exit status, and what was said."""
    said = []
    status = run_dataset(asked, lambda text: said.append(str(text)), runner or serially())
    return status, "\n".join(said)


def report_of(output: Path) -> dict:
    return json.loads((output / "face_anonymizer_report.json").read_text())
