"""Workers as they describe themselves, and whether anybody listens."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from store.database import now
from store.schema import Worker

HEARTBEAT_S = 3.0
ALIVE_FOR_S = 12.0  # four heartbeats: one late write is not a death
FORGET_AFTER = timedelta(days=1)

WorkerState = Literal["starting", "ready", "busy", "failed", "stopped"]


@dataclass(frozen=True)
class WorkerReport:
    """What a worker says of itself with each heartbeat."""

    state: WorkerState
    device: str | None = None
    dtype: str | None = None
    engine: str | None = None
    threads: int | None = None
    model_version: str | None = None
    error: str | None = None
    reviews_done: int = 0


@dataclass(frozen=True)
class WorkerView:
    """A worker as it last described itself; `is_alive` is judged by the database's clock."""

    id: str
    hostname: str
    pid: int
    queues: tuple[str, ...]
    state: WorkerState
    is_alive: bool
    device: str | None
    dtype: str | None
    engine: str | None
    threads: int | None
    model_version: str | None
    error: str | None
    reviews_done: int
    started_at: datetime
    heartbeat_at: datetime

    def serves(self, queue: str) -> bool:
        """Whether this worker, while it lives, answers the queue's bell with a model."""
        return queue in self.queues and self.state in {"ready", "busy"}


def enrol(session: Session, *, worker_id: str, hostname: str, pid: int, queues: list[str]) -> None:
    """Add a worker that is starting; rows of workers long gone are forgotten."""
    at = now(session)
    session.execute(delete(Worker).where(Worker.heartbeat_at < at - FORGET_AFTER))
    session.execute(
        insert(Worker).values(
            id=worker_id, hostname=hostname, pid=pid, queues=queues, state="starting", started_at=at, heartbeat_at=at
        )
    )


def report(session: Session, worker_id: str, said: WorkerReport) -> None:
    """Record a heartbeat."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(**vars(said), heartbeat_at=now(session)))


def list_workers(session: Session, *, include_gone: bool = False) -> list[WorkerView]:
    """The workers, newest first; those that stopped or fell silent only when asked for."""
    at = now(session)
    wanted = select(Worker).order_by(Worker.started_at.desc(), Worker.id)
    if not include_gone:
        wanted = wanted.where(Worker.state != "stopped", Worker.heartbeat_at >= _oldest_alive(at))
    return [_view(row, at) for row in session.scalars(wanted)]


def listening(session: Session, queue: str) -> int:
    """How many living workers with a model serve this queue."""
    return sum(worker.serves(queue) for worker in list_workers(session))


def idle(session: Session, queue: str) -> int:
    """How many living workers serve this queue and have nothing to do."""
    return sum(queue in worker.queues and worker.state == "ready" for worker in list_workers(session))


def _oldest_alive(at: datetime) -> datetime:
    return at - timedelta(seconds=ALIVE_FOR_S)


def _view(row: Worker, at: datetime) -> WorkerView:
    state: WorkerState = row.state  # type: ignore[assignment]  # the CHECK constraint holds it to the literal
    return WorkerView(
        id=row.id,
        hostname=row.hostname,
        pid=row.pid,
        queues=tuple(row.queues),
        state=state,
        is_alive=state != "stopped" and row.heartbeat_at >= _oldest_alive(at),
        device=row.device,
        dtype=row.dtype,
        engine=row.engine,
        threads=row.threads,
        model_version=row.model_version,
        error=row.error,
        reviews_done=row.reviews_done,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
    )
