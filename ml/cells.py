"""One row of a data file: its cells read into a review, or the reason why they are none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ml.data import OLDEST

MAX_TEXT = 50_000  # characters; the limits are those of a review that is handed in
MAX_TITLE = 500
MAX_LABEL = 200
SHOWN_CHARS = 80

_STARS = re.compile(r"\s*\+?0*([1-5])(?:\.0*)?\s*", re.ASCII)
_YEARS = re.compile(r"\s*\+?([0-9]{1,6}(?:\.[0-9]*)?)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled review as a data file has it; empty cells are None."""

    line: int
    title: str | None
    text: str
    rating: int | None
    age: float | None
    department: str | None
    class_name: str | None
    product_id: str | None


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a row was left out.

    Attributes:
        line: where the row begins in a CSV, counted from 1 with the header; in Parquet the number of the row.
        column: its header in the file, or None where the row as a whole is wrong.
        value: what the cell says, shortened.
        reason: in words.
    """

    line: int
    column: str | None
    value: str | None
    reason: str


class BadCellError(Exception):
    """A cell that makes its row unusable; never leaves this package's import."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.value = value
        self.reason = reason

    def as_reject(self, line: int, headers: Mapping[str, str]) -> Reject:
        """The same, for the report."""
        return Reject(line, headers.get(self.field, self.field), shortened(self.value), self.reason)


def shortened(value: str, n_chars: int = SHOWN_CHARS) -> str:
    """The beginning of a cell, in one line that prints."""
    shown = "".join(char if char.isprintable() else " " for char in value[: n_chars + 1])
    return shown if len(shown) <= n_chars else shown[: n_chars - 1] + "…"


def row_of(line: int, cells: Mapping[str, str]) -> Row:
    """Read the cells of one row, by our names for their columns.

    Raises:
        BadCellError: one of them makes the row unusable.
    """
    for field, cell in cells.items():
        if "\0" in cell:
            raise BadCellError(field, cell, "holds a NUL character")
    text = cells["text"]
    if is_blank(text):
        raise BadCellError("text", text, "no text")
    return Row(
        line=line,
        title=_words(cells, "title", MAX_TITLE),
        text=_bounded(text, "text", MAX_TEXT),
        rating=_rating(cells.get("rating", "")),
        age=_age(cells.get("age", "")),
        department=_words(cells, "department", MAX_LABEL),
        class_name=_words(cells, "class_name", MAX_LABEL),
        product_id=_words(cells, "product_id", MAX_LABEL),
    )


def is_blank(text: str) -> bool:
    """Whether nothing of a text would show; format characters such as the zero-width space print nothing either."""
    stripped = text.strip()
    return not stripped or (not stripped[0].isprintable() and not any(c.isprintable() for c in stripped if c != " "))


def _words(cells: Mapping[str, str], field: str, limit: int) -> str | None:
    cell = cells.get(field, "")
    return None if not cell or is_blank(cell) else _bounded(cell, field, limit)


def _bounded(cell: str, field: str, limit: int) -> str:
    if len(cell) > limit:
        raise BadCellError(field, cell, f"has {len(cell):,} characters; {limit:,} are the limit")
    return cell


def _rating(cell: str) -> int | None:
    found = _STARS.fullmatch(cell)
    if found is not None:
        return int(found[1])
    if cell.strip():
        raise BadCellError("rating", cell, "is not a whole number from 1 to 5")
    return None


def _age(cell: str) -> float | None:
    found = _YEARS.fullmatch(cell)
    if found is not None and 1 <= (years := float(found[1])) <= OLDEST:
        return years
    if cell.strip():
        raise BadCellError("age", cell, f"is not a number from 1 to {OLDEST}")
    return None
