"""Train: ask for a training, and see those that were asked for."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from store import datasets, jobs, workers
from store.jobs import JobKind, QueueName
from store.train_params import TrainParams
from web.context import site
from web.errors import FieldError, ProblemError
from web.gate import needs
from web.training import submit_training
from web.validation import field_errors

SHOWN = 20

NUMBERS: Mapping[str, type[int] | type[float]] = {
    "dataset_id": int,
    "epochs": int,
    "batch_size": int,
    "max_length": int,
    "seed": int,
    "encoder_lr": float,
    "head_lr": float,
    "rating_weight": float,
    "age_weight": float,
}

blueprint = Blueprint("train", __name__, url_prefix="/train")


@blueprint.get("")
@needs("train")
def show() -> ResponseReturnValue:
    """Show the form and the newest trainings."""
    return _page({"dataset_id": request.args.get("dataset_id", "")}, ())


@blueprint.post("")
@needs("train")
def start() -> ResponseReturnValue:
    """Queue a training and show its job (303), or the form again with what is wrong (422)."""
    typed = {name: value.strip() for name, value in request.form.items()}
    try:
        params = TrainParams.model_validate(_numbers(typed))
        submitted = submit_training(params)
    except ValidationError as error:
        return _page(typed, field_errors(error)), HTTPStatus.UNPROCESSABLE_ENTITY
    except ProblemError as error:
        if not error.errors:
            raise
        wrong = tuple(FieldError(one.field.removeprefix("params."), one.message) for one in error.errors)
        return _page(typed, wrong), error.status
    return redirect(url_for("jobs.show", job_id=submitted.job.id), HTTPStatus.SEE_OTHER)


def _numbers(typed: Mapping[str, str]) -> dict[str, object]:
    """What was typed, numbers as numbers; what was left empty is the recipe's."""
    given = {name: value for name, value in typed.items() if name in TrainParams.model_fields and value != ""}
    return {name: _number(value, NUMBERS[name]) if name in NUMBERS else value for name, value in given.items()}


def _number(typed: str, kind: type[int] | type[float]) -> object:
    try:
        return kind(typed) if typed.isascii() else typed
    except ValueError:
        return typed


def _page(typed: Mapping[str, str], errors: tuple[FieldError, ...] | list[FieldError]) -> str:
    with site().database.read() as db:
        ready = [one for one in datasets.list_datasets(db, limit=200).items if one.state == "ready"]
        listed = jobs.list_jobs(db, kind=JobKind.TRAIN, limit=SHOWN)
        n_listening = workers.listening(db, QueueName.TRAIN)
    return render_template(
        "train/page.html",
        typed=typed,
        errors={error.field: error.message for error in errors},
        datasets=ready,
        dataset_options=[(str(one.id), f"{one.name}, version {one.version} ({one.n_rows:,} reviews)") for one in ready],
        trainings=listed.items,
        is_unserved=n_listening == 0,
        default_backbone=site().settings.backbone,
    )
