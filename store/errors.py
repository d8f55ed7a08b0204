"""Errors of the store."""


class StoreError(Exception):
    """Base of all that the store raises on purpose."""


class SettingsError(StoreError):
    """A setting does not parse or is missing; the message names the variable."""


class QueueFullError(StoreError):
    """More jobs wait than the limit allows."""


class UnknownCursorError(StoreError):
    """A list cursor is not one that the store gave out."""


class IdempotencyConflictError(StoreError):
    """The same Idempotency-Key came with another body."""


class RepeatedExternalIdError(StoreError):
    """Two reviews of one request carry the same `external_id`."""

    def __init__(self, position: int, external_id: str) -> None:
        super().__init__(f"reviews[{position}].external_id: {external_id!r} stands twice in this request")
        self.position = position
        self.external_id = external_id


class UnknownModelVersionError(StoreError):
    """The registry has no such model version."""


class ModelRefusedError(StoreError):
    """The registry does not do this to the model version as it stands; the message says why."""


class DishonestModelError(ModelRefusedError):
    """The honesty gate refuses a version: its record does not show that it beats TF-IDF, and nobody overrode that."""


class MissingFilesError(StoreError):
    """The files of a model version are not what the registry knows."""


class EmailTakenError(StoreError):
    """A user with this e-mail address exists."""


class MigrationError(StoreError):
    """A migration would have left the database inconsistent; it was undone."""


class TrainParamsError(StoreError):
    """A parameter of a training is unknown, missing or out of its range.

    Attributes:
        field: its name; None where several are at odds with each other.
    """

    def __init__(self, field: str | None, reason: str) -> None:
        super().__init__(reason if field is None else f"{field}: {reason}")
        self.field = field
