"""Errors of the worker, and how an error is told in one line."""

from sqlalchemy.exc import DBAPIError


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
    """Every claim of the batch was lost or cancelled: its reading stops."""


def summary(error: Exception) -> str:
    """An error in one line; a database's own words without the statement and its values."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(error).__name__}: {said}"
