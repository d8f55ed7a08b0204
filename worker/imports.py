"""Imports: an uploaded file becomes the immutable Parquet file of a data set's version."""

from functools import partial
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import event
from sqlalchemy.orm import Session

from ml.errors import DataError
from ml.importing import Imported, import_file
from store import artifacts, datasets
from store.datasets import DatasetView, Stored
from store.settings import Settings
from worker.errors import DrainedError, InputError, TransientError
from worker.work import Outcome, Work

UPLOAD_AGAIN = "Mend the file, or say which column is which, and upload it again; it becomes the next version."


def run(work: Work) -> Outcome:
    """Judge the rows of an upload and keep the good ones.

    Harmless when repeated: a version that is ready stays as it is, and the upload goes only once its version is ready.

    Raises:
        InputError: the file as a whole cannot be used.
        TransientError: the disk or the artifact store does not do its part.
        DrainedError: the worker stops; the import begins again elsewhere.
    """
    dataset = _dataset(work)
    if dataset.state == "ready":
        return Outcome({"dataset_id": dataset.id})
    upload = str(dataset.artifact)
    try:
        source = artifacts.local_file(work.settings, upload, scratch=work.scratch)
    except FileNotFoundError:
        raise InputError("The uploaded file is not there any more.", "Upload it again.") from None
    try:
        imported = _import(work, source)
        stored = _store(work, dataset.id, imported)
    except DataError as error:
        raise InputError(f"{error}.", UPLOAD_AGAIN) from error
    except OSError as error:
        raise TransientError(f"a file cannot be read or written: {error.strerror or error}") from error
    result = {"dataset_id": dataset.id, "n_rows": stored.n_rows, "n_rejected": stored.n_rejected}
    return Outcome(result, partial(_make_ready, work.settings, dataset.id, stored, upload))


def _dataset(work: Work) -> DatasetView:
    with work.database.read() as session:
        dataset = datasets.get(session, work.job.params["dataset_id"])
    if dataset is None:
        raise InputError("The data set of this job is not there any more.", "Upload the file again.")
    return dataset


def _import(work: Work, source: Path) -> Imported:
    return import_file(
        source,
        target=work.scratch / "kept.parquet",
        rejects=work.scratch / "rejects.csv",
        mapping=work.job.params["mapping"],
        progress=partial(_tell, work),
    )


def _tell(work: Work, done: int, total: int, phase: str) -> None:
    if work.is_draining:
        raise DrainedError
    work.progress(done, total, phase)


def _store(work: Work, dataset_id: int, imported: Imported) -> Stored:
    kept, left_out = artifacts.dataset_artifact(imported.sha256), artifacts.rejects_artifact(dataset_id)
    for name, artifact in (("kept.parquet", kept), ("rejects.csv", left_out)):
        source: BinaryIO
        with (work.scratch / name).open("rb") as source:
            artifacts.put_file(work.settings, source, artifact)
    return Stored(
        sha256=imported.sha256,
        artifact=kept,
        rejects_artifact=left_out,
        n_rows=imported.report.n_rows,
        n_rejected=imported.report.n_rejected,
        report=imported.report.as_json(),
    )


def _make_ready(settings: Settings, dataset_id: int, stored: Stored, upload: str, session: Session) -> None:
    datasets.make_ready(session, dataset_id, stored)
    event.listen(session, "after_commit", lambda _: artifacts.remove_file(settings, upload), once=True)
