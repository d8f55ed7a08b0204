"""Waiting for a job's end on the command line."""

import time
from typing import TYPE_CHECKING

from hemline.errors import HemlineError

if TYPE_CHECKING:
    from store.database import Database
    from store.jobs import JobView

LOOK_EVERY_S = 0.1


def wait_for_end(database: "Database", job: "JobView", *, within_s: float) -> "JobView":
    """Look at a job until it has ended.

    Raises:
        HemlineError: it had not by then; the message says whether anybody is there to do it.
    """
    from store import jobs, workers
    from store.jobs import QueueName

    ends_at = time.monotonic() + within_s
    current = job
    while not current.state.is_final:
        if time.monotonic() > ends_at:
            with database.read() as session:
                listening = workers.listening(session, job.queue)
            reason = "it is still waiting or running" if listening else f"no worker is listening on `{job.queue}`"
            option = " --long-jobs" if job.queue in {QueueName.DATA, QueueName.TRAIN} else ""
            raise HemlineError(
                f"job {job.id} is stored but was not done within {within_s:g} s: {reason}",
                hint=None
                if listening
                else f"Start one with `hemline up` or `hemline worker{option}`; the job is done then.",
            )
        time.sleep(LOOK_EVERY_S)
        with database.read() as session:
            current = jobs.get(session, job.id) or current
    return current
