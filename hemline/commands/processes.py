"""The processes of an installation: all of them on one machine, or each by itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from hemline.commands import opened
from hemline.errors import HemlineError
from hemline.output import Json, answer

if TYPE_CHECKING:
    from store.settings import Settings

JsonUp = Annotated[bool, typer.Option("--json", help="Print one JSON document when ready; the log goes to stderr.")]
JsonLog = Annotated[bool, typer.Option("--json", help="Log one JSON document a line.")]


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of HEMLINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, instead of HEMLINE_PORT.")] = None,
    as_json: JsonUp = False,
) -> None:
    """Start everything on this machine and keep it running: Redis, workers, sweeper, web."""
    from hemline import one_machine
    from store.settings import load

    opened.warn_of_misspelt_settings()
    chosen = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    raise typer.Exit(one_machine.up(load(**chosen), as_json=as_json))


def web(as_json: JsonLog = False) -> None:
    """Serve the pages and the API (`hemline up` does this too)."""
    settings = _process_settings(as_json)
    from web.server import run

    raise typer.Exit(run(settings))


def worker(
    long_jobs: Annotated[
        bool, typer.Option("--long-jobs", help="Serve the queues `data` and `train` (imports, trainings) instead.")
    ] = False,
    as_json: JsonLog = False,
) -> None:
    """Read reviews with the model, or run long jobs (`hemline up` does both)."""
    settings = _process_settings(as_json)
    from worker.main import run, run_work

    raise typer.Exit(run_work(settings) if long_jobs else run(settings))


def sweeper(as_json: JsonLog = False) -> None:
    """Recover lapsed jobs and ring lost bells (`hemline up` does this too)."""
    settings = _process_settings(as_json)
    from worker.sweeper import run

    raise typer.Exit(run(settings))


def _process_settings(as_json: bool) -> "Settings":
    """What a long-running process needs to have settled before it starts.

    Raises:
        HemlineError: a setting is missing that `hemline up` would have made.
    """
    settings = opened.settings()
    if settings.redis_url is None:
        raise HemlineError(
            "HEMLINE_REDIS_URL is not set", hint="Name a Redis, or let `hemline up` start one and all processes."
        )
    return settings.model_copy(update={"log_format": "json"}) if as_json else settings


def migrate(as_json: Json = False) -> None:
    """Bring the database to the newest revision and apply the administrator of HEMLINE_ADMIN_*."""
    from hemline.provision import make_first_admin, prepare

    settings = opened.settings()
    revision = prepare(settings).revision
    made = make_first_admin(settings)
    lines = [f"The database is at revision {revision}."]
    if made is not None:
        lines.append(f"Administrator {made.email}, password {made.password} (shown this once)")
    answer({"revision": revision, "first_admin": made}, text="\n".join(lines), as_json=as_json)
