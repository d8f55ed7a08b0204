"""Errors of the command line and the one-machine mode."""


class HemlineError(Exception):
    """Something that the operator can put right; `hint` says how."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class AlreadyRunningError(HemlineError):
    """Another `hemline up` holds this HOME."""


class SharedFolderError(HemlineError):
    """A folder that has to be private belongs to, or is open to, somebody else."""


class PortTakenError(HemlineError):
    """Something else listens where the web server should."""


class NoRedisServerError(HemlineError):
    """No Redis server program is installed here."""
