"""A worker's description of itself, written every few seconds."""

import os
import socket
from threading import Event, Thread

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import workers
from store.database import Database
from store.workers import HEARTBEAT_S, WorkerReport, WorkerState
from worker.reader import Reader
from worker.slot import ModelSlot

log = structlog.get_logger()


class Heartbeat:
    """Tells the database from a thread how this worker is, and sees to it that the active model is loaded."""

    def __init__(self, database: Database, worker_id: str, slot: ModelSlot, reader: Reader) -> None:
        self._database = database
        self._worker_id = worker_id
        self._slot = slot
        self._reader = reader
        self._ended = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the first heartbeat is written at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and say that the worker is gone."""
        self._ended.set()
        self._thread.join(HEARTBEAT_S)
        self._say("stopped")

    def _beat(self) -> None:
        is_enrolled = False
        while True:
            try:
                is_enrolled = is_enrolled or self._enrol()
                if is_enrolled:
                    self._tell()
            except Exception:  # a worker without a heartbeat looks dead and never loads its model: go on
                log.exception("heartbeat_failed")
            if self._ended.wait(HEARTBEAT_S):
                return

    def _tell(self) -> None:
        if self._slot.loaded is None:
            self._say("failed" if self._slot.error else "starting")
            self._slot.fill()
        self._slot.follow()
        self._say(self._state())

    def _enrol(self) -> bool:
        try:
            with self._database.begin() as session:
                workers.enrol(
                    session,
                    worker_id=self._worker_id,
                    hostname=socket.gethostname(),
                    pid=os.getpid(),
                    queues=[queue.value for queue in self._reader.queues],
                )
        except SQLAlchemyError as error:
            log.warning("worker_not_enrolled", reason=type(error).__name__)
            return False
        return True

    def _state(self) -> WorkerState:
        if self._slot.loaded is None:
            return "failed"
        return "busy" if self._reader.is_busy else "ready"

    def _say(self, state: WorkerState) -> None:
        loaded = self._slot.loaded
        about = loaded.predictor.description if loaded else None
        said = WorkerReport(
            state=state,
            device=about.device if about else None,
            dtype=about.dtype if about else None,
            engine=about.engine if about else None,
            threads=about.threads if about else None,
            model_version=loaded.version if loaded else None,
            error=self._slot.error,
            reviews_done=self._reader.reviews_done,
        )
        try:
            with self._database.begin() as session:
                workers.report(session, self._worker_id, said)
        except SQLAlchemyError as error:
            log.warning("heartbeat_not_written", reason=type(error).__name__)
