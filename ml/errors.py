"""What can go wrong in the model's room, and what its user can do about it."""

from pathlib import Path


class ModelError(Exception):
    """Base of every error that this package raises on purpose; its text is fit to be shown to a person."""


class DataError(ModelError):
    """The given reviews cannot be read: the text names the file, and the row and column where there is one."""


class PlanError(ModelError):
    """A choice of a training run is not possible.

    Attributes:
        field: of the plan.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class CheckpointError(ModelError):
    """A folder's checkpoints cannot be gone on from: the text says why and what to do."""


class PausedError(ModelError):
    """A training was asked to pause; its newest checkpoint holds all that it did."""


class BackboneUnavailableError(ModelError):
    """The pretrained weights are out of reach: the text says what to install or where to put them."""


class DamagedModelError(ModelError):
    """A file of a model version is not the one that its manifest lists.

    Attributes:
        file: the path of the offending file.
        expected: the SHA-256 in the manifest, or None where the manifest does not list the file.
        found: the SHA-256 on disk, or None where the file is missing.
    """

    def __init__(self, file: Path, *, expected: str | None, found: str | None) -> None:
        super().__init__(
            f"damaged model file {file}: expected SHA-256 {expected or 'none (unlisted)'}, found {found or 'no file'}"
        )
        self.file = file
        self.expected = expected
        self.found = found
