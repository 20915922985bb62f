"""Parquet: a row a picture, in the order of the input; results in the pictures' column, the report's beside it.

Of the other columns those are copied that are kept, and nothing of the file's own metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..terminal import shown
from .chunks import LARGEST_FILE, Chunk, Item, Shard, in_chunks
from .parts import Part
from .places import Place
from .rows import COLUMNS, PREFIX
from .work import Work

SUFFIXES = (".parquet", ".pq")


class Kept(NamedTuple):
    """What goes along with the pictures of a chunk.

    Args:
        in_struct: the pictures stand in a struct, in its field "bytes".
        table: a pyarrow Table of the kept columns, a row a picture; None where none is kept.
    """

    in_struct: bool
    table: Any


class WrongTable(ValueError):
    """A parquet file that cannot be done as it is; the message says why and what to name instead."""


def check(shard: Shard, column: str, keep: Sequence[str]) -> None:
    """Whether a file has the columns that are asked for; only its end is read.

    Raises:
        WrongTable: it has not, or is no parquet. OSError: it cannot be read.
    """
    _schema(shard, column, keep)


def read(work: Work, shard: Shard) -> Iterator[Chunk]:
    """The pictures of a file; of one without rows a chunk without any.

    Raises:
        WrongTable, OSError: as check.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(shard, work.column, work.keep)
    in_struct = pa.types.is_struct(schema.field(work.column).type)
    kept_schema = pa.schema([_plain(schema.field(name)) for name in work.keep])
    with Place(shard.where).file(shard.name) as raw:
        file = pq.ParquetFile(raw, pre_buffer=False)
        rows = _rows(file, work, in_struct)
        waiting: list[Any] = []

        def items() -> Iterator[Item]:
            for number, (data, kept) in enumerate(rows):
                waiting.append(kept)
                yield _item(number, data)

        for chunk in in_chunks(shard, items(), work.batch):
            count = len(chunk.items)
            if chunk.is_end and chunk.number == 0:
                yield Chunk(shard, 0, [], kept=Kept(in_struct, _table([], kept_schema)))
                chunk.number = 1
            if not chunk.is_end:
                chunk.kept = Kept(in_struct, _table(waiting[:count], kept_schema))
                del waiting[:count]
            yield chunk


def encode(work: Work, chunk: Chunk) -> bytes:
    """A chunk's rows as a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures, kept = [item.encoded for item in chunk.items], chunk.kept
    names, columns = list(work.keep), [kept.table.column(name) for name in work.keep]
    if kept.in_struct:  # as Hugging Face's datasets have it; the path may name somebody
        values = [None if data is None else {"bytes": data, "path": None} for data in pictures]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    else:
        values, kind = pictures, pa.binary()
    columns.append(pa.array(values, kind))
    names.append(work.column)
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    for name, of_python in COLUMNS.items():
        columns.append(pa.array([item.row[name] for item in chunk.items], types[of_python]))
        names.append(PREFIX + name)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, names=names), sink)
    return sink.getvalue().to_pybytes()


def join(work: Work, shard: Shard, parts: Iterable[Part]) -> int:
    """Write the parquet file of these chunks; its bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    output, writer = Place(work.output), None
    with output.writing(shard.result) as stream:
        for part in parts:
            table = pq.read_table(pa.BufferReader(part.data))
            writer = writer or pq.ParquetWriter(stream, table.schema)
            if table.num_rows:
                writer.write_table(table)
        if writer is not None:
            writer.close()
    return output.size(shard.result) or 0


def _schema(shard: Shard, column: str, keep: Sequence[str]):
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = shard.name
    try:
        with Place(shard.where).file(shard.name) as raw:
            schema = pq.read_schema(raw)
    except pa.ArrowInvalid as error:
        raise WrongTable(f"{shown(where)} is no whole parquet file: {shown(error)}") from None
    has = ", ".join(map(shown, schema.names)) or "none"
    for name in (column, *keep):
        if name not in schema.names:
            option = "--column" if name == column else "--keep"
            raise WrongTable(f"{shown(where)} has no column {shown(name)}; it has {has}. Name another: {option}")
    if column in keep:
        raise WrongTable(f"--keep {shown(column)} names the column of the pictures: their originals are not kept")
    kind = schema.field(column).type
    is_struct = pa.types.is_struct(kind) and "bytes" in [kind.field(i).name for i in range(kind.num_fields)]
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or is_struct):
        raise WrongTable(
            f"The column {shown(column)} of {shown(where)} holds {kind}, no bytes of pictures. It has {has}: name the "
            "column of the encoded pictures with --column"
        )
    if taken := [name for name in keep if name.startswith(PREFIX)]:
        raise WrongTable(f"--keep {shown(taken[0])}: names that begin with {PREFIX} are those of the report")
    return schema


def _plain(field: Any) -> Any:
    return field.with_metadata({})


def _rows(file: Any, work: Work, in_struct: bool) -> Iterator[tuple[Any, Any]]:
    """(picture's bytes, the row's kept columns as a table) of all rows."""
    wanted = [f"{work.column}.bytes" if in_struct else work.column, *work.keep]
    for batch in file.iter_batches(batch_size=work.batch, columns=wanted, use_threads=False):
        pictures, kept = batch.column(work.column), batch.select(list(work.keep))
        for place in range(batch.num_rows):
            value = pictures[place].as_py()
            yield value["bytes"] if isinstance(value, dict) else value, kept.slice(place, 1)


def _item(number: int, data: bytes | None) -> Item:
    item = Item(f"row {number}", data)
    if not data:
        return item.failed("the row has no picture")
    return item.failed(f"larger than {LARGEST_FILE >> 20} MiB") if len(data) > LARGEST_FILE else item


def _table(batches: list[Any], schema: Any) -> Any:
    """The kept columns of some rows; None where none is kept."""
    import pyarrow as pa

    if not schema.names:
        return None
    plain = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches]
    return pa.Table.from_batches(plain, schema)
