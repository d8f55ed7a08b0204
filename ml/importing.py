"""An uploaded CSV or Parquet file made into a data set: every row judged, the good ones kept as Parquet.

The file is streamed, so memory does not grow with its size but for eight bytes a row, by which duplicates are told.
"""

import csv
import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.cells import BadCellError, Reject, Row, row_of, shortened
from ml.errors import DataError
from ml.tables import Found, Table, open_table

MAX_ROWS = 20_000_000
CHUNK_ROWS = 10_000
CHUNK_CHARS = 16_000_000
REPORT_EVERY_ROWS = 2_000
REPORTED_REJECTS = 100
PREVIEWED_ROWS = 10
PREVIEWED_CHARS = 300
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
AGE_BANDS = ((30, "under 30"), (40, "30 to 39"), (50, "40 to 49"), (60, "50 to 59"), (1_000, "60 and over"))

SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("rating", pa.int8()),
        ("age", pa.float32()),
        ("department", pa.string()),
        ("class_name", pa.string()),
        ("product_id", pa.string()),
    ]
)
"""A data set's columns; all but `line` and `text` may be null."""

FOREIGN_RULE = "eight words or more, and none of thirty that nearly every English text has; or mostly other letters"
_FOREIGN_MIN_WORDS = 8
_ENGLISH = frozenset(
    {
        "the",
        "and",
        "it",
        "it's",
        "this",
        "that",
        "these",
        "they",
        "but",
        "with",
        "my",
        "i'm",
        "you",
        "have",
        "had",
        "not",
    }
    | {"very", "too", "just", "are", "be", "would", "when", "from", "than", "there", "like", "love", "so", "wear"}
)
_LAST_LATIN = "\u024f"

Progress = Callable[[int, int, str], None]
"""Takes how many bytes were read, of how many, and what is being done, in words."""


@dataclass(frozen=True)
class ImportReport:
    """What the rows of a file look like.

    Attributes:
        headers: our field names and the file's columns for them.
        n_rows: rows kept.
        n_rejected: rows left out.
        n_without_rating: kept rows without stars.
        n_without_age: kept rows without an age.
        n_without_label: kept rows with neither.
        n_duplicates: kept rows whose title and text, case and spacing aside, stand earlier in the file.
        n_looks_foreign: kept rows that by a rule of thumb are not English.
        foreign_rule: that rule, in words.
        words: quantiles of the words in title and text.
        ratings: kept rows by their stars.
        ages: kept rows by the band of their age.
        rejects: the first hundred rows left out; all of them are in the rejects file.
        preview: the first ten rows kept, long texts shortened.
    """

    headers: dict[str, str]
    n_rows: int
    n_rejected: int
    n_without_rating: int
    n_without_age: int
    n_without_label: int
    n_duplicates: int
    n_looks_foreign: int
    foreign_rule: str
    words: dict[str, int]
    ratings: dict[str, int]
    ages: dict[str, int]
    rejects: tuple[Reject, ...]
    preview: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        """The same, as JSON has it."""
        lists = {"rejects": list(map(asdict, self.rejects)), "preview": list(map(asdict, self.preview))}
        return asdict(self) | lists


@dataclass(frozen=True)
class Imported:
    """A finished import: the report, and the SHA-256 of the Parquet file."""

    report: ImportReport
    sha256: str


