"""Entry points of the workers: one that reads with the model, one that sees to long jobs."""

import os
import secrets
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from sqlalchemy.exc import SQLAlchemyError

from store.database import open_database
from store.jobs import QueueName
from store.logs import configure_logs
from store.settings import Settings
from worker.app import TASK_READ, make_worker_app
from worker.errors import BrokenModelError, summary
from worker.process import PREDICT_QUEUES, DrainFlag, ReadingProcess, start_reading_process
from worker.steward import Steward, remove_leftovers

START_AGAIN_AFTER_S = 1.0
WORK_QUEUES = (QueueName.DATA, QueueName.TRAIN)

log = structlog.get_logger()


def run(settings: Settings) -> int:
    """Serve the predict queues until SIGTERM has drained them. Returns the exit status.

    One Celery process forks one reading process, so that a crash of the model's code never takes the consumer along.
    On SIGTERM the reading process hands back what it has not finished, after one batch at most; Celery then ends.
    """
    configure_logs(settings)
    app = make_worker_app(settings)
    connect(app, settings)
    # The messages are JSON, which is harmless to whoever reads it; the warning is for pickle.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.worker_main(_options("predict", PREDICT_QUEUES, pool="prefork", concurrency=1))
    return 0


def run_work(settings: Settings) -> int:
    """Serve the queues of long jobs until SIGTERM has drained them. Returns the exit status.

    One Celery process without any model; each job has a process of its own, and each queue runs one job at a time.
    """
    configure_logs(settings)
    app = make_worker_app(settings)
    database = open_database(settings)
    draining = DrainFlag()
    name = f"{socket.gethostname()[:36]}-{os.getpid()}-{secrets.token_hex(3)}"
    stewards = [
        Steward(settings, database, queue=queue, worker_id=f"{name}-{queue}", is_draining=draining.is_set)
        for queue in WORK_QUEUES
    ]

    def work(job_id: str) -> None:
        log.info("bell_answered", job_id=job_id)
        for steward in stewards:
            steward.answer()

    def begin(**_: Any) -> None:
        try:
            remove_leftovers(settings, database)
        except SQLAlchemyError as error:
            log.warning("leftovers_not_removed", reason=summary(error))
        for steward in stewards:
            steward.presence.start()

    def drain(**_: Any) -> None:
        draining.set()

    app.task(name=TASK_READ)(work)
    signals.worker_ready.connect(begin, weak=False)
    signals.worker_shutting_down.connect(drain, weak=False)
    signals.setup_logging.connect(_keep_logs, weak=False)
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.worker_main(_options("work", WORK_QUEUES, pool="threads", concurrency=len(stewards)))
    for steward in stewards:
        steward.presence.stop()
    database.dispose()
    return 0


def _options(name: str, queues: Sequence[QueueName], *, pool: str, concurrency: int) -> list[str]:
    return [
        "--quiet",
        "worker",
        f"--pool={pool}",
        f"--concurrency={concurrency}",
        f"--queues={','.join(queues)}",
        f"--hostname={name}-{os.getpid()}@{socket.gethostname()}",
        "--without-mingle",
        "--without-gossip",
        "--loglevel=INFO",
    ]


def _keep_logs(**_: Any) -> None:
    """Being connected is enough: Celery then leaves the logging as it is."""


def connect(app: Celery, settings: Settings) -> None:
    """Register the task and the life of the reading process on a worker's application."""
    draining = DrainFlag()
    current: list[ReadingProcess] = []

    def read(job_id: str) -> None:
        log.info("bell_answered", job_id=job_id)
        try:
            current[0].reader.answer()
        except BrokenModelError:
            sys.exit(1)  # Celery's pool forks another process, whose device and memory are fresh

    def start(**_: Any) -> None:
        try:
            current[:] = [start_reading_process(settings, draining)]
        except Exception:
            # Celery would only log it and keep a process that can answer no bell; it forks another one at once.
            log.exception("reading_process_not_started")
            time.sleep(START_AGAIN_AFTER_S)
            sys.exit(1)

    def stop(**_: Any) -> None:
        for process in current:
            process.heartbeat.stop()
            process.database.dispose()

    def drain(**_: Any) -> None:
        draining.set()

    app.task(name=TASK_READ)(read)
    # Celery keeps only weak references to receivers unless told otherwise.
    signals.worker_process_init.connect(start, weak=False)
    signals.worker_process_shutdown.connect(stop, weak=False)
    signals.worker_shutting_down.connect(drain, weak=False)
    signals.setup_logging.connect(_keep_logs, weak=False)
