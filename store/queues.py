"""What waits in each queue, and who is there to take it."""

import time
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import Database, now
from store.jobs import JobState, QueueName, n_queued
from store.schema import Job
from store.workers import list_workers

DEPTH_KEPT_S = 1.0


class DepthGauge:
    """How many jobs are queued, for whoever must know it at each request. Safe to share between threads.

    It looks once a second at most, outside any write transaction, and adds what this process accepted since. So what
    workers took and other processes accepted within that second is not in it.
    """

    def __init__(self, database: Database, *, at_most: int) -> None:
        self._database = database
        self._at_most = at_most
        self._lock = Lock()
        self._depth = 0
        self._kept_until = 0.0

    def read(self) -> int:
        """The depth, counted no further than `at_most`."""
        with self._lock:
            if time.monotonic() >= self._kept_until:
                with self._database.read() as session:
                    self._depth = n_queued(session, at_most=self._at_most)
                self._kept_until = time.monotonic() + DEPTH_KEPT_S
            return self._depth

    def add_one(self) -> None:
        """Count a job that was just accepted."""
        with self._lock:
            self._depth += 1


@dataclass(frozen=True)
class QueueView:
    """One queue: jobs waiting, seconds that the oldest has waited, living workers that serve it."""

    name: QueueName
    depth: int
    oldest_wait_s: float | None
    workers: int


def list_queues(session: Session) -> list[QueueView]:
    """Every queue, in the order in which workers serve them."""
    at = now(session)
    rows = session.execute(
        select(Job.queue, func.count().label("depth"), func.min(Job.created_at).label("oldest"))
        .where(Job.state == JobState.QUEUED)
        .group_by(Job.queue)
    ).all()
    waiting = {row.queue: row for row in rows}
    alive = list_workers(session)
    return [
        QueueView(
            name=name,
            depth=waiting[name].depth if name in waiting else 0,
            oldest_wait_s=(at - waiting[name].oldest).total_seconds() if name in waiting else None,
            workers=sum(worker.serves(name) for worker in alive),
        )
        for name in QueueName
    ]
