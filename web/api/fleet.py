"""`/api/v1/workers`, `/queues` and `/models`: who reads, what waits, which model answers."""

from http import HTTPStatus

from apiflask import APIBlueprint

from store import models, queues, workers
from web.api.views import page_of
from web.context import site
from web.errors import ProblemError
from web.gate import READING, needs
from web.inputs import PageIn
from web.outputs import ModelList, ModelOut, QueueList, WorkerList

blueprint = APIBlueprint("api_fleet", __name__, url_prefix="/api/v1", tag="Workers, queues and models")


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


@blueprint.get("/models")
@blueprint.input(PageIn, location="query")
@blueprint.output(ModelList)
@blueprint.doc(summary="List the model versions", security="token")
@needs(*READING)
def list_models(query_data: PageIn) -> ModelList:
    """List the registered model versions with their evaluation records."""
    with site().database.read() as db:
        return ModelList.model_validate(page_of(models.list_models(db), query_data, key=lambda model: model.version))


@blueprint.get("/models/<string(maxlength=64):version>")
@blueprint.output(ModelOut)
@blueprint.doc(summary="Look at one model version", security="token")
@needs(*READING)
def show_model(version: str) -> ModelOut:
    """Show one model version with its evaluation record."""
    with site().database.read() as db:
        model = models.get(db, version) if version.isprintable() else None
    if model is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such model version.")
    return ModelOut.model_validate(model)
