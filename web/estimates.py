"""When a running job will probably end."""

from datetime import UTC, datetime

from store.jobs import JobState, JobView


def eta_s(job: JobView) -> float | None:
    """Seconds to the end at the pace since the start; None before there is a pace."""
    if job.state is not JobState.RUNNING or job.started_at is None or not 0 < job.done < job.total:
        return None
    elapsed_s = (datetime.now(UTC) - job.started_at).total_seconds()
    return round(max(elapsed_s, 0.0) / job.done * (job.total - job.done), 1)
