"""Accepting a data file, for the page and the API alike: read the form, keep the file, store, commit, ring."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, cast

import structlog
from flask import request
from werkzeug.datastructures import FileStorage

from store import artifacts, datasets
from store.jobs import Idempotency, Submitted
from web.context import identity, site
from web.errors import FieldError, ProblemError
from web.inputs import DatasetIn
from web.validation import validate

RETRY_AFTER_DISK_S = 60
NOT_FIELDS = frozenset({"csrf_token"})

log = structlog.get_logger()


@dataclass(frozen=True)
class Upload:
    """A form that was sent whole: its file, still in its temporary place, and its fields."""

    file: BinaryIO
    n_bytes: int
    fields: DatasetIn

    def sha256(self) -> str:
        """Of the file and the fields: what makes two uploads the same request."""
        self.file.seek(0)
        digest = hashlib.sha256()
        while piece := self.file.read(1 << 20):
            digest.update(piece)
        digest.update(json.dumps([self.fields.name, sorted(self.fields.mapping.items())]).encode())
        return digest.hexdigest()


def read_upload() -> Upload:
    """Read the form of this request.

    Raises:
        ProblemError: 415 for another content type, 413 for too much, 422 for a wrong field, 503 for a full disk.
    """
    if request.mimetype != "multipart/form-data":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the file as Content-Type: multipart/form-data.")
    with _storing():
        form, files = request.form, request.files
    for name in form.keys() | files.keys():
        if len(form.getlist(name)) + len(files.getlist(name)) > 1:
            raise _wrong(name[:100], "is given twice")
    fields = validate(DatasetIn, {name: value for name, value in form.items() if name not in NOT_FIELDS | {"file"}})
    file = files.get("file")
    if file is None:
        raise _wrong("file", "must be sent as a file" if "file" in form else "is missing")
    if len(files) > 1:
        raise _wrong(next(name for name in files if name != "file")[:100], "is not a field that we know")
    n_bytes = _size(file)
    if not n_bytes:
        raise _wrong("file", "is empty" if file.filename else "is missing")
    return Upload(cast("BinaryIO", file.stream), n_bytes, fields)


def _size(file: FileStorage) -> int:
    n_bytes = file.stream.seek(0, io.SEEK_END)
    file.stream.seek(0)
    return n_bytes


def _wrong(field: str, message: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {message}", [FieldError(field, message)])


def submit_upload(
    upload: Upload, *, idempotency: Callable[[Callable[[], str]], Idempotency | None] = lambda _: None
) -> Submitted:
    """Keep the file, store the next version of its data set with the job that imports it, and wake a worker.

    Args:
        upload: what came in.
        idempotency: finds the caller's promise about repeats, given how to hash the request.

    Raises:
        ProblemError: 503 when the file cannot be kept.
    """
    promise = idempotency(upload.sha256)
    artifact = artifacts.new_upload()
    submitted = None
    try:
        with _storing():
            upload.file.seek(0)
            artifacts.put_file(site().settings, upload.file, artifact)
        with site().database.begin() as db:
            submitted = datasets.submit_import(
                db,
                name=upload.fields.name,
                upload=artifact,
                n_bytes=upload.n_bytes,
                mapping={str(field): header for field, header in upload.fields.mapping.items()},
                actor=identity().actor,
                queue_limit=site().settings.queue_limit,
                idempotency=promise,
            )
    finally:
        if submitted is None or submitted.replayed:
            _forget(artifact)
    if not submitted.replayed:
        site().depth.add_one()
        site().doorbell.ring(submitted.job.id, submitted.job.queue)
    return submitted


def _forget(artifact: str) -> None:
    try:
        artifacts.remove_file(site().settings, artifact)
    except OSError as error:
        log.warning("upload_not_removed", artifact=artifact, reason=error.strerror)


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("upload_not_stored", error=type(error).__name__, reason=error.strerror)
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"The file cannot be stored ({error.strerror or 'the artifact store does not answer'}). Nothing was kept.",
            headers={"Retry-After": str(RETRY_AFTER_DISK_S)},
        ) from error
