"""What waits in each queue, and who is there to take it."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import now
from store.jobs import JobState, QueueName
from store.schema import Job
from store.workers import listening


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
    return [
        QueueView(
            name=name,
            depth=waiting[name].depth if name in waiting else 0,
            oldest_wait_s=(at - waiting[name].oldest).total_seconds() if name in waiting else None,
            workers=listening(session, name),
        )
        for name in QueueName
    ]