def import_file(
    source: Path,
    *,
    target: Path,
    rejects: Path,
    mapping: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Judge every row of an uploaded file, and keep the good ones. A bad row never fails the import.

    Args:
        source: a CSV in UTF-8 or a Parquet file.
        target: the Parquet file to write, with the columns of `SCHEMA`.
        rejects: the CSV to write, with line, column, value and reason of each row left out.
        mapping: our field names to the file's headers, where they are not those of the public data set.
        progress: called now and then.

    Raises:
        DataError: the file as a whole cannot be used; the message says why and what to do.
    """
    n_bytes = source.stat().st_size
    tell = progress or _say_nothing
    tally = _Tally()
    with open_table(source, mapping=mapping) as table, _writing(target) as write, _rejecting(rejects) as reject:
        for found in table.rows():
            row = _judged(found, table)
            if isinstance(row, Row):
                tally.add(row)
                write(row)
            else:
                tally.reject(row)
                reject(row)
            if tally.n_read % REPORT_EVERY_ROWS == 0:
                tell(min(table.n_bytes_read(), n_bytes), n_bytes, tally.in_words())
        report = tally.report(table)
    tell(n_bytes, n_bytes, tally.in_words())
    with target.open("rb") as file:
        return Imported(report, hashlib.file_digest(file, "sha256").hexdigest())


def _say_nothing(done: int, total: int, phase: str) -> None:
    """Progress that nobody asked for."""


def _judged(found: Found, table: Table) -> Row | Reject:
    if found.broken is not None:
        return found.broken
    try:
        return row_of(found.line, found.cells)
    except BadCellError as error:
        return error.as_reject(found.line, table.headers)


@dataclass
class _Tally:
    """Counts what goes by."""

    n_rows: int = 0
    n_rejected: int = 0
    n_without_label: int = 0
    n_looks_foreign: int = 0
    words: Counter[int] = field(default_factory=Counter)
    ratings: Counter[int | None] = field(default_factory=Counter)
    ages: Counter[str | None] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)
    preview: list[Row] = field(default_factory=list)
    texts: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def n_read(self) -> int:
        return self.n_rows + self.n_rejected

    def add(self, row: Row) -> None:
        if self.n_rows == MAX_ROWS:
            raise DataError(f"the file has more than {MAX_ROWS:,} rows; split it")
        self.n_rows += 1
        words = f"{row.title or ''} {row.text}".casefold().split()
        self.texts.append(hash(" ".join(words)))  # by the same words as ml.data.normalised
        self.words[len(words)] += 1
        self.ratings[row.rating] += 1
        self.ages[_band(row.age)] += 1
        self.n_without_label += row.rating is None and row.age is None
        if len(self.preview) < PREVIEWED_ROWS:
            self.preview.append(replace(row, text=shortened(row.text, PREVIEWED_CHARS)))
        self.n_looks_foreign += _looks_foreign(row.text, words)

    def reject(self, row: Reject) -> None:
        self.n_rejected += 1
        if len(self.rejects) < REPORTED_REJECTS:
            self.rejects.append(row)

    def in_words(self) -> str:
        return f"{self.n_rows:,} rows kept, {self.n_rejected:,} rejected"

    def report(self, table: Table) -> ImportReport:
        if not self.n_read:
            raise DataError("the file has a header and no rows")
        if not self.n_rows:
            first = self.rejects[0]
            where = f"line {first.line:,}" + (f", column {first.column!r}" if first.column else "")
            raise DataError(f"no row can be used. The first is wrong in {where}: {first.reason}")
        return ImportReport(
            headers=dict(table.headers),
            n_rows=self.n_rows,
            n_rejected=self.n_rejected,
            n_without_rating=self.ratings[None],
            n_without_age=self.ages[None],
            n_without_label=self.n_without_label,
            n_duplicates=self.n_rows - len(np.unique(np.frombuffer(self.texts, dtype=np.int64))),
            n_looks_foreign=self.n_looks_foreign,
            foreign_rule=FOREIGN_RULE,
            words=_quantiles(self.words),
            ratings={str(stars): self.ratings[stars] for stars in range(1, 6)},
            ages={band: self.ages[band] for _, band in AGE_BANDS},
            rejects=tuple(self.rejects),
            preview=tuple(self.preview),
        )


def _band(age: float | None) -> str | None:
    return None if age is None else next(band for below, band in AGE_BANDS if age < below)


def _looks_foreign(text: str, words: list[str]) -> bool:
    if not text.isascii():
        letters = [char for char in text if char.isalpha()]
        if 2 * sum(char > _LAST_LATIN for char in letters) > len(letters):
            return True
    return len(words) >= _FOREIGN_MIN_WORDS and _ENGLISH.isdisjoint(words)


def _quantiles(counts: Counter[int]) -> dict[str, int]:
    """Exact quantiles of counted whole numbers: the smallest one that this share of them does not exceed."""
    total = counts.total()
    ordered = sorted(counts)
    reached = np.cumsum([counts[value] for value in ordered])
    return {name: ordered[int(np.searchsorted(reached, max(share * total, 1)))] for name, share in QUANTILES.items()}


@contextmanager
def _writing(target: Path) -> Iterator[Callable[[Row], None]]:
    names = [column.name for column in fields(Row)]
    rows: list[Row] = []
    n_chars = 0
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:

        def flush() -> None:
            columns = {name: [getattr(row, name) for row in rows] for name in names}
            writer.write_table(pa.table(columns, schema=SCHEMA))
            rows.clear()

        def write(row: Row) -> None:
            nonlocal n_chars
            rows.append(row)
            n_chars += len(row.text)
            if len(rows) >= CHUNK_ROWS or n_chars >= CHUNK_CHARS:
                flush()
                n_chars = 0

        yield write
        if rows:
            flush()


@contextmanager
def _rejecting(path: Path) -> Iterator[Callable[[Reject], None]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in fields(Reject)])

        def reject(row: Reject) -> None:
            writer.writerow([row.line, safe_cell(row.column), safe_cell(row.value), row.reason])

        yield reject


def safe_cell(value: str | None) -> str:
    """A cell that no spreadsheet takes for a formula: those that begin like one get an apostrophe in front."""
    if value is None:
        return ""
    return f"'{value}" if value.lstrip()[:1] in {"=", "+", "-", "@"} else value
