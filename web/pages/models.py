"""Models: which versions there are, how good each is, which one serves, and changing that."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from store import honesty, model_changes, models, workers
from store.models import ModelVersionView
from store.workers import WorkerView
from web import registry
from web.context import identity, site
from web.errors import FieldError, ProblemError
from web.gate import READING, RELEASING, needs
from web.inputs import PromoteIn, RollbackIn
from web.pages import evaluation
from web.pages.evaluation import Evaluation
from web.validation import field_errors

VERSION = "<string(maxlength=64):version>"
OVERRIDE_MISSING = "Say why this version shall serve although it does not beat TF-IDF."
LABELS = {"reason": "Reason", "override_reason": "Override"}

Form = TypeVar("Form", bound=BaseModel)

blueprint = Blueprint("models", __name__, url_prefix="/models")


@dataclass(frozen=True)
class ModelCard:
    """A model version with its evaluation laid out."""

    model: ModelVersionView
    evaluation: Evaluation


@dataclass(frozen=True)
class Acknowledgement:
    """A living worker that reads, and whether it has the version in service."""

    worker: WorkerView
    is_current: bool


@blueprint.get("")
@needs(*READING)
def index() -> ResponseReturnValue:
    """Show the registered model versions beside their baselines, the active one first."""
    return _list()


@blueprint.post("/rollback")
@needs("train", roles=RELEASING)
def rollback() -> ResponseReturnValue:
    """Take the last promotion back and show the versions (303), or why that is not done (409, 422)."""
    form, errors = _parse(RollbackIn, "reason", "serving")
    if errors:
        return _list(errors), HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        registry.rollback(reason=form.reason, serving=form.serving)
    except ProblemError as problem:
        return _list([FieldError("", problem.detail)]), problem.status
    return redirect(url_for("models.index"), HTTPStatus.SEE_OTHER)


@blueprint.get(f"/{VERSION}")
@needs(*READING)
def show(version: str) -> ResponseReturnValue:
    """Show one version: its evaluation, what it was made of, when it served."""
    return _page(version)


@blueprint.post(f"/{VERSION}/promote")
@needs("train", roles=RELEASING)
def promote(version: str) -> ResponseReturnValue:
    """Put a version into service and show it (303), or the form again with what the gate says (409, 422)."""
    form, errors = _parse(PromoteIn, "reason", "override_reason")
    if not errors and request.form.get("override_reason") is not None and not (form.override_reason or "").strip():
        errors = [FieldError("override_reason", OVERRIDE_MISSING)]
    if errors:
        return _page(version, errors), HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        registry.promote(version, reason=form.reason, override_reason=form.override_reason)
    except ProblemError as problem:
        return _refused(version, problem)
    return _to(version)


@blueprint.post(f"/{VERSION}/archive")
@needs("train", roles=RELEASING)
def archive(version: str) -> ResponseReturnValue:
    """Lay a version aside and show it (303), or why that is not done (409)."""
    try:
        registry.archive(version)
    except ProblemError as problem:
        return _refused(version, problem)
    return _to(version)


@blueprint.post(f"/{VERSION}/delete")
@needs("train", roles=RELEASING)
def delete(version: str) -> ResponseReturnValue:
    """Remove a version and show the others (303), or why that is not done (409)."""
    try:
        registry.delete(version)
    except ProblemError as problem:
        return _refused(version, problem)
    return redirect(url_for("models.index"), HTTPStatus.SEE_OTHER)


@blueprint.get(f"/{VERSION}/download")
@needs("train")
def download(version: str) -> Response:
    """Give the version's folder as a ZIP."""
    return registry.download(version)


def _to(version: str) -> ResponseReturnValue:
    return redirect(url_for("models.show", version=version), HTTPStatus.SEE_OTHER)


def _refused(version: str, problem: ProblemError) -> ResponseReturnValue:
    if problem.status is HTTPStatus.NOT_FOUND:
        raise problem
    return _page(version, [FieldError("", problem.detail)]), problem.status


def _parse(wanted: type[Form], *names: str) -> tuple[Form, Sequence[FieldError]]:
    """What was typed, and what is wrong with it in sentences; an empty field counts as not given."""
    typed: dict[str, Any] = {name: request.form.get(name, "").strip() or None for name in names}
    try:
        return wanted.model_validate(typed), ()
    except ValidationError as error:
        wrong = [
            FieldError(found.field, f"{LABELS.get(found.field, found.field)}: {found.message}.")
            for found in field_errors(error)
        ]
        return wanted(), wrong


def _list(errors: Sequence[FieldError] = ()) -> str:
    with site().database.read() as db:
        listed = models.list_models(db)
        acknowledgements = _acknowledgements(db)
        target = models.rollback_target(db)
    ordered = sorted(listed, key=lambda model: model.state != "active")
    return render_template(
        "models/page.html",
        cards=[ModelCard(model, evaluation.read(model.evaluation)) for model in ordered],
        acknowledgements=acknowledgements,
        target=target,
        errors=errors,
        may_release=_may_release(),
        typed=request.form,
    )


def _page(version: str, errors: Sequence[FieldError] = ()) -> str:
    with site().database.read() as db:
        model = registry.find(db, version)
        changes = model_changes.list_changes(db, version)
        acknowledgements = _acknowledgements(db)
    return render_template(
        "models/model.html",
        card=ModelCard(model, evaluation.read(model.evaluation)),
        objection=honesty.objection(model.evaluation),
        lineage=_flat(model.lineage or {}),
        changes=changes,
        acknowledgements=acknowledgements,
        cell=evaluation.CELL,
        plot=evaluation.PLOT,
        errors=errors,
        may_release=_may_release(),
        may_download="train" in identity().scopes,
        typed=request.form,
    )


def _acknowledgements(db: Session) -> list[Acknowledgement]:
    serving = models.active_version(db)
    reading = [worker for worker in workers.list_workers(db) if worker.serves("interactive") or worker.serves("bulk")]
    return [Acknowledgement(worker, worker.model_version == serving) for worker in reading]


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """What a version was made of, one line for each fact."""
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        lines += _flat(value, f"{prefix}{name} ") if isinstance(value, dict) else [(f"{prefix}{name}", str(value))]
    return lines


def _may_release() -> bool:
    return "train" in identity().scopes and identity().user.role in RELEASING
