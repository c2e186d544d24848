"""The columns of a CSV: those of classes as numbers, the others as text; also from a copy that needs no parsing.

soft.csv.arrow  the columns of soft.csv in Arrow's file format, and which soft.csv it was

The CSV is the contract: a copy of another one, or a damaged copy, is not looked at.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from run import atomic

if TYPE_CHECKING:
    import pyarrow


class Texts:
    """A column of text as a key: most files have the ids of the one before, and making Python's of them takes long."""

    def __init__(self, column: pyarrow.ChunkedArray) -> None:
        self.column = column

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Texts) and self.column.equals(other.column)

    def __hash__(self) -> int:
        return hash((len(self.column), self.column[0].as_py(), self.column[-1].as_py()))


@lru_cache(maxsize=4)  # ids and people, of test and validation
def unpack(texts: Texts) -> tuple[tuple[str, ...], str | None]:
    """The cells, at least one, and the first one that stands twice, if any."""
    cells = tuple(texts.column.to_pylist())
    if len(set(cells)) == len(cells):
        return cells, None
    return cells, next(cell for cell, count in Counter(cells).items() if count > 1)


def is_class(name: str) -> bool:
    """Whether a column of this name holds a class's probabilities."""
    return re.fullmatch(r"P?\d+", name) is not None


def load(path: Path) -> pyarrow.Table:
    """(N,) float64 of each class, null where there is no number, else text. Raises ArrowInvalid, csv.Error."""
    found = kept(path)
    return parse(path.read_bytes()) if found is None else found


def keep(path: Path) -> None:
    """Writes the copy of a CSV beside it. Raises ArrowInvalid and csv.Error for what is none."""
    import pyarrow

    state, text = state_of(path), path.read_bytes()
    source = {"state": state, "crc32": zlib.crc32(text)}
    table = parse(text).combine_chunks().replace_schema_metadata({"csv": json.dumps(source)})

    def write(file: Path) -> None:
        with pyarrow.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    atomic(copy_of(path), write)


def kept(path: Path) -> pyarrow.Table | None:
    """The copy's columns, if it was made of `path` as that is now: of this size and time, or of this text."""
    import pyarrow

    if not copy_of(path).is_file():
        return None
    try:
        with pyarrow.memory_map(str(copy_of(path))) as file:
            table = pyarrow.ipc.open_file(file).read_all()
        source = json.loads(table.schema.metadata[b"csv"])
        state, checksum = source["state"], source["crc32"]
    except (ValueError, OSError, KeyError, TypeError):
        return None
    # a file that was brought home from another machine has another time
    return table if state == state_of(path) or checksum == zlib.crc32(path.read_bytes()) else None


def state_of(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.arrow")


def parse(text: bytes) -> pyarrow.Table:
    import pyarrow  # takes a tenth of the time of Python's own reader
    from pyarrow import csv as arrow

    header = next(csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8-sig", "replace")), [])
    types = {name: pyarrow.float64() if is_class(name) else pyarrow.string() for name in header}
    if len(types) < len(header):
        raise pyarrow.ArrowInvalid("two columns of one name")
    table = arrow.read_csv(
        pyarrow.BufferReader(text),
        arrow.ReadOptions(use_threads=False),
        convert_options=arrow.ConvertOptions(column_types=types),
    )
    if not table.num_rows:
        raise pyarrow.ArrowInvalid("no rows")
    return table
