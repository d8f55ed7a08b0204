"""Long jobs: claim one, run it in a process of its own, watch over it until it has ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import IO

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import claims, jobs
from store.claims import Claim
from store.database import Database
from store.jobs import JobState, QueueName
from store.settings import Settings
from store.workers import WorkerReport
from worker import tether
from worker.errors import summary
from worker.presence import Presence
from worker.work import scratch_folder

LOOK_EVERY_S = 0.5
LOG_EVERY_S = 2.0
MAX_LOG_CHARS = 1_000_000  # of one attempt; the rest is left out, and the log says so
CANCEL_GRACE_S = 6.0  # in which the job may tidy up; then its process is killed
CRASH_BACK_OFF_S = 2.0
NOT_BEGUN_BACK_OFF_S = 5.0
PIECE_BYTES = 8_192


class Steward:
    """Serves one queue of long jobs, one job at a time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        queue: QueueName,
        worker_id: str,
        is_draining: Callable[[], bool],
        command: Sequence[str] = (sys.executable, "-m", "worker.child"),
    ) -> None:
        self.queue = queue
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._is_draining = is_draining
        self._command = tuple(command)
        self._busy = Lock()
        self.presence = Presence(database, worker_id, [queue], self._describe)

    def _describe(self) -> list[WorkerReport]:
        return [WorkerReport("busy" if self._busy.locked() else "ready")]

    def answer(self) -> None:
        """Answer a ring of the bell: run all that waits, unless another thread does so already."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            while not self._is_draining() and (claimed := self._claim()) is not None:
                self.run(claimed)
        except SQLAlchemyError as error:  # nothing is held then, and the sweeper rings again
            structlog.get_logger().warning("nothing_claimed", reason=summary(error))
        finally:
            self._busy.release()

    def _claim(self) -> Claim | None:
        with self._database.read() as session:
            if not claims.anything_ready(session, self.queue):
                return None
        with self._database.begin() as session:
            return claims.claim_work(
                session, queue=self.queue, worker_id=self._worker_id, lease_s=self._settings.work_lease_s
            )

    def run(self, claimed: Claim) -> None:
        """Run a claimed job in a process that dies with this one, and see to its end whatever happens to it."""
        watch = _Watch(self._settings, self._database, claimed, self._is_draining)
        # The tether watches the thread that starts the process: this one, which waits for it.
        argv = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *self._command]
        with subprocess.Popen(
            [*argv, claimed.job_id, str(claimed.fence)],
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        ) as process:
            watch.until_it_ends(process)


class _Watch:
    """Keeps one job's lease, log and wishes while its process runs."""

    def __init__(self, settings: Settings, database: Database, claimed: Claim, is_draining: Callable[[], bool]) -> None:
        self._settings = settings
        self._database = database
        self._claimed = claimed
        self._is_draining = is_draining
        self._log = structlog.get_logger().bind(job_id=claimed.job_id)
        self._printed: list[str] = []
        self._n_printed = 0
        self._guard = Lock()

    def until_it_ends(self, process: subprocess.Popen[bytes]) -> None:
        """Look twice a second; end it by force when it does not heed a cancellation or lost its claim."""
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        reader = Thread(target=self._listen, args=(process.stdout,), daemon=True)
        reader.start()
        self._log.info("job_started", pid=process.pid)
        renewed_at = logged_at = time.monotonic()
        unwanted_at: float | None = None
        is_asked_to_drain = False
        while process.poll() is None:
            time.sleep(LOOK_EVERY_S)
            at = time.monotonic()
            if at >= renewed_at + self._settings.work_lease_s / 3:
                self._renew()
                renewed_at = at
            if at >= logged_at + LOG_EVERY_S:
                self._write_log()
                logged_at = at
            if self._is_draining() and not is_asked_to_drain:
                process.terminate()
                is_asked_to_drain = True
            if self._is_unwanted():
                unwanted_at = unwanted_at or at
                if at >= unwanted_at + CANCEL_GRACE_S:
                    _kill_group(process)
        _kill_group(process)  # what it left behind
        reader.join(LOG_EVERY_S)
        self._write_log()
        self._settle(process.returncode)

    def _listen(self, output: IO[bytes]) -> None:
        decode = getincrementaldecoder("utf-8")("replace").decode
        while piece := os.read(output.fileno(), PIECE_BYTES):
            text = decode(piece)
            with self._guard:
                if self._n_printed < MAX_LOG_CHARS <= self._n_printed + len(text):
                    self._printed.append("… the rest is left out: the log is full.\n")
                elif self._n_printed < MAX_LOG_CHARS:
                    self._printed.append(text)
                self._n_printed += len(text)

    def _write_log(self) -> None:
        with self._guard:
            text, self._printed = "".join(self._printed), []
        if not text:
            return
        try:
            with self._database.begin() as session:
                jobs.add_log(session, self._claimed.job_id, text)
        except SQLAlchemyError as error:
            self._log.warning("log_not_written", reason=summary(error))

    def _renew(self) -> None:
        try:
            with self._database.begin() as session:
                claims.renew(session, [self._claimed], lease_s=self._settings.work_lease_s, done={})
        except SQLAlchemyError as error:
            self._log.warning("lease_not_renewed", reason=summary(error))  # the next third may succeed

    def _is_unwanted(self) -> bool:
        try:
            with self._database.read() as session:
                said = claims.wishes(session, self._claimed)
        except SQLAlchemyError:
            return False
        return said.is_cancelled or not said.is_held

    def _settle(self, status: int) -> None:
        """See that the job is no longer running under this claim, which its own process should have seen to."""
        reason = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        is_innocent = status == os.EX_TEMPFAIL or (self._is_draining() and status == -signal.SIGTERM)
        try:
            with self._database.begin() as session:
                if is_innocent:
                    claims.release(session, self._claimed, run_after_s=NOT_BEGUN_BACK_OFF_S)
                    return
                state = claims.crashed(session, self._claimed, reason=reason, back_off_s=CRASH_BACK_OFF_S)
        except SQLAlchemyError as error:
            self._log.warning("crash_not_recorded", reason=summary(error))  # the lease lapses
            return
        if state is not None:
            self._log.warning("job_process_died", reason=reason, state=state)
        if state in {JobState.CANCELLED, JobState.FAILED}:
            shutil.rmtree(scratch_folder(self._settings, self._claimed.job_id), ignore_errors=True)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nothing is left of it
        return


def remove_leftovers(settings: Settings, database: Database) -> None:
    """Remove the files of jobs that ended while no process of theirs ran."""
    folder = scratch_folder(settings, "")
    for left in sorted(folder.iterdir()) if folder.is_dir() else []:
        with database.read() as session:
            job = jobs.get(session, left.name)
        if job is None or job.state.is_final:
            shutil.rmtree(left, ignore_errors=True)
