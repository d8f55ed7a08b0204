"""Asking for a training, for the page and the API alike: check, store, commit, ring."""

from http import HTTPStatus
from typing import Literal

from store import datasets, jobs
from store.jobs import Idempotency, JobKind, QueueName, Submitted
from store.train_params import TrainParams
from web.context import identity, site
from web.errors import FieldError, ProblemError
from web.inputs import Strict


class TrainJobIn(Strict):
    """The body of `POST /jobs`: what to do, and how."""

    kind: Literal["train"]
    params: TrainParams


def submit_training(params: TrainParams, *, idempotency: Idempotency | None = None) -> Submitted:
    """Queue a training on a data set that is ready, then wake a worker.

    Raises:
        ProblemError: 422 when there is no such data set, or it is not ready.
    """
    # What is left out is settled now: a default that changes must not change a training that waits or was interrupted.
    choices = {"backbone": site().settings.backbone} | params.choices()
    with site().database.begin() as db:
        dataset = datasets.get(db, params.dataset_id)
        if dataset is None or dataset.state != "ready":
            reason = "names no data set" if dataset is None else f"names a data set that is {dataset.state}, not ready"
            wrong = FieldError("params.dataset_id", reason)
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{wrong.field} {wrong.message}.", [wrong])
        submitted = jobs.submit_job(
            db,
            kind=JobKind.TRAIN,
            queue=QueueName.TRAIN,
            params={"dataset_id": params.dataset_id, **choices},
            total=1,  # its worker counts the steps once it has read the data
            actor=identity().actor,
            queue_limit=site().settings.queue_limit,
            idempotency=idempotency,
        )
    if not submitted.replayed:
        site().depth.add_one()
        site().doorbell.ring(submitted.job.id, submitted.job.queue)
    return submitted
