"""`hemline models`: which models are installed and which one answers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hemline.commands import opened
from hemline.errors import HemlineError
from hemline.output import Json, answer, table

if TYPE_CHECKING:
    from store.jobs import Actor

Version = Annotated[str, typer.Argument(help="The model version.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the record.")]

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


@app.command()
def show(version: Version, as_json: Json = False) -> None:
    """Show one model version: its figures beside TF-IDF's, what it was made of, when it served."""
    from store import honesty, model_changes, models

    with opened.migrated_database() as database, database.read() as session:
        model = models.get(session, version)
        changes = model_changes.list_changes(session, version)
    if model is None:
        raise HemlineError(f"there is no model version {version}", hint="`hemline models list` names them.")
    objection = honesty.objection(model.evaluation)
    facts = {name: value for name, value in vars(model).items() if name not in {"evaluation", "lineage"}}
    facts |= model.lineage or {}
    lines = "\n".join(f"{name:17} {value}" for name, value in facts.items() if value is not None)
    gate = f"not promotable without an override: {objection}" if objection else "beats TF-IDF on rating"
    shown = ("at", "action", "version", "previous", "made_by", "reason", "override_reason")
    history = table([{name: getattr(change, name) for name in shown} for change in changes])
    text = f"{lines}\n{'honesty gate':17} {gate}\n\n{table(_figures(model.evaluation or {}))}\n\n{history}"
    answer({"model": model, "objection": objection, "changes": changes}, text=text, as_json=as_json)


def _figures(evaluation: dict[str, Any]) -> list[dict[str, object]]:
    """Each figure of a record beside the same figure of each baseline; what the record lacks is a dash."""
    baselines: dict[str, Any] = evaluation.get("baselines") or {}
    return [
        {
            "metric": f"{head}.{name}",
            "model": _figure(value),
            **{rival: _figure(record.get(head, {}).get(name)) for rival, record in baselines.items()},
        }
        for head in ("rating", "age")
        for name, value in (evaluation.get(head) or {}).items()
        if isinstance(value, float)
    ]


def _figure(value: object) -> str | None:
    return f"{value:.3f}" if isinstance(value, int | float) else None


@app.command()
def promote(
    version: Version,
    reason: Reason = None,
    override_reason: Annotated[
        str | None, typer.Option(help="Why it shall serve although the honesty gate refuses it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a version into service; workers change over by themselves."""
    from store import models

    with opened.migrated_database() as database, database.begin() as session:
        change = models.promote(session, version, by=_actor(), reason=reason, override_reason=override_reason)
    text = f"{version} serves already." if change is None else f"{version} serves; before it {change.previous} did."
    answer({"serving": version, "change": change}, text=text, as_json=as_json)


@app.command()
def rollback(reason: Reason = None, as_json: Json = False) -> None:
    """Take the last promotion back; again goes one further back."""
    from store import models

    with opened.migrated_database() as database, database.begin() as session:
        change = models.rollback(session, by=_actor(), reason=reason)
    text = f"{change.version} serves again, in place of {change.previous}."
    answer({"serving": change.version, "change": change}, text=text, as_json=as_json)


@app.command()
def archive(version: Version, as_json: Json = False) -> None:
    """Lay a version aside; its files and predictions stay."""
    from store import models

    with opened.migrated_database() as database, database.begin() as session:
        archived = models.archive(session, version, by=_actor())
    answer(archived, text=f"{version} is archived.", as_json=as_json)


@app.command()
def delete(version: Version, as_json: Json = False) -> None:
    """Remove a version and its files, unless it serves or predictions refer to it."""
    from store import artifacts, models

    with opened.migrated_database() as database, database.begin() as session:
        gone = models.delete(session, version, by=_actor())
    artifacts.remove(opened.settings(), gone.artifact)
    answer(gone, text=f"{version} is deleted.", as_json=as_json)


def _actor() -> "Actor":
    """Whoever has a shell here, by the name of that account."""
    import getpass
    import os

    from store.jobs import Actor

    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # in a container the number may have no name
        account = str(os.getuid())
    return Actor(user_id=None, token_id=None, name=f"hemline ({account})")
