"""`/api/v1/workers`, `/queues` and `/models`: who reads, what waits, which model answers."""

from http import HTTPStatus

from apiflask import APIBlueprint

from store import models, queues, workers
from web.context import site
from web.errors import ProblemError
from web.gate import READING, needs
from web.outputs import ModelList, ModelOut, QueueList, QueueOut, WorkerList, WorkerOut

blueprint = APIBlueprint("api_fleet", __name__, url_prefix="/api/v1", tag="Workers, queues and models")


@blueprint.get("/workers")
@blueprint.output(WorkerList)
@blueprint.doc(summary="List the living workers", security="token")
@needs(*READING)
def list_workers() -> WorkerList:
    """List the workers that are alive, with their model and device."""
    with site().database.read() as db:
        return WorkerList(items=tuple(map(WorkerOut.model_validate, workers.list_workers(db))))


@blueprint.get("/queues")
@blueprint.output(QueueList)
@blueprint.doc(summary="List the queues", security="token")
@needs(*READING)
def list_queues() -> QueueList:
    """List the queues: how many jobs wait, how long the oldest has, and who serves them."""
    with site().database.read() as db:
        return QueueList(items=tuple(map(QueueOut.model_validate, queues.list_queues(db))))


@blueprint.get("/models")
@blueprint.output(ModelList)
@blueprint.doc(summary="List the model versions", security="token")
@needs(*READING)
def list_models() -> ModelList:
    """List the registered model versions with their evaluation records."""
    with site().database.read() as db:
        return ModelList(items=tuple(map(ModelOut.model_validate, models.list_models(db))))


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
