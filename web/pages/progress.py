"""A job as its page and its answer show it while it is under way."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from store import jobs, workers
from store import reviews as review_store
from store.jobs import JobKind, JobState, JobView
from web.estimates import eta_s
from web.formats import between
from web.pages.readings import Reading, reading_of


@dataclass(frozen=True)
class Progress:
    """A job, its place in the queue, and whether anybody listens."""

    job: JobView
    queue_position: int | None
    n_listening: int
    eta_s: float | None
    elapsed: str

    @property
    def is_final(self) -> bool:
        """Whether the page may stop asking."""
        return self.job.state.is_final

    @property
    def is_stranded(self) -> bool:
        """Whether the job waits and nobody is there to take it."""
        return self.job.state is JobState.QUEUED and self.n_listening == 0

    @property
    def poll_ms(self) -> int:
        """How long the page should wait before it asks again."""
        if self.is_stranded:
            return 2_000
        return 300 if self.job.total <= 32 else 1_000


def progress_of(db: Session, job: JobView) -> Progress:
    """Look at everything about a job that changes while it is under way."""
    return Progress(
        job=job,
        queue_position=jobs.queue_position(db, job),
        n_listening=workers.listening(db, job.queue),
        eta_s=eta_s(job),
        elapsed=between(job.started_at, job.finished_at or datetime.now(UTC)),
    )


def readings_of(db: Session, job: JobView) -> tuple[Reading, ...]:
    """What a job said of its reviews; nothing before it has succeeded, so that polling stays cheap."""
    if job.kind is not JobKind.PREDICT or job.state is not JobState.SUCCEEDED:
        return ()
    return tuple(map(reading_of, review_store.reviews_of_job(db, job.id)))
