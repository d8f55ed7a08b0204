"""The one loaded model of a worker process."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

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
LOOK_AGAIN_S = 3.0  # after a version could not be loaded beside another

log = structlog.get_logger()

Looks = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class _Failure:
    """A load that failed: of what, when (monotonic seconds), and why."""

    attempt: tuple[str, Looks]
    at: float
    error: Exception


@dataclass(frozen=True)
class Loaded:
    """A predictor and the version that it is: who reads with the one records the other."""

    predictor: Predictor
    version: str


@dataclass
class ModelSlot:
    """Holds the active model version, or the reason why there is none.

    When another version becomes active it is loaded beside the one that reads, which is let go only then.
    """

    settings: Settings
    database: Database
    threads: int
    loaded: Loaded | None = None
    error: str | None = None
    _told: str | None = None
    _loading: Lock = field(default_factory=Lock)
    _starting: Lock = field(default_factory=Lock)
    _beside: Thread | None = None
    _rests_until: float = 0.0
    _failure: _Failure | None = None

    def fill(self) -> Loaded | None:
        """Load the active version unless one is loaded; None, with `error` set, when it cannot serve.

        Cheap to repeat: the files are hashed again only when one of them changed, or after a minute.
        """
        if self.loaded is None:
            with self._loading:
                if self.loaded is None:
                    self._attempt()
        return self.loaded

    def follow(self) -> None:
        """Look which version is active; load it beside the present one, in a thread of its own, when it is another.

        Cheap, and never waits for a load. Without a loaded version, or without a database, it does nothing.
        """
        loaded = self.loaded
        if loaded is None:
            return
        try:
            with self.database.read() as session:
                wanted = models.active_version(session)
        except SQLAlchemyError:
            return  # whoever claims next says so
        if wanted == loaded.version and self.error == self._told:
            self.error = None  # what could not be loaded beside it is no longer wanted
        if wanted in {None, loaded.version}:
            return
        with self._starting:
            if (self._beside and self._beside.is_alive()) or time.monotonic() < self._rests_until:
                return
            self._beside = Thread(target=self._load_beside, name="model-loader", daemon=True)
            self._beside.start()

    def _load_beside(self) -> None:
        with self._loading:
            try:
                self._attempt()
            except Exception as error:  # whatever else loading raises, the present version goes on reading
                log.exception("model_loader_failed")
                self._set_error(summary(error))

    def _attempt(self) -> None:
        try:
            self._try()
        except (ModelError, NoModelError) as error:
            self._set_error(str(error))
        except (SQLAlchemyError, OSError, RuntimeError, MemoryError) as error:
            self._set_error(summary(error))

    def _set_error(self, reason: str) -> None:
        if self.loaded is not None:
            reason = f"{self.loaded.version} goes on reading, because the version in service cannot be loaded: {reason}"
        if reason != self.error:
            log.error("model_not_loaded", reason=reason)
        self.error = self._told = reason
        self._rests_until = time.monotonic() + LOOK_AGAIN_S

    def _try(self) -> None:
        with self.database.read() as session:
            active = models.active(session)
        if active is None:
            raise NoModelError("No model is in service. `hemline models install-starter` installs one.")
        if self.loaded is not None and self.loaded.version == active.version:
            return
        folder = local_folder(self.settings, active.artifact)
        attempt = active.version, _looks(folder)
        failure = self._failure
        if failure and failure.attempt == attempt and time.monotonic() < failure.at + RETRY_S:
            raise failure.error.with_traceback(None)
        try:
            self._load(active, folder)
        except Exception as error:
            # Without its traceback, whose frames would keep a half-loaded model in memory.
            self._failure = _Failure(attempt, time.monotonic(), error.with_traceback(None))
            raise

    def _load(self, active: ModelVersionView, folder: Path) -> None:
        predictor = Predictor.load(folder, device=self.settings.device, threads=self.threads)
        predictor.warm_up()
        self.loaded, self.error = Loaded(predictor, active.version), None
        log.info("model_loaded", version=active.version, device=predictor.description.device)


def _looks(folder: Path) -> Looks:
    """What changes when a file of the folder is written, replaced or removed, and costs no reading."""
    if not folder.is_dir():
        return ()
    states = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
    return tuple((name, state.st_ino, state.st_ctime_ns, state.st_size) for name, state in states)
