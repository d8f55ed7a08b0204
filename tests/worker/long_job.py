"""What the long jobs of `test_steward` do, in their own processes."""

import os
import signal
import sys
import time

from sqlalchemy import insert

from store.database import now
from store.schema import JobLog
from worker.errors import DrainedError, InputError, TransientError
from worker.work import Outcome, Work


def run(work: Work) -> Outcome:
    match work.job.params["does"]:
        case "make":
            sys.stdout.write("made by the job\n")
            job_id, said = work.job.id, "row of the result"
            return Outcome(
                {"made": "something"},
                lambda s: s.execute(insert(JobLog).values(job_id=job_id, at=now(s), text=said)) and None,
            )
        case "refuse":
            raise InputError("row 3 is empty", hint="Fill it.")
        case "break":
            raise ZeroDivisionError("by zero")
        case "pass_later":
            raise TransientError("the store does not answer")
        case "listen":
            return _listen(work)
        case "ignore":
            work.progress(1, 3, "working")
            time.sleep(60)
        case "die":  # now a little later, now a little earlier, and never further than before
            work.progress(1 + work.job.attempts % 2, 3, "working")
            os.kill(os.getpid(), signal.SIGKILL)
        case "die_further" if work.job.done < 7:
            work.progress(work.job.done + 1, 9, "working")
            os.kill(os.getpid(), signal.SIGKILL)
    return Outcome({})


def _listen(work: Work) -> Outcome:
    while True:
        work.progress(1, 3, "working")
        if work.wants_stop:
            return Outcome({"made": "as much as there was"})
        if work.is_draining:
            (work.scratch / "checkpoint").touch()
            raise DrainedError
        time.sleep(0.05)
