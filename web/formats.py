"""How values read on a page: Jinja filters, and the addresses of built assets."""

import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path

from flask import Flask, request, url_for
from markupsafe import Markup

from web.context import visitor

STATIC = Path(__file__).parent / "static"
DASH = "\N{EN DASH}"
THEMES = frozenset({"light", "dark"})

_NAV = (
    ("read.index", "Read"),
    ("reviews.index", "Reviews"),
    ("jobs.index", "Jobs"),
    ("datasets.index", "Data sets"),
    ("train.show", "Train"),
    ("models.index", "Models"),
    ("fleet.workers_page", "Workers"),
)


def duration(seconds: float | None) -> str:
    """A length of time in one or two units: `0.3 s`, `42 s`, `3 min 5 s`, `2 h 14 min`, `3 d 1 h`."""
    if seconds is None:
        return DASH
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    for large, small, per, size in (("d", "h", 24, 3600), ("h", "min", 60, 60), ("min", "s", 60, 1)):
        n_large, rest = divmod(whole // size, per)
        if n_large:
            return f"{n_large} {large} {rest} {small}" if rest else f"{n_large} {large}"
    return f"{whole} s"


def between(start: datetime | None, end: datetime | None) -> str:
    """The length of time from start to end, a dash while one of them is missing."""
    return duration((end - start).total_seconds()) if start and end else DASH


def iso(at: datetime) -> str:
    """For `<time datetime>`: the script turns it into local words."""
    return at.isoformat(timespec="seconds")


def utc(at: datetime) -> str:
    """What stands in the page without JavaScript."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 review`, `1,204 reviews`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def excerpt(text: str, n_chars: int = 160) -> str:
    """The beginning of a text on one line, cut at a word."""
    line = " ".join(text.split())
    return line if len(line) <= n_chars else line[:n_chars].rsplit(" ", 1)[0] + "…"


def ticks(text: str) -> Markup:
    """Plain words with `code` between backticks."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def asset(name: str) -> str:
    """The address of a static file, with its hash so that it may be cached for ever."""
    return url_for("static", filename=name, v=_hash(STATIC / name))


@cache
def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "unbuilt"


def theme() -> str:
    """The colours that this browser chose, or `auto` for what its system prefers."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in THEMES else "auto"


def wants_fragment() -> bool:
    """Whether htmx asks for the changing part of a page only."""
    return bool(request.headers.get("HX-Request")) and not request.headers.get("HX-History-Restore-Request")


def register_formats(app: Flask) -> None:
    """Hand the filters and the common values to the templates."""
    app.add_template_filter(duration)
    app.add_template_filter(iso)
    app.add_template_filter(utc)
    app.add_template_filter(count)
    app.add_template_filter(excerpt)
    app.add_template_filter(ticks)
    app.add_template_global(between)
    app.add_template_global(asset)
    app.add_template_global(theme)
    app.add_template_global(wants_fragment)
    app.add_template_global(visitor)
    app.jinja_env.globals["navigation"] = _NAV
