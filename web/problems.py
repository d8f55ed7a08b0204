"""Every error has an answer: problem+json for programs, a page for people."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from apiflask import APIFlask, HTTPError
from flask import Response, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, NotFound

from store.errors import (
    IdempotencyConflictError,
    QueueFullError,
    RepeatedExternalIdError,
    UnknownCursorError,
)
from store.outages import outage_of
from web.errors import FieldError, ProblemError
from web.limits import retry_after_s
from web.request import TOO_MANY_PARTS
from web.validation import problem_of

log = structlog.get_logger()

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_QUEUE_S = 30
RETRY_AFTER_DATABASE_S = 5

_ADVICE = {
    HTTPStatus.NOT_FOUND: "Nothing is at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that method.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_MANY_PARTS,  # too many bytes speak for themselves
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something broke on our side. It has been logged.",
}


def wants_problem_json() -> bool:
    """Whether the asker is a program: everything under /api, and the addresses that only programs read."""
    return request.path.startswith("/api/") or request.path in {"/metrics", "/readyz", "/healthz"}


def answer(problem: ProblemError) -> Response:
    """The response for a problem."""
    response = _problem_json(problem) if wants_problem_json() else _page(problem)
    response.headers.update(problem.headers)
    return response


def _problem_json(problem: ProblemError) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": int(problem.status),
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = [{"field": error.field, "message": error.message} for error in problem.errors]
    return Response(json.dumps(body), status=problem.status, content_type=PROBLEM_JSON)


def _page(problem: ProblemError) -> Response:
    response = Response(render_template("errors/page.html", problem=problem), status=problem.status)
    if request.headers.get("HX-Request"):
        response.headers["X-Problem"] = problem.detail.encode("ascii", "replace").decode().replace("\n", " ")
    return response


def of_csrf(_: CSRFError) -> Response:
    """The answer for a form whose token is not of this session."""
    return answer(ProblemError(HTTPStatus.BAD_REQUEST, "This page is out of date. Reload it and send again."))


def _of_not_found(error: NotFound) -> ResponseReturnValue:
    """A page's address with a slash at its end is a slip: lead to the page."""
    router = current_app.create_url_adapter(request)
    path = "/" + request.path.strip("/")
    if request.method == "GET" and path != request.path and not wants_problem_json() and router and router.test(path):
        return redirect(path + request.full_path.removeprefix(request.path).rstrip("?"), HTTPStatus.PERMANENT_REDIRECT)
    return _of_http(error)


def _of_http(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response()  # a redirect of the router
    status = HTTPStatus(error.code)
    return answer(ProblemError(status, _ADVICE.get(status, error.description or status.phrase), headers=_kept(error)))


def _kept(error: HTTPException) -> Mapping[str, str]:
    return {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}


def _of_apiflask(error: HTTPError) -> Response:
    if isinstance(error.__cause__, ValidationError):
        return answer(problem_of(error.__cause__))
    return answer(ProblemError(HTTPStatus(error.status_code), error.message or HTTPStatus(error.status_code).phrase))


def _of_rate_limit(error: RateLimitExceeded) -> Response:
    headers = {"Retry-After": str(retry_after_s())}
    return answer(
        ProblemError(HTTPStatus.TOO_MANY_REQUESTS, f"More than {error.description}: wait a little.", headers=headers)
    )


def _of_database(error: SQLAlchemyError) -> Response:
    outage = outage_of(error)
    if outage is None:
        return _of_defect(error)
    log.error(
        "database_unavailable",
        outage=outage.name,
        error=type(error).__name__,
        reason=str(error.__cause__ or error)[:200],
    )
    # Whether something was stored is unknown: the connection may have broken while the commit was answered.
    headers = {"Retry-After": str(RETRY_AFTER_DATABASE_S)}
    return answer(ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, outage, headers=headers))


def _of_store(error: Exception) -> Response:
    match error:
        case QueueFullError():
            problem = ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"The queue is full: {error}. Nothing was stored; try again later.",
                headers={"Retry-After": str(RETRY_AFTER_QUEUE_S)},
            )
        case RepeatedExternalIdError():
            at_fault = FieldError(f"reviews[{error.position}].external_id", "stands twice in this request")
            problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{at_fault.field} {at_fault.message}.", [at_fault])
        case IdempotencyConflictError():
            at_fault = FieldError("Idempotency-Key", "was used with another body in the last 24 hours")
            problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{at_fault.field} {at_fault.message}.", [at_fault])
        case _:
            at_fault = FieldError("cursor", "is not one that this list gave out")
            problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{at_fault.field} {at_fault.message}.", [at_fault])
    return answer(problem)


def _of_defect(error: Exception) -> Response:
    log.exception("request_failed", path=request.path, method=request.method, error=type(error).__name__)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return answer(ProblemError(status, _ADVICE[status]))


def register_error_handlers(app: APIFlask) -> None:
    """Give every error its answer."""
    app.register_error_handler(ProblemError, answer)
    app.register_error_handler(HTTPError, _of_apiflask)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(NotFound, _of_not_found)
    app.register_error_handler(CSRFError, of_csrf)
    app.register_error_handler(RateLimitExceeded, _of_rate_limit)
    app.register_error_handler(SQLAlchemyError, _of_database)
    for expected in (QueueFullError, RepeatedExternalIdError, IdempotencyConflictError, UnknownCursorError):
        app.register_error_handler(expected, _of_store)
    app.register_error_handler(Exception, _of_defect)
