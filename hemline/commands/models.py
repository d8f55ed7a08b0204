"""`hemline models`: which models are installed and which one answers."""

import typer

from hemline.commands import opened
from hemline.output import Json, answer, table

app = typer.Typer(help="Which models are installed and which one answers.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the model versions, newest first."""
    from store import models

    with opened.migrated_database() as database, database.read() as session:
        versions = models.list_models(session)
    shown = ("version", "state", "backbone", "created_at", "activated_at")
    rows = [{name: getattr(version, name) for name in shown} for version in versions]
    answer(versions, text=table(rows), as_json=as_json)


@app.command("install-starter")
def install_starter(as_json: Json = False) -> None:
    """Install the starter model, or repair it; it answers when no other model does."""
    from hemline.starter import install

    with opened.migrated_database() as database:
        installed = install(opened.settings(), database)
    answer(installed, text=f"{installed.version} is installed ({installed.state}).", as_json=as_json)
