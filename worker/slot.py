"""The one loaded model of a worker process."""

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import structlog

from ml.errors import ModelError
from ml.inference import Predictor
from store import models
from store.artifacts import local_folder
from store.database import Database
from store.settings import Settings
from worker.errors import NoModelError

log = structlog.get_logger()


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

    def fill(self) -> Predictor | None:
        """Load the active version unless it is loaded; None, with `error` set, when it cannot serve."""
        with self._loading:
            if self.predictor is None:
                try:
                    self._load()
                except (ModelError, NoModelError, OSError) as error:
                    self.error = str(error)
                    log.error("model_not_loaded", reason=self.error)
            return self.predictor

    def _load(self) -> None:
        with self.database.read() as session:
            active = models.active(session)
        if active is None:
            raise NoModelError("No model is in service. `hemline models install-starter` installs one.")
        folder: Path = local_folder(self.settings, active.artifact)
        predictor = Predictor.load(folder, device=self.settings.device, threads=self.threads)
        predictor.warm_up()
        self.predictor, self.version, self.error = predictor, active.version, None
        log.info("model_loaded", version=active.version, device=predictor.description.device)
