"""`/api/v1/workers` and `/queues`: who reads, what waits."""

from apiflask import APIBlueprint

from store import queues, workers
from web.api.views import page_of
from web.context import site
from web.gate import READING, needs
from web.inputs import PageIn
from web.outputs import QueueList, WorkerList

blueprint = APIBlueprint("api_fleet", __name__, url_prefix="/api/v1", tag="Workers and queues")


@blueprint.get("/workers")
@blueprint.input(PageIn, location="query")
@blueprint.output(WorkerList)
@blueprint.doc(summary="List the living workers", security="token")
@needs(*READING)
def list_workers(query_data: PageIn) -> WorkerList:
    """List the workers that are alive, with their model and device."""
    with site().database.read() as db:
        return WorkerList.model_validate(page_of(workers.list_workers(db), query_data, key=lambda worker: worker.id))


@blueprint.get("/queues")
@blueprint.input(PageIn, location="query")
@blueprint.output(QueueList)
@blueprint.doc(summary="List the queues", security="token")
@needs(*READING)
def list_queues(query_data: PageIn) -> QueueList:
    """List the queues: how many jobs wait, how long the oldest has, and who serves them."""
    with site().database.read() as db:
        return QueueList.model_validate(page_of(queues.list_queues(db), query_data, key=lambda queue: queue.name.value))
