"""What a person or a program may do to the registry: the same deeds for pages and API."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import structlog
from flask import Response, request
from sqlalchemy.orm import Session

from store import artifacts, models, packing
from store.errors import MissingFilesError, ModelRefusedError, UnknownModelVersionError
from store.model_changes import Change
from store.models import ModelVersionView
from web.context import identity, site
from web.errors import ProblemError

NOT_FOUND = "There is no such model version."
Done = TypeVar("Done")

log = structlog.get_logger()


def find(db: Session, version: str) -> ModelVersionView:
    """The version, or 404."""
    model = models.get(db, version) if version.isprintable() else None
    if model is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, NOT_FOUND)
    return model


def promote(version: str, *, reason: str | None, override_reason: str | None) -> Change | None:
    """Put a version into service; None when it serves already."""
    return _deed(
        lambda db: models.promote(
            db,
            version,
            by=identity().actor,
            address=request.remote_addr,
            reason=reason,
            override_reason=override_reason,
        )
    )


def rollback(*, reason: str | None, serving: str | None) -> Change:
    """Take the last promotion back."""
    return _deed(
        lambda db: models.rollback(db, by=identity().actor, address=request.remote_addr, reason=reason, serving=serving)
    )


def archive(version: str) -> ModelVersionView:
    """Lay a version aside."""
    return _deed(lambda db: models.archive(db, version, by=identity().actor, address=request.remote_addr))


def delete(version: str) -> ModelVersionView:
    """Remove a version and, once that is committed, its files."""
    gone = _deed(lambda db: models.delete(db, version, by=identity().actor, address=request.remote_addr))
    try:
        artifacts.remove(site().settings, gone.artifact)
    except OSError as error:  # nothing refers to them any more: they only take room
        log.warning("model_files_left", version=version, artifact=gone.artifact, reason=type(error).__name__)
    return gone


def download(version: str) -> Response:
    """The version's folder as a ZIP, streamed."""
    with site().database.read() as db:
        model = find(db, version)
    try:
        pieces = packing.pack(site().settings, model)
    except MissingFilesError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    named = {"Content-Disposition": f'attachment; filename="{model.version}.zip"'}
    return Response(pieces, content_type="application/zip", headers=named)


def _deed(do: Callable[[Session], Done]) -> Done:
    try:
        with site().database.begin() as db:
            return do(db)
    except UnknownModelVersionError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, NOT_FOUND) from error
    except ModelRefusedError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
