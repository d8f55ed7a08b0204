"""Whether the process lives, whether it can accept work, and whether the whole installation does it."""

from dataclasses import dataclass
from http import HTTPStatus

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from store import models, workers
from store.jobs import QueueName
from store.upgrade import is_at_head
from web.context import site

RETRY_AFTER_S = 2

blueprint = Blueprint("health", __name__)


@dataclass(frozen=True)
class Check:
    """One thing looked at, and in words what was seen."""

    ok: bool
    detail: str


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say whether reviews can be accepted: the database is there and at head. `?all=1` asks for everything else too."""
    checks = {"database": _database()}
    if request.args.get("all") == "1":
        checks |= {"queue": _queue(), **_reading(checks["database"])}
    is_ready = all(check.ok for check in checks.values())
    response = jsonify(status="ready" if is_ready else "not ready", checks=checks)
    if not is_ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _database() -> Check:
    try:
        if is_at_head(site().database):
            return Check(True, "at the newest revision")
    except SQLAlchemyError as error:
        return Check(False, f"does not answer ({type(error).__name__})")
    return Check(False, "not at the newest revision: run `hemline migrate`")


def _queue() -> Check:
    return Check(True, "Redis answers") if site().doorbell.ping() else Check(False, "Redis does not answer")


def _reading(database: Check) -> dict[str, Check]:
    if not database.ok:
        unknown = Check(False, "unknown while the database is away")
        return {"worker": unknown, "model": unknown}
    with site().database.read() as db:
        alive = workers.list_workers(db)
        active = models.active(db)
    able = [w for w in alive if w.state in {"ready", "busy"} and QueueName.INTERACTIVE in w.queues]
    return {"worker": _worker(len(able), [w.error for w in alive if w.error]), "model": _model(active, able)}


def _worker(n_able: int, failures: list[str]) -> Check:
    if n_able:
        return Check(True, f"{n_able} listening on interactive")
    return Check(False, failures[0] if failures else "no worker is listening on interactive")


def _model(active: models.ModelVersionView | None, able: list[workers.WorkerView]) -> Check:
    if active is None:
        return Check(False, "no model version is active")
    if any(worker.model_version == active.version for worker in able):
        return Check(True, f"{active.version} is loaded")
    return Check(False, f"no worker has loaded {active.version}")
