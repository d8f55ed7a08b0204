"""Reading labelled reviews from CSV and Parquet files, and splitting them so that no duplicate leaks."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from ml.errors import DataError
from ml.text import ReviewText

CHUNK_ROWS = 10_000
OLDEST = 120
"""Years; a stated age outside 1 to 120 is an input error."""

COLUMNS = {
    "review text": "text",
    "title": "title",
    "rating": "rating",
    "age": "age",
    "department name": "department",
    "class name": "class_name",
}
"""Headers of the public data set, in lower case, and our names for them."""


class Part(StrEnum):
    """The four uses of a row; no row has two."""

    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"


SHARES = {Part.TRAIN: 0.82, Part.VALIDATION: 0.05, Part.CALIBRATION: 0.065, Part.TEST: 0.065}


@dataclass(frozen=True, slots=True)
class ReviewTable:
    """Reviews and what their writers said of themselves, column by column; all columns have the same length.

    Attributes:
        reviews: title and text.
        ratings: (n,) float32 stars 1 to 5, NaN where unlabelled.
        ages: (n,) float32 years, NaN where unlabelled.
        departments: "" where unknown.
        class_names: "" where unknown.
        n_without_text: rows of the source that were dropped because they have no text.
    """

    reviews: tuple[ReviewText, ...]
    ratings: NDArray[np.float32]
    ages: NDArray[np.float32]
    departments: tuple[str, ...]
    class_names: tuple[str, ...]
    n_without_text: int = 0

    def __len__(self) -> int:
        return len(self.reviews)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "ReviewTable":
        """Return the given rows, in the given order."""
        return ReviewTable(
            reviews=tuple(self.reviews[row] for row in rows),
            ratings=self.ratings[rows],
            ages=self.ages[rows],
            departments=tuple(self.departments[row] for row in rows),
            class_names=tuple(self.class_names[row] for row in rows),
        )


def read_table(path: Path) -> ReviewTable:
    """Read reviews from a `.parquet` file as datasets are stored, or else from a CSV.

    Raises:
        DataError: see `read_csv` and `read_parquet`.
    """
    return read_parquet(path) if path.suffix == ".parquet" else read_csv(path)


def read_parquet(path: Path) -> ReviewTable:
    """Read reviews from a dataset's file: columns title, text, rating, age, department and class_name, nulls allowed.

    Only `text` is required. Rows without text are dropped and counted.

    Raises:
        DataError: the file cannot be read, has no `text`, or a row holds an impossible rating or age.
    """
    try:
        with ParquetFile(path) as file:
            wanted = [name for name in file.schema_arrow.names if name in COLUMNS.values()]
            if "text" not in wanted:
                raise DataError(f"{path}: has no column 'text'")
            chunks = [_clean(frame, path) for frame in _frames(file, wanted)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
    return _table(chunks, path)


def _frames(file: ParquetFile, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows as a CSV's would be: all cells text, so that both pass the same checks."""
    n_before = 0
    for batch in file.iter_batches(CHUNK_ROWS, columns=list(columns)):
        cells = {name: batch[name].cast(pa.string()).to_pylist() for name in columns}
        yield pd.DataFrame(cells, index=range(n_before, n_before + len(batch)), dtype=object)
        n_before += len(batch)


def read_csv(path: Path) -> ReviewTable:
    """Read reviews from a CSV with the headers of the Women's E-Commerce Clothing Reviews data, in any case.

    Only `Review Text` is required. Rows without text are dropped and counted.

    Raises:
        DataError: the file cannot be read, has no `Review Text`, or a row holds an impossible rating or age.
    """
    try:
        chunks = [_clean(chunk, path) for chunk in _chunks(path)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: not a readable CSV in UTF-8 ({error})") from error
    return _table(chunks, path)


def _table(chunks: Sequence[pd.DataFrame], path: Path) -> ReviewTable:
    if not chunks:
        raise DataError(f"{path}: holds no rows")
    frame = pd.concat(chunks, ignore_index=True)
    kept = frame[frame["text"].str.strip() != ""]
    return ReviewTable(
        reviews=tuple(ReviewText(title or None, text) for title, text in zip(kept["title"], kept["text"], strict=True)),
        ratings=kept["rating"].to_numpy(np.float32),
        ages=kept["age"].to_numpy(np.float32),
        departments=tuple(kept["department"]),
        class_names=tuple(kept["class_name"]),
        n_without_text=len(frame) - len(kept),
    )


def _chunks(path: Path) -> Iterator[pd.DataFrame]:
    # Only an empty cell is missing: a review that says "null" or "NA" said so.
    with pd.read_csv(
        path, dtype=str, keep_default_na=False, chunksize=CHUNK_ROWS, encoding="utf-8", on_bad_lines="error"
    ) as reader:
        yield from reader


def _clean(chunk: pd.DataFrame, path: Path) -> pd.DataFrame:
    named = chunk.rename(columns=lambda header: COLUMNS.get(str(header).strip().casefold(), header))
    if "text" not in named.columns:
        raise DataError(f"{path}: has no column 'Review Text'")
    frame = pd.DataFrame(index=chunk.index)
    for column in ("text", "title", "department", "class_name"):
        frame[column] = named[column].fillna("") if column in named.columns else ""
    frame["rating"] = _numbers(named, "rating", path=path, low=1, high=5)
    frame["age"] = _numbers(named, "age", path=path, low=1, high=OLDEST)
    broken = frame["rating"].notna() & (frame["rating"] % 1 != 0)
    if broken.any():
        raise _bad_cell(path, int(np.argmax(broken)), named, "rating", "a whole number from 1 to 5")
    return frame


def _numbers(named: pd.DataFrame, column: str, *, path: Path, low: int, high: int) -> "pd.Series[float]":
    if column not in named.columns:
        return pd.Series(np.nan, index=named.index, dtype=float)
    cells = named[column].fillna("").str.strip()
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = ((cells != "") & numbers.isna()) | (numbers < low) | (numbers > high)
    if wrong.any():
        raise _bad_cell(path, int(np.argmax(wrong)), named, column, f"a number from {low} to {high}")
    return numbers


def _bad_cell(path: Path, position: int, named: pd.DataFrame, column: str, wanted: str) -> DataError:
    row = int(named.index[position]) + 1
    return DataError(f"{path}: data row {row}, column {column!r}: {named[column].iloc[position]!r} is not {wanted}")


def normalised(review: ReviewText) -> str:
    """Return the text by which two reviews count as the same: title and body, case and spacing ignored."""
    return " ".join(f"{review.title or ''} {review.text}".casefold().split())


def part_of(review: ReviewText, *, split_seed: int = 0) -> Part:
    """Say which part a review belongs to: a function of its words alone, so that duplicates never straddle the split.

    Source: the first 8 bytes of SHA-256 over the seed and the normalised text, read as a fraction of 2^64.
    """
    digest = hashlib.sha256(f"{split_seed}:{normalised(review)}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    edge = 0.0
    for part, share in SHARES.items():
        edge += share
        if position < edge:
            return part
    return Part.TEST


def split(table: ReviewTable, *, split_seed: int = 0) -> dict[Part, NDArray[np.int64]]:
    """Return the row numbers of each part, ascending."""
    parts = np.array([part_of(review, split_seed=split_seed) for review in table.reviews], dtype=object)
    return {part: np.flatnonzero(parts == part) for part in Part}
