"""Entry point of the predict worker."""

import os
import socket
import sys
import time
import warnings
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from store.logs import configure_logs
from store.settings import Settings
from worker.app import TASK_READ, make_worker_app
from worker.errors import BrokenModelError
from worker.process import PREDICT_QUEUES, DrainFlag, ReadingProcess, start_reading_process

START_AGAIN_AFTER_S = 1.0

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
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={','.join(PREDICT_QUEUES)}",
            f"--hostname=predict-{os.getpid()}@{socket.gethostname()}",
            "--without-mingle",
            "--without-gossip",
            "--loglevel=INFO",
        ]
    )
    return 0


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

    def keep_logs(**_: Any) -> None:
        """Being connected is enough: Celery then leaves the logging as it is."""

    app.task(name=TASK_READ)(read)
    # Celery keeps only weak references to receivers unless told otherwise.
    signals.worker_process_init.connect(start, weak=False)
    signals.worker_process_shutdown.connect(stop, weak=False)
    signals.worker_shutting_down.connect(drain, weak=False)
    signals.setup_logging.connect(keep_logs, weak=False)
