"""Waiting for a job's end inside a request, for as many requests as can be spared."""

import re
import time
from dataclasses import dataclass

from flask import request

from store import jobs
from store.jobs import JobView
from web.context import site

MAX_WAIT_S = 30
FIRST_LOOK_S = 0.004
LONGEST_PAUSE_S = 0.05

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*(\"?)([0-9]{1,18})\1\s*(?=[,;]|$)", re.IGNORECASE)


def preferred_wait_s() -> int:
    """Seconds that the client is willing to wait (`Prefer: wait=N`, RFC 7240), 30 at most, 0 when it did not say."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found.group(2)), MAX_WAIT_S) if found else 0


@dataclass(frozen=True)
class Waited:
    """The job when the wait ended, and whether it lasted as long as was asked: until the job's end or the time's."""

    job: JobView
    is_whole: bool


def wait_for_end(job: JobView, *, timeout_s: float) -> Waited:
    """Wait until the job is final or time is up; shorter when too many wait already or the server stops."""
    if job.state.is_final or timeout_s <= 0:
        return Waited(job, is_whole=timeout_s > 0)
    deadline = time.monotonic() + timeout_s
    with site().waiting.place() as is_taken:
        if is_taken:
            job = _poll(job, deadline=deadline)
    return Waited(job, is_whole=job.state.is_final or time.monotonic() >= deadline)


def _poll(job: JobView, *, deadline: float) -> JobView:
    start = time.monotonic()
    while not job.state.is_final and time.monotonic() < deadline and not site().waiting.is_closing:
        # Looking again after a tenth of the time waited so far adds a twentieth to an answer's time on average.
        pause_s = min(max((time.monotonic() - start) / 10, FIRST_LOOK_S), LONGEST_PAUSE_S)
        time.sleep(min(pause_s, max(deadline - time.monotonic(), 0)))
        with site().database.read() as db:
            job = jobs.get(db, job.id) or job
    return job
