"""How the reading worker describes itself, and what keeps its model the active one."""

from collections.abc import Iterator

from store.database import Database
from store.workers import WorkerReport, WorkerState
from worker.presence import Presence
from worker.reader import Reader
from worker.slot import ModelSlot


class Heartbeat(Presence):
    """Tells the database how this worker is, and sees to it that the active model is loaded."""

    def __init__(self, database: Database, worker_id: str, slot: ModelSlot, reader: Reader) -> None:
        super().__init__(database, worker_id, reader.queues, self._look)
        self._slot = slot
        self._reader = reader

    def _look(self) -> Iterator[WorkerReport]:
        if self._slot.loaded is None:
            yield self._report("failed" if self._slot.error else "starting")
            self._slot.fill()
        self._slot.follow()
        yield self._report(self._state())

    def _state(self) -> WorkerState:
        if self._slot.loaded is None:
            return "failed"
        return "busy" if self._reader.is_busy else "ready"

    def _report(self, state: WorkerState) -> WorkerReport:
        loaded = self._slot.loaded
        about = loaded.predictor.description if loaded else None
        return WorkerReport(
            state=state,
            device=about.device if about else None,
            dtype=about.dtype if about else None,
            engine=about.engine if about else None,
            threads=about.threads if about else None,
            model_version=loaded.version if loaded else None,
            error=self._slot.error,
            reviews_done=self._reader.reviews_done,
        )
