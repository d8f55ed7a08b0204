"""Errors of the worker, and how an error is told in one line."""

import traceback

from sqlalchemy.exc import DBAPIError

from store.jobs import JobError


class WorkerError(Exception):
    """Base of all that the worker raises on purpose."""


class MissingBrokerError(WorkerError):
    """No Redis is named, and this process has none of its own."""


class NoModelError(WorkerError):
    """No model is in service; the message says what to do."""


class NotFiniteError(WorkerError):
    """The model answered with something that is not a finite number."""


class BrokenModelError(WorkerError):
    """The loaded model reads nothing any more, so this process has to end; no job is to blame."""


class AbandonedError(WorkerError):
    """What is being done was lost or cancelled: it stops."""


class InputError(WorkerError):
    """The asker's to mend: the job fails with this message and a hint what to do, and is not tried again by itself."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class TransientError(WorkerError):
    """It passes by itself: the job is tried again later."""


class DrainedError(WorkerError):
    """The worker stops, and the job has saved what it needs to go on elsewhere."""


def summary(error: Exception) -> str:
    """An error in one line; a database's own words without the statement and its values."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(error).__name__}: {said}"


def defect(error: Exception, *, log: str) -> JobError:
    """An error that is ours, as the job keeps it; `log` names where its circumstances are."""
    return JobError(
        kind="defect",
        message=summary(error),
        hint=f"{log[0].upper()}{log[1:]} has the circumstances. Retry the job; if it fails again, report it with its "
        "traceback.",
        traceback="".join(traceback.format_exception(error)),
    )
