"""Rows out of an uploaded CSV or Parquet file, one at a time, whatever its size."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ml.cells import Reject
from ml.data import COLUMNS
from ml.errors import DataError

FIELDS = ("text", "title", "rating", "age", "department", "class_name", "product_id")
MAX_LINE = 1_000_000  # characters of one line that are read; the rest of a longer one is skipped
MAX_COLUMNS = 1_000
BATCH_ROWS = 1_000
_DELIMITERS = ",;\t"
_HEADERS = COLUMNS | {"clothing id": "product_id"} | {name: name for name in FIELDS}
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive or a workbook; unpack it, or save the sheet as CSV UTF-8",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"\xff\xfe": "in UTF-16; save it as UTF-8",
    b"\xfe\xff": "in UTF-16; save it as UTF-8",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One row as the file has it: its cells by our names, or why it cannot be taken apart."""

    line: int
    cells: Mapping[str, str]
    broken: Reject | None = None


class Table(Protocol):
    """An open data file."""

    headers: Mapping[str, str]
    """Our field names and the file's headers for them."""

    def rows(self) -> Iterator[Found]:
        """Read the rows in order, once."""

    def n_bytes_read(self) -> int:
        """How much of the file has been read, for the progress."""


@contextmanager
def open_table(path: Path, *, mapping: Mapping[str, str] | None = None) -> Iterator[Table]:
    """Open a CSV or a Parquet file, whichever it is by its content.

    Args:
        path: the file.
        mapping: our field names to the file's headers, where they are not those of the public data set.

    Raises:
        DataError: it is neither, or has no column with texts; the message says what to do.
    """
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        if not head:
            raise DataError("the file is empty")
        for magic, what in _ARCHIVES.items():
            if head.startswith(magic):
                raise DataError(f"the file is {what}")
        try:
            yield ParquetTable(file, mapping or {}) if head == b"PAR1" else CsvTable(file, mapping or {})
        except UnicodeDecodeError:
            raise DataError(
                f"the file is not UTF-8: line {_first_line_not_utf8(path):,} is not. Save it as CSV UTF-8"
            ) from None


class CsvTable:
    """A CSV in UTF-8; commas, or the semicolons or tabs that a spreadsheet wrote."""

    def __init__(self, file: BinaryIO, mapping: Mapping[str, str]) -> None:
        self._file = file
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        first = self._text.readline(MAX_LINE)
        delimiter = max(_DELIMITERS, key=first.count)
        self._reader = csv.reader(self._lines(first), delimiter=delimiter)
        names = self._header()
        columns = _columns(names, mapping)
        self.headers: Mapping[str, str] = {field: names[position] for field, position in columns.items()}
        self._columns = tuple(columns.items())
        self._width = len(names)

    def rows(self) -> Iterator[Found]:
        """Read the rows in order; blank lines are none."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error:  # a cell beyond the module's limit of 131,072 characters; the next line is read afresh
                yield Found(line, {}, Reject(line, None, None, "a cell does not end: is a quotation mark missing?"))
                continue
            if cells is None:
                return
            if len(cells) == self._width:
                yield Found(line, {field: cells[position] for field, position in self._columns})
            elif cells:
                reason = f"has {len(cells)} cells; the header has {self._width}"
                yield Found(line, {}, Reject(line, None, None, reason))

    def n_bytes_read(self) -> int:
        """How far the file was read."""
        return self._file.tell()

    def _header(self) -> list[str]:
        try:
            names = next(self._reader, [])
        except csv.Error:
            names = []
        if not any(name.strip() for name in names):
            raise DataError("the file has no header: its first line has to name the columns")
        if len(names) > MAX_COLUMNS:
            raise DataError(f"the file has {len(names):,} columns; {MAX_COLUMNS:,} are the limit")
        return names

    def _lines(self, first: str) -> Iterator[str]:
        line = first
        while line:
            yield line
            while len(line) == MAX_LINE and line[-1] not in "\r\n":
                line = self._text.readline(MAX_LINE)
            line = self._text.readline(MAX_LINE)


class ParquetTable:
    """A Parquet file; what its columns hold is read as text and judged like a CSV's cells."""

    def __init__(self, file: BinaryIO, mapping: Mapping[str, str]) -> None:
        self._n_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        with _parquet_errors():
            self._file = pq.ParquetFile(file)
        schema = self._file.schema_arrow
        columns = _columns(schema.names, mapping)
        self.headers: Mapping[str, str] = {field: schema.names[position] for field, position in columns.items()}
        for header in self.headers.values():
            kind = schema.field(header).type
            if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                raise DataError(f"column {header!r} holds {kind}, not text or numbers")
        self._n_read = 0

    def rows(self) -> Iterator[Found]:
        """Read the rows in order; they are numbered from 1."""
        fields = tuple(self.headers)
        with _parquet_errors():
            for batch in self._file.iter_batches(BATCH_ROWS, columns=list(self.headers.values())):
                columns = [batch.column(header).to_pylist() for header in self.headers.values()]
                for cells in zip(*columns, strict=True):
                    self._n_read += 1
                    yield Found(self._n_read, dict(zip(fields, map(_as_text, cells), strict=True)))

    def n_bytes_read(self) -> int:
        """How much of the file the rows that were read are likely to take."""
        n_rows: int = self._file.metadata.num_rows
        return self._n_bytes * self._n_read // max(n_rows, 1)


@contextmanager
def _parquet_errors() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"the file is not readable as Parquet ({first})") from None


def _as_text(value: object) -> str:
    if value is None or value != value:  # noqa: PLR0124  # only NaN differs from itself
        return ""
    return value if isinstance(value, str) else str(value)


def _columns(names: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Find the position of each of our fields among the headers.

    Raises:
        DataError: the mapping names what is not there, a field has two columns, or there is no text.
    """
    chosen: dict[str, int] = {}
    for field, wanted in mapping.items():
        if field not in FIELDS:
            raise DataError(f"the mapping names {field!r}; our fields are {', '.join(FIELDS)}")
        chosen[field] = _position(names, wanted)
    for position, name in enumerate(names):
        known = _HEADERS.get(name.strip().casefold())
        if known is None or known in mapping or position in chosen.values():
            continue
        if known in chosen:
            raise DataError(f"columns {names[chosen[known]]!r} and {name!r} both hold the {known}: map it to one")
        chosen[known] = position
    if "text" not in chosen:
        raise DataError(
            "no column holds the texts: name it 'Review Text' or 'text', or map it. The columns are "
            + ", ".join(repr(name[:40]) for name in names[:20])
        )
    return chosen


def _position(names: Sequence[str], wanted: str) -> int:
    same = [position for position, name in enumerate(names) if name.strip().casefold() == wanted.strip().casefold()]
    if len(same) == 1:
        return same[0]
    listed = ", ".join(repr(name[:40]) for name in names[:20])
    how_many = f"{len(same)} columns are" if same else "no column is"
    raise DataError(f"{how_many} called {wanted[:40]!r}. The columns are {listed}")


def _first_line_not_utf8(path: Path) -> int:
    number = 0
    with path.open("rb") as file:
        while piece := file.readline(MAX_LINE):
            number += 1
            try:
                piece.decode()
            except UnicodeDecodeError:
                break
    return number
