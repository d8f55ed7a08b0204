"""The one loaded model of a worker process."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ml.errors import ModelError
from ml.inference import Predictor
from store import models
from store.artifacts import local_folder
from store.database import Database
from store.models import ModelVersionView
from store.settings import Settings
from worker.errors import NoModelError, summary

RETRY_S = 60.0  # a load that failed is tried again after so long, or as soon as a file has changed

log = structlog.get_logger()

Looks = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class _Failure:
    """A load that failed: of what, when (monotonic seconds), and why."""

    attempt: tuple[str, Looks]
    at: float
    error: Exception


@dataclass
class ModelSlot:
    """Holds the predictor of the active model version, or the reason why there is none."""

    settings: Settings
    database: Database
    threads: int
    predictor: Predictor | None = None
    version: str | None = None
    error: str | None = None
    _loading: Lock = field(default_factory=Lock)
    _failure: _Failure | None = None

    def fill(self) -> Predictor | None:
        """Load the active version unless it is loaded; None, with `error` set, when it cannot serve.

        Cheap to repeat: the files are hashed again only when one of them changed, or after a minute.
        """
        with self._loading:
            if self.predictor is None:
                try:
                    self._try()
                except (ModelError, NoModelError) as error:
                    self._set_error(str(error))
                except (SQLAlchemyError, OSError, RuntimeError, MemoryError) as error:
                    self._set_error(summary(error))
            return self.predictor

    def _set_error(self, reason: str) -> None:
        if reason != self.error:
            log.error("model_not_loaded", reason=reason)
        self.error = reason

    def _try(self) -> None:
        with self.database.read() as session:
            active = models.active(session)
        if active is None:
            raise NoModelError("No model is in service. `hemline models install-starter` installs one.")
        folder = local_folder(self.settings, active.artifact)
        attempt = active.version, _looks(folder)
        failure = self._failure
        if failure and failure.attempt == attempt and time.monotonic() < failure.at + RETRY_S:
            raise failure.error.with_traceback(None)
        try:
            self._load(active, folder)
        except Exception as error:
            self._failure = _Failure(attempt, time.monotonic(), error)
            raise

    def _load(self, active: ModelVersionView, folder: Path) -> None:
        predictor = Predictor.load(folder, device=self.settings.device, threads=self.threads)
        predictor.warm_up()
        self.predictor, self.version, self.error = predictor, active.version, None
        log.info("model_loaded", version=active.version, device=predictor.description.device)


def _looks(folder: Path) -> Looks:
    """What changes when a file of the folder is written, replaced or removed, and costs no reading."""
    if not folder.is_dir():
        return ()
    states = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
    return tuple((name, state.st_ino, state.st_ctime_ns, state.st_size) for name, state in states)
