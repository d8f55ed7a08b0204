"""`hemline config`: which settings hold here."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from hemline.commands import opened
from hemline.output import Json, answer, table

if TYPE_CHECKING:
    from store.settings import Settings

HIDDEN = "********"
SECRET_IN_QUERY = re.compile(r"([?&][^=&#]*(?:pass|secret|token|key)[^=&#]*=)[^&#]*", re.IGNORECASE)

app = typer.Typer(help="Which settings hold here.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `show` a command of its own."""


@app.command()
def show(as_json: Json = False) -> None:
    """Print every setting, where it comes from and what it does; secrets are hidden."""
    opened.warn_of_misspelt_settings()
    rows = described(opened.settings())
    text = table([{name: row[name] for name in ("setting", "value", "from")} for row in rows])
    answer(rows, text=text, as_json=as_json)


def described(settings: "Settings") -> list[dict[str, Any]]:
    """Each setting with its variable, shown value, origin and description."""
    from store.settings import ENV_PREFIX

    rows = []
    for name, field in type(settings).model_fields.items():
        variable = ENV_PREFIX + name.upper()
        value = getattr(settings, name)
        rows.append(
            {
                "setting": variable,
                "value": shown(value),
                "from": _origin(variable, is_default=value in (field.default, _resolved(field.default))),
                "description": field.description,
            }
        )
    return rows


def _resolved(value: object) -> object:
    return value.resolve() if isinstance(value, Path) else value


def _origin(variable: str, *, is_default: bool) -> str:
    if os.environ.get(variable):
        return "environment"
    return "default" if is_default else "HOME"


def shown(value: object) -> object:
    """A setting's value with whatever is secret in it hidden."""
    match value:
        case SecretStr():
            return HIDDEN
        case Path():
            return str(value)
        case str() if "://" in value:
            return _without_password(value)
    return value


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    if password:
        url = url.replace(f":{password}@", f":{HIDDEN}@", 1)
    return SECRET_IN_QUERY.sub(rf"\1{HIDDEN}", url)
