"""`hemline jobs`: what is queued, running and done."""

from typing import Annotated

import typer

from hemline.commands import opened
from hemline.errors import HemlineError
from hemline.output import Json, answer, table

app = typer.Typer(help="What is queued, running and done.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id.")]


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from store import jobs

    if state is not None and state not in list(jobs.JobState):
        raise typer.BadParameter(f"is one of {', '.join(jobs.JobState)}", param_hint="--state")
    with opened.migrated_database() as database, database.read() as session:
        page = jobs.list_jobs(session, state=jobs.JobState(state) if state else None, limit=limit, cursor=cursor)
    shown = ("id", "kind", "state", "queue", "done", "total", "attempts", "created_at", "created_by")
    text = table([{name: getattr(job, name) for name in shown} for job in page.items])
    answer(page, text=text if page.next is None else f"{text}\nnext page: --cursor {page.next}", as_json=as_json)


@app.command()
def show(job_id: JobId, as_json: Json = False) -> None:
    """Show one job with its history."""
    from store import jobs

    with opened.migrated_database() as database, database.read() as session:
        job = jobs.get(session, job_id)
        events = jobs.events(session, job_id)
    if job is None:
        raise HemlineError(f"there is no job {job_id}")
    facts = "\n".join(f"{name:17} {value}" for name, value in vars(job).items() if value is not None)
    history = table([{"at": event.at, "event": event.name, "data": event.data} for event in events])
    answer({"job": job, "events": events}, text=f"{facts}\n\n{history}", as_json=as_json)
