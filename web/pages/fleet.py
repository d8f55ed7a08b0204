"""Workers: who reads, with what, and what waits."""

from datetime import UTC, datetime

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from store import queues, workers
from web.context import site
from web.formats import wants_fragment
from web.gate import READING, needs

POLL_S = 3

blueprint = Blueprint("fleet", __name__)


@blueprint.get("/workers")
@needs(*READING)
def workers_page() -> ResponseReturnValue:
    """Show who is alive and what waits; for htmx the part of it that changes."""
    with site().database.read() as db:
        listed = workers.list_workers(db, include_gone=True)
        queue_views = queues.list_queues(db)
    return render_template(
        "fleet/_workers.html" if wants_fragment() else "fleet/workers.html",
        workers=[worker for worker in listed if worker.is_alive],
        gone=[worker for worker in listed if not worker.is_alive][:10],
        queues=queue_views,
        now=datetime.now(UTC),
        poll_s=POLL_S,
    )
