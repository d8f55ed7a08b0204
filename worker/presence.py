"""A worker's row in the database: enrolled once, described anew every few seconds."""

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from threading import Event, Thread

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import workers
from store.database import Database
from store.jobs import QueueName
from store.workers import HEARTBEAT_S, WorkerReport

log = structlog.get_logger()


class Presence:
    """Tells the database from a thread that this worker is alive, and how it is.

    Args:
        database: where to tell it.
        worker_id: of this process; nobody else's.
        queues: that it serves.
        describe: called at every beat in the thread; each report that it gives is written before it goes on.
    """

    def __init__(
        self,
        database: Database,
        worker_id: str,
        queues: Sequence[QueueName],
        describe: Callable[[], Iterable[WorkerReport]],
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._queues = [queue.value for queue in queues]
        self._describe = describe
        self._last = WorkerReport("starting")
        self._ended = Event()
        self._thread = Thread(target=self._beat, name=f"presence-{worker_id}", daemon=True)

    def start(self) -> None:
        """Begin; the first heartbeat is written at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and say that the worker is gone."""
        self._ended.set()
        self._thread.join(HEARTBEAT_S)
        self._tell(replace(self._last, state="stopped"))

    def _beat(self) -> None:
        is_enrolled = False
        while True:
            try:
                is_enrolled = is_enrolled or self._enrol()
                if is_enrolled:
                    for said in self._describe():
                        self._tell(said)
            except Exception:  # a worker without a heartbeat looks dead and never loads its model: go on
                log.exception("heartbeat_failed")
            if self._ended.wait(HEARTBEAT_S):
                return

    def _enrol(self) -> bool:
        try:
            with self._database.begin() as session:
                workers.enrol(
                    session,
                    worker_id=self._worker_id,
                    hostname=socket.gethostname(),
                    pid=os.getpid(),
                    queues=self._queues,
                )
        except SQLAlchemyError as error:
            log.warning("worker_not_enrolled", reason=type(error).__name__)
            return False
        return True

    def _tell(self, said: WorkerReport) -> None:
        self._last = said
        try:
            with self._database.begin() as session:
                workers.report(session, self._worker_id, said)
        except SQLAlchemyError as error:
            log.warning("heartbeat_not_written", reason=type(error).__name__)
