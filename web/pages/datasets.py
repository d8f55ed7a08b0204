"""Data sets: upload one, see what became of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from store import datasets
from store.datasets import MAPPABLE, DatasetView
from store.errors import UnknownCursorError
from store.paging import Page
from web.context import site
from web.errors import FieldError, ProblemError
from web.gate import needs
from web.inputs import PageIn
from web.pages.query import STALE_CURSOR, query
from web.uploads import read_upload, send_rejects, submit_upload

DATA = ("train", "reviews:read")
_COUNTS = {
    "n_duplicates": "Duplicates",
    "n_without_rating": "Without stars",
    "n_without_age": "Without an age",
    "n_looks_foreign": "Perhaps not English",
}

blueprint = Blueprint("datasets", __name__, url_prefix="/datasets")


@dataclass(frozen=True)
class Bar:
    """How many rows have one value."""

    name: str
    n: int


@dataclass(frozen=True)
class Chart:
    """A distribution, as bars beside its figures."""

    title: str
    bars: tuple[Bar, ...]

    @property
    def largest(self) -> int:
        """What the longest bar stands for, 1 at least."""
        return max(1, *(bar.n for bar in self.bars))


@blueprint.get("")
@needs(*DATA)
def index() -> ResponseReturnValue:
    """Show one page of the versions, newest first, and the form that brings another."""
    asked, errors = query(PageIn)
    return _page(asked, errors)


@blueprint.post("")
@needs("train")
def upload() -> ResponseReturnValue:
    """Keep the file and show the job that imports it (303), or the form again (422)."""
    try:
        submitted = submit_upload(read_upload(_fields))
    except ProblemError as problem:
        if problem.status is not HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        return _page(PageIn(), tuple(FieldError(e.field, f"{e.field}: {e.message}.") for e in problem.errors))
    return redirect(url_for("jobs.show", job_id=submitted.job.id), HTTPStatus.SEE_OTHER)


def _fields(form: Mapping[str, str]) -> dict[str, Any]:
    columns = {field: form.get(f"column_{field}", "").strip() for field in MAPPABLE}
    return {"name": form.get("name", ""), "mapping": {field: header for field, header in columns.items() if header}}


def _page(asked: PageIn, errors: tuple[FieldError, ...]) -> ResponseReturnValue:
    with site().database.read() as db:
        try:
            page = datasets.list_datasets(db, limit=asked.limit, cursor=asked.cursor)
        except UnknownCursorError:
            page, errors = Page[DatasetView]((), None), (*errors, STALE_CURSOR)
    typed = request.form if request.method == "POST" else {}
    rendered = render_template(
        "datasets/page.html", page=page, asked=asked, errors=errors, fields=MAPPABLE, typed=typed
    )
    return rendered, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK


@blueprint.get("/<row_id:dataset_id>")
@needs(*DATA)
def show(dataset_id: int) -> ResponseReturnValue:
    """Show one version with what its rows look like."""
    dataset = _found(dataset_id)
    report = dataset.report or {}
    charts = [
        Chart(title, tuple(Bar(name, n) for name, n in report[key].items()))
        for title, key in (("Stars", "ratings"), ("Age", "ages"))
        if key in report
    ]
    counts = [(name, report[key]) for key, name in _COUNTS.items() if key in report]
    return render_template("datasets/dataset.html", dataset=dataset, charts=charts, counts=counts)


@blueprint.get("/<row_id:dataset_id>/rejects")
@needs(*DATA)
def rejects(dataset_id: int) -> Response:
    """Hand out the rows that were left out."""
    return send_rejects(_found(dataset_id))


def _found(dataset_id: int) -> DatasetView:
    with site().database.read() as db:
        dataset = datasets.get(db, dataset_id)
    if dataset is None:
        abort(HTTPStatus.NOT_FOUND)
    return dataset
