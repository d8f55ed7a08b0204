"""Errors of the worker."""


class WorkerError(Exception):
    """Base of all that the worker raises on purpose."""


class MissingBrokerError(WorkerError):
    """No Redis is named, and this process has none of its own."""


class NoModelError(WorkerError):
    """No model is in service; the message says what to do."""


class AbandonedError(WorkerError):
    """Every claim of the batch was lost or cancelled: its reading stops."""
