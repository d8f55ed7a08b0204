"""`hemline dataset`: bring labelled reviews, and see what became of their rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemline.commands import opened
from hemline.commands.waiting import wait_for_end
from hemline.errors import HemlineError
from hemline.output import Json, answer, table

if TYPE_CHECKING:
    from store.database import Database
    from store.datasets import DatasetView
    from store.jobs import JobView
    from store.settings import Settings

app = typer.Typer(help="Labelled reviews to train on and to judge models by.", no_args_is_help=True)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV in UTF-8, or Parquet.")],
    name: Annotated[str, typer.Option(help="Of the data set; one that is there already gets its next version.")],
    mapping: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=HEADER", help="Which column is which; may be repeated.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the import to end.")] = 600.0,
    as_json: Json = False,
) -> None:
    """Store a file, wait for a worker to import it, and print what its rows look like."""
    from store import datasets

    fields = _fields(name, mapping or [])
    settings = opened.settings()
    with opened.migrated_database() as database:
        job = _submit(settings, database, file, *fields)
        ended = wait_for_end(database, job, within_s=wait)
        with database.read() as session:
            dataset = datasets.get(session, job.params["dataset_id"])
    if dataset is None or dataset.state != "ready":
        error = ended.error
        raise HemlineError(
            f"job {job.id} ended as {ended.state}" + (f": {error.message}" if error else ""),
            hint=error.hint if error else None,
        )
    answer(dataset, text=_in_words(dataset), as_json=as_json)


def _fields(name: str, mapping: list[str]) -> tuple[str, dict[str, str]]:
    from pydantic import ValidationError

    from web.inputs import DatasetIn

    pairs = dict(pair.partition("=")[::2] for pair in mapping)
    if len(pairs) < len(mapping):
        raise typer.BadParameter("names a field twice", param_hint="--mapping")
    try:
        valid = DatasetIn.model_validate({"name": name, "mapping": pairs})
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"][1:2])
        raise typer.BadParameter(f"{where}{first['msg']}", param_hint=f"--{first['loc'][0]}") from None
    return valid.name, {str(field): header for field, header in valid.mapping.items()}


def _submit(settings: "Settings", database: "Database", file: Path, name: str, mapping: dict[str, str]) -> "JobView":
    from store import artifacts, datasets
    from store.jobs import Actor
    from worker.queue import Doorbell

    upload = artifacts.new_upload()
    with file.open("rb") as source:
        artifacts.put_file(settings, source, upload)
    with database.begin() as session:
        job = datasets.submit_import(
            session,
            name=name,
            upload=upload,
            n_bytes=file.stat().st_size,
            mapping=mapping,
            actor=Actor(user_id=None, token_id=None, name="hemline dataset import"),
            queue_limit=settings.queue_limit,
        ).job
    if settings.redis_url is not None:
        Doorbell(settings).ring(job.id, job.queue)
    return job


@app.command("list")
def list_datasets(
    name: Annotated[str | None, typer.Option(help="Only the versions of this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List the versions of data sets, newest first."""
    from store import datasets

    with opened.migrated_database() as database, database.read() as session:
        page = datasets.list_datasets(session, name=name, limit=limit, cursor=cursor)
    shown = ("id", "name", "version", "state", "n_rows", "n_rejected", "created_at", "created_by")
    text = table([{field: getattr(dataset, field) for field in shown} for dataset in page.items])
    answer(page, text=text if page.next is None else f"{text}\nnext page: --cursor {page.next}", as_json=as_json)


@app.command()
def show(
    dataset_id: Annotated[int, typer.Argument(help="As `hemline dataset list` shows it.")], as_json: Json = False
) -> None:
    """Show one version with what its rows look like."""
    from store import datasets

    with opened.migrated_database() as database, database.read() as session:
        dataset = datasets.get(session, dataset_id)
    if dataset is None:
        raise HemlineError(f"there is no data set {dataset_id}", hint="`hemline dataset list` shows those that exist.")
    answer(dataset, text=_in_words(dataset), as_json=as_json)


def _in_words(dataset: "DatasetView") -> str:
    facts = {
        "data set": f"{dataset.id}: {dataset.name}, version {dataset.version}, {dataset.state}",
        "rows": f"{dataset.n_rows:,} kept, {dataset.n_rejected:,} rejected",
        "sha256": dataset.sha256 or "-",
        "job": dataset.job_id or "-",
    }
    report = dataset.report
    if report is not None:
        facts |= {
            "unlabelled": f"{report['n_without_rating']:,} without stars, {report['n_without_age']:,} without an age",
            "duplicates": f"{report['n_duplicates']:,}",
            "not English?": f"{report['n_looks_foreign']:,} by a rule of thumb: {report['foreign_rule']}",
            "words": ", ".join(f"{name} {n}" for name, n in report["words"].items()),
            "stars": ", ".join(f"{stars}★ {n:,}" for stars, n in report["ratings"].items()),
            "ages": ", ".join(f"{band} {n:,}" for band, n in report["ages"].items()),
        }
    lines = "\n".join(f"{name:13} {fact}" for name, fact in facts.items())
    rejects = report["rejects"][:10] if report else []
    return f"{lines}\n\nfirst rejected rows\n{table(rejects)}" if rejects else lines
