"""`/api/v1/datasets`: bring labelled reviews, and see what became of their rows."""

from http import HTTPStatus
from typing import Any

from apiflask import APIBlueprint
from flask import Response, send_file, url_for
from sqlalchemy.orm import Session

from store import artifacts, datasets, jobs
from store.datasets import DatasetView
from web.api.idempotency import idempotency
from web.api.views import job_out
from web.context import site
from web.errors import ProblemError
from web.gate import needs
from web.inputs import DatasetListIn
from web.outputs import DatasetList, DatasetOut, DatasetSummaryOut, JobErrorOut, JobOut
from web.uploads import read_upload, submit_upload

DATA = ("train", "reviews:read")

_REJECTS: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {"description": "The file", "content": {"text/csv": {"schema": {"type": "string"}}}}
}

blueprint = APIBlueprint("api_datasets", __name__, url_prefix="/api/v1/datasets", tag="Datasets")


@blueprint.post("")
@blueprint.output(JobOut, HTTPStatus.ACCEPTED, description="Accepted; `Location` names the job that imports it")
@blueprint.doc(
    summary="Upload a CSV or Parquet file of labelled reviews",
    description="A name that is there already gets its next version. Rows that cannot be used are left out and listed "
    "in the report; they do not fail the import.",
    security="token",
    responses={400: "Not a well-formed request", 413: "Larger than 2 GiB", 415: "Not multipart/form-data"},
)
@needs("train")
def create() -> tuple[JobOut, int, dict[str, str]]:
    """Keep the file and store the job that imports it."""
    submitted = submit_upload(read_upload(), idempotency=idempotency)
    headers = {"Location": url_for("api_jobs.show", job_id=submitted.job.id)}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return job_out(submitted.job), HTTPStatus.ACCEPTED, headers


@blueprint.get("")
@blueprint.input(DatasetListIn, location="query")
@blueprint.output(DatasetList)
@blueprint.doc(summary="List the versions of data sets, newest first", security="token")
@needs(*DATA)
def index(query_data: DatasetListIn) -> DatasetList:
    """List the versions of all data sets, or of the one with this name."""
    with site().database.read() as db:
        page = datasets.list_datasets(db, **dict(query_data))
    return DatasetList(items=tuple(DatasetSummaryOut(**_summary(dataset)) for dataset in page.items), next=page.next)


@blueprint.get("/<row_id:dataset_id>")
@blueprint.output(DatasetOut)
@blueprint.doc(summary="Look at one version of a data set", security="token")
@needs(*DATA)
def show(dataset_id: int) -> DatasetOut:
    """Show one version with what its rows look like."""
    with site().database.read() as db:
        dataset = _found(db, dataset_id)
        job = jobs.get(db, dataset.job_id) if dataset.job_id else None
    error = JobErrorOut.model_validate(job.error) if job and job.error and dataset.state == "failed" else None
    return DatasetOut(**_summary(dataset), report=dataset.report, error=error)


@blueprint.get("/<row_id:dataset_id>/rejects")
@blueprint.doc(
    summary="The rows that an import left out, as CSV",
    description="Columns: line, column, value, reason.",
    security="token",
    responses=_REJECTS,
)
@needs(*DATA)
def rejects(dataset_id: int) -> Response:
    """Hand out the rejects file of a version that is ready."""
    with site().database.read() as db:
        dataset = _found(db, dataset_id)
    if dataset.rejects_artifact is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"Data set {dataset_id} is {dataset.state}; it has no rejects file.")
    return send_rejects(dataset, dataset.rejects_artifact)


def send_rejects(dataset: DatasetView, artifact: str) -> Response:
    """The rejects file as a download."""
    try:
        file = artifacts.open_file(site().settings, artifact)
    except FileNotFoundError:
        raise ProblemError(HTTPStatus.NOT_FOUND, "The rejects file is no longer in the artifact store.") from None
    name = f"dataset-{dataset.id}-rejects.csv"
    return send_file(file, mimetype="text/csv", as_attachment=True, download_name=name)


def _found(db: Session, dataset_id: int) -> DatasetView:
    dataset = datasets.get(db, dataset_id)
    if dataset is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no data set {dataset_id}.")
    return dataset


def _summary(dataset: DatasetView) -> dict[str, Any]:
    links = {"self": url_for("api_datasets.show", dataset_id=dataset.id)}
    if dataset.job_id is not None:
        links["job"] = url_for("api_jobs.show", job_id=dataset.job_id)
    if dataset.rejects_artifact is not None:
        links["rejects"] = url_for("api_datasets.rejects", dataset_id=dataset.id)
    shown = ("id", "name", "version", "state", "source", "n_rows", "n_rejected", "sha256", "created_by", "created_at")
    return {name: getattr(dataset, name) for name in shown} | {"job": dataset.job_id, "links": links}
