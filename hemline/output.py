"""How commands answer: a table or a few lines for people, one JSON document for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hemline.errors import HemlineError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def document(value: object) -> str:
    """A dataclass, mapping or list of them as JSON text."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=2)


def _plain(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    match value:
        case datetime():
            return value.isoformat()
        case frozenset() | set():
            return sorted(value)
        case Path() | Enum():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def answer(value: object, *, text: str, as_json: bool) -> None:
    """Print `value` as JSON, or `text` for people."""
    typer.echo(document(value) if as_json else text)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of equal keys as aligned columns under their names."""
    if not rows:
        return "(none)"
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case frozenset() | tuple():
            return ",".join(sorted(map(str, value)))
    return str(value)


def failure(error: Exception, *, as_json: bool) -> None:
    """Say on standard error what went wrong and what to do; with `--json` on standard output, as a document."""
    hint = error.hint if isinstance(error, HemlineError) else None
    if as_json:
        typer.echo(document({"error": {"message": str(error), "hint": hint}}))
        return
    typer.echo(f"error: {error}", err=True)
    if hint:
        typer.echo(hint, err=True)
